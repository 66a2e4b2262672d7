//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// parting is one kind of partition between a regular server and everyone else.
type parting struct {
	fallback string        // type of the cluster
	yields   string        // side that is to, as configured
	lasts    time.Duration // after the takeover
}

// benchPartition has the standby, and then a regular server, lose sight of everyone
// else, again and again; links stay up.
func benchPartition(ctx context.Context, l *Lab) error {
	// Each partition is a failure soon after a fallback, which is not what is looked at.
	x, err := newSettledBenchSite(ctx, l, 200*time.Millisecond, "fallback:\n  hold: 0s\n")
	if err != nil {
		return err
	}
	err = x.undisturbed(ctx, "standby | everyone else, 10 times for 3 s", func() error {
		for range 10 {
			if err := x.isolateStandby(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range []parting{
		{"manual", "regular", shortCut}, {"manual", "regular", longCut}, {"automatic", "regular", shortCut},
		{"automatic", "regular", longCut}, {"manual", "standby", shortCut}, {"manual", "standby", longCut},
	} {
		if err == nil {
			err = x.measurePartition(ctx, p)
		}
	}
	return err
}

// isolateStandby cuts the standby off for some time, in which it must take nothing.
func (x *site) isolateStandby(ctx context.Context) error {
	if err := x.network.ns.Detach("sb1"); err != nil {
		return err
	}
	var taken []netip.Prefix
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		have, err := x.standby.addresses()
		if err != nil {
			return err
		}
		for _, a := range []netip.Prefix{labAddress(11), labAddress(12)} {
			if slices.Contains(have, a) {
				taken = append(taken, a)
			}
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("the standby, cut off, took %v", taken[0])
	}
	return errors.Join(x.network.ns.Attach("sb1", switchName), wait(ctx, time.Second))
}

// measurePartition cuts srv1 off until the standby serves, and some time longer, and measures from
// the heal on.
func (x *site) measurePartition(ctx context.Context, p parting) error {
	if err := x.mx(ctx, x.srv1, "change", "c1", "--fallback", p.fallback, "--split-brain-stop", p.yields); err != nil {
		return err
	}
	runs := benchNumber("RUNS", 10)
	var silent, gone, home []time.Duration
	for range runs {
		from := time.Now()
		if err := x.network.ns.Detach("srv1"); err != nil {
			return err
		}
		if err := errors.Join(x.caller.WaitAnswer(ctx, "sb1", from), wait(ctx, p.lasts)); err != nil {
			return err
		}
		if !x.srv1.have(labAddress(11)) {
			return errors.New("srv1, cut off, does not run LIM 1 any more")
		}
		healed := time.Now()
		if err := x.network.ns.Attach("srv1", switchName); err != nil {
			return err
		}
		off, err := x.awaitYielded(ctx, p, healed)
		if err != nil {
			return err
		}
		back, err := x.endsAsFallbackSays(ctx, p, healed)
		if err != nil {
			return err
		}
		double := time.Duration(0)
		if first, last := x.watcher.twice(healed); !first.IsZero() {
			double = last.Sub(healed)
		}
		silent, gone, home = append(silent, double), append(gone, off), append(home, back)
	}
	cells := []any{"two answer until " + spread(silent) + " after the heal", "alias off the kernel after " + spread(gone), "stays on sb1, as manual says"}
	switch {
	case p.yields == "standby":
		cells[2] = "stays on srv1"
	case p.fallback == "automatic":
		cells[2] = "home by itself after " + spread(home)
	}
	row(fmt.Sprintf("srv1 | everyone else for %s more, %s, %s yields", p.lasts, p.fallback, p.yields), cells...)
	return nil
}

// awaitYielded waits until the side that is to yield has given the alias up, and returns
// how long after the heal.
func (x *site) awaitYielded(ctx context.Context, p parting, healed time.Time) (time.Duration, error) {
	s := x.srv1
	if p.yields == "standby" {
		s = x.standby
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for end := healed.Add(testStep); time.Now().Before(end); {
		if !s.have(labAddress(11)) {
			return time.Since(healed), nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return 0, fmt.Errorf("%s still has the alias", s.Name)
}

// endsAsFallbackSays waits until LIM 1 is where it must be for good, and brings it home
// where it is not. It returns how long after the heal it was there.
func (x *site) endsAsFallbackSays(ctx context.Context, p parting, healed time.Time) (time.Duration, error) {
	at := "srv1"
	if p.yields == "regular" && p.fallback == "manual" {
		at = "sb1"
	}
	if err := errors.Join(x.await(ctx, 1, at), x.caller.WaitAnswer(ctx, at, healed)); err != nil {
		return 0, err
	}
	took := time.Since(healed)
	if err := errors.Join(wait(ctx, 2*time.Second), x.await(ctx, 1, at)); err != nil {
		return 0, err
	}
	if l, err := limStatus(ctx, x.srv2, 1); err != nil || !runsOn(at)(l) {
		return 0, fmt.Errorf("LIM 1 does not stay on %s: %+v, %w", at, l, err)
	}
	if at == "sb1" {
		return took, x.goHome(ctx)
	}
	return took, wait(ctx, time.Second)
}
