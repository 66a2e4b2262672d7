package services

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ownerVariable marks every process that a service starts, however often that
// forks, and in whatever session: its environment is handed down. So what a stop
// leaves behind is found, also by an agent that was started since.
const ownerVariable = "MXCLUSTER_OWNER"

// owner is the mark of a service of a LIM. The instance keeps two agents with
// different folders on one machine apart.
func (p *program) owner(env Env) string {
	return ownerVariable + "=" + p.opt.Instance + " lim " + strconv.Itoa(env.LIM) + " " + p.spec
}

// stopped is what a stop comes to: processes that it left are ended. One that
// failed or hung has stopped the service after all if that says so now.
func (p *program) stopped(env Env, err error, check func() (State, error)) error {
	left, leftErr := endOwned(p.owner(env), p.opt.Grace)
	switch {
	case leftErr != nil:
		return joined([]error{err, fmt.Errorf("stop service %s: %w", p.spec, leftErr)})
	case err == nil && len(left) > 0:
		env.tell(fmt.Sprintf("the stop of %s left processes behind, which were ended: %s", p.spec, strings.Join(left, ", ")))
		return nil
	case err == nil, len(left) == 0 && !hung(err):
		return err
	}
	if state, _ := check(); state != Stopped {
		return err
	}
	ended := "nothing"
	if len(left) > 0 {
		ended = strings.Join(left, ", ")
	}
	env.tell(fmt.Sprintf("%v; processes that it left, and that were ended: %s", err, ended))
	return nil
}

// endOwned ends all processes that carry a mark: asked first, made to after grace.
// It returns what they were. An error says that some do not end even so.
func endOwned(mark string, grace time.Duration) (ended []string, err error) {
	limit, last := time.After(grace), (<-chan time.Time)(nil)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	signal := unix.SIGTERM
	asked := map[int]bool{}
	for {
		alive := signalOwned(mark, signal, asked)
		for _, p := range alive {
			if !slices.Contains(ended, p) {
				ended = append(ended, p)
			}
		}
		if len(alive) == 0 {
			return ended, nil
		}
		select {
		case <-look.C:
		case <-limit:
			signal, asked, limit, last = unix.SIGKILL, map[int]bool{}, nil, time.After(grace)
		case <-last:
			return ended, fmt.Errorf("processes do not end: %s", strings.Join(alive, ", "))
		}
	}
}

// hung reports whether an error is that of a call that took too long.
func hung(err error) bool {
	var limit timeLimit
	return errors.As(err, &limit)
}
