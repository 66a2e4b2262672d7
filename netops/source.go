package netops

import (
	"net"
	"net/netip"
)

// Source returns the address that the kernel would send from to another one, in the
// calling thread's network namespace. Nothing is sent.
func Source(to netip.Addr) (netip.Addr, error) {
	const discard = 9 // any port will do
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, discard)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
