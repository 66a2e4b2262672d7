//go:build linux

package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFlapping(t *testing.T) { runScenario(t, "flapping", program(t)) }

// flapping is a regular server that restarts again and again under automatic fallback.
type flapping struct {
	*site
	hold     time.Duration // that the first repeated failure costs
	every    time.Duration // between two restarts
	restarts int
	holds    int           // how many growing ones are waited for
	quiet    time.Duration // after which it counts as any other server again; 0: not waited for

	from    time.Time // since when it has its power back
	longest time.Duration
}

// flappingScenario is short: a server that restarts all the time is left alone for as
// long as it does, and then for a growing time.
func flappingScenario(ctx context.Context, l *Lab) error {
	x := newEmptySite(l)
	x.settings += "fallback:\n  hold: 3s\n"
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.connectClient, func(ctx context.Context) error {
		return x.create(ctx, testFailoverAfter, "--fallback", "automatic")
	}} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	return (&flapping{site: x, hold: 3 * time.Second, every: time.Second, restarts: 3, holds: 2}).play(ctx)
}

// benchFlapping does the same at default settings, a restart every 20 s.
func benchFlapping(holds int, quiet time.Duration) Scenario {
	return func(ctx context.Context, l *Lab) error {
		x, err := newBenchSite(ctx, l, 200*time.Millisecond, "--fallback", "automatic")
		if err != nil {
			return err
		}
		f := &flapping{site: x, hold: 2 * time.Minute, every: 20 * time.Second, restarts: benchNumber("RESTARTS", 9), holds: holds, quiet: quiet}
		return f.play(ctx)
	}
}

