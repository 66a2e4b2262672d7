//go:build linux

package lab

import (
	"context"
	"fmt"
	"time"
)

// benchInstantPower cuts the power of the active server again and again, where the
// LIM's software takes no time to start: it is up on both servers all the time, as
// beside keepalived.
func benchInstantPower(ctx context.Context, l *Lab) error {
	c, err := mxclusterContender(ctx, l)
	if err != nil {
		return err
	}
	boot := func(ctx context.Context) error {
		if err := c.srv1.Boot(ctx); err != nil {
			return err
		}
		return c.serveAlways(ctx, c.srv1, c.alias.Addr())
	}
	return c.benchCuts(ctx, "power cut, failover-after 200ms", 20, func(ctx context.Context) error { return c.bringHome(ctx, boot) })
}

// benchSoftwarePower does the same with software that is started on the standby.
func benchSoftwarePower(ctx context.Context, l *Lab) error {
	x, err := newBenchSite(ctx, l, 200*time.Millisecond)
	if err != nil {
		return err
	}
	return x.benchCuts(ctx, "  and a process to start", 20, func(ctx context.Context) error { return x.bringHome(ctx, x.srv1.Boot) })
}

// benchPreloadedPower does the same with a preloaded cluster and nothing set.
func benchPreloadedPower(ctx context.Context, l *Lab) error {
	x := benchSite(l)
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.callQuickly, x.createPreloaded} {
		if err := within(ctx, time.Minute, step); err != nil {
			return err
		}
	}
	return x.benchCuts(ctx, "power cut, preloaded, default of 1 s", 10, func(ctx context.Context) error {
		if err := x.bringHome(ctx, x.srv1.Boot); err != nil {
			return err
		}
		return x.awaitPreloaded(ctx, x.standby, "srv1")
	})
}

// createPreloaded makes a preloaded cluster of LIM 1, at default settings unless more
// of them are given.
func (x *site) createPreloaded(ctx context.Context) error {
	x.srv1.SetBase(labAddress(21))
	for _, args := range [][]string{
		{"create", "c1", "--standby", "sb1", "--lim", "1=" + labAddress(21).Addr().String(), "--wait"}, {"preload", "c1", "--wait"},
	} {
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	return x.awaitPreloaded(ctx, x.standby, "srv1")
}

// benchCuts cuts the power of srv1 again and again, and measures the client's silence.
func (x *site) benchCuts(ctx context.Context, what string, runs int, home func(context.Context) error) error {
	var silences []time.Duration
	from := time.Now()
	for range benchNumber("RUNS", runs) {
		if err := wait(ctx, 300*time.Millisecond); err != nil {
			return err
		}
		cut := time.Now()
		if err := x.cutPower(ctx); err != nil {
			return err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		silences = append(silences, x.caller.Between(cut.Add(-50*time.Millisecond), time.Now()).Silence)
		if err := home(ctx); err != nil {
			return err
		}
	}
	h := x.watcher.Between(from, time.Now())
	row(what, spread(silences), fmt.Sprintf("two holders %d of %d", h.Twice, h.Requests))
	if h.Twice > 0 {
		return fmt.Errorf("%d of %d ARP requests were answered by two", h.Twice, h.Requests)
	}
	return nil
}

// bringHome boots srv1 and moves LIM 1 there by order.
func (x *site) bringHome(ctx context.Context, boot func(context.Context) error) error {
	if err := boot(ctx); err != nil {
		return err
	}
	if err := x.startAgent(ctx, x.srv1); err != nil {
		return err
	}
	return within(ctx, testStep, x.goHome)
}
