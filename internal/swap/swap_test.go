package swap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

const eth0 = "eth0"

var (
	known = netip.MustParsePrefix("10.0.0.11/24") // the address that clients use
	other = netip.MustParsePrefix("10.0.0.21/24")
	rival = net.HardwareAddr{2, 0, 0, 0, 0, 9}

	enter = clusterconf.Exchange{Server: "srv1", LIM: 1, Interface: eth0, OldBase: known, NewBase: other, Alias: known, Direction: clusterconf.DirectionEnter}
	leave = enter.Reversed()
)

// interface0 is an interface in memory: what it has, by address, and the lease of each; 0: for good.
type interface0 struct {
	has   map[netip.Prefix]time.Duration
	fails bool
}

var errFull = errors.New("no buffer space")

func (i *interface0) Addresses(string) (all []netops.Address, err error) {
	for p, lease := range i.has {
		all = append(all, netops.Address{Interface: eth0, Prefix: p, Permanent: lease == 0, Remaining: lease})
	}
	return all, nil
}

func (i *interface0) EnsureBase(_ string, base netip.Prefix) error {
	if i.fails {
		return errFull
	}
	i.has[base] = 0
	return nil
}

func (i *interface0) Hold(_ string, alias netip.Prefix, lease time.Duration) error {
	i.has[alias] = lease
	return nil
}

func (i *interface0) Drop(_ string, addr netip.Prefix) error {
	delete(i.has, addr)
	return nil
}

func (i *interface0) String() string {
	var all []string
	for p, lease := range i.has {
		all = append(all, fmt.Sprint(p.Addr(), " ", lease))
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// Whatever is on the interface: who made ready has the new base for good, keeps the
// address that clients use, and by undoing has what was there before. An address that
// somebody else has is taken on neither way.
func TestMakeReadyIsUndone(t *testing.T) {
	leases := []time.Duration{-1, 0, time.Minute} // not there, for good, leased
	for _, e := range []clusterconf.Exchange{enter, leave, {Server: "srv1", Interface: eth0, OldBase: known, NewBase: other, Direction: clusterconf.DirectionMove}} {
		for _, first := range leases {
			for _, second := range leases {
				for _, inUse := range []bool{false, true} {
					for _, fails := range []bool{false, true} {
						i := &interface0{has: map[netip.Prefix]time.Duration{}, fails: fails}
						for p, lease := range map[netip.Prefix]time.Duration{known: first, other: second} {
							if lease >= 0 {
								i.has[p] = lease
							}
						}
						_, hadNew := i.has[e.NewBase]
						before, asked := i.String(), false
						here, _ := i.Addresses(eth0)
						undo, err := Decide(e, here).MakeReady(t.Context(), i, func(_ context.Context, ifname string, addr netip.Addr) (net.HardwareAddr, error) {
							if asked = true; ifname != eth0 || addr != e.NewBase.Addr() {
								t.Errorf("%s: %s is asked for on %s", e.Direction, addr, ifname)
							}
							if inUse {
								return rival, nil
							}
							return nil, nil
						})
						name := fmt.Sprintf("%s, %s, in use %t, fails %t", e.Direction, before, inUse, fails)
						if asked == hadNew {
							t.Errorf("%s: asked %t", name, asked)
						}
						switch lease, ready := i.has[e.NewBase]; {
						case asked && inUse:
							if fault.CodeOf(err) != fault.Refused || undo != nil || i.String() != before {
								t.Errorf("%s: %v, has %s", name, err, i)
							}
						case err == nil && !ready, err == nil && e.Direction == clusterconf.DirectionLeave && lease != 0, err != nil && !errors.Is(err, errFull):
							t.Errorf("%s: has %s, %v", name, i, err)
						}
						if undo != nil {
							if err := undo(i); err != nil {
								t.Errorf("%s: %v", name, err)
							}
						}
						if !fails && i.String() != before && undo == nil {
							t.Errorf("%s: %s cannot be undone", name, i)
						}
						if i.String() != before {
							t.Errorf("%s: after undoing there is %s", name, i)
						}
					}
				}
			}
		}
	}
}

// A probe that cannot be sent changes nothing.
func TestMakeReadyWithoutAProbe(t *testing.T) {
	down := errors.New("network is down")
	i := &interface0{has: map[netip.Prefix]time.Duration{known: 0}}
	undo, err := Decide(enter, nil).MakeReady(t.Context(), i, func(context.Context, string, netip.Addr) (net.HardwareAddr, error) { return nil, down })
	if !errors.Is(err, down) || undo != nil || len(i.has) != 1 {
		t.Errorf("%v, has %s", err, i)
	}
}

// The former base goes on leaving alone, when the document has followed.
func TestWhatGoesLast(t *testing.T) {
	if p := Decide(leave, nil); p.Last != other {
		t.Errorf("leaving: %s", p.Last)
	}
	if p := Decide(enter, nil); p.Last.IsValid() {
		t.Errorf("entering: %s", p.Last)
	}
}

// A LIM leaves where its regular server has the alias. Where no agents run, it leaves as
// well when nobody answers for it.
func TestMayLeave(t *testing.T) {
	for _, tc := range []struct {
		home Home
		may  bool
	}{
		{Home{Here: true}, true}, {Home{Here: true, Agents: true}, true}, {Home{Here: true, Other: rival}, true},
		{Home{}, true}, {Home{Other: rival}, false}, {Home{Agents: true}, false}, {Home{Agents: true, Other: rival}, false},
	} {
		switch err := MayLeave(leave, tc.home); {
		case tc.may != (err == nil):
			t.Errorf("%+v: %v", tc.home, err)
		case err != nil && (fault.CodeOf(err) != fault.Refused || fault.HintOf(err) != "bring it back first: mxcluster fallback 1"):
			t.Errorf("%+v: %v", tc.home, err)
		}
	}
}
