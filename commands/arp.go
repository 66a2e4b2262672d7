package commands

import (
	"net/netip"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// newARPCommand groups what speaks ARP.
func newARPCommand(a *app) *cobra.Command {
	return newGroup("arp", "Announce an address, or ask who has it", `
Stations find each other's hardware addresses by ARP, and by neighbour discovery
where addresses are IPv6. These commands send on one interface of this server,
and use the one or the other as the address asks for.`, `
  mxcluster arp probe 10.0.0.11 --interface eth0
  mxcluster arp probe 2001:db8::11 --interface eth0
  mxcluster arp announce 10.0.0.11 --interface eth0`,
		newARPAnnounceCommand(a), newARPProbeCommand(a))
}

// arpTarget reads an address and makes sure of the interface.
func arpTarget(ask *ui.Prompter, text, ifname string) (netip.Addr, string, error) {
	addr, err := netip.ParseAddr(text)
	if p, prefixErr := netip.ParsePrefix(text); prefixErr == nil {
		addr, err = p.Addr(), nil
	}
	if err != nil || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return addr, "", fault.New(fault.Usage, "give the address of a host, e.g. 10.0.0.11 or 2001:db8::11", "%q is not an address", text)
	}
	if ifname == "" {
		ifname, err = ask.Ask("interface", "Interface to send on, e.g. eth0", "")
	}
	return addr, ifname, err
}
