//go:build linux

package lab

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIPv6(t *testing.T) { runScenario(t, "ipv6", program(t)) }

// newIPv6Cluster makes a site whose addresses are all IPv6, with its cluster.
func newIPv6Cluster(ctx context.Context, l *Lab) (*site, error) {
	x := newEmptySite(l)
	x.ipv6 = true
	create := func(ctx context.Context) error {
		x.srv1.SetBase(x.address(21))
		if err := x.mx(ctx, x.srv1, "create", "c1", "--standby", "sb1", "--failover-after", testFailoverAfter.String(),
			"--lim", "1="+x.address(21).Addr().String(), "--wait"); err != nil {
			return err
		}
		return x.await(ctx, 1, "srv1")
	}
	for _, step := range []func(context.Context) error{x.build, x.makeSystem, x.callIPv6, create} {
		if err := within(ctx, testStep, step); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// ipv6Scenario: a cluster whose addresses are all IPv6 lives as any other does:
// it is created, taken over, brought home, preloaded and taken over again.
func ipv6Scenario(ctx context.Context, l *Lab) error {
	x, err := newIPv6Cluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	alias := x.address(11)
	for _, tc := range []struct {
		on      *Server
		command string
		says    string
		code    int
	}{
		{x.standby, "arp probe " + alias.Addr().String(), x.srv1.MAC.String(), 3},
		{x.standby, "arp probe 2001:db8::99", "", 0},
		{x.srv1, "arp announce --count 1 " + alias.Addr().String(), "", 0},
		{x.standby, "arp announce --count 1 " + alias.Addr().String(), "", 3},
	} {
		out, code, err := shell(ctx, tc.on, "mxcluster "+tc.command+" --interface "+serverInterface)
		f.check(err == nil && code == tc.code && strings.Contains(out, tc.says), "%s on %s: %q, code %d, %v; want code %d and %q", tc.command, tc.on.Name, out, code, err, tc.code, tc.says)
	}

	cut := time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	x.say("answered by sb1 %s after the power cut", time.Since(cut).Round(time.Millisecond))
	have, err := x.standby.addresses()
	f.check(err == nil && slices.Contains(have, alias), "addresses of sb1: %v, %v; want %s among them", have, err, alias)
	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	f.noError(x.goHome(ctx), "fallback")
	f.noError(x.await(ctx, 1, "srv1"), "fallback")
	have, err = x.standby.addresses()
	f.check(err == nil && !slices.Contains(have, alias) && slices.Contains(have, x.standby.Base()), "addresses of sb1 after the fallback: %v, %v", have, err)

	f.noError(x.mx(ctx, x.srv1, "preload", "c1", "--wait"), "preload")
	f.noError(x.awaitPreloaded(ctx, x.standby, "srv1"), "preload")
	blocked, err := x.standby.blocked()
	f.check(err == nil && slices.Equal(blocked, []netip.Addr{alias.Addr()}), "the passive side blocks %v: %v", blocked, err)
	from := time.Now()
	f.noError(wait(ctx, time.Second), "waiting")
	f.noError(x.caller.Settle(ctx), "calling")
	s := x.caller.Between(from, time.Now())
	f.check(slices.Equal(s.By, []string{"srv1"}), "calls are answered by %q, want srv1 alone", s.By)
	cut = time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	x.say("preloaded: answered by sb1 %s after the power cut", time.Since(cut).Round(time.Millisecond))
	f.noError(awaitLIM(ctx, x.standby, 1, "runs on sb1", runsOn("sb1")), "takeover")
	return f.err()
}

// callIPv6 connects a client that calls the alias.
func (x *site) callIPv6(ctx context.Context) error {
	client, err := x.network.addClient("phone", clientMAC(0), x.address(100))
	if err != nil {
		return err
	}
	if err := client.Do(func() error {
		x.caller, err = newCaller(x.address(11).Addr(), callEvery)
		return err
	}); err != nil {
		return err
	}
	x.Go(x.caller.Run)
	return x.caller.WaitAnswer(ctx, "srv1", time.Now())
}
