//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/netns"
	"mxcluster/internal/status"
)

func TestTampered(t *testing.T)    { runScenario(t, "tampered", program(t)) }
func TestConflicts(t *testing.T)   { runScenario(t, "conflicts", program(t)) }
func TestForeignHost(t *testing.T) { runScenario(t, "foreign-host", program(t)) }

// inside works in a server's network namespace.
func (s *Server) inside(f func(*netns.NS) error) error {
	ns, err := netns.FromPID(s.first.pid)
	if err != nil {
		return err
	}
	return errors.Join(f(ns), ns.Close())
}

// tamperedScenario: what somebody does by hand to the address or the interface
// of a server that serves is mended, and at no time do two answer.
func tamperedScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	for _, step := range []struct {
		what string
		do   func(*netns.NS) error
	}{
		{"the alias deleted by hand", func(ns *netns.NS) error { return ns.DeleteAddress(serverInterface, labAddress(11)) }},
		{"the interface set down and up", func(ns *netns.NS) error {
			return errors.Join(ns.SetDown(serverInterface), ns.SetUp(serverInterface))
		}},
		{"the interface removed and made anew", func(ns *netns.NS) error {
			return errors.Join(ns.Delete(serverInterface), l.network.plug(x.srv1.Name, ns, serverInterface, x.srv1.MAC), ns.SetUp(serverInterface))
		}},
	} {
		before := time.Now()
		f.noError(x.srv1.inside(step.do), step.what)
		f.noError(x.caller.WaitAnswer(ctx, "", time.Now()), step.what)
		x.say("%s: answered again %s after it began", step.what, time.Since(before).Round(time.Millisecond))
		// The system has some seconds to bring the base back before the agent does.
		f.noError(poll(ctx, "the base is back after "+step.what, func() bool {
			have, err := x.srv1.addresses()
			return err == nil && slices.Contains(have, x.srv1.Base())
		}), step.what)
	}
	f.noError(awaitSettled(ctx, x.watcher, 1000), "waiting")
	h := x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0, "%d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	return f.err()
}

// conflictsScenario: after a pulled cable nobody answers twice; after a silent
// partition both do for the blink of an eye, and one of them stays.
func conflictsScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	f.noError(x.srv1.SetCable(false), "pulling the cable")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", from), "takeover")
	f.noError(awaitSettled(ctx, x.watcher, 2000), "waiting")
	f.noError(x.srv1.SetCable(true), "plugging the cable in")
	f.noError(x.healed(ctx, "a pulled cable", from), "heal")
	h := x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0, "pulled cable: %d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)

	f.noError(x.goHome(ctx), "going home")
	from = time.Now()
	f.noError(l.network.ns.Detach(x.srv1.Name), "partition")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", from), "takeover")
	f.noError(awaitSettled(ctx, x.watcher, 3000), "waiting")
	h = x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0, "partition: %d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	have, err := x.srv1.addresses()
	f.check(err == nil && slices.Contains(have, labAddress(11)), "cut off, srv1 has %v, %v; want the alias among them", have, err)
	healed := time.Now()
	f.noError(l.network.ns.Attach(x.srv1.Name, switchName), "heal")
	f.noError(x.healed(ctx, "a silent partition", healed), "heal")
	return f.err()
}

// goHome brings LIM 1 back to srv1.
func (x *site) goHome(ctx context.Context) error {
	if err := awaitLIM(ctx, x.standby, 1, "can fall back", fallbackReady); err != nil {
		return err
	}
	if err := x.mx(ctx, x.standby, "fallback", "1", "--wait"); err != nil {
		return err
	}
	return x.caller.WaitAnswer(ctx, "srv1", time.Now())
}

// healed waits until the standby alone has the alias after a heal, and for a
// while longer, and tells what that cost.
func (x *site) healed(ctx context.Context, what string, from time.Time) error {
	err := poll(ctx, "srv1 gives way", func() bool {
		l, err := limStatus(ctx, x.srv1, 1)
		return err == nil && runsOn("sb1")(l) && !*l.Alias.Holders[0].Present
	})
	err = errors.Join(err, awaitSettled(ctx, x.watcher, 1500), x.watcher.WaitHolder(ctx, x.standby.MAC), x.caller.Settle(ctx))
	to := time.Now()
	h, s := x.watcher.Between(from, to), x.caller.Between(from, to)
	last := "at no time"
	if first, end := x.watcher.twice(from); !first.IsZero() {
		last = fmt.Sprintf("%d times, over %s", h.Twice, end.Sub(first).Round(100*time.Microsecond))
	}
	x.say("after %s: answered by two hosts %s; %d of %d calls lost, silence %s", what, last, s.Lost, s.Calls, s.Silence.Round(time.Millisecond))
	if err == nil && !slices.Contains(s.By, "sb1") {
		err = fmt.Errorf("calls were answered by %q", s.By)
	}
	return err
}

// twice is when the first and the last request since then were sent that two
// hosts replied to; zero if there were none.
func (w *Watcher) twice(since time.Time) (first, last time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if len(r.holders) > 1 && r.sent.After(since) {
			if first.IsZero() {
				first = r.sent
			}
			last = r.sent
		}
	}
	return first, last
}

// foreignHostScenario: a LIM whose alias a foreign host has is not started, and
// starts once that host is gone; the status names it all the time.
func foreignHostScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	if err := x.srv1.PowerCut(); err != nil {
		return err
	}
	mac := net.HardwareAddr{2, 0, 0x5e, 0, 9, 9}
	if _, err := l.network.addClient("foreign", mac, labAddress(11)); err != nil {
		return err
	}
	named := func(s *status.StatusLIM) bool {
		return s.Alias.ForeignMAC != nil && *s.Alias.ForeignMAC == mac.String() && s.ActiveOn == nil
	}
	f.noError(awaitLIM(ctx, x.standby, 1, "is not started, and the MAC is named", named), "foreign host")
	f.noError(poll(ctx, "an alarm names the MAC", func() bool {
		out, _, err := shell(ctx, x.standby, "mxcluster status -o json | grep alias-in-use -A 9")
		return err == nil && strings.Contains(out, mac.String())
	}), "alarm")
	f.noError(awaitSettled(ctx, x.watcher, 1000), "waiting")
	h := x.watcher.Between(time.Now().Add(-time.Second), time.Now())
	f.check(h.Twice == 0 && slices.Equal(h.By, []string{mac.String()}), "held by %q, %d times by two", h.By, h.Twice)
	gone := time.Now()
	f.noError(l.network.unplug("foreign"), "unplugging the foreign host")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", gone), "takeover")
	x.say("answered %s after the foreign host was gone", time.Since(gone).Round(time.Millisecond))
	f.noError(awaitLIM(ctx, x.standby, 1, "names no foreign host", func(s *status.StatusLIM) bool {
		return runsOn("sb1")(s) && s.Alias.ForeignMAC == nil
	}), "afterwards")
	return f.err()
}
