package netopstest

import (
	"net"
	"net/netip"
	"slices"

	"mxcluster/netops"
)

// Proxy makes the kernel answer ARP on an interface for every address in a subnet, except probes,
// as a router with local proxy ARP does. The zero Prefix ends it.
func (k *Kernel) Proxy(ifname string, subnet netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.proxied = subnet
	}
}

// IgnoreEcho makes the kernel ignore echoes, as a firewall does.
func (k *Kernel) IgnoreEcho(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.echoless = on
}

// standsInFor reports whether the kernel answers a request for another host, and with which MAC.
func (k *Kernel) standsInFor(ifname string, o netops.Observation) (net.HardwareAddr, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil || !l.Up || !l.proxied.IsValid() || !l.proxied.Contains(o.TargetIP) || o.SenderIP.IsUnspecified() {
		return nil, false
	}
	return l.MAC, !slices.Contains(k.denied, o.TargetIP)
}

// echoes reports whether the kernel answers an echo to an address, and from which MAC.
func (k *Kernel) echoes(ifname string, addr netip.Addr) (net.HardwareAddr, bool) {
	mac, ok := k.owns(ifname, addr)
	k.mu.Lock()
	defer k.mu.Unlock()
	return mac, ok && !k.echoless
}
