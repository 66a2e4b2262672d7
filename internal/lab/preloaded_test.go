package lab

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
	"mxcluster/internal/status"
	"mxcluster/netops"
)

func TestPreloaded(t *testing.T) {
	t.Parallel()
	runScenario(t, "preloaded", program(t))
}

// preloadedScenario takes a preloaded cluster through its life (spec ch. 4). All
// the while somebody asks who has the alias: the passive side must never answer.
func preloadedScenario(ctx context.Context, l *Lab) error {
	x, err := newSite(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	alias := labAddress(11)
	x.srv1.SetBase(labAddress(21))
	f.noError(x.mx(ctx, x.srv1, "create", "c1", "--standby", "sb1", "--failover-after", "400ms", "--lim", "1=192.0.2.21", "--wait"), "create")
	from := time.Now()
	f.noError(x.mx(ctx, x.srv1, "preload", "c1", "--wait"), "preload")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "loading the standby")
	have, err := x.standby.addresses()
	f.check(err == nil && slices.Contains(have, alias), "addresses of the passive side: %v, %v; want %v among them", have, err, alias)
	blocked, err := x.standby.blocked()
	f.check(err == nil && slices.Equal(blocked, []netip.Addr{alias.Addr()}), "the passive side blocks %v: %v", blocked, err)
	f.noError(x.awaitTold(ctx, x.standby, "passive"), "the role of the standby")

	// The alias was the first address of srv1, which sends from it until it is blocked.
	f.noError(x.mx(ctx, x.srv1, "failover", "1", "--wait"), "failover by order")
	f.noError(x.awaitPreloaded(ctx, x.srv1, "sb1"), "failover by order")
	source, err := x.srv1.source(x.standby.base.Addr())
	f.check(err == nil && source == x.srv1.base.Addr(), "the passive side sends from %v, %v; want %v", source, err, x.srv1.base)
	f.noError(x.goHome(ctx), "fallback by order")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "fallback by order")

	// A new version is loaded on the passive side once it is there.
	data, err := x.srv1.writeData(5)
	f.noError(err, "writing data")
	f.noError(x.mx(ctx, x.srv1, "xdata", "backup", "--lim", "1", "--from", data), "backup")
	f.noError(x.awaitTold(ctx, x.standby, "passive xdata_1_"), "reloading")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "reloading")
	x.say("the new version was loaded %s after it was there", x.loadedAfter())

	// An agent that dies leaves the alias blocked until its lease ends.
	f.noError(x.standby.SignalAgent(ctx, unix.SIGKILL), "killing the agent of the standby")
	f.noError(poll(ctx, "the alias leaves the standby", func() bool {
		have, err := x.standby.addresses()
		return err == nil && !slices.Contains(have, alias)
	}), "the lease of the passive side")
	f.noError(x.startAgent(ctx, x.standby), "starting it again")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "loading again")

	f.noError(x.cutPower(ctx), "power cut")
	f.noError(x.await(ctx, 1, "sb1"), "takeover")
	f.noError(x.awaitTold(ctx, x.standby, "active xdata_1_"), "the role of the standby")
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(x.awaitPreloaded(ctx, x.srv1, "sb1"), "loading the regular server")

	moved := time.Now()
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback")
	f.noError(x.caller.WaitAnswer(ctx, "srv1", moved), "fallback")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "the standby after the fallback")
	f.noError(x.awaitTold(ctx, x.standby, "passive xdata_1_"), "the role of the standby")
	f.noError(x.watcher.WaitHolder(ctx, x.srv1.MAC), "fallback")
	h := x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0, "%d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	f.check(len(h.By) == 2, "alias held by %q, want the two servers", h.By)

	// Deleting the cluster is the way out: nothing is left on the standby.
	f.noError(x.mx(ctx, x.srv1, "delete", "c1", "--yes", "--wait"), "delete")
	f.noError(poll(ctx, "the standby is empty", func() bool {
		have, err := x.standby.addresses()
		_, running := os.Stat(filepath.Join(x.standby.Dir(), "run", "exchange-1.pid"))
		return err == nil && !slices.Contains(have, alias) && os.IsNotExist(running)
	}), "delete")
	blocked, err = x.standby.blocked()
	f.check(err == nil && len(blocked) == 0, "the standby still blocks %v: %v", blocked, err)
	return f.err()
}

// awaitPreloaded waits for a LIM to run on a server and to be preloaded on the
// other, as asked of one of them.
func (x *site) awaitPreloaded(ctx context.Context, asked *Server, active string) error {
	return within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, asked, 1, "runs on "+active+" and is preloaded", func(l *status.StatusLIM) bool {
			return runsOn(active)(l) && l.Preload != nil && *l.Preload == "preloaded"
		})
	})
}

// awaitTold waits until a LIM's software was told on a server what begins so.
func (x *site) awaitTold(ctx context.Context, s *Server, want string) error {
	var got string
	return poll(ctx, s.Name+"'s software is told "+want, func() bool {
		raw, _ := os.ReadFile(filepath.Join(s.Dir(), "run", "exchange-1.told"))
		got = strings.TrimSpace(string(raw))
		return strings.HasPrefix(got, want)
	})
}

// loadedAfter is the time from the end of a sync, when the version gets its name, until
// the software of the passive side was told of it.
func (x *site) loadedAfter() time.Duration {
	there, err := os.Stat(filepath.Join(x.standby.Dir(), "state", "xdata"))
	told, toldErr := os.Stat(filepath.Join(x.standby.Dir(), "run", "exchange-1.told"))
	if err != nil || toldErr != nil {
		return 0
	}
	return told.ModTime().Sub(there.ModTime()).Round(time.Millisecond)
}

// blocked are the addresses that a server's kernel keeps off the wire.
func (s *Server) blocked() (found []netip.Addr, err error) {
	ns, err := netns.FromPID(s.first.pid)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = ns.Do(func() error {
		k, err := netops.NewKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		found, err = k.Blocked(serverInterface)
		return err
	})
	return found, err
}

// source is the address that a server sends from where a program names none.
func (s *Server) source(to netip.Addr) (from netip.Addr, err error) {
	ns, err := netns.FromPID(s.first.pid)
	if err != nil {
		return from, err
	}
	defer ns.Close()
	err = ns.Do(func() (err error) { from, err = netops.Source(to); return err })
	return from, err
}
