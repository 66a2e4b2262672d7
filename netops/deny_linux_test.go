package netops_test

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"mxcluster/internal/netns"
	"mxcluster/netops"
)

// second gives the host another card in the same LAN.
func (h *host) second(name string, mac net.HardwareAddr, has ...netip.Prefix) {
	h.t.Helper()
	port := h.port + "b"
	must(h.t, netns.AddVeth(h.net, port, h.ns, name, mac))
	must(h.t, h.net.Attach(port, "br0"))
	must(h.t, h.net.SetUp(port))
	must(h.t, h.ns.SetUp(name))
	for _, p := range has {
		must(h.t, h.ns.AddAddress(name, p))
	}
}

// lax has the host answer as the weakest settings of Linux have it.
func (h *host) lax() {
	h.t.Helper()
	must(h.t, h.ns.Do(func() error {
		for _, name := range []string{"all/arp_ignore", "all/rp_filter", "default/rp_filter", "eth0/rp_filter"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name, []byte("0"), 0); err != nil {
				return err
			}
		}
		return nil
	}))
}

// whoAnswers asks everybody for an address until somebody answers for the other, and
// returns the MACs that answered for the first.
func (h *host) whoAnswers(addr, other netip.Addr) []string {
	h.t.Helper()
	w := h.wire()
	heard := w.Subscribe(h.t.Context())
	var macs []string
	for range 5 {
		must(h.t, w.Ask(netops.Unspecified(addr), addr, nil)) // a probe
		if addr.Is4() {
			must(h.t, w.Ask(h.own().Addr(), addr, nil))
		}
		must(h.t, w.Ask(netops.Unspecified(other), other, nil))
		hear(h.t, heard, "the other address", func(o netops.Observation) bool {
			if mac := o.SenderMAC.String(); o.Op == netops.Reply && o.SenderIP == addr && !slices.Contains(macs, mac) {
				macs = append(macs, mac)
			}
			return answerFrom(other)(o)
		})
	}
	return macs
}

var otherMAC, thirdMAC = net.HardwareAddr{2, 0, 0, 0, 1, 1}, net.HardwareAddr{2, 0, 0, 0, 1, 2}

// A denied address is silent on every interface, on those that are made later, too,
// wherever and with whichever prefix somebody adds it.
func TestDeniedIsSilentEverywhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, ifname, address string
	}{
		{"where it belongs", eth0, "10.0.0.11/24"}, {"with another length", eth0, "10.0.0.11/32"},
		{"on loopback", "lo", "10.0.0.11/32"}, {"on a card that came later", "eth1", "10.0.0.11/24"}, {"IPv6", eth0, "2001:db8::11/64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hosts := newHosts6(t, 2)
			server, client := hosts[0], hosts[1]
			p, own := netip.MustParsePrefix(tc.address), server.own().Addr()
			if p.Addr().Is6() {
				own = server.own6().Addr()
			}
			server.lax()
			must(t, server.ns.SetUp("lo"))
			must(t, server.kernel.Deny(p.Addr(), base.Addr()))
			server.second("eth1", otherMAC, netip.MustParsePrefix("10.0.0.151/24"))
			must(t, server.ns.AddAddress(tc.ifname, p))
			client.awaitReach(server)
			seen := client.sniff(p.Addr())
			if macs := client.whoAnswers(p.Addr(), own); macs != nil {
				t.Errorf("%v answer for it", macs)
			}
			client.knows(p.Addr(), server.mac)
			port := server.serve(p.Addr())
			if err := client.dial(netip.Addr{}, p.Addr(), port, 100*time.Millisecond); !isTimeout(err) {
				t.Errorf("from outside: %v", err)
			}
			if err := server.dial(p.Addr(), p.Addr(), port, time.Second); err != nil {
				t.Errorf("on the server itself: %v", err)
			}
			if n := seen.leaks.Load(); n > 0 {
				t.Errorf("%d frames came from it", n)
			}
			must(t, server.kernel.Unblock(eth0, p.Addr()))
			if macs := client.whoAnswers(p.Addr(), own); !slices.Contains(macs, server.mac.String()) && !slices.Contains(macs, otherMAC.String()) {
				t.Errorf("allowed, but only %v answer", macs)
			}
			if got, err := server.kernel.Denied(); err != nil || !slices.Equal(got, []netip.Addr{base.Addr()}) {
				t.Errorf("still denied: %v, %v", got, err)
			}
		})
	}
}

