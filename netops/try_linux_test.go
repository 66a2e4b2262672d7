package netops_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"mxcluster/internal/netns/netnstest"
	"mxcluster/netops"
)

func TestFullSegmentsAreToldFromSmallOnes(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	try := func(size int) (full, small bool) {
		t.Helper()
		netnstest.Do(t, a.ns, func() (err error) {
			full, small, err = netops.TrySegment(t.Context(), a.own().Addr(), b.own().Addr(), size)
			return err
		})
		return full, small
	}
	if full, small := try(1500); !full || !small {
		t.Errorf("1500 bytes over a cable that carries them: full %t, small %t", full, small)
	}
	must(t, b.ns.Do(func() error {
		l, err := netlink.LinkByName(eth0)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, 1400)
	}))
	if full, small := try(1500); full || !small {
		t.Errorf("1500 bytes to an interface of 1400: full %t, small %t", full, small)
	}
	must(t, b.ns.SetDown(eth0))
	if full, small := try(1500); full || small {
		t.Errorf("to an interface that is down: full %t, small %t", full, small)
	}
	netnstest.Do(t, a.ns, func() error {
		if _, _, err := netops.TrySegment(t.Context(), a.own().Addr(), b.own().Addr(), 9000); err == nil {
			t.Error("9000 bytes left an interface of 1500")
		}
		return nil
	})
}

func TestBlockingIsTriedApart(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	netnstest.Do(t, h.ns, func() error {
		if err := netops.TryBlocking(); err != nil {
			t.Error(err)
		}
		return nil
	})
	blocked, err := h.kernel.Blocked(eth0)
	must(t, err)
	if len(blocked) != 0 {
		t.Errorf("blocked: %s", blocked)
	}
}

func TestPortTriesFromAnAddress(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	netnstest.Do(t, a.ns, func() error {
		if err := netops.TryPort(ctx, a.own().Addr(), netip.AddrPortFrom(b.own().Addr(), 7946)); err == nil {
			t.Error("a connection without time")
		}
		if err := netops.TryPort(t.Context(), a.own().Addr(), netip.AddrPortFrom(b.own().Addr(), 7946)); err == nil {
			t.Error("a connection to a port where nobody listens")
		}
		return nil
	})
}
