package netops_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/netops"
)

// host is a server in a namespace of its own, with eth0 at a port of a switch.
type host struct {
	t      *testing.T
	ns     *netns.NS
	kernel *netops.Kernel
	net    *netns.NS // the switch's namespace
	port   string    // our port there
	mac    net.HardwareAddr
}

// newHosts lays n hosts on a bridge. Their addresses are 10.0.0.101 and up.
func newHosts(t *testing.T, n int) []*host {
	t.Helper()
	bridge := netnstest.New(t)
	must(t, netns.AddBridge(bridge, "br0"))
	var hosts []*host
	for i := range n {
		h := &host{
			t: t, ns: netnstest.New(t), net: bridge,
			port: fmt.Sprintf("port%d", i+1),
			mac:  net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)},
		}
		must(t, h.ns.Do(func() (err error) { h.kernel, err = netops.NewKernel(); return err }))
		t.Cleanup(func() { must(t, h.kernel.Close()) })
		h.plugIn()
		must(t, h.ns.AddAddress(eth0, h.own()))
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		h.awaitUp()
		hosts[0].awaitReach(h)
	}
	return hosts
}

// awaitReach waits until the switch forwards between the two: a bridge's port
// does so a moment after its carrier is there.
func (h *host) awaitReach(other *host) {
	h.t.Helper()
	eventually(h.t, 10*time.Second, "the switch forwards", func() bool {
		var err error
		must(h.t, h.ns.Do(func() error {
			d := net.Dialer{Timeout: 200 * time.Millisecond}
			_, err = d.Dial("tcp4", netip.AddrPortFrom(other.own().Addr(), 9).String())
			return nil
		}))
		return errors.Is(err, unix.ECONNREFUSED)
	})
}

// plugIn makes eth0 and its cable to the switch.
func (h *host) plugIn() {
	h.t.Helper()
	must(h.t, netns.AddVeth(h.net, h.port, h.ns, eth0, h.mac))
	must(h.t, errors.Join(h.net.Attach(h.port, "br0"), h.net.SetUp(h.port), h.ns.SetUp(eth0)))
}

func (h *host) awaitUp() {
	h.t.Helper()
	eventually(h.t, 5*time.Second, "eth0 is up", func() bool {
		l, err := h.kernel.Link(eth0)
		return err == nil && l.Up
	})
}

// own is the host's address besides those of the test.
func (h *host) own() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, 100 + h.mac[5]}), 24)
}

// wire opens a wire that is closed with the test.
func (h *host) wire() *netops.Wire {
	h.t.Helper()
	var w *netops.Wire
	must(h.t, h.ns.Do(func() (err error) { w, err = netops.OpenWire(eth0); return err }))
	h.t.Cleanup(func() { must(h.t, w.Close()) })
	return w
}

// list is eth0's addresses as format writes them.
func (h *host) list() string {
	h.t.Helper()
	addresses, err := h.kernel.Addresses(eth0)
	must(h.t, err)
	return format(addresses)
}

// has tells whether eth0 has the address.
func (h *host) has(p netip.Prefix) bool {
	h.t.Helper()
	addresses, err := h.kernel.Addresses(eth0)
	must(h.t, err)
	return slices.ContainsFunc(addresses, func(a netops.Address) bool { return a.Prefix == p })
}

// setting reads or, with a value, writes a setting of eth0 in /proc/sys, which
// shows the namespace of the thread.
func (h *host) setting(name, value string) string {
	h.t.Helper()
	path := "/proc/sys/net/ipv4/conf/" + eth0 + "/" + name
	var content []byte
	must(h.t, h.ns.Do(func() (err error) {
		if value != "" {
			err = os.WriteFile(path, []byte(value), 0)
		}
		if err == nil {
			content, err = os.ReadFile(path)
		}
		return err
	}))
	return strings.TrimSpace(string(content))
}

// eventually waits until done holds, and returns how long it took.
func eventually(t *testing.T, limit time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	deadline := time.After(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
	return time.Since(start)
}

// sample runs check every few milliseconds for a time and returns how often.
func sample(d time.Duration, check func()) int {
	end := time.After(d)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			check()
		case <-end:
			return n
		}
	}
}
