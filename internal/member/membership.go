package member

import (
	"encoding/binary"
	"slices"
)

// The kinds of the membership library's datagrams, by their first byte. Those not
// named here, compressed and encrypted ones among them, are not sent by this
// program, and none is given to a decoder.
const (
	membershipPing     = 0
	membershipIndirect = 1
	membershipAck      = 2
	membershipSuspect  = 3
	membershipAlive    = 4
	membershipDead     = 5
	membershipCompound = 7
	membershipNack     = 11
	membershipChecked  = 12 // a checksum of 4 bytes before another one
)

const checksumSize = 4

var membershipLeaves = []byte{
	membershipPing, membershipIndirect, membershipAck, membershipSuspect, membershipAlive, membershipDead, membershipNack,
}

// expectedMembership tells whether a datagram is one that the membership library
// of this program sends.
func expectedMembership(b []byte) bool {
	if len(b) > 1+checksumSize && b[0] == membershipChecked {
		b = b[1+checksumSize:]
	}
	if len(b) < 2 {
		return false
	}
	if b[0] != membershipCompound {
		return slices.Contains(membershipLeaves, b[0])
	}
	count, b := int(b[1]), b[2:]
	if len(b) < 2*count {
		return false
	}
	lengths, b := b[:2*count], b[2*count:]
	for i := range count {
		n := int(binary.BigEndian.Uint16(lengths[2*i:]))
		if n == 0 || n > len(b) || !slices.Contains(membershipLeaves, b[0]) {
			return false
		}
		b = b[n:]
	}
	return true
}
