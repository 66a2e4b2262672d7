package member

import (
	"encoding/binary"
	"time"
)

const (
	partHead = 8 + 1 + 1          // message 8 | index 1 | last index 1
	partSize = datagramSize - 200 // room for the frame around it, with two names of some length
	partLife = 2 * time.Second
	maxParts = 1 << 8

	maxAssemblies = 64 // messages that are being put together at a time
)

// split cuts a message into parts that each fit in a datagram. One that fits as
// it is has one part.
func split(number uint64, message []byte) [][]byte {
	count := max((len(message)+partSize-1)/partSize, 1)
	if count > maxParts {
		return nil
	}
	parts := make([][]byte, 0, count)
	for i := range count {
		b := binary.BigEndian.AppendUint64(make([]byte, 0, partHead+partSize), number)
		b = append(b, byte(i), byte(count-1)) //nolint:gosec // below maxParts
		parts = append(parts, append(b, message[i*partSize:min((i+1)*partSize, len(message))]...))
	}
	return parts
}

// assembly puts the parts of each server's newest message together.
type assembly map[string]*pieces

type pieces struct {
	number uint64
	have   int
	parts  [][]byte
	began  time.Time
}

// add takes a part in; it returns the message that is whole by it, else nil.
func (a assembly) add(from string, part []byte, now time.Time) []byte {
	if len(part) < partHead {
		return nil
	}
	number, index, last := binary.BigEndian.Uint64(part), int(part[8]), int(part[9])
	if index > last || len(part) > partHead+partSize {
		return nil
	}
	if last == 0 {
		return part[partHead:]
	}
	p := a[from]
	if p == nil && !a.room(now) {
		return nil
	}
	if p == nil || p.number != number && (number > p.number || now.Sub(p.began) > partLife) {
		p = &pieces{number: number, parts: make([][]byte, last+1), began: now}
		a[from] = p
	}
	if p.number != number || last+1 != len(p.parts) || p.parts[index] != nil {
		return nil
	}
	p.parts[index] = part[partHead:]
	if p.have++; p.have < len(p.parts) {
		return nil
	}
	delete(a, from)
	var whole []byte
	for _, b := range p.parts {
		whole = append(whole, b...)
	}
	return whole
}

// room makes sure that one more message can be put together.
func (a assembly) room(now time.Time) bool {
	if len(a) < maxAssemblies {
		return true
	}
	for from, p := range a {
		if now.Sub(p.began) > partLife {
			delete(a, from)
		}
	}
	return len(a) < maxAssemblies
}
