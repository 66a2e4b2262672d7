package services

import (
	"context"
	"fmt"
	"path/filepath"
)

// abler is a service that can see beforehand that it cannot be started.
type abler interface {
	Able(ctx context.Context, env Env) error
}

// Able says what surely keeps the set from being started here, as far as that
// shows without trying; nil: nothing does.
func (s Set) Able(ctx context.Context, env Env) error {
	for _, service := range s {
		if a, ok := service.(abler); ok {
			if err := a.Able(ctx, env); err != nil {
				return fmt.Errorf("service %s: %w", service, err)
			}
		}
	}
	return nil
}

// validator is a service that can be asked whether it would start, which takes a while.
type validator interface {
	Validate(ctx context.Context, env Env) error
}

// Validate asks the services that can tell whether they would start here; nil: none says that it
// would not. It is for now and then: unlike Able it runs programs.
func (s Set) Validate(ctx context.Context, env Env) error {
	for _, service := range s {
		if v, ok := service.(validator); ok {
			if err := v.Validate(ctx, env); err != nil {
				return err
			}
		}
	}
	return nil
}

// Able looks for the program.
func (s *script) Able(_ context.Context, env Env) error { return s.runnable(env.fill(s.path)) }

// Able looks for the resource agent, and for the values that it gets from files.
func (o *ocf) Able(_ context.Context, env Env) error {
	if err := o.lookFor("start", o.path()); err != nil {
		return err
	}
	_, err := o.variables(env, o.opt.StartTimeout)
	return err
}

// Validate runs the resource agent's validate-all. One that has none, hangs, or cannot be asked
// says nothing.
func (o *ocf) Validate(ctx context.Context, env Env) error {
	err := o.do(ctx, env, "validate-all", o.opt.CheckTimeout)
	if status := exitStatus(err); unclear(err) || neverRan(err) || status <= 0 || status == ocfUnimplemented {
		return nil
	}
	return err
}

// path is where the resource agent is.
func (o *ocf) path() string {
	return filepath.Join(o.opt.OCFRoot, "resource.d", o.provider, o.agent)
}
