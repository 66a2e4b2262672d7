package netops_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/netops"
)

func TestLeaseExpiresInTime(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, 3 * time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, 1)[0]
			must(t, h.kernel.EnsureBase(eth0, base))
			must(t, h.kernel.Hold(eth0, alias, lease))
			took := eventually(t, lease+5*time.Second, "the alias expires", func() bool { return !h.has(alias) })
			t.Logf("a lease of %s expired after %s (%+d ms)", lease, took.Round(time.Millisecond), (took - lease).Milliseconds())
			if off := took - lease; off < -50*time.Millisecond || off > 500*time.Millisecond {
				t.Errorf("expired %s off its time", off)
			}
			if !h.has(base) {
				t.Error("the base went with the alias")
			}
		})
	}
}

// The kernel plans its next look at the lifetimes at least a second ahead each
// time that an address is added or renewed: another address can delay an expiry.
func TestLeaseExpiryBesideOtherChanges(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	other := netip.MustParsePrefix("10.0.0.77/24")
	must(t, h.kernel.Hold(eth0, alias, time.Second))
	start := time.Now()
	<-time.After(900 * time.Millisecond)
	must(t, h.kernel.Hold(eth0, other, time.Minute))
	eventually(t, 5*time.Second, "the alias expires", func() bool { return !h.has(alias) })
	late := time.Since(start) - time.Second
	t.Logf("with another address added 100 ms before, a lease of 1s expired %d ms late", late.Milliseconds())
	if late > 1500*time.Millisecond {
		t.Errorf("expired %s late", late)
	}
}

func TestRenewalIsSeamless(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	const lease = time.Second
	must(t, h.kernel.Hold(eth0, alias, lease))
	until, renewals, missing := time.Now().Add(lease), 0, 0
	n := 0
	look := func() {
		if !h.has(alias) {
			missing++
		}
		now := time.Now()
		if until.Sub(now) > lease*9/10 {
			return
		}
		must(t, h.kernel.Extend(eth0, alias, lease, until))
		until = now.Add(lease)
		renewals++
	}
	for began := time.Now(); renewals < 20 || n < 300; { // which takes longer on a busy machine
		if n += sample(time.Second, look); time.Since(began) > time.Minute {
			t.Fatalf("%d renewals and %d samples in a minute", renewals, n)
		}
	}
	t.Logf("%d renewals of a lease of %s: missing in %d of %d samples", renewals, lease, missing, n)
	if missing > 0 {
		t.Errorf("missing %d times in %d samples with %d renewals", missing, n, renewals)
	}
}

// After a cluster was created the alias is the primary address and the base a
// secondary one of its subnet.
func TestBaseStays(t *testing.T) {
	drop := func(h *host) { must(h.t, h.kernel.Drop(eth0, alias)) }
	expire := func(h *host) {
		must(h.t, h.kernel.Hold(eth0, alias, time.Second))
		eventually(h.t, 5*time.Second, "the alias expires", func() bool { return !h.has(alias) })
	}
	for _, tc := range []struct {
		name   string
		before string // promote_secondaries
		gone   func(*host)
	}{
		{"deleted without promotion", "0", drop},
		{"deleted with promotion", "1", drop},
		{"expired without promotion", "0", expire},
		{"expired with promotion", "1", expire},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hosts := newHosts(t, 2)
			h := hosts[0]
			must(t, h.ns.DeleteAddress(eth0, h.own()))
			must(t, h.ns.AddAddress(eth0, alias))
			must(t, h.ns.AddAddress(eth0, base))
			h.setting("promote_secondaries", tc.before)
			if got, want := h.list(), "10.0.0.11/24P 10.0.0.21/24p"; got != want {
				t.Fatalf("before: %s, want %s", got, want)
			}
			tc.gone(h)
			if got, want := h.list(), "10.0.0.21/24P"; got != want {
				t.Errorf("after: %q, want %q", got, want)
			}
			if got := h.setting("promote_secondaries", ""); got != "1" {
				t.Errorf("promote_secondaries is %s", got)
			}
			connect(t, hosts[1], h, base.Addr()).Close()
		})
	}
	t.Run("the kernel's default takes it along", func(t *testing.T) {
		h := newHosts(t, 1)[0]
		must(t, h.ns.DeleteAddress(eth0, h.own()))
		must(t, errors.Join(h.ns.AddAddress(eth0, alias), h.ns.AddAddress(eth0, base)))
		h.setting("promote_secondaries", "0")
		must(t, h.ns.DeleteAddress(eth0, alias))
		if got := h.list(); got != "" {
			t.Errorf("left: %q; this kernel needs no promotion, so the test proves nothing", got)
		}
	})
}

