//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
)

// addressScenarios are the measurements of bench/addresses: what happens to one
// address on the wire, with each way to keep it.
func addressScenarios() map[string]Scenario {
	cases := map[string]func(context.Context, *contender) error{
		"killed":    benchDaemonKilled,
		"stopped":   benchDaemonStopped,
		"loaded":    benchLoadedKilled,
		"partition": func(ctx context.Context, c *contender) error { return benchHeal(ctx, c, c.cutAlone(longCut)) },
		"blip":      func(ctx context.Context, c *contender) error { return benchHeal(ctx, c, c.cutAlone(shortCut)) },
		"split":     benchSplit,
		"cable":     func(ctx context.Context, c *contender) error { return benchHeal(ctx, c, c.cutCable()) },
		"move":      benchMove,
		"tampered":  benchTampered,
	}
	all := map[string]Scenario{}
	for what, measure := range cases {
		for suffix, make := range contenders() {
			all["address-"+what+suffix] = func(ctx context.Context, l *Lab) error {
				c, err := make(ctx, l)
				if err != nil {
					return err
				}
				return measure(ctx, c)
			}
		}
	}
	maps.Copy(all, tamperedBlockScenarios())
	return all
}

// countDoubleAnswers is how many of the ARP requests since a point in time two hosts
// answered, and from when to when.
func (c *contender) countDoubleAnswers(from time.Time) string {
	h := c.watcher.Between(from, time.Now())
	first, last := c.watcher.twice(from)
	span := "0 ms"
	if h.Twice > 0 {
		span = milliseconds(last.Sub(first) + c.asking)
	}
	return fmt.Sprintf("answered by two: %d of %d, over %s", h.Twice, h.Requests, span)
}

// servedFirst is when the standby served first, or that it did not.
func (c *contender) servedFirst(ctx context.Context, from time.Time, limit time.Duration) string {
	if within(ctx, limit, func(ctx context.Context) error { return c.caller.WaitAnswer(ctx, "sb1", from) }) != nil {
		return "sb1 does not serve within " + limit.String()
	}
	return "sb1 serves after " + milliseconds(time.Since(from))
}

// benchDaemonKilled kills the daemon on srv1 and lets nobody mend it.
func benchDaemonKilled(ctx context.Context, c *contender) error {
	from := time.Now()
	if err := c.signal(ctx, c.srv1, unix.SIGKILL); err != nil {
		return err
	}
	took := c.servedFirst(ctx, from, 15*time.Second)
	if err := wait(ctx, 15*time.Second-time.Since(from)); err != nil {
		return err
	}
	c.result("killed, 15 s", took, c.countDoubleAnswers(from))
	return c.oneHolder(from)
}

// benchDaemonStopped stops the daemon for longer than the lease, and has it go on.
func benchDaemonStopped(ctx context.Context, c *contender) error {
	const stopped = 8 * time.Second
	from := time.Now()
	if err := c.signal(ctx, c.srv1, unix.SIGSTOP); err != nil {
		return err
	}
	took := c.servedFirst(ctx, from, stopped)
	if err := wait(ctx, stopped-time.Since(from)); err != nil {
		return err
	}
	during := c.countDoubleAnswers(from)
	goesOn := time.Now()
	if err := c.signal(ctx, c.srv1, unix.SIGCONT); err != nil {
		return err
	}
	if err := wait(ctx, 5*time.Second); err != nil {
		return err
	}
	c.result("stopped for 8 s", took, during)
	c.result("  and 5 s from when it goes on", "", c.countDoubleAnswers(goesOn))
	return c.oneHolder(from)
}

// benchLoadedKilled kills and stops the daemon while eight processes keep the
// processors busy; before that they do so for a while, when nothing shall happen.
func benchLoadedKilled(ctx context.Context, c *contender) error {
	end, err := c.spin(ctx, 8)
	if err != nil {
		return err
	}
	defer end()
	from := time.Now()
	if err := wait(ctx, benchTime()); err != nil {
		return err
	}
	h := c.watcher.Between(from, time.Now())
	c.result(fmt.Sprintf("8 spinning processes, %s", benchTime()), fmt.Sprintf("holders %d", len(h.By)), c.countDoubleAnswers(from))
	if len(h.By) != 1 {
		return fmt.Errorf("under load the address was held by %q", h.By)
	}
	return benchDaemonStopped(ctx, c)
}

// spin starts processes that do nothing as fast as they can.
func (x *site) spin(ctx context.Context, count int) (end func(), err error) {
	var all []*command
	end = func() {
		for _, p := range all {
			_ = p.signal(unix.SIGKILL) // its end is what is wanted
			p.close()
		}
	}
	for i := range count {
		s := []*Server{x.srv1, x.standby}[i%2]
		p, err := start(ctx, x.Dir, s.Name, []string{"sh", "-c", "while :; do :; done"}, nil, Stdio{})
		if err != nil {
			end()
			return nil, err
		}
		all = append(all, p)
	}
	return end, nil
}

