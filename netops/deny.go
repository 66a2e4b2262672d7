package netops

import "net/netip"

// Denying keeps an address that a server must not have off the wire of all its interfaces, present
// and future: requests for it by ARP or neighbour discovery are not answered, the kernel's
// announcements of it are not sent, and packets from or to it do not pass between a local program
// and an interface other than loopback. A denial is about an address, not about an interface, and
// holds whether the address is present or not: whatever adds it later, it is silent from the first
// moment. Packets between this server and the rightful holder pass; announcements and neighbour
// tables are not affected.
//
// What rules cannot do: while a denied address is on one of this server's interfaces, Linux
// delivers packets of local programs to it locally, and treats packets from the rightful holder as
// spoofed. A program that writes whole frames (a packet socket, as arping does) bypasses the rules
// of the families arp and inet; the table of a block (see Block) stops it on its interface.

// denyTable is the name of the tables with all denied addresses, of the families arp and inet.
const denyTable = "mxcluster-denied"

// CheckDeniable refuses addresses that no host can have.
func CheckDeniable(addrs []netip.Addr) error {
	for _, a := range addrs {
		if err := CheckBlockable(a); err != nil {
			return err
		}
	}
	return nil
}
