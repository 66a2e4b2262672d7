// Package seal makes and opens the datagrams of the gossip port. Nothing that it
// has not opened reaches a library: a datagram is authentic, meant for this
// server, of the present run of its sender's agent, and was not seen before. It
// does no I/O, and no clock or disk decides who is believed.
//
// A frame is sealed with XChaCha20-Poly1305 under a gossip key; everything before
// the sealed body is authenticated with it:
//
//	"mx" | version 1 | kind 1 | key id 4 | run 16 | counter 8 | sender | receiver | body, sealed
//
// Names are a length in one byte and that many bytes. Run and counter are the
// nonce, too: a run is 128 random bits, and its counter only grows, so that no
// nonce is used twice under one key.
//
// A sender whose run is not known is asked to prove it: a hello carries a fresh
// nonce, and the hello that echoes it is the proof, for it was made after the
// question. The run then replaces the one known before, which does not come back
// without a proof of its own. So nothing recorded is believed, be it of an earlier
// run, of this one, or sent to somebody else.
package seal

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// Kind tells what the body of a frame is.
type Kind byte

// The kinds of frames.
const (
	hello      Kind = iota + 1 // nonce 16 | echo 16; a zero stands for none
	Message                    // of package member
	Membership                 // of the membership library
)

// Version is that of the frame, in its third byte.
const Version = 1

// Overhead is how many bytes a frame has more than its body and the two names.
const Overhead = fixedSize + 2 + tagSize

const (
	magic     = "mx"
	fixedSize = len(magic) + 2 + keyIDSize + runSize + counterSize
	runSize   = 16
	nonceSize = 16 // of a hello
	tagSize   = 16
	keyIDSize = 4

	counterSize = 8
	helloSize   = 2 * nonceSize
	maxName     = 255
)

type (
	run   [runSize]byte
	nonce [nonceSize]byte
)

// Box seals what this run of an agent sends, and opens what it receives. Its
// methods may be called by several goroutines at once.
type Box struct {
	name   string
	run    run
	random io.Reader

	mu      sync.Mutex
	ring    []key // the first seals
	counter uint64
	peers   map[string]*peer
	counts  Counts
}

// New returns the box of a new run. The name is this server's; random gives the
// run's identity and nonces. Keys: see [Box.SetKeys].
func New(name string, keys [][]byte, random io.Reader) (*Box, error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("a name of %d bytes", len(name))
	}
	b := &Box{name: name, random: random, peers: map[string]*peer{}}
	if _, err := io.ReadFull(random, b.run[:]); err != nil {
		return nil, fmt.Errorf("making the identity of this run: %w", err)
	}
	return b, b.SetKeys(keys)
}

// Seal returns a frame of a kind with a body for a server.
func (b *Box) Seal(kind Kind, to string, body []byte) ([]byte, error) {
	if to == "" || len(to) > maxName {
		return nil, fmt.Errorf("no receiver %q", to)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seal(&b.ring[0], kind, to, body), nil
}

// seal is Seal with a key of the ring, for who holds the lock.
func (b *Box) seal(k *key, kind Kind, to string, body []byte) []byte {
	b.counter++
	f := make([]byte, 0, Overhead+len(b.name)+len(to)+len(body))
	f = append(f, magic...)
	f = append(f, Version, byte(kind))
	f = append(f, k.id[:]...)
	f = append(f, b.run[:]...)
	f = binary.BigEndian.AppendUint64(f, b.counter)
	f = append(f, byte(len(b.name))) //nolint:gosec // bounded by New
	f = append(f, b.name...)
	f = append(f, byte(len(to))) //nolint:gosec // bounded by Seal
	f = append(f, to...)
	return k.aead.Seal(f, f[nonceAt:nonceAt+runSize+counterSize], body, f)
}

// nonceAt is where run and counter, the nonce of the cipher, lie in a frame.
const nonceAt = len(magic) + 2 + keyIDSize

// Opened is what came of a datagram.
type Opened struct {
	Verdict Verdict
	From    string   // the sender's name, where it is authentic
	Frames  []Frame  // to be worked on, in order
	Answers [][]byte // to be sent back to where the datagram came from; none is longer than that was
}

// Frame is one that was opened.
type Frame struct {
	Kind Kind
	Body []byte
}

// Verdict says what became of a datagram.
type Verdict int

// The verdicts.
const (
	Accepted  Verdict = iota
	Garbled           // no frame of this version, or not authentic
	OtherKey          // sealed with a key that is not in the ring
	NotForUs          // meant for another server, or our own
	Replayed          // seen before, or too old
	Unproven          // of a run that is not known, which was asked to prove itself
	Unwelcome         // the same, and too many were asked already
	verdicts
)

// String names the verdict.
func (v Verdict) String() string {
	return [verdicts]string{"accepted", "garbled", "other-key", "not-for-us", "replayed", "unproven", "unwelcome"}[v]
}

// Counts is how many datagrams had each verdict.
type Counts [verdicts]uint64

// Counts returns what became of all datagrams so far.
func (b *Box) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

// Open opens a datagram that arrived now.
func (b *Box) Open(datagram []byte, now time.Time) Opened {
	h, ok := parse(datagram)
	if !ok {
		return b.count(Opened{Verdict: Garbled})
	}
	k, known := b.keyOf(h.key)
	if !known {
		return b.count(Opened{Verdict: OtherKey})
	}
	body, err := k.aead.Open(nil, datagram[nonceAt:nonceAt+runSize+counterSize], datagram[h.size:], datagram[:h.size])
	if err != nil {
		return b.count(Opened{Verdict: Garbled})
	}
	if h.to != b.name || h.from == b.name {
		return b.count(Opened{Verdict: NotForUs, From: h.from})
	}
	return b.count(b.judge(question{h, k, len(datagram), now}, body))
}

// count keeps the verdict.
func (b *Box) count(o Opened) Opened {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[o.Verdict]++
	return o
}

// header is what stands before the sealed body.
type header struct {
	kind     Kind
	key      keyID
	run      run
	counter  uint64
	from, to string
	size     int
}

// parse reads the header of a datagram; false where it has none.
func parse(d []byte) (h header, ok bool) {
	if len(d) < Overhead || string(d[:len(magic)]) != magic || d[len(magic)] != Version {
		return h, false
	}
	h.kind = Kind(d[len(magic)+1])
	h.key = keyID(d[len(magic)+2:])
	h.run = run(d[nonceAt:])
	h.counter = binary.BigEndian.Uint64(d[nonceAt+runSize:])
	rest := d[fixedSize:]
	name := func() string {
		if !ok || len(rest) == 0 {
			ok = false
			return ""
		}
		size := int(rest[0])
		if ok = size > 0 && size < len(rest); !ok {
			return ""
		}
		n := string(rest[1 : 1+size])
		rest = rest[1+size:]
		return n
	}
	ok = h.kind >= hello && h.kind <= Membership
	h.from, h.to = name(), name()
	h.size = len(d) - len(rest)
	return h, ok && len(rest) >= tagSize
}

// keyOf finds a key of the ring.
func (b *Box) keyOf(id keyID) (*key, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.ring {
		if b.ring[i].id == id {
			return &b.ring[i], true // a ring is replaced, never changed
		}
	}
	return nil, false
}
