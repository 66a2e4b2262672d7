//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
)

// The tests here run real agents on a real kernel. Their clusters are quick to
// judge, so that the tests are quick, and slow enough for a busy machine.
const (
	testFailoverAfter = 400 * time.Millisecond
	testLease         = 2 * time.Second
	testStep          = 30 * time.Second
	// leaseSlack is how much later than its lease the kernel takes an address
	// away at most.
	leaseSlack = 500 * time.Millisecond
)

func TestAgentKilled(t *testing.T)       { runScenario(t, "agent-killed", program(t)) }
func TestAgentRestarted(t *testing.T)    { runScenario(t, "agent-restarted", program(t)) }
func TestAgentFrozen(t *testing.T)       { runScenario(t, "agent-frozen", program(t)) }
func TestAutomaticFallback(t *testing.T) { runScenario(t, "automatic", program(t)) }

func TestConnectionSurvives(t *testing.T) {
	t.Parallel()
	runScenario(t, "connection", program(t))
}

// newSite makes the three servers with agents, and no cluster yet.
func newSite(ctx context.Context, l *Lab) (*site, error) {
	x := newEmptySite(l)
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.connectClient} {
		if err := within(ctx, testStep, step); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// newEmptySite is a site as the tests want it, with nothing in it yet.
func newEmptySite(l *Lab) *site {
	return &site{
		Lab: l, narrator: newNarrator(os.Stdout, false), asking: time.Millisecond,
		settings: fmt.Sprintf("alias:\n  lease: %s\nagent:\n  start_grace: 2s\n", testLease),
	}
}

// newCluster makes a site with its cluster.
func newCluster(ctx context.Context, l *Lab, more ...string) (*site, error) {
	x, err := newSite(ctx, l)
	if err != nil {
		return nil, err
	}
	return x, within(ctx, testStep, func(ctx context.Context) error {
		return x.create(ctx, testFailoverAfter, more...)
	})
}

// await waits for a LIM to run on a server, as the standby sees it.
func (x *site) await(ctx context.Context, lim int, server string) error {
	return within(ctx, testStep, func(ctx context.Context) error {
		return awaitLIM(ctx, x.standby, lim, "runs on "+server, runsOn(server))
	})
}

// addresses are what a server's kernel has, as the kernel itself says.
func (s *Server) addresses() (found []netip.Prefix, err error) {
	ns, err := netns.FromPID(s.first.pid)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = ns.Do(func() error {
		eth, err := net.InterfaceByName(serverInterface)
		if err != nil {
			return err
		}
		all, err := eth.Addrs()
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				found = append(found, p)
			}
		}
		return err
	})
	return found, err
}

// agentKilledScenario: a killed agent's alias leaves its kernel within the
// lease, then the standby has it, and at no time do two answer for it.
func agentKilledScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	alias := labAddress(11)
	from := time.Now()
	if err := x.srv1.SignalAgent(ctx, unix.SIGKILL); err != nil {
		return err
	}
	killed := time.Now()
	x.say("agent of srv1 killed")
	var taken bool
	err = poll(ctx, "the alias leaves srv1", func() bool {
		have, err := x.standby.addresses()
		taken = taken || (err == nil && slices.Contains(have, alias))
		have, err = x.srv1.addresses()
		return err == nil && !slices.Contains(have, alias)
	})
	gone := time.Since(killed)
	x.say("alias gone after %s", gone)
	f.noError(err, "after the kill")
	f.check(gone <= testLease+leaseSlack, "alias left the kernel %s after the kill, want at most %s", gone, testLease+leaseSlack)
	f.check(!taken, "the standby had the alias before the regular server's kernel let go of it")
	have, err := x.srv1.addresses()
	f.check(err == nil && slices.Contains(have, x.srv1.Base()), "addresses of srv1: %v, %v; want the base %s kept", have, err, x.srv1.Base())

	f.noError(x.caller.WaitAnswer(ctx, "sb1", killed), "takeover")
	x.say("standby answers after %s", time.Since(killed))
	f.noError(x.watcher.WaitHolder(ctx, x.standby.MAC), "takeover")
	h := x.watcher.Between(from, time.Now())
	x.say("ARP: %d requests, %d twice, vacant for %s", h.Requests, h.Twice, h.Vacant)
	f.check(h.Twice == 0, "%d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	return f.err()
}

