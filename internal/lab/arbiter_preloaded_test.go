//go:build linux

package lab

import (
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/arbiter/etcdtest"
)

func TestArbiterPreloaded(t *testing.T) {
	etcdtest.Program(t)
	runScenario(t, "arbiter-preloaded", program(t))
}

func TestArbiterLate(t *testing.T) {
	t.Parallel()
	etcdtest.Program(t)
	runScenario(t, "arbiter-late", program(t))
}

// arbiterLateScenario: a LIM that stops because its cluster is created while there is
// no arbiter runs as soon as there is one. Its alias, from which its server would have
// asked, is blocked then.
func arbiterLateScenario(ctx context.Context, l *Lab) error {
	x, err := newArbitratedSite(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	f.noError(x.killEtcd(ctx), "killing etcd")
	f.noError(x.srv1.SignalAgent(ctx, unix.SIGKILL), "killing the agent, which has the arbiter's last word")
	f.noError(x.startAgent(ctx, x.srv1), "starting it again")
	x.srv1.SetBase(labAddress(21))
	f.noError(x.mx(ctx, x.srv1, "create", "c1", "--standby", "sb1", "--lim", "1=192.0.2.21"), "create")
	f.noError(x.mx(ctx, x.srv1, "preload", "c1"), "preload")
	f.noError(poll(ctx, "srv1 blocks the alias", func() bool {
		blocked, err := x.srv1.blocked()
		return err == nil && slices.Contains(blocked, labAddress(11).Addr())
	}), "without etcd")
	f.noError(x.startEtcd(ctx), "etcd is there")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "etcd is there")
	f.noError(x.key(ctx, 1, "srv1"), "etcd is there")
	return f.err()
}

// arbiterPreloadedScenario: the sides of a preloaded LIM change roles only with the
// key, at a power cut and by order. The passive side has none, and is never heard.
func arbiterPreloadedScenario(ctx context.Context, l *Lab) error {
	x, err := newArbitratedSite(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	f.noError(within(ctx, testStep, x.createPreloaded), "create")
	f.noError(x.key(ctx, 1, "srv1"), "at rest")

	cut := time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	took := time.Since(cut)
	x.say("sb1 answers %s after the power cut", took)
	f.noError(x.await(ctx, 1, "sb1"), "takeover")
	f.noError(x.key(ctx, 1, "sb1"), "takeover")
	f.noError(x.awaitTold(ctx, x.standby, "active"), "the role of the standby")
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(x.awaitPreloaded(ctx, x.srv1, "sb1"), "loading the regular server")
	f.noError(x.key(ctx, 1, "sb1"), "the passive side asks for no key")

	moved := time.Now()
	f.noError(x.goHome(ctx), "fallback by order")
	f.noError(x.key(ctx, 1, "srv1"), "fallback by order")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "the standby after the fallback")
	f.noError(x.watcher.WaitHolder(ctx, x.srv1.MAC), "fallback by order")
	f.noError(x.caller.Settle(ctx), "calling")
	s, h := x.caller.Between(moved, time.Now()), x.watcher.Between(from, time.Now())
	x.say("fallback by order: silence %s, %d of %d calls lost; two holders %d of %d", s.Silence, s.Lost, s.Calls, h.Twice, h.Requests)
	f.check(h.Twice == 0 && len(h.By) == 2, "alias held by %q, %d times by two", h.By, h.Twice)
	f.check(slices.Contains(s.By, "srv1"), "calls answered by %q", s.By)
	return f.err()
}
