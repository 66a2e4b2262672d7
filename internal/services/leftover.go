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

// ownerVariable is set in the environment of every process of a service, and inherited by its
// descendants in any session. By it, processes that are left after a stop are found, also by a
// later run of the agent.
const ownerVariable = "MXCLUSTER_OWNER"

// mark identifies the processes of a service.
type mark struct {
	variable string // NAME=value in their environment
	units    string // prefix of the units that systemd keeps them in; "": none
}

// owner returns the mark of a LIM's service. The instance distinguishes agents with different
// folders on one machine.
func (p *program) owner(env Env) mark {
	m := newMark(env.LIM, ownerVariable+"="+p.opt.Instance+limInOwner+strconv.Itoa(env.LIM)+" "+p.spec)
	if !p.opt.Systemd.startsPrograms() {
		m.units = ""
	}
	return m
}

// limInOwner precedes the LIM's number in the value.
const limInOwner = " lim "

func newMark(lim int, variable string) mark {
	sum := fnv.New64a()
	sum.Write([]byte(variable))
	return mark{variable, fmt.Sprintf("mxcluster-lim%d-%016x-", lim, sum.Sum64())}
}

// ownerOf returns the mark in a process's environment, if it belongs to this instance.
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

// stopped completes a stop: leftover processes are ended. A stop that failed or hung counts as
// successful if the service is stopped now.
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

// endLeft ends the processes of an earlier start, where the program that would stop them cannot be
// run.
func (p *program) endLeft(env Env) error {
	left, err := endOwned(p.owner(env), p.opt.Grace)
	if err != nil {
		return fmt.Errorf("stop service %s: %w", p.spec, err)
	}
	if len(left) > 0 {
		env.tell(fmt.Sprintf("the program of %s cannot be run; processes of it that ran on were ended: %s", p.spec, strings.Join(left, ", ")))
	}
	return nil
}

// endOwned ends all processes with a mark, by SIGTERM, and SIGKILL after grace. It returns which
// ones there were. An error names those that are still alive.
func endOwned(m mark, grace time.Duration) (ended []string, err error) {
	limit, last, over := time.After(grace), (<-chan time.Time)(nil), false
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
		switch {
		case len(alive) == 0:
			return ended, nil
		case over:
			return ended, fmt.Errorf("processes do not end: %s", strings.Join(alive, ", "))
		case signal == unix.SIGKILL && last == nil:
			last = time.After(grace) // from when all have the signal, however long the look took
		}
		select {
		case <-look.C:
		case <-limit:
			signal, asked, limit = unix.SIGKILL, map[int]bool{}, nil
		case <-last:
			over = true // if the next look still finds them
		}
	}
}

// hung reports whether a call exceeded its time limit.
func hung(err error) bool {
	var limit timeLimit
	return errors.As(err, &limit)
}