// agentRestartedScenario: an agent that is back within the lease adopts its
// LIM, and a client does not notice.
func agentRestartedScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	before, err := limStatus(ctx, x.standby, 1)
	if err != nil {
		return err
	}
	from := time.Now()
	for range 3 {
		if err := x.srv1.SignalAgent(ctx, unix.SIGKILL); err != nil {
			return err
		}
		if err := x.startAgent(ctx, x.srv1); err != nil {
			return err
		}
		f.noError(awaitSettled(ctx, x.watcher, int(testLease/x.asking)/2), "waiting")
	}
	// Longer than the lease: the new agent renews it.
	f.noError(awaitSettled(ctx, x.watcher, int(2*testLease/x.asking)), "waiting")
	f.noError(x.await(ctx, 1, "srv1"), "after the restarts")
	to := time.Now()
	f.noError(x.caller.Settle(ctx), "calling")
	s, h := x.caller.Between(from, to), x.watcher.Between(from, to)
	x.say("%d of %d calls lost, silence %s", s.Lost, s.Calls, s.Silence)
	f.check(s.Lost == 0, "%d of %d calls lost by restarts of the agent", s.Lost, s.Calls)
	f.check(slices.Equal(s.By, []string{"srv1"}), "calls answered by %q, want srv1 alone", s.By)
	f.check(h.Twice == 0 && len(h.By) == 1, "alias held by %q, %d times by two", h.By, h.Twice)
	after, err := limStatus(ctx, x.standby, 1)
	f.check(err == nil && after.Term >= before.Term, "term %d before, %d after, %v", before.Term, after.Term, err)
	return f.err()
}

// agentFrozenScenario: an agent that stands still for less than the lease loses
// nothing: its kernel still answers, so its server does not count as down.
func agentFrozenScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	frozen := testLease * 55 / 100 // and the way there and back takes time on a busy machine
	f.check(frozen > 2*testFailoverAfter, "frozen for %s only", frozen)
	f.noError(x.srv1.SignalAgent(ctx, unix.SIGSTOP), "freezing")
	select { // by the clock: the watcher's questions take longer on a busy machine
	case <-time.After(frozen):
	case <-ctx.Done():
	}
	f.noError(x.srv1.SignalAgent(ctx, unix.SIGCONT), "thawing")
	f.noError(awaitSettled(ctx, x.watcher, int(testLease/x.asking)), "waiting")
	f.noError(x.await(ctx, 1, "srv1"), "afterwards")
	to := time.Now()
	f.noError(x.caller.Settle(ctx), "calling")
	s, h := x.caller.Between(from, to), x.watcher.Between(from, to)
	f.check(s.Lost == 0, "%d of %d calls lost by a frozen agent", s.Lost, s.Calls)
	f.check(h.Twice == 0 && len(h.By) == 1, "alias held by %q, %d times by two", h.By, h.Twice)
	return f.err()
}

