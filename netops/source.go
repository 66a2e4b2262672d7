package netops

import (
	"net"
	"net/netip"
)

// Source returns the address from which the kernel would send to another one, in the network
// namespace of the calling thread. It sends nothing.
func Source(to netip.Addr) (netip.Addr, error) {
	const discard = 9 // any port
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, discard)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