// oneHolder holds mxcluster to what it promises; the others are what they are.
func (c *contender) oneHolder(from time.Time) error {
	if h := c.watcher.Between(from, time.Now()); c.name == "mxcluster" && h.Twice > 0 {
		return fmt.Errorf("%d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	}
	return nil
}

// result prints one line of the table.
func (c *contender) result(what string, cells ...any) {
	row(fmt.Sprintf("%-10s %s", c.name, what), cells...)
}

// cut is a way to part srv1 from the standby, and to mend it.
type cut struct {
	what      string
	lasts     time.Duration // after the takeover
	cut, mend func() error
}

// A server that nothing comes in to blocks its aliases after 2 s: a cut is too short
// for that, or not.
const (
	shortCut = 1500 * time.Millisecond
	longCut  = 4 * time.Second
)

// cutAlone loses all frames at srv1's switch port; the link stays up.
func (c *contender) cutAlone(lasts time.Duration) cut {
	return cut{fmt.Sprintf("partition of srv1 for %s, link up", lasts), lasts,
		func() error { return c.network.ns.Detach("srv1") },
		func() error { return c.network.ns.Attach("srv1", switchName) }}
}

func (c *contender) cutCable() cut {
	return cut{"cable of srv1 pulled", shortCut,
		func() error { return c.srv1.SetCable(false) },
		func() error { return c.srv1.SetCable(true) }}
}

// benchHeal parts srv1 from the standby, waits until that serves, mends it, and
// looks at what clients see from then on.
// more are callers on the side of srv1.
func benchHeal(ctx context.Context, c *contender, by cut, more ...*Caller) error {
	var silences, besides, doubles []time.Duration
	requests, twice, runs := 0, 0, benchNumber("RUNS", 20)
	for range runs {
		from := time.Now()
		if err := by.cut(); err != nil {
			return err
		}
		if err := c.caller.WaitAnswer(ctx, "sb1", from); err != nil {
			return err
		}
		if err := wait(ctx, by.lasts); err != nil {
			return err
		}
		healed := time.Now()
		if err := by.mend(); err != nil {
			return err
		}
		if err := wait(ctx, 1500*time.Millisecond); err != nil {
			return err
		}
		to := time.Now()
		if err := within(ctx, time.Minute, c.caller.Settle); err != nil {
			return err
		}
		s, h := c.caller.Between(healed.Add(-50*time.Millisecond), to), c.watcher.Between(healed, to)
		span := time.Duration(0)
		if _, last := c.watcher.twice(healed); h.Twice > 0 {
			span = last.Sub(healed)
		}
		for _, caller := range more {
			besides = append(besides, caller.Between(healed.Add(-50*time.Millisecond), to).Silence)
		}
		silences, doubles = append(silences, s.Silence), append(doubles, span)
		requests, twice = requests+h.Requests, twice+h.Twice
		c.say("silence %s, two holders %d until %s after the heal, calls answered by %s", s.Silence, h.Twice, span, strings.Join(s.By, ", "))
		if err := c.goHome(ctx); err != nil {
			return err
		}
	}
	also := ""
	if len(besides) > 0 {
		also = "; beside srv1 " + spread(besides)
	}
	c.result(by.what+", healed", "silence "+spread(silences)+also, "two holders until "+spread(doubles)+" after", fmt.Sprintf("%d of %d", twice, requests))
	return nil
}

// benchSplit puts srv1 and a client of its own behind a second switch, and cuts
// the two switches apart: both sides serve those that they reach.
func benchSplit(ctx context.Context, c *contender) error {
	const second, uplink = "switch2", "uplink"
	n := c.network
	client, err := n.addClient("phone2", clientMAC(3), labAddress(103))
	if err != nil {
		return err
	}
	err = errors.Join(netns.AddBridge(n.ns, second), netns.AddVeth(n.ns, uplink, n.ns, uplink+"2", nil),
		n.ns.Attach(uplink, switchName), n.ns.Attach(uplink+"2", second), n.ns.SetUp(uplink), n.ns.SetUp(uplink+"2"),
		n.ns.Attach("srv1", second), n.ns.Attach("phone2", second))
	if err != nil {
		return err
	}
	var beside *Caller
	if err := client.Do(func() error {
		beside, err = newCaller(c.alias.Addr(), 2*time.Millisecond)
		return err
	}); err != nil {
		return err
	}
	c.Go(beside.Run)
	if err := within(ctx, time.Minute, func(ctx context.Context) error { return beside.WaitAnswer(ctx, "srv1", time.Now()) }); err != nil {
		return err
	}
	return benchHeal(ctx, c, cut{"partition between two switches", shortCut,
		func() error { return n.ns.Detach(uplink) },
		func() error { return n.ns.Attach(uplink, switchName) }}, beside)
}

// goHome has srv1 serve again.
func (c *contender) goHome(ctx context.Context) error {
	return within(ctx, 40*time.Second, func(ctx context.Context) error {
		if err := c.home(ctx); err != nil {
			return err
		}
		return c.caller.WaitAnswer(ctx, "srv1", time.Now())
	})
}

// benchMove moves the address to and fro.
func benchMove(ctx context.Context, c *contender) error {
	var silences []time.Duration
	from, to := c.srv1, c.standby
	start := time.Now()
	for range benchNumber("RUNS", 20) {
		if err := wait(ctx, 1200*time.Millisecond); err != nil {
			return err
		}
		moved := time.Now()
		if err := c.move(ctx, from, to); err != nil {
			return err
		}
		if err := within(ctx, time.Minute, func(ctx context.Context) error { return c.caller.WaitAnswer(ctx, to.Name, moved) }); err != nil {
			return err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		s := c.caller.Between(moved.Add(-50*time.Millisecond), time.Now())
		silences = append(silences, s.Silence)
		c.say("silence %s", s.Silence)
		if c.settle != nil {
			if err := c.settle(ctx, from); err != nil {
				return err
			}
		}
		from, to = to, from
	}
	c.result("planned move", "silence "+spreadTenths(silences), c.countDoubleAnswers(start))
	return c.oneHolder(start)
}

// spreadTenths is spread with tenths of a millisecond.
func spreadTenths(all []time.Duration) string {
	all = slices.Sorted(slices.Values(all))
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	return fmt.Sprintf("median %s ms (%s-%s) of %d", ms(all[len(all)/2]), ms(all[0]), ms(all[len(all)-1]), len(all))
}
