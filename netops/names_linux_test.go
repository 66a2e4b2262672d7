package netops_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"mxcluster/netops"
)

// rename gives eth0 another name, and returns a wire on it.
func (h *host) rename(name string) *netops.Wire {
	h.t.Helper()
	var w *netops.Wire
	must(h.t, h.ns.Do(func() error {
		l, err := netlink.LinkByName(eth0)
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.LinkSetDown(l), netlink.LinkSetName(l, name), netlink.LinkSetUp(l)); err != nil {
			return err
		}
		w, err = netops.OpenWire(name)
		return err
	}))
	h.t.Cleanup(func() { must(h.t, w.Close()) })
	eventually(h.t, 5*time.Second, name+" is up", func() bool {
		l, err := h.kernel.Link(name)
		return err == nil && l.Up
	})
	return w
}

// Networks of VLANs on bonds have dots in their names, and as many characters as the
// kernel allows: an alias is held, announced, blocked and dropped there as on eth0.
func TestInterfaceNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bond0.1603", "enp94s0f0.16030"} {
		hosts := newHosts(t, 2)
		server, client := hosts[0], hosts[1]
		wire, heard := server.rename(name), client.wire().Subscribe(t.Context())
		must(t, server.kernel.Hold(name, server.own(), 0))
		must(t, server.kernel.Hold(name, alias, time.Minute))
		server.awaitReach(client)
		must(t, wire.Announce(alias.Addr()))
		hear(t, heard, "the announcement on "+name, func(o netops.Observation) bool { return o.SenderIP == alias.Addr() })

		must(t, server.kernel.Block(name, alias.Addr()))
		port := server.serve(netip.IPv4Unspecified())
		client.knows(alias.Addr(), server.mac)
		if err := client.dial(netip.Addr{}, alias.Addr(), port, 100*time.Millisecond); !isTimeout(err) {
			t.Errorf("%s, blocked: %v", name, err)
		}
		must(t, server.kernel.Unblock(name, alias.Addr()))
		if err := client.dial(netip.Addr{}, alias.Addr(), port, 5*time.Second); err != nil {
			t.Errorf("%s, not blocked any more: %v", name, err)
		}
		must(t, server.kernel.Drop(name, alias))
		addresses, err := server.kernel.Addresses(name)
		must(t, err)
		if got, want := format(addresses), format([]netops.Address{{Prefix: server.own(), Permanent: true}}); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
}