// What a server sends without naming an address must not come from an alias that is
// blocked, or that goes to another server sooner or later.
func TestSentFromBase(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	must(t, h.ns.DeleteAddress(eth0, h.own()))
	for _, tc := range []struct {
		name        string
		base, alias netip.Prefix
		hold        func(string, netip.Prefix, time.Duration) error
	}{
		{"IPv4, blocked", base, alias, h.kernel.HoldBehind},
		{"IPv6", base6, alias6, h.kernel.Hold},
		{"IPv6, blocked", base6, alias6, h.kernel.HoldBehind},
	} {
		for _, order := range [][]netip.Prefix{{tc.alias, tc.base}, {tc.base, tc.alias}} {
			for _, p := range order {
				must(t, h.kernel.Hold(eth0, p, 0))
			}
			must(t, tc.hold(eth0, tc.alias, time.Minute))
			must(t, h.kernel.Extend(eth0, tc.alias, time.Minute, time.Now().Add(time.Minute)))
			for _, to := range []netip.Addr{tc.base.Masked().Addr().Next(), tc.alias.Addr().Next(), tc.base.Addr().Next()} {
				if got := h.source(to); got != tc.base.Addr() {
					t.Errorf("%s, first %s: sends to %s from %s", tc.name, order[0], to, got)
				}
			}
			must(t, errors.Join(h.kernel.Drop(eth0, tc.alias), h.kernel.Drop(eth0, tc.base)))
		}
	}
}

// source is the address that a host would send from.
func (h *host) source(to netip.Addr) (from netip.Addr) {
	h.t.Helper()
	must(h.t, h.ns.Do(func() (err error) { from, err = netops.Source(to); return err }))
	return from
}

// connect dials the address on one host from another.
func connect(t *testing.T, from, to *host, address netip.Addr) *echo {
	t.Helper()
	e := &echo{t: t}
	var l net.Listener
	must(t, to.ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(address, 0).String())
		return err
	}))
	defer l.Close()
	must(t, from.ns.Do(func() (err error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		e.client, err = d.Dial("tcp4", l.Addr().String())
		return err
	}))
	var err error
	e.server, err = l.Accept()
	must(t, err)
	return e
}

// echo is an established connection.
type echo struct {
	t              *testing.T
	client, server net.Conn
}

func (e *echo) Close() {
	must(e.t, errors.Join(e.client.Close(), e.server.Close()))
}

// alive sends a line each way and returns the time for it.
func (e *echo) alive() time.Duration {
	e.t.Helper()
	start := time.Now()
	for _, way := range []struct{ from, to net.Conn }{{e.client, e.server}, {e.server, e.client}} {
		must(e.t, way.to.SetReadDeadline(start.Add(5*time.Second)))
		_, err := way.from.Write([]byte("hello"))
		must(e.t, err)
		_, err = way.to.Read(make([]byte, 5))
		must(e.t, err)
	}
	return time.Since(start)
}

func TestConnectionSurvivesConversions(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	h := hosts[0]
	must(t, h.ns.DeleteAddress(eth0, h.own()))
	must(t, h.ns.AddAddress(eth0, alias))
	e := connect(t, hosts[1], h, alias.Addr())
	defer e.Close()
	k := h.kernel
	until := time.Now().Add(2 * time.Second)
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"as found", func() error { return nil }, "10.0.0.11/24P"},
		{"new base", func() error { return k.EnsureBase(eth0, base) }, "10.0.0.11/24P 10.0.0.21/24p"},
		{"lease", func() error { return k.Hold(eth0, alias, 2*time.Second) }, "10.0.0.11/24L 10.0.0.21/24p"},
		{"renewed", func() error { return k.Extend(eth0, alias, 2*time.Second, until) }, "10.0.0.11/24L 10.0.0.21/24p"},
		{"permanent", func() error { return k.Hold(eth0, alias, 0) }, "10.0.0.11/24P 10.0.0.21/24p"},
		{"lease again", func() error { return k.Hold(eth0, alias, time.Second) }, "10.0.0.11/24L 10.0.0.21/24p"},
		{"ensured", func() error { return k.EnsureBase(eth0, alias) }, "10.0.0.11/24P 10.0.0.21/24p"},
		{"base taken back", func() error { return k.Drop(eth0, base) }, "10.0.0.11/24P"},
	} {
		must(t, step.do())
		if got := h.list(); got != step.want {
			t.Errorf("%s: addresses %s, want %s", step.name, got, step.want)
		}
		t.Logf("%s: there and back in %s", step.name, e.alive())
	}
	// Longer than the leases were: none of them may still count.
	sample(2200*time.Millisecond, func() { e.alive() })
}

