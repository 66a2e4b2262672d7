package netops

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"mxcluster/internal/fault"
)

// Blocking keeps an address off the wire while this server has it, as the
// passive side of a preloaded cluster does (spec ch. 4) and whoever does not
// know whether the address is its own: no packet from or for the address leaves
// or enters through the interface, and nobody who asks for it is answered.
// Programs on this server can bind it and talk to it. Wires may ask who else has
// the address, and hear the answers and the announcements of others.
//
// A block does not end with the process that made it, only by Unblock, with the
// interface's namespace, or when somebody flushes the kernel's rules; Watch tells
// of that.

// blockPrefix begins the names of the tables that block addresses. One table for
// each makes blocking and unblocking one atomic step, and instances on one
// machine strangers to one another.
const blockPrefix = "mxcluster-"

// blockName names the table that blocks addr on an interface, in letters that
// nft accepts without quotes.
func blockName(ifname string, addr netip.Addr) string {
	text := addr.String()
	if addr.Is6() {
		raw := addr.As16()
		text = hex.EncodeToString(raw[:])
	}
	return blockPrefix + text + "-" + ifname
}

// parseBlockName is blockName turned round.
func parseBlockName(name string) (ifname string, addr netip.Addr, ok bool) {
	rest, ok := strings.CutPrefix(name, blockPrefix)
	if !ok {
		return "", addr, false
	}
	text, ifname, ok := strings.Cut(rest, "-")
	if !ok || ifname == "" {
		return "", addr, false
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return ifname, addr, true
	}
	raw, err := hex.DecodeString(text)
	addr, isAddr := netip.AddrFromSlice(raw)
	return ifname, addr, err == nil && isAddr && addr.Is6()
}

// CheckBlockable refuses what is no address of a host.
func CheckBlockable(addr netip.Addr) error {
	if addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && addr.Zone() == "" && !addr.Is4In6() {
		return nil
	}
	return fault.New(fault.Usage, "give the address of a host", "%q cannot be blocked", addr)
}
