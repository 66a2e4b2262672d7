// Package servicestest has a service in memory, for the tests of what starts and stops services.
package servicestest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/services"
)

// Verb names one of the calls of a [services.Service].
type Verb string

// The calls of a service.
const (
	VerbStart  Verb = "start"
	VerbStop   Verb = "stop"
	VerbCheck  Verb = "check"
	VerbReload Verb = "reload"
	VerbAble   Verb = "able" // answers at once, whatever its step says of the time
	VerbDrain  Verb = "drain"
)

// Call is one call that a [Fake] received.
type Call struct {
	Verb Verb
	Env  services.Env
}

// Step is how a [Fake] answers one verb. The zero Step succeeds at once.
type Step struct {
	After time.Duration   // waits that long first
	Until <-chan struct{} // then until this is closed; nil: at once
	Err   error           // then fails with this; nil: succeeds
}

// Fake is a service that records its calls and answers as scripted; it keeps a state as a
// true service would. A call whose context ends while it waits fails with the context's error.
// The zero Fake is a stopped service.
type Fake struct {
	Name string // what String returns

	mu    sync.Mutex
	state services.State // "" is services.Stopped
	steps map[Verb]Step
	calls []Call
}

// Script sets how all later calls of a verb are answered.
func (f *Fake) Script(verb Verb, step Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.steps == nil {
		f.steps = make(map[Verb]Step)
	}
	f.steps[verb] = step
}

// SetState changes the state from outside, as a crash does.
func (f *Fake) SetState(s services.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = s
}

// State returns the state that a check would find, without being called.
func (f *Fake) State() services.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == "" {
		return services.Stopped
	}
	return f.state
}

// Calls returns the calls received so far, those still waiting included.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Start fulfils services.Service.
func (f *Fake) Start(ctx context.Context, env services.Env) error {
	return f.change(ctx, VerbStart, env, services.Running)
}

// Stop fulfils services.Service.
func (f *Fake) Stop(ctx context.Context, env services.Env) error {
	return f.change(ctx, VerbStop, env, services.Stopped)
}

// Able answers as scripted, at once.
func (f *Fake) Able(context.Context, services.Env) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps[VerbAble].Err
}

// Check fulfils services.Service.
func (f *Fake) Check(ctx context.Context, env services.Env) (services.State, error) {
	if err := f.play(ctx, VerbCheck, env); err != nil {
		if f.State() == services.Unknown {
			return services.Unknown, err
		}
		return services.Failed, err
	}
	return f.State(), nil
}

// Reload fulfils services.Service.
func (f *Fake) Reload(ctx context.Context, env services.Env) error {
	return f.play(ctx, VerbReload, env)
}

// Drain lets calls end, as scripted; with [ErrUnknown] it does not know how.
func (f *Fake) Drain(ctx context.Context, env services.Env) (known bool, err error) {
	err = f.play(ctx, VerbDrain, env)
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return true, err
}

// ErrUnknown is the error of a verb that a service does not know.
var ErrUnknown = errors.New("not known")

// String returns the name.
func (f *Fake) String() string { return f.Name }

// change plays the verb's step and then enters the state.
func (f *Fake) change(ctx context.Context, verb Verb, env services.Env, to services.State) error {
	if err := f.play(ctx, verb, env); err != nil {
		return err
	}
	f.SetState(to)
	return nil
}

// play records the call and answers as scripted.
func (f *Fake) play(ctx context.Context, verb Verb, env services.Env) error {
	f.mu.Lock()
	f.calls = append(f.calls, Call{Verb: verb, Env: env})
	step := f.steps[verb]
	f.mu.Unlock()

	if step.After > 0 {
		timer := time.NewTimer(step.After)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if step.Until != nil {
		select {
		case <-step.Until:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return step.Err
}
