package netops_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"mxcluster/netops"
)

// What waits at the socket, since the process had no time to read it, is there
// after CatchUp; and a flood in which answers drown makes no address free.
func TestProbeInAFlood(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3)
	prober, holder, noisy := hosts[0], hosts[1], hosts[2]
	must(t, holder.kernel.Hold(eth0, alias, 0))
	w := prober.wire()
	for range 4 { // more than one reader can keep up with
		defer noisy.flood()()
	}
	eventually(t, 20*time.Second, "frames are lost", func() bool {
		lost, err := w.CatchUp()
		must(t, err)
		return lost > 0 || w.Lost() > 0
	})
	for range 2 { // each asks some twenty times
		mac, inUse, err := netops.Probe(t.Context(), w, alias.Addr(), 2, 10*time.Millisecond)
		if err == nil && (!inUse || mac.String() != holder.mac.String()) {
			t.Fatalf("held by %s: the probe says %v, %s", holder.mac, inUse, mac)
		}
	}
}

// flood broadcasts ARP questions as fast as it can until stop.
func (h *host) flood() (stop func()) {
	h.t.Helper()
	var conn *packet.Conn
	must(h.t, h.ns.Do(func() error {
		iface, err := net.InterfaceByName(eth0)
		if err == nil {
			conn, err = packet.Listen(iface, packet.Raw, 0, nil)
		}
		return err
	}))
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame, err := netops.Observation{
		Op: netops.Request, EthSrc: h.mac, EthDst: everybody, SenderMAC: h.mac, SenderIP: h.own().Addr(),
		TargetMAC: make(net.HardwareAddr, 6), TargetIP: netip.MustParseAddr("10.0.0.250"),
	}.AppendFrame(nil)
	must(h.t, err)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				_, _ = conn.WriteTo(frame, &packet.Addr{HardwareAddr: everybody}) // a full queue is a flood, too
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		must(h.t, conn.Close())
	}
}