// connectionScenario: a TCP connection through the address that becomes the
// alias lives on, and so does the base when the alias goes.
func connectionScenario(ctx context.Context, l *Lab) error {
	x, err := newSite(ctx, l)
	if err != nil {
		return err
	}
	client, server, err := x.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	var f findings
	f.noError(exchangeWords(client, server), "before create")
	f.noError(within(ctx, testStep, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) }), "create")
	f.noError(exchangeWords(client, server), "after create")
	// Longer than the lease, which has taken the place of a permanent address.
	f.noError(awaitSettled(ctx, x.watcher, int(2*testLease/x.asking)), "waiting")
	f.noError(exchangeWords(client, server), "after the first lease")

	base := x.srv1.Base()
	f.noError(x.srv1.SignalAgent(ctx, unix.SIGSTOP), "stopping the agent")
	f.noError(poll(ctx, "the alias expires", func() bool {
		have, err := x.srv1.addresses()
		return err == nil && !slices.Contains(have, labAddress(11))
	}), "expiry")
	have, err := x.srv1.addresses()
	f.check(err == nil && slices.Contains(have, base), "addresses after the alias expired: %v, %v; want the base %s", have, err, base)

	_, err = x.srv2.Mxcluster(ctx, "alias", "down", "2")
	f.noError(err, "alias down")
	have, err = x.srv2.addresses()
	f.check(err == nil && slices.Contains(have, x.srv2.Base()), "addresses after alias down: %v, %v; want the base %s", have, err, x.srv2.Base())
	return f.err()
}

// connect makes a TCP connection from a client to srv1, and returns both ends.
func (x *site) connect(ctx context.Context) (client, server net.Conn, err error) {
	inside, err := netns.FromPID(x.srv1.first.pid)
	if err != nil {
		return nil, nil, err
	}
	defer inside.Close()
	address := netip.AddrPortFrom(x.srv1.Base().Addr(), 2000).String()
	var listener net.Listener
	if err := inside.Do(func() (err error) {
		listener, err = net.Listen("tcp4", address)
		return err
	}); err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	outside, err := x.network.addClient("browser", clientMAC(2), labAddress(102))
	if err != nil {
		return nil, nil, err
	}
	if err := outside.Do(func() (err error) {
		client, err = (&net.Dialer{}).DialContext(ctx, "tcp4", address)
		return err
	}); err != nil {
		return nil, nil, err
	}
	server, err = listener.Accept()
	return client, server, err
}

// exchangeWords sends something both ways.
func exchangeWords(a, b net.Conn) error {
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		limit := time.Now().Add(2 * time.Second)
		if err := errors.Join(from.SetDeadline(limit), to.SetDeadline(limit)); err != nil {
			return err
		}
		if _, err := from.Write([]byte("words")); err != nil {
			return err
		}
		buf := make([]byte, 16)
		n, err := to.Read(buf)
		if err != nil {
			return err
		}
		if string(buf[:n]) != "words" {
			return fmt.Errorf("received %q", buf[:n])
		}
	}
	return nil
}

// automaticScenario: with automatic fallback a LIM comes home by itself.
func automaticScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l, "--fallback", "automatic")
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	f.noError(x.await(ctx, 1, "sb1"), "takeover")
	healed := time.Now()
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(x.await(ctx, 1, "srv1"), "fallback")
	f.noError(x.caller.WaitAnswer(ctx, "srv1", healed), "fallback")
	f.noError(x.watcher.WaitHolder(ctx, x.srv1.MAC), "fallback")
	h := x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0, "%d of %d ARP requests were answered by two hosts", h.Twice, h.Requests)
	f.check(len(h.By) == 2, "alias held by %q, want the two servers", h.By)
	return f.err()
}

// bootOrders are all orders in which three agents can be started.
func bootOrders() [][]string {
	return [][]string{
		{"srv1", "srv2", "sb1"}, {"srv1", "sb1", "srv2"}, {"srv2", "srv1", "sb1"},
		{"srv2", "sb1", "srv1"}, {"sb1", "srv1", "srv2"}, {"sb1", "srv2", "srv1"},
	}
}

func TestBootOrder(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(bootOrderScenarios())) {
		t.Run(name, func(t *testing.T) { runScenario(t, name, program(t)) })
	}
}

