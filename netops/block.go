package netops

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"mxcluster/internal/fault"
)

// Blocking keeps an address off the wire while this server has it, as on the passive side of a
// preloaded cluster (spec ch. 4), or while it is unknown whose address it is: no packet from or to
// the address passes the interface, and requests for it are not answered. Local programs can bind
// it and reach it. Wires may ask who else has the address, and receive the answers and the
// announcements of others.
//
// A block does not end with the process that made it, but by Unblock, with the interface's
// namespace, or when somebody flushes the kernel's rules, which Watch reports.

// blockPrefix is the prefix of the tables that block addresses. One table for each address makes
// blocking and unblocking atomic, and keeps instances on one machine independent.
const blockPrefix = "mxcluster-"

// blockName returns the name of the table that blocks addr on an interface, in characters that nft
// accepts without quotes.
func blockName(ifname string, addr netip.Addr) string {
	text := addr.String()
	if addr.Is6() {
		raw := addr.As16()
		text = hex.EncodeToString(raw[:])
	}
	return blockPrefix + text + "-" + ifname
}

// parseBlockName is the inverse of blockName.
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

// CheckBlockable refuses addresses that no host can have.
func CheckBlockable(addr netip.Addr) error {
	if addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && addr.Zone() == "" && !addr.Is4In6() {
		return nil
	}
	return fault.New(fault.Usage, "give the address of a host", "%q cannot be blocked", addr)
}
