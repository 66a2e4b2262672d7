package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"mxcluster/internal/fault"
)

// program is how a service that is a program is called: an init script or a
// resource agent.
type program struct {
	spec string // as configured
	opt  Options
}

// programCall is one call of a program.
type programCall struct {
	path  string
	verb  string
	plain bool // called without arguments, not with the verb
	asks  bool // it changes nothing: it may be made again
	limit time.Duration
	vars  []string                // added to the environment
	means func(status int) string // what an exit status means; nil: nothing
}

// noProgramError marks the error of a program that was never run: there is
// nothing that could have been left half-started.
type noProgramError struct{ error }

func (e noProgramError) Unwrap() error { return e.error }

// neverRan tells whether err comes from a program that could not be run.
func neverRan(err error) bool {
	var e noProgramError
	return errors.As(err, &e)
}

// call runs the program with one verb, within its time limit.
func (p *program) call(ctx context.Context, env Env, c programCall) error {
	what := c.verb + " service " + p.spec
	if err := p.runnable(c.path); err != nil {
		return fmt.Errorf("%s: %w", what, noProgramError{err})
	}
	output, err := p.run(ctx, env, c)
	if err == nil {
		return nil
	}
	if unseen(err) {
		return fault.Wrap(err, fault.Unreachable, "look at `systemctl status dbus.service`", "%s: systemd cannot be reached", what)
	}
	if status := exitStatus(err); status > 0 && c.means != nil {
		if words := c.means(status); words != "" {
			err = fmt.Errorf("%w (%s)", err, words)
		}
	}
	if output != "" {
		err = fmt.Errorf("%w: %s", err, output)
	}
	hint := "run it by hand to see more: " + c.path + " " + c.verb
	if neverRan(err) {
		hint = "check that its first line names an interpreter that exists, as in #!/bin/sh"
	}
	return fault.Wrap(err, callCode(ctx), hint, "%s", what)
}

// run calls a program that was looked at, within its time limit; it returns the last
// lines that it printed.
func (p *program) run(ctx context.Context, env Env, c programCall) (output string, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.limit, timeLimit(c.limit))
	defer cancel()

	vars := append(append(append(inherited(os.Environ()), env.Variables()...), c.vars...), p.owner(env).variable)
	began := time.Now()
	if p.opt.Systemd.startsPrograms() {
		output, err = p.runUnit(ctx, limited, env, c, vars)
	} else {
		cmd := exec.Command(c.path, c.command()[1:]...)
		cmd.Env = vars
		cmd.Dir = "/" // a daemon must not hold whatever folder the agent was started in
		output, err = runGroup(limited, cmd, p.opt.Grace)
	}
	p.opt.Log.Debug("service called", "service", p.spec, "lim", env.LIM, "verb", c.verb,
		"took", time.Since(began), "output", output, "error", err)
	return output, err
}

// command is the program with its arguments.
func (c programCall) command() []string {
	if c.plain {
		return []string{c.path}
	}
	return []string{c.path, c.verb}
}

// unclear tells whether an error says nothing about a service: its program was not
// called, or nobody knows what it answered.
func unclear(err error) bool {
	return unasked(err) || unseen(err) || lost(err)
}

// unlessLost is the error of a call after which a service runs; nil also where nobody
// knows how the call ended, and the service says that it runs.
func unlessLost(ctx context.Context, s Service, env Env, err error) error {
	if lost(err) {
		if state, _ := s.Check(ctx, env); state == Running {
			return nil
		}
	}
	return err
}

// exitStatus returns the exit status that an error tells of; 0 for no error, -1
// where the program did not exit by itself.
func exitStatus(err error) int {
	var exit interface{ ExitCode() int } // of os/exec, or of a unit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// callCode tells a call that was given up by its caller from one that failed.
func callCode(ctx context.Context) fault.Code {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.Interrupted
	}
	return fault.Failed
}

// timeLimit is the error of a call that took too long.
type timeLimit time.Duration

func (t timeLimit) Error() string {
	return fmt.Sprintf("did not end within %s and was ended", time.Duration(t))
}

// adopt is how every service starts: it asks for the state first and leaves what
// runs as it is, so that an agent that was restarted never disturbs its LIM.
func adopt(ctx context.Context, s Service, env Env, start func() error) error {
	state, err := s.Check(ctx, env)
	switch {
	case state == Running:
		return nil
	case neverRan(err):
		return err
	case ctx.Err() != nil:
		return fault.Wrap(context.Cause(ctx), callCode(ctx), "", "start service %s", s)
	}
	return unlessLost(ctx, s, env, start())
}
