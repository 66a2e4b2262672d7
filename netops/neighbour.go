package netops

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// IPv6 uses neighbour discovery (RFC 4861) instead of ARP. It is represented in the same way: a
// solicitation is a Request of the sender address for the target address, from :: if it is a probe
// (RFC 4862); an advertisement is a Reply with the MAC address of its sender address.

const (
	ethTypeIPv6     = 0x86dd
	icmpv6          = 58 // the protocol
	ipv6HeaderLen   = 40
	neighbourLen    = 24 // of a solicitation or advertisement, without options
	linkOptionLen   = 8  // with an Ethernet address
	neighbourFrame  = ethernetLen + ipv6HeaderLen + neighbourLen + linkOptionLen
	neighbourMost   = 256 // no longer message is needed
	hopLimit        = 255 // it did not pass a router
	solicitation    = 135
	advertisement   = 136
	sourceLinkLayer = 1 // options
	targetLinkLayer = 2
	solicitedFlag   = 0x40
	overrideFlag    = 0x20 // replaces former entries
)

var errNotNeighbour = errors.New("not a neighbour solicitation or advertisement over Ethernet")

// allNodes is the multicast group of all IPv6 stations on a link.
func allNodes() netip.Addr { return netip.AddrFrom16([16]byte{0xff, 2, 15: 1}) }

// solicitedNode is the multicast group of the stations that may have an address.
func solicitedNode(addr netip.Addr) netip.Addr {
	a := addr.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]})
}

// groupMAC is the Ethernet address of an IPv6 multicast group (RFC 2464).
func groupMAC(group netip.Addr) net.HardwareAddr {
	a := group.As16()
	return net.HardwareAddr{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// Unspecified returns the unspecified address of addr's family; a request from it is a probe.
func Unspecified(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// ParseNeighbour decodes an Ethernet frame with a neighbour solicitation or advertisement. It
// refuses frames that receivers must discard by RFC 4861 (section 7.1). The result does not alias
// b.
func ParseNeighbour(b []byte) (Observation, error) {
	if len(b) < ethernetLen+ipv6HeaderLen+neighbourLen || binary.BigEndian.Uint16(b[12:]) != ethTypeIPv6 {
		return Observation{}, errNotNeighbour
	}
	ip := b[ethernetLen:]
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if ip[0]>>4 != 6 || ip[6] != icmpv6 || ip[7] != hopLimit || length < neighbourLen || length > len(ip)-ipv6HeaderLen {
		return Observation{}, errNotNeighbour
	}
	source, dest := netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	message := ip[ipv6HeaderLen : ipv6HeaderLen+length]
	target := netip.AddrFrom16([16]byte(message[8:]))
	if !isIPv6(source) || !isIPv6(dest) || !isIPv6(target) {
		return Observation{}, errNotNeighbour
	}
	if message[1] != 0 || target.IsMulticast() || source.IsMulticast() || checksum(source, dest, message) != 0 {
		return Observation{}, errNotNeighbour
	}
	link, found, ok := linkOption(message)
	if !ok {
		return Observation{}, errNotNeighbour
	}
	o := Observation{EthDst: clone(b[0:6]), EthSrc: clone(b[6:12]), SenderMAC: clone(b[6:12])}
	if found {
		o.SenderMAC = clone(link)
	}
	switch {
	case message[0] == solicitation && source.IsUnspecified() && (found || dest != solicitedNode(target)):
		return Observation{}, errNotNeighbour
	case message[0] == solicitation:
		o.Op, o.SenderIP, o.TargetIP = Request, source, target
	case message[0] == advertisement && (!dest.IsMulticast() || message[4]&solicitedFlag == 0):
		o.Op, o.SenderIP, o.TargetIP = Reply, target, dest
	default:
		return Observation{}, errNotNeighbour
	}
	return o, nil
}

// linkOption finds the sender's Ethernet address among a message's options; ok is false if these
// are invalid.
func linkOption(message []byte) (mac []byte, found, ok bool) {
	kind := byte(sourceLinkLayer)
	if message[0] == advertisement {
		kind = targetLinkLayer
	}
	for options := message[neighbourLen:]; len(options) > 0; {
		if len(options) < 2 {
			return nil, false, false
		}
		length := 8 * int(options[1])
		if length == 0 || length > len(options) {
			return nil, false, false
		}
		if options[0] == kind && length == linkOptionLen && !found {
			mac, found = options[2:8], true
		}
		options = options[length:]
	}
	return mac, found, true
}

// appendNeighbour appends the frame of a solicitation or an advertisement to b. Advertisements have
// the override flag.
func (o Observation) appendNeighbour(b []byte) ([]byte, error) {
	for _, mac := range []net.HardwareAddr{o.EthDst, o.EthSrc, o.SenderMAC} {
		if len(mac) != macLen {
			return b, fmt.Errorf("encode neighbour discovery: %q is not an Ethernet address", mac)
		}
	}
	if !isIPv6(o.SenderIP) || !isIPv6(o.TargetIP) {
		return b, fmt.Errorf("encode neighbour discovery: %s and %s are not both IPv6 addresses", o.SenderIP, o.TargetIP)
	}
	source, dest, target := o.SenderIP, o.TargetIP, o.SenderIP
	message := make([]byte, neighbourLen, neighbourLen+linkOptionLen)
	message[0], message[4] = advertisement, overrideFlag
	option := byte(targetLinkLayer)
	if o.Op == Request {
		message[0], message[4], option, target = solicitation, 0, sourceLinkLayer, o.TargetIP
		if !IsUnicast(o.EthDst) || source.IsUnspecified() {
			dest = solicitedNode(target)
		}
	}
	copy(message[8:], target.AsSlice())
	if !source.IsUnspecified() {
		message = append(append(message, option, linkOptionLen/8), o.SenderMAC...)
	}
	binary.BigEndian.PutUint16(message[2:], checksum(source, dest, message))
	b = append(append(b, o.EthDst...), o.EthSrc...)
	b = binary.BigEndian.AppendUint16(b, ethTypeIPv6)
	b = append(b, 6<<4, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	b = append(b, icmpv6, hopLimit)
	b = append(append(b, source.AsSlice()...), dest.AsSlice()...)
	return append(b, message...), nil
}

// checksum is that of ICMPv6 (RFC 4443, RFC 8200): 0 for a message with a valid one, and the valid
// one for a message with zeros in its place.
func checksum(source, dest netip.Addr, message []byte) uint16 {
	sum := uint32(len(message)) + icmpv6
	for _, part := range [][]byte{source.AsSlice(), dest.AsSlice()} {
		for i, v := range part {
			sum += uint32(v) << (8 * (1 - i%2))
		}
	}
	return internetSum(sum, message)
}

// isIPv6 reports whether addr is an IPv6 address, neither mapped nor with a zone.
func isIPv6(addr netip.Addr) bool { return addr.Is6() && !addr.Is4In6() && addr.Zone() == "" }

func clone(b []byte) net.HardwareAddr { return append(net.HardwareAddr(nil), b...) }
