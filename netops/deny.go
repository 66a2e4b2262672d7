package netops

import "net/netip"

// Denying keeps an address off the wire of all interfaces of a server that is not
// to have it, those included that are made later: nobody who asks for it is answered
// by ARP or neighbour discovery, what the kernel itself says of it does not go out,
// and no packet from or for it goes between a program here and an interface other
// than loopback. It is a fact about an address, not about an interface, and stands
// whether the address is here or not: whatever brings it up later is silent from the
// first moment. What this server sends to the rightful holder passes, and so do the
// answers; announcements and neighbour tables are left alone.
//
// What the kernel's rules cannot do: as long as a denied address is on one of this
// server's interfaces, Linux routes what programs here send to it to this server
// itself, and takes packets from the rightful holder's address for forged. And a
// program that writes whole frames (a packet socket, as arping has) passes by the
// rules of families arp and inet; the table of a block (see Block) on the one
// interface stops those, too.

// denyTable is the name of the tables, of families arp and inet, with all denied
// addresses.
const denyTable = "mxcluster-denied"

// CheckDeniable refuses what is no address of a host.
func CheckDeniable(addrs []netip.Addr) error {
	for _, a := range addrs {
		if err := CheckBlockable(a); err != nil {
			return err
		}
	}
	return nil
}
