package services

import "fmt"

// abler is a service that can see beforehand that it cannot be started.
type abler interface {
	Able(env Env) error
}

// Able says what surely keeps the set from being started here, as far as that
// shows without trying; nil: nothing does.
func (s Set) Able(env Env) error {
	for _, service := range s {
		if a, ok := service.(abler); ok {
			if err := a.Able(env); err != nil {
				return fmt.Errorf("service %s: %w", service, err)
			}
		}
	}
	return nil
}

// Able looks for the program.
func (s *script) Able(env Env) error { return checkProgram(env.fill(s.path)) }

// VerbAble scripts what Able of a [Fake] answers.
const VerbAble Verb = "able"

// Able answers as scripted, at once.
func (f *Fake) Able(Env) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps[VerbAble].Err
}
