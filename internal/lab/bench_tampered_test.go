//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"mxcluster/internal/netns"
)

// benchTampered does to the holder's address and interface what people and other
// programs do, and looks how long the client waits.
func benchTampered(ctx context.Context, c *contender) error {
	from := time.Now()
	for _, step := range []struct {
		what string
		do   func(*netns.NS) error
	}{
		{"address deleted by hand", func(ns *netns.NS) error { return ns.DeleteAddress(serverInterface, c.alias) }},
		{"interface set down and up", func(ns *netns.NS) error {
			return errors.Join(ns.SetDown(serverInterface), ns.SetUp(serverInterface))
		}},
		{"interface removed and made anew", func(ns *netns.NS) error {
			return errors.Join(ns.Delete(serverInterface), c.network.plug("srv1", ns, serverInterface, c.srv1.MAC), ns.SetUp(serverInterface))
		}},
	} {
		before := time.Now()
		if err := c.srv1.inside(step.do); err != nil {
			return err
		}
		done := time.Now()
		result := "nobody answers for 15 s"
		if within(ctx, 15*time.Second, func(ctx context.Context) error { return c.caller.WaitAnswer(ctx, "", done) }) == nil {
			if err := wait(ctx, 1200*time.Millisecond); err != nil {
				return err
			}
			s := c.caller.Between(before.Add(-50*time.Millisecond), time.Now())
			result = fmt.Sprintf("silence %s, then answered by %s", milliseconds(s.Silence), s.By[len(s.By)-1])
		}
		c.result(step.what, result)
		if err := c.backHome(ctx); err != nil {
			return err
		}
	}
	c.result("  in all that time", c.countDoubleAnswers(from))
	return c.oneHolder(from)
}

// backHome brings the address back to srv1 if it went; the others are left as
// they are where they do not return by themselves.
func (c *contender) backHome(ctx context.Context) error {
	if err := wait(ctx, time.Second); err != nil {
		return err
	}
	if c.name == "mxcluster" {
		if l, err := limStatus(ctx, c.standby, 1); err != nil || runsOn("srv1")(l) {
			return err
		}
	}
	err := c.goHome(ctx)
	if err != nil && c.name != "mxcluster" {
		c.result("  srv1 does not serve again by itself; started anew")
		if err := errors.Join(c.signal(ctx, c.srv1, 9), wait(ctx, time.Second), c.start(ctx, c.srv1)); err != nil {
			return err
		}
		return within(ctx, 30*time.Second, func(ctx context.Context) error { return c.caller.WaitAnswer(ctx, "", time.Now()) })
	}
	return err
}

// tamperedBlockScenarios: another program flushes all rules of the passive side
// of a preloaded cluster.
func tamperedBlockScenarios() map[string]Scenario {
	return map[string]Scenario{"address-flushed": benchFlushed}
}

// benchFlushed flushes the rules again and again, and looks how long the block is
// away, and whether anybody heard of the address meanwhile.
func benchFlushed(ctx context.Context, l *Lab) error {
	x, err := newSite(ctx, l)
	if err != nil {
		return err
	}
	x.narrator = newNarrator(os.Stdout, os.Getenv("MXCLUSTER_BENCH_VERBOSE") == "")
	x.srv1.SetBase(labAddress(21))
	for _, args := range [][]string{
		{"create", "c1", "--standby", "sb1", "--failover-after", "400ms", "--lim", "1=192.0.2.21", "--wait"},
		{"preload", "c1", "--wait"},
	} {
		if err := x.mx(ctx, x.srv1, args...); err != nil {
			return err
		}
	}
	if err := x.awaitPreloaded(ctx, x.standby, "srv1"); err != nil {
		return err
	}
	away, from := []time.Duration{}, time.Now()
	for range benchNumber("RUNS", 20) {
		took, err := x.flushRules(ctx)
		if err != nil {
			return err
		}
		away = append(away, took)
	}
	h := x.watcher.Between(from, time.Now())
	row("mxcluster  'nft flush ruleset' on the passive side", "blocked again after "+spreadTenths(away),
		fmt.Sprintf("answered by two: %d of %d", h.Twice, h.Requests))
	return nil
}

// flushRules has nft flush all rules on the standby and returns how long it took
// until the alias was blocked again.
func (x *site) flushRules(ctx context.Context) (time.Duration, error) {
	alias := labAddress(11).Addr()
	if out, code, err := shell(ctx, x.standby, "/usr/sbin/nft flush ruleset"); err != nil || code != 0 {
		return 0, fmt.Errorf("flushing the rules: %s, code %d, %w", out, code, err)
	}
	flushed := time.Now()
	err := poll(ctx, "the alias is blocked again", func() bool {
		blocked, err := x.standby.blocked()
		return err == nil && slices.Equal(blocked, []netip.Addr{alias})
	})
	return time.Since(flushed), err
}
