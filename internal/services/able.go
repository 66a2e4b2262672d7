package services

import (
	"context"
	"fmt"
	"path/filepath"
)

// abler is a service that can tell beforehand that it cannot be started.
type abler interface {
	Able(ctx context.Context, env Env) error
}

// Able returns what surely keeps the set from being started here, as far as this is known without
// trying; nil: nothing.
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

// validator is a service that can be asked whether it would start, which may take long.
type validator interface {
	Validate(ctx context.Context, env Env) error
}

// Validate asks the services whether they would start here; nil: none denies it. Unlike Able it
// runs programs, so it is called rarely.
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

// Able checks that the program can be run.
func (s *script) Able(_ context.Context, env Env) error { return s.runnable(env.fill(s.path)) }

// Able checks the resource agent, and the values that are read from files.
func (o *ocf) Able(_ context.Context, env Env) error {
	if err := o.lookFor("start", o.path()); err != nil {
		return err
	}
	_, err := o.variables(env, o.opt.StartTimeout)
	return err
}

// Validate runs the resource agent's validate-all. An agent without one, or one that hangs or
// cannot be asked, denies nothing.
func (o *ocf) Validate(ctx context.Context, env Env) error {
	err := o.do(ctx, env, "validate-all", o.opt.CheckTimeout)
	if status := exitStatus(err); unclear(err) || neverRan(err) || status <= 0 || status == ocfUnimplemented {
		return nil
	}
	return err
}

// path is the path of the resource agent.
func (o *ocf) path() string {
	return filepath.Join(o.opt.OCFRoot, "resource.d", o.provider, o.agent)
}
