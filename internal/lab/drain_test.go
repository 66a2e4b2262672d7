//go:build linux

package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/status"
)

func TestDrain(t *testing.T) { runScenario(t, "drain", program(t)) }

// drainScenario takes the servers of a cluster out of service one after the other, under
// calls, and holds what status says of redundancy to what becomes of a power cut.
func drainScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	f.noError(x.awaitCovered(ctx, true, ""), "at the start")
	from := time.Now()
	for lim, s := range map[int]*Server{1: x.srv1, 2: x.srv2} {
		f.noError(x.mx(ctx, s, "server", "drain", s.Name, "--for", "1h", "--reason", "new disk", "--wait"), "draining "+s.Name)
		f.noError(x.await(ctx, lim, "sb1"), "while "+s.Name+" is drained")
		f.noError(x.awaitCovered(ctx, false, ""), "while "+s.Name+" is drained") // the standby has one already, or its server is drained
		code, err := x.checked(ctx)
		f.noError(err, "status --check")
		f.check(code == 1, "status --check exits %d while %s is drained, want 1", code, s.Name)
		f.noError(x.mx(ctx, s, "server", "undrain", s.Name), "undraining "+s.Name)
		f.noError(x.mx(ctx, x.standby, "fallback", fmt.Sprint(lim), "--wait"), "falling back")
		f.noError(x.await(ctx, lim, s.Name), "after the fallback")
		f.noError(x.awaitCovered(ctx, true, ""), "after the fallback")
	}
	moves := x.caller.Between(from, time.Now())
	f.check(moves.Silence < 3*time.Second, "calls waited for %s", moves.Silence)

	f.noError(x.mx(ctx, x.standby, "server", "drain", "sb1", "--wait"), "draining sb1")
	f.noError(x.awaitCovered(ctx, false, "sb1 is drained"), "while sb1 is drained")
	f.noError(x.srv1.PowerCut(), "power cut")
	cut := time.Now()
	f.check(within(ctx, 5*testFailoverAfter, func(ctx context.Context) error { return x.caller.WaitAnswer(ctx, "", cut) }) != nil,
		"LIM 1 is served though its server is off and the standby drained")
	f.noError(x.mx(ctx, x.standby, "server", "undrain", "sb1"), "undraining sb1")
	undrained := time.Now()
	f.noError(x.await(ctx, 1, "sb1"), "after sb1 is not drained any more")
	x.say("LIM 1 runs on sb1 %s after that", milliseconds(time.Since(undrained)))
	row("regular servers drained, under calls", "silence "+milliseconds(moves.Silence), "promises kept")
	return f.err()
}

// awaitCovered waits until the standby says that LIM 1 is redundant, or why not.
func (x *site) awaitCovered(ctx context.Context, want bool, why string) error {
	what := fmt.Sprintf("redundant: %v, %q", want, why)
	return within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, x.standby, 1, what, func(l *status.StatusLIM) bool {
			return l.Redundant != nil && *l.Redundant == want && (want || strings.Contains(l.RedundantWhy, why))
		})
	})
}

// checked returns the exit code of status --check on the standby.
func (x *site) checked(ctx context.Context) (int, error) {
	r, err := x.standby.Run(ctx, nil, "mxcluster", "status", "--check")
	if err != nil {
		return 0, err
	}
	return r.Code, nil
}
