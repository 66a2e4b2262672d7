package agent

import (
	"net"
	"testing"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// Of two machines the one that has the alias counts, as long as it speaks.
func TestSecondMachine(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	serves := &failover.Claim{Run: "A", LIMs: []failover.LIMClaim{{LIM: 1, Holds: true}}}
	idle := &failover.Claim{Run: "B", LIMs: []failover.LIMClaim{{LIM: 1}}}
	p := &peer{Peer: failover.Peer{Claim: serves}, claimed: at(100), duplicateSeen: at(99)}
	for _, tc := range []struct {
		name  string
		claim *failover.Claim
		at    int
		want  bool
	}{
		{"idle", idle, 101, true},
		{"the first one is silent", idle, 111, false},
		{"both serve", serves, 101, false},
	} {
		if got := p.fromSecond(tc.claim, at(tc.at)); got != tc.want {
			t.Errorf("%s: left aside: %t", tc.name, got)
		}
	}
	p.duplicateSeen = time.Time{}
	if p.fromSecond(idle, at(101)) {
		t.Error("a restart is left aside")
	}
}

// A restart is a run that follows another; a run that is heard again after a later
// one is a second machine.
func TestNoteRun(t *testing.T) {
	tests := map[string]struct {
		runs  string // as they are heard, one letter each; lower case: second-hand
		twice bool
	}{
		"first":              {"A", false},
		"restarts":           {"ABCDEFG", false},
		"a clone":            {"ABA", true},
		"of three":           {"ABCA", true},
		"after restarts":     {"ABCDED", true},
		"second-hand":        {"ABa", false},
		"the same all along": {"AAAA", false},
	}
	for name, tc := range tests {
		p := &peer{}
		for i, r := range tc.runs {
			at := time.Time{}
			if r < 'a' {
				at = time.Unix(int64(i+1), 0)
			}
			c := &failover.Claim{Run: string(r &^ 0x20), MAC: "02:00:00:00:00:0" + string(r&^0x20)}
			if p.Claim == nil || p.Claim.Run != c.Run {
				p.noteRun(c, at)
			}
			p.Claim = c
		}
		if !p.duplicateSeen.IsZero() != tc.twice {
			t.Errorf("%s: two machines: %t (%s)", name, !p.duplicateSeen.IsZero(), p.bothMACs)
		}
	}
}

// The server that serves tells everybody where its base is while another station uses
// it, so that what is sent to it does not go there; one that serves nobody does not.
func TestBaseIsKept(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		client := w.client()
		for _, tc := range []struct {
			server string
			kept   bool
		}{{"srv1", true}, {"sb1", false}} {
			base := w.doc.Server(tc.server).Base
			clone := netopstest.NewKernel("clone", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 0x77}})
			w.hold(&machine{kernel: clone}, base)
			w.segment.Connect(clone, "eth0")
			wire, err := w.segment.OpenWire(clone, "eth0")
			if err != nil {
				t.Fatal(err)
			}
			own, err := w.servers[tc.server].kernel.Link("eth0")
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				if err := wire.Announce(base.Addr()); err != nil {
					t.Fatal(err)
				}
				pass(basePeriod + 100*time.Millisecond)
				if got := client.last(base.Addr()); (got == own.MAC.String()) != tc.kept {
					t.Errorf("%s announced its base last: %v, want %v", tc.server, got == own.MAC.String(), tc.kept)
				}
			}
			client.last(base.Addr())
			client.macs[base.Addr()] = "told by the clone alone"
			pass(basePeriod + 100*time.Millisecond)
			if got := client.last(base.Addr()); (got == own.MAC.String()) != tc.kept {
				t.Errorf("%s announced its base again: %v, want %v", tc.server, got == own.MAC.String(), tc.kept)
			}
			w.segment.Disconnect(clone)
		}
		w.neverTwice()
	})
}

// Where a second machine has this server's base, a standby whose agent is not heard may be
// heard there, and a LIM whose alias that machine has may run there: neither is an alarm as
// long as it is so.
func TestAlarmsBesideASecondMachine(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		second := w.foreignHost(w.alias(1))
		wire, err := w.segment.OpenWire(second, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		w.start("srv1", "srv2", "sb1")
		both := func(d time.Duration) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); pass(basePeriod) {
				if err := wire.Announce(w.doc.Server("srv1").Base.Addr()); err != nil {
					t.Fatal(err)
				}
				for _, name := range []alarms.Name{alarms.LIMDown, alarms.StandbyOutOfOrder} {
					if w.raised(name, "srv1") {
						t.Fatalf("srv1 raises %s beside a second machine", name)
					}
				}
			}
		}
		both(15 * time.Second)
		w.kill("sb1")
		both(15 * time.Second)
		w.until(nameTwiceFor+soon, "that machine is gone, and srv1 tells of what it sees", func() bool {
			return w.raised(alarms.LIMDown, "srv1") && w.raised(alarms.StandbyOutOfOrder, "srv1")
		})
	})
}
