package services

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mxcluster/clusterconf"
)

// Set is the software of one LIM, in the order in which it is started.
type Set []Service

// ForLIM returns the services of a LIM on one side of its cluster, in the order in which they are
// started. Services for the regular server only are left out on the standby (spec ch. 6).
func ForLIM(l *clusterconf.LIM, side clusterconf.Side, opt Options) (Set, error) {
	var set Set
	for _, s := range l.Services {
		if s.RegularOnly && side == clusterconf.SideStandby {
			continue
		}
		service, err := Parse(s.Run, opt)
		if err != nil {
			return nil, fmt.Errorf("service %s of LIM %d: %w", s.Run, l.Number, err)
		}
		set = append(set, service)
	}
	return set, nil
}

// Start starts the services in order. When one fails, all are stopped, in reverse, so that nothing is
// left half-started: that one, those before it, and of those behind it what is up from an earlier
// start. Of a service whose program cannot be run, the processes of an earlier start are ended. The
// error names the one that failed and is joined with a [NotStoppedError] if stopping failed.
func (s Set) Start(ctx context.Context, env Env) error {
	for i, service := range s {
		err := service.Start(ctx, env)
		if err == nil {
			continue
		}
		// The caller may have cancelled: what was started must be stopped nevertheless.
		if undo := s.undo(context.WithoutCancel(ctx), env, i, err); undo != nil {
			err = errorList{err, &NotStoppedError{undo}}
		}
		return err
	}
	return nil
}

// undo stops the set, of which the i-th service failed to start.
func (s Set) undo(ctx context.Context, env Env, i int, failed error) error {
	var errs []error
	for _, later := range slices.Backward(s[i+1:]) {
		if state, why := later.Check(ctx, env); state != Stopped {
			errs = append(errs, stopOrEnd(ctx, later, env, why))
		}
	}
	errs = append(errs, stopOrEnd(ctx, s[i], env, failed), s[:i].Stop(ctx, env))
	return joined(errs)
}

// stopOrEnd stops a service, or ends its processes where why says that its program cannot be run.
func stopOrEnd(ctx context.Context, s Service, env Env, why error) error {
	if !neverRan(why) {
		return s.Stop(ctx, env)
	}
	if x, ok := s.(interface{ endLeft(env Env) error }); ok {
		return x.endLeft(env)
	}
	return nil
}

// NotStoppedError says that software which failed to start may be partly up.
type NotStoppedError struct{ Err error }

// Error is worded to follow the error of the start.
func (e *NotStoppedError) Error() string { return "and then " + e.Err.Error() }

// Unwrap returns why it could not be stopped.
func (e *NotStoppedError) Unwrap() error { return e.Err }

// Stop stops the services in reverse. It goes on after a failure, and joins
// the errors.
func (s Set) Stop(ctx context.Context, env Env) error {
	var errs []error
	for i := len(s) - 1; i >= 0; i-- {
		errs = append(errs, s[i].Stop(ctx, env))
	}
	return joined(errs)
}

// Check returns the worst state of all and the service that is in it; Failed
// is worse than Stopped, Stopped than Unknown, and that than Running. A set in which
// all run, an empty one too, is Running with service "". The error explains Failed
// and Unknown.
func (s Set) Check(ctx context.Context, env Env) (worst State, service string, err error) {
	worst = Running
	for _, sv := range s {
		state, why := sv.Check(ctx, env)
		switch {
		case state == Failed:
			return Failed, sv.String(), why
		case state == Stopped && worst != Stopped, state == Unknown && worst == Running:
			worst, service, err = state, sv.String(), why
		}
	}
	return worst, service, err
}

// Reload makes the services read their data again, in order. It goes on after
// a failure, and joins the errors.
func (s Set) Reload(ctx context.Context, env Env) error {
	var errs []error
	for _, sv := range s {
		errs = append(errs, sv.Reload(ctx, env))
	}
	return joined(errs)
}

// errorList is errors.Join on one line, for the terminal.
type errorList []error

func (l errorList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (l errorList) Unwrap() []error { return l }

// joined returns errs as one error; nil if there is none.
func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return errorList(errs)
}
