package services

import (
	"errors"
	"fmt"
	"hash/fnv"
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

// mark is by what the processes of a service are known.
type mark struct {
	variable string // NAME=value in the environment of each
	units    string // how the names of the units that systemd keeps them in begin; "": there are none
}

// owner is the mark of a service of a LIM. The instance keeps two agents with
// different folders on one machine apart.
func (p *program) owner(env Env) mark {
	m := newMark(env.LIM, ownerVariable+"="+p.opt.Instance+limInOwner+strconv.Itoa(env.LIM)+" "+p.spec)
	if !p.opt.Systemd.startsPrograms() {
		m.units = ""
	}
	return m
}

// limInOwner stands in the value before the LIM's number.
const limInOwner = " lim "

func newMark(lim int, variable string) mark {
	sum := fnv.New64a()
	sum.Write([]byte(variable))
	return mark{variable, fmt.Sprintf("mxcluster-lim%d-%016x-", lim, sum.Sum64())}
}

// ownerOf reads the mark out of a process's environment, where that is one of this
// instance's.
func ownerOf(environ []string, instance string) (lim int, m mark, ok bool) {
	for _, v := range environ {
		rest, ok := strings.CutPrefix(v, ownerVariable+"="+instance+limInOwner)
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, " ")
		if lim, err := strconv.Atoi(number); err == nil {
			return lim, newMark(lim, v), true
		}
	}
	return 0, mark{}, false
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
	case err == nil, len(left) == 0 && !hung(err) && !lost(err):
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
func endOwned(m mark, grace time.Duration) (ended []string, err error) {
	limit, last := time.After(grace), (<-chan time.Time)(nil)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	signal := unix.SIGTERM
	asked := map[int]bool{}
	for {
		alive := signalOwned(m, signal, asked)
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