func (f *flapping) play(ctx context.Context) error {
	from := time.Now()
	if err := f.restart(ctx); err != nil {
		return err
	}
	if err := f.comesHome(ctx, 0); err != nil { // the first failure costs nothing
		return err
	}
	moves, err := f.restartAllTheTime(ctx)
	if err != nil || moves > 0 { // on a machine so busy that it was up for long
		return err
	}
	for i := range f.holds {
		hold := f.hold << i
		if i > 0 {
			if err := f.restart(ctx); err != nil {
				return err
			}
		}
		if err := f.isHeld(ctx, i+1, hold); err != nil {
			return err
		}
		if err := f.comesHome(ctx, hold); err != nil {
			return err
		}
	}
	if f.quiet > 0 {
		if err := f.calmsDown(ctx); err != nil {
			return err
		}
	}
	if h := f.watcher.Between(from, time.Now()); h.Twice > 0 {
		return fmt.Errorf("%d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	}
	return nil
}

// restart cuts the power of srv1, and gives it back once the standby serves.
func (f *flapping) restart(ctx context.Context) error {
	return within(ctx, testStep, func(ctx context.Context) error {
		if err := f.cutPower(ctx); err != nil {
			return err
		}
		return f.boot(ctx)
	})
}

func (f *flapping) boot(ctx context.Context) error {
	f.from = time.Now()
	if err := f.srv1.Boot(ctx); err != nil {
		return err
	}
	return f.startAgent(ctx, f.srv1)
}

// restartAllTheTime has the server restart at equal distances. As long as it never is
// up for the time that it must be, nothing moves; it returns how often something did.
func (f *flapping) restartAllTheTime(ctx context.Context) (uint64, error) {
	if err := f.restart(ctx); err != nil {
		return 0, err
	}
	before, err := f.term(ctx)
	if err != nil {
		return 0, err
	}
	from := time.Now()
	for i := range f.restarts {
		if i == f.restarts/2 {
			f.look(ctx, fmt.Sprintf("restart %d, every %s", i+1, f.every))
		}
		if err := wait(ctx, time.Until(f.from.Add(f.every*3/4))); err != nil {
			return 0, err
		}
		if err := f.srv1.PowerCut(); err != nil {
			return 0, err
		}
		f.longest = max(f.longest, time.Since(f.from))
		if err := wait(ctx, time.Until(f.from.Add(f.every))); err != nil {
			return 0, err
		}
		if err := within(ctx, testStep, f.boot); err != nil {
			return 0, err
		}
	}
	if err := f.caller.Settle(ctx); err != nil {
		return 0, err
	}
	term, err := f.term(ctx)
	if err != nil {
		return 0, err
	}
	f.longest = max(f.longest, time.Since(f.from))
	moves, s := term-before, f.caller.Between(from, time.Now())
	row(fmt.Sprintf("%d restarts, one every %s", f.restarts, f.every), fmt.Sprintf("moves %d", moves),
		fmt.Sprintf("calls lost %d of %d, silence %s", s.Lost, s.Calls, milliseconds(s.Silence)))
	if moves != 0 && f.longest < f.hold {
		return 0, fmt.Errorf("the LIM was started %d times while its server was never up for longer than %s, hold %s", moves, f.longest, f.hold)
	}
	return moves, nil
}

// term is that of LIM 1: each start raises it.
func (f *flapping) term(ctx context.Context) (uint64, error) {
	l, err := limStatus(ctx, f.srv2, 1)
	if err != nil {
		return 0, err
	}
	return l.Term, nil
}

// isHeld waits until status, explain and an alarm say on another server that, why and
// for how long the fallback is held back.
func (f *flapping) isHeld(ctx context.Context, failures int, hold time.Duration) error {
	words := "failed again soon after a fallback"
	if failures > 1 {
		words = fmt.Sprintf("failed %d times soon after a fallback", failures)
	}
	err := poll(ctx, "explain and status say that it is held back: "+words, func() bool {
		out, err := f.srv2.Mxcluster(ctx, "explain", "1")
		if err != nil {
			return false
		}
		l, err := limStatus(ctx, f.srv2, 1)
		if err != nil {
			return false
		}
		left := time.Duration(l.Fallback.HeldForMs) * time.Millisecond
		blocked := strings.Join(l.Fallback.BlockedBy, ";")
		held := left > 0 && left <= hold && !fallbackReady(l) && strings.Contains(blocked, words) && strings.Contains(string(out), words)
		return held || runsOn("srv1")(l) && time.Since(f.from) >= hold // a busy machine looks too late
	})
	if err != nil {
		return err
	}
	f.look(ctx, fmt.Sprintf("held back for %s", hold))
	return f.alarmed(ctx, true)
}

// alarmed waits until the alarm is raised, or cleared.
func (f *flapping) alarmed(ctx context.Context, wanted bool) error {
	return poll(ctx, fmt.Sprintf("an alarm tells of flapping: %t", wanted), func() bool {
		out, err := f.srv2.Mxcluster(ctx, "status", "-o", "json")
		return err == nil && strings.Contains(string(out), `"flapping"`) == wanted
	})
}

// comesHome waits for the fallback, which must not come before its time.
func (f *flapping) comesHome(ctx context.Context, hold time.Duration) error {
	if err := within(ctx, hold+testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, f.srv2, 1, "runs on srv1", runsOn("srv1"))
	}); err != nil {
		return err
	}
	took := time.Since(f.from)
	row(fmt.Sprintf("fallback, to be held back for %s", hold), fmt.Sprintf("%.1f s after srv1 had its power back", took.Seconds()))
	if took < hold {
		return fmt.Errorf("fallback %s after the boot, which is before its time of %s", took, hold)
	}
	f.look(ctx, "back on srv1")
	return nil
}

// calmsDown waits until the failures are forgotten: the alarm clears, and the next one
// costs no waiting.
func (f *flapping) calmsDown(ctx context.Context) error {
	if err := wait(ctx, f.quiet); err != nil {
		return err
	}
	f.look(ctx, fmt.Sprintf("after %s of quiet", f.quiet))
	if err := f.alarmed(ctx, false); err != nil {
		return err
	}
	if err := f.restart(ctx); err != nil {
		return err
	}
	if err := f.comesHome(ctx, 0); err != nil {
		return err
	}
	if took := time.Since(f.from); took > f.hold {
		return fmt.Errorf("fallback only %s after the boot, though its server was quiet for %s", took, f.quiet)
	}
	return nil
}

// look shows what an operator sees, on a server that is neither of the two.
func (f *flapping) look(ctx context.Context, when string) {
	f.say("-- %s", when)
	for _, command := range []string{"status", "status -o wide", "status --check", "explain 1", "events --lim 1 --since 10s"} {
		out, err := f.srv2.Mxcluster(ctx, strings.Fields(command)...)
		f.say("srv2# mxcluster %s", command)
		f.show(out)
		if err != nil && command != "status --check" { // its code is its answer
			f.say("%s", err)
		}
	}
}
