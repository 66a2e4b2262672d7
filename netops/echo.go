package netops

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"
)

// Echo is an answer to an ICMP echo that was sent to one station. It contains a sealed part of the
// question, which only a receiver of the question can know: neither a cache nor a host that answers
// ARP for others can produce it.
type Echo struct {
	Time  time.Time        // when the kernel received it
	Asked time.Time        // when the question was sent
	From  netip.Addr       // to whom the question was sent
	MAC   net.HardwareAddr // sender of the answer; do not change it in place
}

const (
	ethTypeIPv4   = 0x0800
	icmpv4        = 1 // the protocol
	ipv4HeaderLen = 20
	echoHeaderLen = 8
	echoSealLen   = 16
	echoDataLen   = 8 + echoSealLen
	echoLen       = echoHeaderLen + echoDataLen
	echoFrameMost = ethernetLen + ipv6HeaderLen + echoLen
	echoHops      = 1 // routers do not forward it

	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

var errNotEcho = errors.New("not an answer to an echo of this wire")

// echoes creates the echoes of one wire and recognises their answers.
type echoes struct {
	id    uint16 // distinguishes them from those of other programs
	key   [32]byte
	began time.Time
}

func newEchoes() echoes {
	e := echoes{began: time.Now()}
	var id [2]byte
	_, _ = rand.Read(e.key[:]) // never fails
	_, _ = rand.Read(id[:])
	e.id = binary.BigEndian.Uint16(id[:])
	return e
}

// seal returns the data that authenticates an echo.
func (e *echoes) seal(asked uint64, target netip.Addr) []byte {
	h := hmac.New(sha256.New, e.key[:])
	h.Write(binary.BigEndian.AppendUint64(nil, asked))
	h.Write(target.AsSlice())
	return h.Sum(nil)[:echoSealLen]
}

// appendFrame appends the question for target at a MAC address to b.
func (e *echoes) appendFrame(b []byte, own, to net.HardwareAddr, from, target netip.Addr, now time.Time) ([]byte, error) {
	if len(own) != macLen || !IsUnicast(to) {
		return b, errors.New("an echo goes from one station to another")
	}
	asked := uint64(now.Sub(e.began))
	message := make([]byte, echoHeaderLen, echoLen)
	binary.BigEndian.PutUint16(message[4:], e.id)
	binary.BigEndian.PutUint16(message[6:], uint16(asked>>20))
	message = binary.BigEndian.AppendUint64(message, asked)
	message = append(message, e.seal(asked, target)...)
	b = append(append(b, to...), own...)
	switch {
	case from.Is4() && target.Is4():
		message[0] = echoRequest4
		binary.BigEndian.PutUint16(message[2:], internetSum(0, message))
		header := make([]byte, ipv4HeaderLen)
		header[0] = 0x45
		binary.BigEndian.PutUint16(header[2:], ipv4HeaderLen+echoLen)
		header[6] = 0x40 // do not fragment
		header[8], header[9] = echoHops, icmpv4
		copy(header[12:], from.AsSlice())
		copy(header[16:], target.AsSlice())
		binary.BigEndian.PutUint16(header[10:], internetSum(0, header))
		b = append(binary.BigEndian.AppendUint16(b, ethTypeIPv4), header...)
	case isIPv6(from) && isIPv6(target):
		message[0] = echoRequest6
		binary.BigEndian.PutUint16(message[2:], checksum(from, target, message))
		b = binary.BigEndian.AppendUint16(b, ethTypeIPv6)
		b = append(b, 6<<4, 0, 0, 0, 0, echoLen, icmpv6, echoHops)
		b = append(append(b, from.AsSlice()...), target.AsSlice()...)
	default:
		return b, errors.New("an echo goes between two addresses of one family")
	}
	return append(b, message...), nil
}

// parse decodes an Ethernet frame with an answer to one of these echoes; now is its time of
// arrival.
func (e *echoes) parse(b []byte, now time.Time) (Echo, error) {
	if len(b) < ethernetLen {
		return Echo{}, errNotEcho
	}
	var from netip.Addr
	var message []byte
	switch ip := b[ethernetLen:]; binary.BigEndian.Uint16(b[12:]) {
	case ethTypeIPv4:
		if len(ip) < ipv4HeaderLen+echoLen || ip[0] != 0x45 || ip[9] != icmpv4 || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 ||
			binary.BigEndian.Uint16(ip[2:]) != ipv4HeaderLen+echoLen {
			return Echo{}, errNotEcho
		}
		from, message = netip.AddrFrom4([4]byte(ip[12:16])), ip[ipv4HeaderLen:ipv4HeaderLen+echoLen]
		if message[0] != echoReply4 || internetSum(0, message) != 0 {
			return Echo{}, errNotEcho
		}
	case ethTypeIPv6:
		if len(ip) < ipv6HeaderLen+echoLen || ip[0]>>4 != 6 || ip[6] != icmpv6 || binary.BigEndian.Uint16(ip[4:]) != echoLen {
			return Echo{}, errNotEcho
		}
		from, message = netip.AddrFrom16([16]byte(ip[8:24])), ip[ipv6HeaderLen:ipv6HeaderLen+echoLen]
		if message[0] != echoReply6 || checksum(from, netip.AddrFrom16([16]byte(ip[24:40])), message) != 0 {
			return Echo{}, errNotEcho
		}
	default:
		return Echo{}, errNotEcho
	}
	data := message[echoHeaderLen:]
	asked := binary.BigEndian.Uint64(data)
	if message[1] != 0 || binary.BigEndian.Uint16(message[4:]) != e.id || !hmac.Equal(data[8:], e.seal(asked, from)) {
		return Echo{}, errNotEcho
	}
	return Echo{Time: now, Asked: e.began.Add(time.Duration(asked)), From: from, MAC: clone(b[6:12])}, nil
}

// internetSum is the checksum of RFC 1071: 0 for a message with a valid one, and the valid one for
// a message with zeros in its place.
func internetSum(sum uint32, message []byte) uint16 {
	for i, v := range message {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
