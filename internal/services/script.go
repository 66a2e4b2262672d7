package services

import (
	"context"
	"time"
)

// script is an exec: service: a program called with start, stop, status or
// reload, as an init script is.
type script struct {
	program
	path string // as configured, without its scheme
}

// statusStopped is the exit status by which `status` says "stopped" (LSB).
const statusStopped = 3

// Start starts the program unless it runs.
func (s *script) Start(ctx context.Context, env Env) error {
	return adopt(ctx, s, env, func() error { return s.do(ctx, env, verbStart, s.opt.StartTimeout) })
}

// Stop calls the program whatever its reported state: a half-started service may report that it is
// stopped. Leftover processes are ended, as systemd does.
func (s *script) Stop(ctx context.Context, env Env) error {
	err := s.do(ctx, env, "stop", s.opt.StopTimeout)
	return s.stopped(env, err, func() (State, error) { return s.Check(ctx, env) })
}

// Reload has the time limit of a start, as it does similar work.
func (s *script) Reload(ctx context.Context, env Env) error {
	return unlessLost(ctx, s, env, s.do(ctx, env, verbReload, s.opt.StartTimeout))
}

// Check maps the exit status of `status` to a state.
func (s *script) Check(ctx context.Context, env Env) (State, error) {
	err := s.do(ctx, env, "status", s.opt.CheckTimeout)
	if unclear(err) {
		return Unknown, err
	}
	switch exitStatus(err) {
	case 0:
		return Running, nil
	case statusStopped:
		return Stopped, nil
	}
	return Failed, err
}

func (s *script) String() string { return s.spec }

func (s *script) do(ctx context.Context, env Env, verb string, limit time.Duration) error {
	return s.call(ctx, env, programCall{path: env.fill(s.path), verb: verb, asks: verb == "status", limit: limit})
}
