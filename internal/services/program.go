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

// program is a service that is called as a program: an init script or a resource agent.
type program struct {
	spec string // as configured
	opt  Options
}

// programCall is one call of a program.
type programCall struct {
	path  string
	verb  string
	plain bool // without arguments, and not with the verb
	asks  bool // it changes nothing, and may be repeated
	limit time.Duration
	vars  []string                // added to the environment
	means func(status int) string // meaning of an exit status; nil: none
}

// noProgramError is the error for a program that was never run, so that nothing can be
// half-started.
type noProgramError struct{ error }

func (e noProgramError) Unwrap() error { return e.error }

// neverRan reports whether err is that of a program that could not be run.
func neverRan(err error) bool {
	var e noProgramError
	return errors.As(err, &e)
}

// call runs the program with a verb, within its time limit.
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

// run runs a program that was checked, within its time limit. It returns the last lines of its
// output.
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
		cmd.Dir = "/" // a daemon must not keep the agent's working directory in use
		output, err = runGroup(limited, cmd, p.opt.Grace)
	}
	p.opt.Log.Debug("service called", "service", p.spec, "lim", env.LIM, "verb", c.verb,
		"took", time.Since(began), "output", output, "error", err)
	return output, err
}

// command returns the program with its arguments.
func (c programCall) command() []string {
	if c.plain {
		return []string{c.path}
	}
	return []string{c.path, c.verb}
}

// unclear reports whether an error says nothing about the service's state: the program was not
// called, or its answer was lost.
func unclear(err error) bool {
	return unasked(err) || unseen(err) || lost(err)
}

// unlessLost returns the error of a start or reload; nil if the result of the call was lost and the
// service runs.
func unlessLost(ctx context.Context, s Service, env Env, err error) error {
	if lost(err) {
		if state, _ := s.Check(ctx, env); state == Running {
			return nil
		}
	}
	return err
}

// exitStatus returns the exit status in an error; 0 for no error, -1 if the program did not exit by
// itself.
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

// callCode distinguishes a call that its caller cancelled from one that failed.
func callCode(ctx context.Context) fault.Code {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.Interrupted
	}
	return fault.Failed
}

// timeLimit is the error for a call that exceeded its time limit.
type timeLimit time.Duration

func (t timeLimit) Error() string {
	return fmt.Sprintf("did not end within %s and was ended", time.Duration(t))
}

// adopt is the start of every service: it checks the state first and leaves a running service
// alone, so that a restarted agent does not disturb its LIM.
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