// bootOrderScenarios are what TestBootOrder runs: all agents end, and are
// started in every order, with LIM 1 at home and with LIM 1 on the standby.
func bootOrderScenarios() map[string]Scenario {
	return map[string]Scenario{
		"all at home": func(ctx context.Context, l *Lab) error {
			x, err := newPatientCluster(ctx, l)
			if err != nil {
				return err
			}
			return x.restartInEveryOrder(ctx, "srv1")
		},
		"one on the standby": func(ctx context.Context, l *Lab) error {
			x, err := newPatientCluster(ctx, l)
			if err != nil {
				return err
			}
			if err := x.cutPower(ctx); err != nil {
				return err
			}
			if err := errors.Join(x.srv1.Boot(ctx), x.startAgent(ctx, x.srv1), x.await(ctx, 1, "sb1")); err != nil {
				return err
			}
			return x.restartInEveryOrder(ctx, "sb1")
		},
		"power lost everywhere": func(ctx context.Context, l *Lab) error {
			x, err := newPatientCluster(ctx, l)
			if err != nil {
				return err
			}
			return x.blackOutInEveryOrder(ctx)
		},
	}
}

// newPatientCluster is newCluster whose agents, once started again, wait for the others longer than
// their starts are apart, on a slow machine too.
func newPatientCluster(ctx context.Context, l *Lab) (*site, error) {
	x, err := newCluster(ctx, l)
	if err != nil {
		return nil, err
	}
	patient := fmt.Sprintf("alias:\n  lease: %s\nagent:\n  start_grace: 20s\n", testLease)
	return x, errors.Join(x.srv1.writeSettings(patient), x.srv2.writeSettings(patient), x.standby.writeSettings(patient))
}

// restartInEveryOrder kills all agents and starts them again, in every order.
// LIM 1 must be on home before and after.
func (x *site) restartInEveryOrder(ctx context.Context, home string) error {
	var f findings
	for _, order := range bootOrders() {
		for _, name := range order {
			f.noError(x.Server(name).SignalAgent(ctx, unix.SIGKILL), "killing")
		}
		for _, name := range order {
			f.noError(x.startAgent(ctx, x.Server(name)), "starting")
		}
		f.noError(x.endsWith(ctx, home), strings.Join(order, ", "))
	}
	return f.err()
}

// blackOutInEveryOrder cuts the power of everything and boots it again, in
// every order. Every LIM must come up at home.
func (x *site) blackOutInEveryOrder(ctx context.Context) error {
	var f findings
	for _, order := range bootOrders() {
		for _, name := range order {
			f.noError(x.Server(name).PowerCut(), "power cut")
		}
		for _, name := range order {
			f.noError(x.Server(name).Boot(ctx), "boot")
			f.noError(x.startAgent(ctx, x.Server(name)), "starting")
		}
		f.noError(x.endsWith(ctx, "srv1"), strings.Join(order, ", "))
	}
	return f.err()
}

// endsWith checks the state in which the cluster must end: LIM 1 on home, LIM 2
// on srv2, as every server sees it, and nothing of it changes within a lease.
func (x *site) endsWith(ctx context.Context, home string) error {
	var f findings
	for _, observer := range []*Server{x.srv1, x.srv2, x.standby} {
		for lim, where := range map[int]string{1: home, 2: "srv2"} {
			f.noError(within(ctx, testStep, func(ctx context.Context) error {
				return awaitLIM(ctx, observer, lim, "runs on "+where, runsOn(where))
			}), observer.Name)
		}
	}
	from := time.Now()
	f.noError(x.watcher.WaitHolder(ctx, x.Server(home).MAC), "holder")
	f.noError(awaitSettled(ctx, x.watcher, int((testLease+leaseSlack)/x.asking)), "waiting")
	h := x.watcher.Between(from, time.Now())
	f.check(h.Twice == 0 && len(h.By) == 1, "alias held by %q, %d times by two", h.By, h.Twice)
	l, err := limStatus(ctx, x.standby, 1)
	f.check(err == nil && runsOn(home)(l), "LIM 1 afterwards: %+v, %v", l, err)
	return f.err()
}
