//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/arbiter/etcdtest"
	"mxcluster/internal/netns"
)

const (
	// testKeyLease is that of keys: long enough for etcd to be started anew in it.
	testKeyLease    = 5 * time.Second
	defaultKeyLease = 6 * time.Second // what users have
)

func TestArbiter(t *testing.T) {
	t.Parallel()
	etcdtest.Program(t)
	runScenario(t, "arbiter", program(t))
}

func TestArbiterDown(t *testing.T) {
	t.Parallel()
	etcdtest.Program(t)
	runScenario(t, "arbiter-down", program(t))
}

// labArbiter is an etcd on a server of its own, on the same switch.
type labArbiter struct {
	host *Server
	etcd *command
}

// arbitratedSite is a cluster with one.
type arbitratedSite struct {
	*site
	*labArbiter
}

func newArbitrated(ctx context.Context, l *Lab) (*arbitratedSite, error) {
	x, err := newArbitratedSite(ctx, l)
	if err != nil {
		return nil, err
	}
	return x, within(ctx, testStep, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) })
}

// newArbitratedSite makes the servers with agents and an arbiter, and no cluster yet.
func newArbitratedSite(ctx context.Context, l *Lab) (*arbitratedSite, error) {
	a, err := startArbiter(ctx, l)
	if err != nil {
		return nil, err
	}
	x := &arbitratedSite{newEmptySite(l), a}
	x.site.settings += a.settings(testKeyLease)
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.connectClient} {
		if err := within(ctx, testStep, step); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func startArbiter(ctx context.Context, l *Lab) (x *labArbiter, err error) {
	x = &labArbiter{}
	if x.host, err = l.AddServer("etcd1", labAddress(51)); err != nil {
		return nil, err
	}
	if err = x.host.Boot(ctx); err != nil {
		return nil, err
	}
	if err = x.startEtcd(ctx); err != nil {
		return nil, err
	}
	return x, x.answered(ctx) // an arbiter that is not there yet is another test
}

// settings are those of a server that asks it.
func (x *labArbiter) settings(lease time.Duration) string {
	return fmt.Sprintf("arbiter:\n  lease: %s\n  etcd:\n    endpoints: [%s]\n", lease, x.url())
}

func (x *labArbiter) url() string { return fmt.Sprintf("http://%s:2379", x.host.base.Addr()) }

func (x *labArbiter) startEtcd(ctx context.Context) (err error) {
	peers := map[string]string{"etcd1": fmt.Sprintf("http://%s:2380", x.host.base.Addr())}
	x.etcd, err = start(ctx, x.host.lab.Dir, x.host.Name, append([]string{"etcd"}, etcdtest.Args("etcd1", x.host.dir, x.url(), peers)...), nil, Stdio{})
	return err
}

// killEtcd ends etcd as a power cut does.
func (x *labArbiter) killEtcd(ctx context.Context) error {
	if err := x.etcd.signal(unix.SIGKILL); err != nil {
		return err
	}
	_, err := x.etcd.wait(ctx)
	x.etcd.close()
	return err
}

// key waits until etcd says that a LIM's key is held by a server, as the standby tells.
func (x *arbitratedSite) key(ctx context.Context, lim int, server string) error {
	return poll(ctx, fmt.Sprintf("the key of LIM %d is held by %s", lim, server), func() bool {
		l, err := limStatus(ctx, x.standby, lim)
		return err == nil && l.Arbiter != nil && l.Arbiter.Server != nil && *l.Arbiter.Server == server
	})
}

// have reports whether a server's kernel has an address.
func (s *Server) have(addr netip.Prefix) bool {
	all, err := s.addresses()
	return err == nil && slices.Contains(all, addr)
}

// arbiterScenario: restarts of etcd and of an agent disturb nobody, and a regular
// server that is cut off has let go of its alias when the standby takes it.
func arbiterScenario(ctx context.Context, l *Lab) error {
	x, err := newArbitrated(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	f.noError(x.key(ctx, 1, "srv1"), "at rest")
	f.noError(x.restartEtcd(ctx), "restart of etcd")
	f.noError(x.undisturbedSince(ctx, time.Now(), "restart of the agent", func() error {
		if err := x.srv1.SignalAgent(ctx, unix.SIGKILL); err != nil {
			return err
		}
		return x.startAgent(ctx, x.srv1)
	}), "restart of the agent")
	f.noError(x.key(ctx, 1, "srv1"), "after the restart of the agent")
	f.noError(x.cutOffRegular(ctx), "cut off")
	f.noError(x.key(ctx, 1, "sb1"), "after the takeover")
	back := time.Now()
	f.noError(x.mx(ctx, x.srv2, "fallback", "1", "--wait"), "fallback by order")
	f.noError(x.caller.WaitAnswer(ctx, "srv1", back), "fallback by order")
	s := x.caller.Between(back, time.Now())
	x.say("fallback by order: silence %s", s.Silence)
	f.noError(x.key(ctx, 1, "srv1"), "after the fallback")
	return f.err()
}

// undisturbedSince does something that no caller may notice.
func (x *arbitratedSite) undisturbedSince(ctx context.Context, from time.Time, what string, do func() error) error {
	var f findings
	f.noError(do(), what)
	f.noError(awaitSettled(ctx, x.watcher, int(testLease/x.asking)), "waiting")
	f.noError(x.caller.Settle(ctx), "calling")
	s, h := x.caller.Between(from, time.Now()), x.watcher.Between(from, time.Now())
	x.say("%s: %d of %d calls lost, two holders %d of %d", what, s.Lost, s.Calls, h.Twice, h.Requests)
	f.check(s.Lost == 0 && slices.Equal(s.By, []string{"srv1"}), "%s: %d of %d calls lost, answered by %q", what, s.Lost, s.Calls, s.By)
	f.check(h.Twice == 0 && len(h.By) == 1, "%s: alias held by %q, %d times by two", what, h.By, h.Twice)
	return f.err()
}

// restartEtcd kills etcd and starts it again. A machine so busy that this takes
// most of a lease proves nothing.
func (x *arbitratedSite) restartEtcd(ctx context.Context) error {
	from := time.Now()
	var away time.Duration
	err := x.undisturbedSince(ctx, from, "restart of etcd", func() error {
		if err := x.killEtcd(ctx); err != nil {
			return err
		}
		if err := x.startEtcd(ctx); err != nil {
			return err
		}
		err := x.answered(ctx)
		away = time.Since(from)
		return err
	})
	x.say("etcd was away for %s", away)
	if away > testKeyLease/2 {
		return x.await(ctx, 1, "srv1")
	}
	return err
}

// answered waits until etcd says that it is healthy, for which it reads a key.
func (x *labArbiter) answered(ctx context.Context) error {
	ns, err := netns.FromPID(x.host.first.pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	inside := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = ns.Do(func() (err error) { c, err = (&net.Dialer{}).DialContext(ctx, network, address); return err })
		return c, err
	}}
	client := http.Client{Transport: inside, Timeout: 500 * time.Millisecond}
	return poll(ctx, "etcd answers", func() bool {
		res, err := client.Get(x.url() + "/health")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// cutOffRegular has the switch pass nothing from and to srv1 until the standby has
// taken over. The link is up all the time: it is the key alone that ends.
func (x *arbitratedSite) cutOffRegular(ctx context.Context) error {
	var f findings
	alias, cut := labAddress(11), time.Now()
	f.noError(x.passNothing(ctx, "srv1", true), "cutting srv1 off")
	looks, twice := 0, 0
	var left, taken time.Duration
	f.noError(poll(ctx, "the standby has the alias", func() bool {
		// In this order: what the standby has already, srv1 must not have after that.
		standby, regular := x.standby.have(alias), x.srv1.have(alias)
		looks++
		if standby && regular {
			twice++
		}
		if !regular && left == 0 {
			left = time.Since(cut)
		}
		taken = time.Since(cut)
		return standby
	}), "takeover")
	x.say("srv1 lost the alias %s after the cut, sb1 took it after %s; in %d looks two had it %d times", left, taken, looks, twice)
	f.check(twice == 0, "two servers had the alias in %d of %d looks", twice, looks)
	f.noError(x.caller.WaitAnswer(ctx, "sb1", cut), "takeover")
	f.noError(x.passNothing(ctx, "srv1", false), "healing")
	f.noError(x.await(ctx, 1, "sb1"), "after the heal")
	f.noError(within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, x.standby, 1, "could fall back", fallbackReady)
	}), "after the heal")
	f.check(!x.srv1.have(alias), "srv1 has the alias again")
	return f.err()
}

// passNothing has a switch port pass no frame either way, with the link up, or ends that.
func (l *Lab) passNothing(ctx context.Context, port string, on bool) error {
	rules := "add table netdev cut\ndelete table netdev cut\n"
	if on {
		rules += fmt.Sprintf(`table netdev cut {
	chain in { type filter hook ingress device "%[1]s" priority 0; drop; }
	chain out { type filter hook egress device "%[1]s" priority 0; drop; }
}
`, port)
	}
	file := filepath.Join(l.Dir, "cut.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return err
	}
	return l.hostRun(ctx, "/usr/sbin/nft", "-f", file)
}

// arbiterDownScenario: a dead server's LIM waits for its key to run out, and without
// etcd nothing runs.
func arbiterDownScenario(ctx context.Context, l *Lab) error {
	x, err := newArbitrated(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	cut := time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	x.say("sb1 answers %s after the power cut", time.Since(cut))
	f.noError(x.key(ctx, 1, "sb1"), "after the takeover")
	down := time.Now()
	f.noError(x.killEtcd(ctx), "killing etcd")
	f.noError(poll(ctx, "no alias is left", func() bool {
		return !x.standby.have(labAddress(11)) && !x.srv2.have(labAddress(12))
	}), "without etcd")
	x.say("no alias is left %s after etcd was killed", time.Since(down))
	f.noError(poll(ctx, "there is an alarm", func() bool {
		out, err := x.srv2.Mxcluster(ctx, "status", "-o", "json")
		return err == nil && strings.Contains(string(out), `"arbiter-unreachable"`)
	}), "without etcd")
	var out []byte
	f.noError(poll(ctx, "explain says why", func() bool {
		out, err = x.srv2.Mxcluster(ctx, "explain", "2")
		return err == nil && strings.Contains(string(out), "waits for the arbiter, which cannot be reached")
	}), "without etcd")
	x.show(out)
	back := time.Now()
	f.noError(errors.Join(x.startEtcd(ctx), x.await(ctx, 1, "sb1"), x.await(ctx, 2, "srv2")), "etcd is back")
	x.say("both LIMs run %s after etcd was started again", time.Since(back))
	return f.err()
}
