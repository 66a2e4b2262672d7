//go:build linux

package lab

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestStandbyCutOff(t *testing.T) { runScenario(t, "standby-cut-off", program(t)) }
func TestRegularCutOff(t *testing.T) { runScenario(t, "regular-cut-off", program(t)) }
func TestLoss(t *testing.T)          { runScenario(t, "loss", program(t)) }
func TestShutPort(t *testing.T)      { runScenario(t, "shut-port", program(t)) }

// standbyCutOffScenario: a standby that hears nobody takes nothing over, and is
// of use again when it is back.
func standbyCutOffScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	f.noError(x.standby.SetCable(false), "pulling the cable of sb1")
	f.noError(wait(ctx, 5*testFailoverAfter), "waiting")
	for lim, alias := range map[int]string{1: labAddress(11).String(), 2: labAddress(12).String()} {
		have, err := x.standby.addresses()
		f.noError(err, "addresses of sb1")
		for _, a := range have {
			f.check(a.String() != alias, "the cut off standby took LIM %d over", lim)
		}
	}
	f.noError(x.standby.SetCable(true), "plugging it in")
	f.noError(x.await(ctx, 1, "srv1"), "afterwards")
	f.noError(awaitSettled(ctx, x.watcher, int(testLease/x.asking)/2), "waiting")
	h := x.watcher.Between(from, time.Now())
	f.check(len(h.By) == 1 && h.Twice == 0, "alias held by %q, %d times by two", h.By, h.Twice)
	f.noError(x.cutPower(ctx), "takeover by the standby that is back")
	return f.err()
}

// regularCutOffScenario: both sides run, as specified, and after the heal the
// regular side yields and its LIM stays on the standby, for fallback is manual.
func regularCutOffScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	cut := time.Now()
	f.noError(x.srv1.SetCable(false), "pulling the cable of srv1")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", cut), "takeover")
	healed := time.Now()
	f.noError(x.srv1.SetCable(true), "plugging it in")
	f.noError(poll(ctx, "srv1 gives the alias up", func() bool {
		have, err := x.srv1.addresses()
		return err == nil && !slices.Contains(have, labAddress(11))
	}), "after the heal")
	x.say("srv1 gave the alias up %s after the heal", time.Since(healed))
	f.noError(x.watcher.WaitHolder(ctx, x.standby.MAC), "after the heal")
	f.noError(x.caller.WaitAnswer(ctx, "sb1", time.Now()), "after the heal")
	f.noError(awaitSettled(ctx, x.watcher, int(testLease/x.asking)), "waiting")
	f.noError(x.await(ctx, 1, "sb1"), "fallback is manual")
	to := time.Now()
	s, h := x.caller.Between(healed, to), x.watcher.Between(healed, to)
	x.say("after the heal: %d of %d calls lost, silence %s, two holders %d of %d", s.Lost, s.Calls, s.Silence, h.Twice, h.Requests)
	return f.err()
}

// shutPortScenario: a server boots behind a port whose link is up and that passes
// nothing, longer than a cold start waits, while its LIM runs on the standby. When the port
// opens nobody ever meets two holders.
func shutPortScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	f.noError(x.cutPower(ctx), "power cut")
	from := time.Now()
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(l.lose(ctx, "srv1", 100), "shutting the port")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(poll(ctx, "srv1 has the alias, for nobody tells it otherwise", func() bool {
		have, err := x.srv1.addresses()
		return err == nil && slices.Contains(have, labAddress(11))
	}), "while the port is shut")
	blocked, err := x.srv1.blocked()
	f.check(err == nil && slices.Contains(blocked, labAddress(11).Addr()), "srv1 blocks %v (%v), want its alias among them", blocked, err)
	f.noError(l.lose(ctx, "srv1", 0), "opening the port")
	f.noError(poll(ctx, "srv1 gives the alias up", func() bool {
		have, err := x.srv1.addresses()
		return err == nil && !slices.Contains(have, labAddress(11))
	}), "when the port is open")
	f.noError(awaitSettled(ctx, x.watcher, int(testLease/x.asking)/2), "waiting")
	f.noError(x.await(ctx, 1, "sb1"), "afterwards")
	h := x.watcher.Between(from, time.Now())
	f.check(len(h.By) == 1 && h.Twice == 0, "alias held by %q, %d times by two", h.By, h.Twice)
	return f.err()
}

// lossScenario: a bad line is no dead server.
func lossScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	return x.undisturbed(ctx, "loss of 30 % both ways", func() error {
		if err := l.lose(ctx, "sb1", 30); err != nil {
			return err
		}
		if err := wait(ctx, 6*time.Second); err != nil {
			return err
		}
		return l.lose(ctx, "sb1", 0)
	})
}
