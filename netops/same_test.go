package netops_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// testSame is what a real and a fake kernel must do alike, on an interface
// eth0 without addresses.
func testSame(t *testing.T, k kernel) {
	otherLength := netip.MustParsePrefix("10.0.0.11/32")
	far := netip.MustParsePrefix("192.168.1.1/24")
	group := netip.MustParsePrefix("ff02::1/64")
	const minute = time.Minute
	hold := func(p netip.Prefix, lease time.Duration) func() error {
		return func() error { return k.Hold(eth0, p, lease) }
	}
	behind := func(p netip.Prefix) func() error {
		return func() error { return k.HoldBehind(eth0, p, minute) }
	}
	extend := func(p netip.Prefix, lease, left time.Duration) func() error {
		return func() error { return k.Extend(eth0, p, lease, time.Now().Add(left)) }
	}
	drop := func(p netip.Prefix) func() error { return func() error { return k.Drop(eth0, p) } }
	ensure := func(p netip.Prefix) func() error { return func() error { return k.EnsureBase(eth0, p) } }
	wait := func(d time.Duration) func() error { return func() error { <-time.After(d); return nil } }
	for _, step := range []struct {
		name string
		do   func() error
		code fault.Code
		want string
	}{
		{"a base", ensure(base), fault.OK, "10.0.0.21/24P"},
		{"an alias beside it", hold(alias, minute), fault.OK, "10.0.0.21/24P 10.0.0.11/24l"},
		{"made permanent", hold(alias, 0), fault.OK, "10.0.0.21/24P 10.0.0.11/24p"},
		{"drop with another length", drop(otherLength), fault.OK, "10.0.0.21/24P 10.0.0.11/24p"},
		{"the alias becomes primary", drop(base), fault.OK, "10.0.0.11/24P"},
		{"a base beside it", ensure(base), fault.OK, "10.0.0.11/24P 10.0.0.21/24p"},
		{"once more", ensure(base), fault.OK, "10.0.0.11/24P 10.0.0.21/24p"},
		{"extend a permanent one", extend(alias, minute, minute), fault.OK, "10.0.0.11/24L 10.0.0.21/24p"},
		{"ensure a leased one", ensure(alias), fault.OK, "10.0.0.11/24P 10.0.0.21/24p"},
		{"extend what is not there", extend(far, minute, minute), fault.Failed, "10.0.0.11/24P 10.0.0.21/24p"},
		{"drop what is not there", drop(far), fault.OK, "10.0.0.11/24P 10.0.0.21/24p"},
		{"extend too late", extend(alias, minute, 0), fault.Failed, "10.0.0.21/24P"},
		{"behind a base", behind(alias), fault.OK, "10.0.0.21/24P 10.0.0.11/24l"},
		{"once more", behind(alias), fault.OK, "10.0.0.21/24P 10.0.0.11/24l"},
		{"before it", func() error { return errors.Join(drop(base)(), ensure(base)()) }, fault.OK, "10.0.0.11/24L 10.0.0.21/24p"},
		{"and behind", behind(alias), fault.OK, "10.0.0.21/24P 10.0.0.11/24l"},
		{"behind nothing", func() error { return errors.Join(drop(base)(), behind(alias)()) }, fault.OK, "10.0.0.11/24L"},
		{"the base again", func() error { return errors.Join(ensure(base)(), drop(alias)()) }, fault.OK, "10.0.0.21/24P"},
		{"another subnet", hold(far, minute), fault.OK, "10.0.0.21/24P 192.168.1.1/24L"},
		{"drop it", drop(far), fault.OK, "10.0.0.21/24P"},
		{"extend for ever", extend(base, 0, minute), fault.Usage, "10.0.0.21/24P"},
		{"a negative lease", hold(alias, -1), fault.Usage, "10.0.0.21/24P"},
		{"hold a group", hold(group, minute), fault.Usage, "10.0.0.21/24P"},
		{"drop nothing", drop(netip.Prefix{}), fault.Usage, "10.0.0.21/24P"},
		{"a lease is rounded up", hold(alias, 1500*time.Millisecond), fault.OK, "10.0.0.21/24P 10.0.0.11/24l"},
		{"and lasts so long", wait(1800 * time.Millisecond), fault.OK, "10.0.0.21/24P 10.0.0.11/24l"},
		{"and no longer", wait(800 * time.Millisecond), fault.OK, "10.0.0.21/24P"},
	} {
		if err := step.do(); fault.CodeOf(err) != step.code {
			t.Errorf("%s: %v with code %d, want %d", step.name, err, fault.CodeOf(err), step.code)
		}
		addresses, err := k.Addresses(eth0)
		if got := format(addresses); err != nil || got != step.want {
			t.Errorf("%s: %q (%v), want %q", step.name, got, err, step.want)
		}
	}
}

// testSameBlocks is what a real and a fake kernel must do alike with blocks.
func testSameBlocks(t *testing.T, k kernel) {
	six := netip.MustParseAddr("fd00::1")
	changed, err := k.Watch(t.Context())
	must(t, err)
	for _, step := range []struct {
		name string
		do   func(string, netip.Addr) error
		addr netip.Addr
		code fault.Code
		want []netip.Addr
	}{
		{"an address that is not here", k.Block, alias.Addr(), fault.OK, []netip.Addr{alias.Addr()}},
		{"once more", k.Block, alias.Addr(), fault.OK, []netip.Addr{alias.Addr()}},
		{"an IPv6 address", k.Block, six, fault.OK, []netip.Addr{alias.Addr(), six}},
		{"no address", k.Block, netip.Addr{}, fault.Usage, []netip.Addr{alias.Addr(), six}},
		{"unblock", k.Unblock, alias.Addr(), fault.OK, []netip.Addr{six}},
		{"unblock once more", k.Unblock, alias.Addr(), fault.OK, []netip.Addr{six}},
		{"unblock the other", k.Unblock, six, fault.OK, nil},
	} {
		if err := step.do(eth0, step.addr); fault.CodeOf(err) != step.code {
			t.Errorf("%s: %v with code %d, want %d", step.name, err, fault.CodeOf(err), step.code)
		}
		got, err := k.Blocked(eth0)
		slices.SortFunc(got, netip.Addr.Compare)
		if err != nil || !slices.Equal(got, step.want) {
			t.Errorf("%s: %v (%v), want %v", step.name, got, err, step.want)
		}
	}
	if e := <-changed; !e.Blocks {
		t.Errorf("told of %+v", e)
	}
}

// testMissing is that every call names a missing interface alike.
func testMissing(t *testing.T, k kernel) {
	const typo = "eht0"
	_, linkErr := k.Link(typo)
	_, addressesErr := k.Addresses(typo)
	_, gatewayErr := k.Gateways(typo)
	_, blockedErr := k.Blocked(typo)
	for name, err := range map[string]error{
		"link":        linkErr,
		"addresses":   addressesErr,
		"gateway":     gatewayErr,
		"block":       k.Block(typo, alias.Addr()),
		"blocked":     blockedErr,
		"hold":        k.Hold(typo, alias, time.Second),
		"extend":      k.Extend(typo, alias, time.Second, time.Now().Add(time.Second)),
		"drop":        k.Drop(typo, alias),
		"ensure base": k.EnsureBase(typo, base),
	} {
		if fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) != "did you mean eth0?" {
			t.Errorf("%s: %v with code %d and hint %q", name, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

func TestFakeKernelIsLikeTheReal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := netopstest.NewKernel("srv1", netops.Link{Name: "lo"}, netops.Link{Name: eth0, Up: true})
		testSame(t, k)
		testSameBlocks(t, k)
		testMissing(t, k)
	})
}