// A server to which an address is denied is a client of whoever has it, learns where
// that is from announcements, and is asked by it.
func TestDeniedHasClients(t *testing.T) {
	t.Parallel()
	hosts := newHosts6(t, 2)
	server, holder := hosts[0], hosts[1]
	must(t, server.kernel.Deny(alias.Addr(), alias6.Addr()))
	for _, p := range []netip.Prefix{alias, alias6} {
		must(t, holder.kernel.Hold(eth0, p, 0))
		port := holder.serve(p.Addr())
		if err := server.dial(netip.Addr{}, p.Addr(), port, 5*time.Second); err != nil {
			t.Errorf("a client of %s: %v", p, err)
		}
	}
	own := server.serve(server.own().Addr())
	if err := holder.dial(alias.Addr(), server.own().Addr(), own, 5*time.Second); err != nil {
		t.Errorf("the holder calls from the alias: %v", err)
	}
	w := holder.wire()
	heard := w.Subscribe(t.Context())
	must(t, w.Ask(alias.Addr(), server.own().Addr(), nil))
	hear(t, heard, "the base, asked from the alias", answerFrom(server.own().Addr()))
	// The address moves to another card; the announcement is all that says so.
	must(t, holder.ns.SetDown(eth0))
	must(t, holder.ns.Do(func() error {
		l, err := netlink.LinkByName(eth0)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, thirdMAC)
	}))
	must(t, holder.ns.SetUp(eth0))
	holder.awaitUp()
	w = holder.wire()
	eventually(t, 10*time.Second, "the announcement is learned", func() bool {
		must(t, w.Announce(alias.Addr()))
		mac, _ := server.neighbour(alias.Addr())
		return mac == thirdMAC.String()
	})
}

// What another tool does to the rules is seen, and mended in one step; nothing is left
// once all is allowed.
func TestDeniedRulesMended(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	addrs := []netip.Addr{alias.Addr(), base.Addr(), alias6.Addr()}
	slices.SortFunc(addrs, netip.Addr.Compare)
	rules := func(f func(c *nftables.Conn)) {
		t.Helper()
		must(t, h.ns.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			f(c)
			return c.Flush()
		}))
	}
	table := func(c *nftables.Conn, family nftables.TableFamily) *nftables.Table {
		all, err := c.ListTablesOfFamily(family)
		must(t, err)
		i := slices.IndexFunc(all, func(x *nftables.Table) bool { return x.Name == "mxcluster-denied" })
		if i < 0 {
			t.Fatal("no table")
		}
		return all[i]
	}
	for name, damage := range map[string]func(c *nftables.Conn){
		"all flushed":   func(c *nftables.Conn) { c.FlushRuleset() },
		"rules flushed": func(c *nftables.Conn) { c.FlushTable(table(c, nftables.TableFamilyARP)) },
		"a table gone":  func(c *nftables.Conn) { c.DelTable(table(c, nftables.TableFamilyINet)) },
		"an element gone": func(c *nftables.Conn) {
			sets, err := c.GetSets(table(c, nftables.TableFamilyINet))
			must(t, err)
			i := slices.IndexFunc(sets, func(s *nftables.Set) bool { return s.Name == "addresses" })
			must(t, c.SetDeleteElements(sets[i], []nftables.SetElement{{Key: alias.Addr().AsSlice()}}))
		},
	} {
		must(t, h.kernel.Deny(addrs...))
		rules(damage)
		if got, err := h.kernel.Denied(); err != nil || len(got) > 0 {
			t.Errorf("%s: %v are denied, %v", name, got, err)
		}
		must(t, h.kernel.Deny(addrs...))
		if got, err := h.kernel.Denied(); err != nil || !slices.Equal(got, addrs) {
			t.Errorf("%s: mended, but %v are denied, %v", name, got, err)
		}
	}
	must(t, h.kernel.AllowAll())
	must(t, h.kernel.AllowAll())
	must(t, h.kernel.Unblock(eth0, alias.Addr()))
	if got, err := h.kernel.Denied(); err != nil || len(got) > 0 {
		t.Errorf("after all was allowed %v are denied, %v", got, err)
	}
}
