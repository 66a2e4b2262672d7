package agent

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mxcluster/internal/status"
	"mxcluster/netops"
)

// In every state that an alias can be in, and wherever it is found: what serves is
// never taken off, and a copy never stays beside it on a card.
func TestFateOfCopies(t *testing.T) {
	alias := netip.MustParsePrefix("10.0.0.11/24")
	prefixes := []netip.Prefix{alias}
	for bits := range 33 {
		prefixes = append(prefixes, netip.PrefixFrom(alias.Addr(), bits))
	}
	cases := 0
	for _, ifname := range []string{"eth0", "eth1", "lo", "br0"} {
		for _, p := range prefixes {
			for bits := range 16 {
				s := aliasState{alias: alias, ifname: "eth0", ours: bits&1 > 0, taking: bits&2 > 0, active: bits&5 == 5}
				if bits&8 > 0 && !s.active {
					s.elsewhere = "sb1"
				}
				cases++
				at := place{ifname, p}
				got, home := s.judge(at), ifname == "eth0" && p == alias
				switch {
				case home && (s.ours || s.taking) != (got == belongs), !home && got == belongs:
					t.Fatalf("%+v at %v: %d", s, at, got)
				case s.active && !home && got != isTakenOff:
					t.Fatalf("a copy beside %+v at %v stays", s, at)
				case !s.active && s.elsewhere == "" && got == isTakenOff:
					t.Fatalf("%+v at %v is taken off, and nobody is known to serve", s, at)
				case s.elsewhere != "" && got == stays && ifname != loopback:
					t.Fatalf("%+v at %v stays, and %s serves", s, at, s.elsewhere)
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

// Who adds a copy again and again has it taken off at growing distances, who does so
// once in a while at once.
func TestRemovalBacksOff(t *testing.T) {
	now := time.Unix(1e9, 0)
	var d adder
	var waits []time.Duration
	for range 9 {
		d.seen(now, nil, aliasState{}, isTakenOff)
		if at := now; d.next.After(now) {
			now = d.next
			waits = append(waits, now.Sub(at))
		} else {
			waits = append(waits, 0)
		}
		d.takenOff(now)
	}
	if got := fmt.Sprint(waits); got != "[0s 0s 2s 4s 8s 16s 32s 1m0s 1m0s]" {
		t.Errorf("waits %s", got)
	}
	now = now.Add(copyForgot + time.Second)
	if d.seen(now, nil, aliasState{}, isTakenOff); d.next.After(now) {
		t.Error("not forgotten")
	}
}

// An alias that somebody adds where its LIM is not active is silent from the first
// moment on, goes at once, and is told of with the file that brings it up; what serves
// goes on all the time.
func TestCopyOfAnAlias(t *testing.T) {
	for _, tc := range []struct {
		ifname, address string
		server          string
		stays           bool
	}{
		{"eth0", "192.0.2.11/24", "sb1", false}, {"eth0", "192.0.2.11/32", "sb1", false}, {"eth1", "192.0.2.11/24", "sb1", false},
		{"lo", "192.0.2.11/32", "sb1", true}, {"eth0", "192.0.2.11/24", "srv2", false}, {"eth1", "192.0.2.11/25", "srv1", false}, {"lo", "192.0.2.11/32", "srv1", false},
	} {
		t.Run(tc.server+" "+tc.ifname+" "+tc.address, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				for i, m := range []*machine{w.servers["srv1"], w.servers["srv2"], w.servers["sb1"]} {
					m.kernel.AddLink(netops.Link{Name: "eth1", Index: 3, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 1, byte(i)}})
					m.kernel.AddLink(netops.Link{Name: "lo", Index: 1, Up: true})
					w.segment.Connect(m.kernel, "eth1")
				}
				w.wrap = func(_ *machine, d Deps) Deps {
					d.Files = fstest.MapFS{"etc/network/interfaces": {Data: []byte("iface eth0 inet static\n address 192.0.2.11/24\n")}}
					return d
				}
				w.settled()
				client := w.client()
				k, p := w.servers[tc.server].kernel, netip.MustParsePrefix(tc.address)
				if err := k.Hold(tc.ifname, p, 0); err != nil {
					t.Fatal(err)
				}
				has := func() bool {
					all, err := k.Addresses(tc.ifname)
					return err == nil && slices.ContainsFunc(all, func(a netops.Address) bool { return a.Prefix == p })
				}
				told := func() bool {
					return slices.ContainsFunc(w.alarmsSeen("sb1"), func(x status.Alarm) bool {
						return x.Name == "address-twice" && x.Server == tc.server && strings.Contains(x.Text, "/etc/network/interfaces, line 2")
					})
				}
				if tc.server == "srv2" { // a server of another LIM: neither of the two that may have it
					w.until(time.Second, "the status shows it", func() bool { return !has() })
				}
				w.until(2*time.Second, "the alarm names the file", told)
				if tc.stays != has() {
					t.Errorf("it is there: %v", has())
				}
				h := w.status("srv1").Clusters[0].LIMs[0].Alias.Holders
				if i := slices.IndexFunc(h, func(x status.Holder) bool { return x.Server == "sb1" }); *h[i].Present != (tc.stays) || !*h[i].Blocked {
					t.Errorf("status: present %v, blocked %v", *h[i].Present, *h[i].Blocked)
				}
				w.await(1, "srv1", time.Second)
				w.neverTwice()
				if got := client.last(w.alias(1).Addr()); got != w.mac("srv1") && got != "" {
					t.Errorf("clients heard %s", got)
				}
			})
		})
	}
}

// Where nobody is known to serve, what the system brought up stays, denied.
func TestCopyWithNobodyElse(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		k, alias := w.servers["sb1"].kernel, w.alias(1)
		if err := k.Hold("eth0", alias, 0); err != nil {
			t.Fatal(err)
		}
		w.start("sb1")
		pass(5 * time.Second)
		if all, _ := k.Addresses("eth0"); !slices.ContainsFunc(all, func(a netops.Address) bool { return a.Prefix == alias }) {
			t.Error("it was taken off")
		}
		if denied, _ := k.Denied(); !slices.Contains(denied, alias.Addr()) {
			t.Error("it is not denied")
		}
		w.start("srv1", "srv2")
		w.await(1, "srv1", 40*time.Second)
		w.until(5*time.Second, "it is taken off", func() bool {
			all, err := k.Addresses("eth0")
			return err == nil && !slices.ContainsFunc(all, func(a netops.Address) bool { return a.Prefix == alias })
		})
		k.FlushRules()
		w.until(time.Second, "the denials are back", func() bool { denied, _ := k.Denied(); return len(denied) == 2 })
	})
}
