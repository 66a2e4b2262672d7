package services

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"mxcluster/internal/fault"
)

// script is an exec: service: a program called with start, stop, status or
// reload, as an init script is.
type script struct {
	spec string // as configured
	path string // the same without its scheme
	opt  Options
}

// statusStopped is the exit status by which `status` says "stopped" (LSB).
const statusStopped = 3

// Start asks for the state first and adopts what runs, so that an agent that
// was restarted never disturbs its LIM.
func (s *script) Start(ctx context.Context, env Env) error {
	state, err := s.Check(ctx, env)
	switch {
	case state == Running:
		return nil
	case neverRan(err):
		return err
	case ctx.Err() != nil:
		return fault.Wrap(context.Cause(ctx), callCode(ctx), "", "start service %s", s.spec)
	}
	return s.call(ctx, env, "start", s.opt.StartTimeout)
}

// Stop calls the program whatever state it claims: a half-started service may
// say that it is stopped.
func (s *script) Stop(ctx context.Context, env Env) error {
	return s.call(ctx, env, "stop", s.opt.StopTimeout)
}

// Reload has the time limit of a start, for it does much the same work.
func (s *script) Reload(ctx context.Context, env Env) error {
	return s.call(ctx, env, "reload", s.opt.StartTimeout)
}

// Check maps the exit status of `status` to a state.
func (s *script) Check(ctx context.Context, env Env) (State, error) {
	err := s.call(ctx, env, "status", s.opt.CheckTimeout)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Running, nil
	case errors.As(err, &exit) && exit.ExitCode() == statusStopped:
		return Stopped, nil
	}
	return Failed, err
}

func (s *script) String() string { return s.spec }

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
func (s *script) call(ctx context.Context, env Env, verb string, limit time.Duration) error {
	path := env.fill(s.path)
	what := verb + " service " + s.spec
	if err := checkProgram(path); err != nil {
		return fmt.Errorf("%s: %w", what, noProgramError{err})
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, timeLimit(limit))
	defer cancel()

	cmd := exec.Command(path, verb)
	cmd.Env = append(cmd.Environ(), env.Variables()...)
	cmd.Dir = "/" // a daemon must not hold whatever folder the agent was started in
	began := time.Now()
	output, err := runGroup(limited, cmd, s.opt.Grace)
	s.opt.Log.Debug("service called", "service", s.spec, "lim", env.LIM, "verb", verb,
		"took", time.Since(began), "output", output, "error", err)
	if err == nil {
		return nil
	}
	if output != "" {
		err = fmt.Errorf("%w: %s", err, output)
	}
	hint := "run it by hand to see more: " + path + " " + verb
	if neverRan(err) {
		hint = "check that its first line names an interpreter that exists, as in #!/bin/sh"
	}
	return fault.Wrap(err, callCode(ctx), hint, "%s", what)
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
