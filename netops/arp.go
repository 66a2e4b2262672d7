package netops

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Op is the operation of an ARP frame.
type Op uint16

// The operations of RFC 826.
const (
	Request Op = 1 // who has the target address?
	Reply   Op = 2 // the sender has the sender address
)

// String returns the operation's name.
func (o Op) String() string {
	switch o {
	case Request:
		return "request"
	case Reply:
		return "reply"
	}
	return fmt.Sprintf("operation %d", uint16(o))
}

// Observation is one ARP frame, or one of IPv6's neighbour discovery, which says
// the same (see ParseNeighbour). It is shared between subscribers: do not change
// the MAC addresses in place.
type Observation struct {
	Time                 time.Time // when the kernel received it; zero for a frame to be sent
	Op                   Op
	SenderMAC, TargetMAC net.HardwareAddr // TargetMAC of ARP alone
	SenderIP, TargetIP   netip.Addr
	EthSrc, EthDst       net.HardwareAddr
}

const (
	ethernetLen = 14
	frameLen    = ethernetLen + 28 // without the padding to Ethernet's 60 bytes
	macLen      = 6
	ethTypeARP  = 0x0806
)

// arpHeader is the part of the ARP packet that is the same in every frame of
// IPv4 over Ethernet: hardware type, protocol type and the address lengths.
const arpHeader = 0x0001_0800_06_04

var errNotARP = errors.New("not an ARP frame of IPv4 over Ethernet")

// broadcast returns Ethernet's broadcast address.
func broadcast() net.HardwareAddr {
	return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

// ParseFrame decodes an Ethernet frame that holds an ARP request or reply for
// IPv4 addresses. What follows the 42 bytes is padding. A VLAN tag is an error,
// as is any other operation. The result does not alias b.
func ParseFrame(b []byte) (Observation, error) {
	if len(b) < frameLen {
		return Observation{}, fmt.Errorf("%w: %d bytes, want at least %d", errNotARP, len(b), frameLen)
	}
	header := uint64(binary.BigEndian.Uint32(b[14:18]))<<16 | uint64(binary.BigEndian.Uint16(b[18:20]))
	op := Op(binary.BigEndian.Uint16(b[20:22]))
	if binary.BigEndian.Uint16(b[12:14]) != ethTypeARP || header != arpHeader || (op != Request && op != Reply) {
		return Observation{}, errNotARP
	}
	// One allocation for the four MAC addresses; a full slice expression each,
	// so that an append cannot reach the neighbour.
	macs := make(net.HardwareAddr, 0, 4*macLen)
	for _, at := range [...]int{0, 6, 22, 32} {
		macs = append(macs, b[at:at+macLen]...)
	}
	return Observation{
		Op:        op,
		EthDst:    macs[0:6:6],
		EthSrc:    macs[6:12:12],
		SenderMAC: macs[12:18:18],
		SenderIP:  netip.AddrFrom4([4]byte(b[28:32])),
		TargetMAC: macs[18:24:24],
		TargetIP:  netip.AddrFrom4([4]byte(b[38:42])),
	}, nil
}

// AppendFrame appends the frame to b, 42 bytes if it is ARP. The network driver pads.
func (o Observation) AppendFrame(b []byte) ([]byte, error) {
	if o.SenderIP.Is6() {
		return o.appendNeighbour(b)
	}
	for _, mac := range []net.HardwareAddr{o.EthDst, o.EthSrc, o.SenderMAC, o.TargetMAC} {
		if len(mac) != macLen {
			return b, fmt.Errorf("encode an ARP frame: %q is not an Ethernet address", mac)
		}
	}
	if !o.SenderIP.Is4() || !o.TargetIP.Is4() {
		return b, fmt.Errorf("encode an ARP frame: %s and %s are not both IPv4 addresses", o.SenderIP, o.TargetIP)
	}
	sender, target := o.SenderIP.As4(), o.TargetIP.As4()
	b = append(b, o.EthDst...)
	b = append(b, o.EthSrc...)
	b = binary.BigEndian.AppendUint16(b, ethTypeARP)
	b = binary.BigEndian.AppendUint32(b, uint32(arpHeader>>16))
	b = binary.BigEndian.AppendUint16(b, uint16(arpHeader&0xffff))
	b = binary.BigEndian.AppendUint16(b, uint16(o.Op))
	b = append(b, o.SenderMAC...)
	b = append(b, sender[:]...)
	b = append(b, o.TargetMAC...)
	return append(b, target[:]...), nil
}

// Claims reports whether a frame from another server claims addr, or announces to: any frame with
// addr as sender, and a probe for it (RFC 5227: a broadcast request without a sender address). A
// plain request for addr claims nothing, nor does a probe to a single station, by which some
// switches track hosts.
func Claims(o Observation, addr netip.Addr) bool {
	if o.SenderIP == addr {
		return true
	}
	probe := o.Op == Request && o.SenderIP.IsUnspecified() && o.TargetIP == addr
	return probe && !IsUnicast(o.EthDst)
}

// IsUnicast reports whether mac addresses one station.
func IsUnicast(mac net.HardwareAddr) bool { return len(mac) == macLen && mac[0]&1 == 0 }

// WhoHas returns the request for target, sent to dst, or broadcast if dst is nil.
func WhoHas(own net.HardwareAddr, from, target netip.Addr, dst net.HardwareAddr) Observation {
	switch {
	case dst != nil:
	case target.Is4():
		dst = broadcast()
	default:
		dst = groupMAC(solicitedNode(target))
	}
	return Observation{
		Op:        Request,
		EthSrc:    own,
		EthDst:    dst,
		SenderMAC: own,
		SenderIP:  from,
		TargetMAC: make(net.HardwareAddr, macLen),
		TargetIP:  target,
	}
}

// Announcement returns the frames that announce addr at own: gratuitous ARP as a request (RFC 5227)
// and as a reply, since some systems heed only one of them; an unsolicited neighbour advertisement
// for IPv6.
func Announcement(own net.HardwareAddr, addr netip.Addr) []Observation {
	if addr.Is6() {
		return []Observation{{Op: Reply, EthSrc: own, EthDst: groupMAC(allNodes()), SenderMAC: own, SenderIP: addr, TargetIP: allNodes()}}
	}
	request := WhoHas(own, addr, addr, nil)
	reply := request
	reply.Op = Reply
	reply.TargetMAC = own
	return []Observation{request, reply}
}