func TestExtendAfterExpiry(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	must(t, h.kernel.Hold(eth0, alias, time.Second))
	until := time.Now().Add(time.Second)
	eventually(t, 5*time.Second, "the alias expires", func() bool { return !h.has(alias) })
	for name, until := range map[string]time.Time{"expired": until, "gone though in time": time.Now().Add(time.Hour)} {
		if err := h.kernel.Extend(eth0, alias, time.Second, until); !errors.Is(err, netops.ErrLeaseLost) {
			t.Errorf("%s: error %v, want %v", name, err, netops.ErrLeaseLost)
		}
		if h.has(alias) {
			t.Errorf("%s: the alias is back", name)
		}
	}
	must(t, h.kernel.Hold(eth0, alias, time.Minute))
	if err := h.kernel.Extend(eth0, alias, time.Minute, time.Now()); !errors.Is(err, netops.ErrLeaseLost) || h.has(alias) {
		t.Errorf("too late, with the kernel's lifetime still running: error %v, alias there: %v", err, h.has(alias))
	}
}

func TestKernelSeesOnlyItsNamespace(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	must(t, hosts[0].kernel.Hold(eth0, alias, 0))
	if !hosts[0].has(alias) || hosts[1].has(alias) {
		t.Error("the address is not where it was asked for")
	}
	all, err := hosts[0].kernel.Addresses("")
	if err != nil || len(all) != 3 || all[0].Interface != "lo" || all[2].Interface != eth0 {
		t.Errorf("all addresses: %+v (%v), want lo's and two of eth0", all, err)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	l, err := h.kernel.Link(eth0)
	if err != nil || l.Name != eth0 || l.Index < 1 || l.MAC.String() != h.mac.String() || !l.Up {
		t.Errorf("%+v (%v)", l, err)
	}
	if lo, err := h.kernel.Link("lo"); err != nil || !lo.Up {
		t.Errorf("%+v (%v), want lo up", lo, err)
	}
	down := func(what string) {
		eventually(t, 5*time.Second, what, func() bool { l, err := h.kernel.Link(eth0); return err == nil && !l.Up })
	}
	must(t, h.net.SetDown(h.port))
	down("no carrier shows as down")
	must(t, h.net.SetUp(h.port))
	h.awaitUp()
	must(t, h.ns.SetDown(eth0))
	down("set down shows as down")
}

func TestGateways(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	events, err := h.kernel.Watch(t.Context())
	must(t, err)
	is := func(ifname string, want ...string) {
		t.Helper()
		all, err := h.kernel.Gateways(ifname)
		if got := fmt.Sprint(all); got != fmt.Sprint(want) || err != nil {
			t.Errorf("through %s: %s, %v; want %v", ifname, got, err, want)
		}
	}
	is(eth0)
	settle(events)
	must(t, h.ns.AddRoute(eth0, netip.MustParsePrefix("10.99.0.0/16"), netip.MustParseAddr("10.0.0.253")))
	if e := next(events, time.Second); !e.Routes {
		t.Errorf("told of %+v when a route came", e)
	}
	must(t, h.ns.AddDefaultRoute(eth0, netip.MustParseAddr("10.0.0.254")))
	is(eth0, "10.0.0.254", "10.0.0.253")
	is("lo")
}

// Without CAP_NET_ADMIN and CAP_NET_RAW the answer is 77 and the remedy. The
// thread that loses its rights cannot leave the namespace and ends there.
func TestNotPermitted(t *testing.T) {
	h := newHosts(t, 1)[0]
	must(t, h.ns.Do(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		k, err := netops.NewKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		if _, err := k.Addresses(eth0); err != nil {
			t.Errorf("reading needs no rights: %v", err)
		}
		_, wireErr := netops.OpenWire(eth0)
		for name, err := range map[string]error{
			"hold":        k.Hold(eth0, alias, time.Second),
			"extend":      k.Extend(eth0, h.own(), time.Second, time.Now().Add(time.Hour)),
			"ensure base": k.EnsureBase(eth0, base),
			"drop":        k.Drop(eth0, h.own()),
			"open wire":   wireErr,
		} {
			if fault.CodeOf(err) != fault.NotPermitted || !strings.Contains(fault.HintOf(err), "CAP_NET_ADMIN") {
				t.Errorf("%s: %v with code %d and hint %q", name, err, fault.CodeOf(err), fault.HintOf(err))
			}
		}
		return nil
	}))
	if !h.has(h.own()) {
		t.Error("the address was changed without rights")
	}
}

// An ordinary user's lab runs in a user namespace: nothing here needs rights
// outside it.
func TestInUserNamespace(t *testing.T) {
	if !netnstest.InUserNamespace(t) {
		return
	}
	t.Run("base", TestBaseStays)
	t.Run("connection", TestConnectionSurvivesConversions)
	t.Run("announcement", TestAnnouncementReachesNeighbours)
	t.Run("probe", TestProbe)
}

func TestKernelIsLikeTheFake(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	must(t, h.ns.DeleteAddress(eth0, h.own()))
	testSame(t, h.kernel)
	testSameBlocks(t, h.kernel)
	testMissing(t, h.kernel)
}
