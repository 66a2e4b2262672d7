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
	limit time.Duration
	vars  []string                     // added to the environment
	means func(*exec.ExitError) string // what an exit status means; nil: nothing
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
	limited, cancel := context.WithTimeoutCause(ctx, c.limit, timeLimit(c.limit))
	defer cancel()

	cmd := exec.Command(c.path, c.verb)
	cmd.Env = append(append(append(inherited(os.Environ()), env.Variables()...), c.vars...), p.owner(env))
	cmd.Dir = "/" // a daemon must not hold whatever folder the agent was started in
	began := time.Now()
	output, err := runGroup(limited, cmd, p.opt.Grace)
	p.opt.Log.Debug("service called", "service", p.spec, "lim", env.LIM, "verb", c.verb,
		"took", time.Since(began), "output", output, "error", err)
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && c.means != nil {
		if words := c.means(exit); words != "" {
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

// exitStatus returns the exit status that an error tells of; 0 for no error, -1
// where the program did not exit by itself.
func exitStatus(err error) int {
	var exit *exec.ExitError
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
	return start()
}
