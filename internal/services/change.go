package services

import (
	"context"
	"fmt"
	"slices"
)

// Specs returns the SPECs of the services, in order.
func (s Set) Specs() []string {
	specs := make([]string, len(s))
	for i, service := range s {
		specs[i] = service.String()
	}
	return specs
}

// Only returns the services with the given SPECs, in the order of the set.
func (s Set) Only(specs []string) Set {
	return slices.DeleteFunc(slices.Clone(s), func(v Service) bool { return !slices.Contains(specs, v.String()) })
}

// Without returns the services without the given SPECs.
func (s Set) Without(specs []string) Set {
	return slices.DeleteFunc(slices.Clone(s), func(v Service) bool { return slices.Contains(specs, v.String()) })
}

// StartEach starts the services in order, and goes on after a failure: unlike with Start, started
// services stay up. It returns the SPECs of those that failed, each of which is stopped again, with
// one error for each.
func (s Set) StartEach(ctx context.Context, env Env) (failed []string, errs []error) {
	for _, service := range s {
		err := service.Start(ctx, env)
		if err == nil {
			continue
		}
		if !neverRan(err) {
			if undo := service.Stop(context.WithoutCancel(ctx), env); undo != nil {
				err = fmt.Errorf("%w, and then %w", err, undo)
			}
		}
		failed, errs = append(failed, service.String()), append(errs, err)
	}
	return failed, errs
}

// StopEach stops the services in reverse, and goes on after a failure. It returns the SPECs of
// those that may still be up, with one error for each.
func (s Set) StopEach(ctx context.Context, env Env) (left []string, errs []error) {
	for _, service := range slices.Backward(s) {
		if err := service.Stop(ctx, env); err != nil {
			left, errs = append(left, service.String()), append(errs, err)
		}
	}
	return left, errs
}
