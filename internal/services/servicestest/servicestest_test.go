package servicestest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

func TestFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &servicestest.Fake{Name: "fake"}
		gate := make(chan struct{})
		f.Script(servicestest.VerbStart, servicestest.Step{After: time.Second, Until: gate})
		done := make(chan error)
		go func() { done <- f.Start(t.Context(), services.Env{}) }()
		time.AfterFunc(time.Minute, func() { close(gate) })
		synctest.Wait()
		if state, err := f.Check(t.Context(), services.Env{}); state != services.Stopped || err != nil {
			t.Errorf("while it starts: %s, %v", state, err)
		}
		began := time.Now()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}
		if state, _ := f.Check(t.Context(), services.Env{}); state != services.Running {
			t.Errorf("state %s", state)
		}
		f.SetState(services.Failed)
		if state, _ := f.Check(t.Context(), services.Env{}); state != services.Failed {
			t.Errorf("state %s", state)
		}
		f.Script(servicestest.VerbStop, servicestest.Step{Until: make(chan struct{})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Stop(ctx, services.Env{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		var verbs []string
		for _, c := range f.Calls() {
			verbs = append(verbs, string(c.Verb))
		}
		if got := strings.Join(verbs, " "); got != "start check check check stop" {
			t.Errorf("calls %q", got)
		}
	})
}
