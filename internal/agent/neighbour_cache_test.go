package agent

import (
	"net/netip"
	"testing"
	"time"

	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// The standby knows the clients that ask for an alias, and not more of them than
// it should.
func TestStandbyKnowsClients(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		mac := []byte{2, 0, 0, 0, 0, 0x77}
		k := netopstest.NewKernel("clients", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: mac})
		w.segment.Connect(k, "eth0")
		wire, err := w.segment.OpenWire(k, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		ask := func(from, target netip.Addr) {
			t.Helper()
			if err := wire.Ask(from, target, nil); err != nil {
				t.Fatal(err)
			}
			pass(time.Millisecond)
		}
		client, stranger := netip.MustParseAddr("192.0.2.150"), netip.MustParseAddr("10.9.0.1")
		ask(client, w.alias(1).Addr())
		ask(stranger, w.alias(1).Addr())
		ask(netip.IPv4Unspecified(), w.alias(1).Addr())
		ask(netip.MustParseAddr("192.0.2.151"), netip.MustParseAddr("192.0.2.152"))
		got := w.servers["sb1"].kernel.Neighbours("eth0")
		if len(got) != 1 || got[client] != "02:00:00:00:00:77" {
			t.Errorf("the standby knows %v, want %s alone", got, client)
		}
		made := netip.MustParseAddr("192.0.2.152")
		for range 100 {
			ask(made, w.alias(1).Addr())
			made = made.Next()
		}
		if n := len(w.servers["sb1"].kernel.Neighbours("eth0")); n > cacheMost {
			t.Errorf("the standby was told of %d neighbours", n)
		}
	})
}
