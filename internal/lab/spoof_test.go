//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"mxcluster/netops"
)

func TestSpoofedMAC(t *testing.T)     { runScenario(t, "spoofed-mac", program(t)) }
func TestSpoofedMACIPv6(t *testing.T) { runScenario(t, "spoofed-mac-ipv6", program(t)) }

const (
	spoofPeriod = 50 * time.Millisecond
	spoofFor    = 5 * time.Second
	spoofServed = 99 // percent of the calls
)

// spoofedMACScenario: a host that has no key sends frames of ARP, or of neighbour
// discovery, that claim the alias with the standby's MAC address, to the holder alone. The
// LIM is served all the while, its alias is never blocked, and an alarm says what goes on.
func spoofedMACScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	return x.spoofMAC(ctx)
}

func spoofedMACIPv6Scenario(ctx context.Context, l *Lab) error {
	x, err := newIPv6Cluster(ctx, l)
	if err != nil {
		return err
	}
	return x.spoofMAC(ctx)
}

func (x *site) spoofMAC(ctx context.Context) error {
	port, err := x.network.addTap("stranger", net.HardwareAddr{2, 0, 0x5e, 0, 9, 9})
	if err != nil {
		return err
	}
	var f findings
	from := time.Now()
	frames, err := claimAs(ctx, port, x.address(11).Addr(), x.standby.MAC, x.srv1.MAC)
	f.noError(err, "sending")
	to := time.Now()
	f.noError(x.caller.Settle(ctx), "waiting")
	s := x.caller.Between(from, to)
	x.say("%d frames in %s: %d of %d calls lost, silence %s", frames, to.Sub(from).Round(time.Second), s.Lost, s.Calls, s.Silence.Round(time.Millisecond))
	f.check(s.Calls > 0 && s.Lost*100 <= s.Calls*(100-spoofServed), "%d of %d calls were lost", s.Lost, s.Calls)
	f.check(slices.Equal(s.By, []string{"srv1"}), "answered by %q", s.By)
	f.noError(poll(ctx, "an alarm tells of it", func() bool {
		_, _, err := shell(ctx, x.srv1, "mxcluster status -o json | grep -q mac-used")
		return err == nil
	}), "alarm")
	out, _, err := shell(ctx, x.srv1, "mxcluster events | grep -c 'was blocked' || true")
	f.check(err == nil && out == "0", "the events tell %q times that the alias was blocked, %v", out, err)
	return f.err()
}

// claimAs sends frames that claim an address with a MAC address, to one station, and
// returns how many.
func claimAs(ctx context.Context, port *net.Interface, addr netip.Addr, mac, to net.HardwareAddr) (int, error) {
	claim := netops.Observation{Op: netops.Reply, EthDst: to, EthSrc: port.HardwareAddr, SenderMAC: mac, SenderIP: addr,
		TargetMAC: make(net.HardwareAddr, len(mac)), TargetIP: claimedTo(addr)}
	frame, err := claim.AppendFrame(nil)
	if err != nil {
		return 0, err
	}
	conn, err := packet.Listen(port, packet.Raw, unix.ETH_P_ALL, nil)
	if err != nil {
		return 0, fmt.Errorf("opening a socket for whole frames: %w", err)
	}
	defer conn.Close()
	tick := time.NewTicker(spoofPeriod)
	defer tick.Stop()
	sent := 0
	for began := time.Now(); time.Since(began) < spoofFor; sent++ {
		if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: to}); err != nil {
			return sent, err
		}
		select {
		case <-ctx.Done():
			return sent, ctx.Err()
		case <-tick.C:
		}
	}
	return sent, nil
}

// claimedTo is whom a claim of an address is addressed to: nobody in particular.
func claimedTo(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return addr
	}
	return netip.MustParseAddr("ff02::1") // all stations of the link
}
