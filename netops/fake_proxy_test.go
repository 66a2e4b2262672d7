package netops_test

import (
	"net/netip"
	"testing"
)

// The fakes of what answers in another one's place, and of what does not answer.
func TestFakeProxies(t *testing.T) {
	s, kernels, wires := fakes(t, 3)
	b, router := kernels[1], kernels[2]
	own, theirs := netip.MustParseAddr("10.0.0.101"), netip.MustParseAddr("10.0.0.102")
	must(t, kernels[0].EnsureBase(eth0, netip.PrefixFrom(own, 24)))
	must(t, b.EnsureBase(eth0, netip.PrefixFrom(theirs, 24)))
	heard, echoes := wires[0].Subscribe(t.Context()), wires[0].Echoes(t.Context())
	link, err := b.Link(eth0)
	must(t, err)
	echoed := func() bool {
		t.Helper()
		must(t, wires[0].Echo(own, theirs, link.MAC))
		select {
		case e := <-echoes:
			return e.From == theirs && e.MAC.String() == link.MAC.String()
		default:
			return false
		}
	}
	answers := func(target netip.Addr) int {
		t.Helper()
		must(t, wires[0].Ask(own, target, nil))
		return len(drain(heard))
	}
	if !echoed() || answers(theirs) != 1 {
		t.Error("a live kernel did not answer")
	}
	b.IgnoreEcho(true)
	if echoed() || answers(theirs) != 1 {
		t.Error("a kernel without echoes answered one, or no ARP")
	}
	b.IgnoreEcho(false)
	router.Proxy(eth0, netip.MustParsePrefix("10.0.0.0/24"))
	if answers(theirs) != 2 || answers(netip.MustParseAddr("10.0.0.77")) != 1 || answers(netip.MustParseAddr("10.9.0.77")) != 0 {
		t.Error("a router with local proxy ARP answers for all of its subnet")
	}
	router.Proxy(eth0, netip.Prefix{})
	s.SuppressARP(true)
	must(t, wires[1].Announce(theirs))
	drain(heard)
	s.Disconnect(b)
	before := wires[0].Sent()
	if echoed() || answers(theirs) != 1 {
		t.Error("the switch did not answer for the dead, or an echo was")
	}
	if n := wires[0].Sent() - before; n != 1 {
		t.Errorf("%d frames were counted, want the question", n)
	}
}
