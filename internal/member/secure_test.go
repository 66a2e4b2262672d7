package member

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"mxcluster/internal/compat"
	"mxcluster/internal/member/membernet"
	"mxcluster/internal/member/seal"
)

// TestStrangersOnThePort opens many connections to a pool's port that show no key,
// as whoever reaches it can: they are held to their number and their time, what
// they send is not read on, and a server of the system comes in beside them.
func TestStrangersOnThePort(t *testing.T) {
	port := freePort(t, "127.0.77.1", "127.0.77.2")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.77.2"), port)
	b := openReal(t, "b", at, testKey(1))
	stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 77, 9)}}
	refused := 0
	var held []net.Conn
	for range 5 * guestsOfOne {
		conn, err := stranger.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		held = append(held, conn)
	}
	for _, conn := range held[guestsOfOne:] {
		_ = conn.SetReadDeadline(time.Now().Add(deadline))
		if _, err := conn.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			refused++
		}
	}
	if refused != 4*guestsOfOne {
		t.Errorf("%d of %d connections beyond the first %d were refused", refused, 4*guestsOfOne, guestsOfOne)
	}
	// An unframed packet and the stream of the membership library alone are nothing.
	plain := append([]byte{10}, binary.BigEndian.AppendUint32(nil, 20<<20)...)
	if _, err := held[0].Write(plain); err != nil {
		t.Fatal(err)
	}
	_ = held[0].SetReadDeadline(time.Now().Add(deadline))
	if n, err := io.Copy(io.Discard, held[0]); n > 64 || isTimeout(err) {
		t.Errorf("%d bytes come back to a stream without a handshake: %v", n, err)
	}
	a := openReal(t, "a", netip.AddrPortFrom(netip.MustParseAddr("127.0.77.1"), port), testKey(1))
	if n, err := a.Join(at); n != 1 || err != nil {
		t.Errorf("joining beside strangers: %d, %v", n, err)
	}
	for limit := time.After(deadline); len(b.Members()) != 1; {
		select {
		case <-limit:
			t.Fatalf("members %v", b.Members())
		case <-time.After(time.Millisecond):
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // straight from the socket
	return ok && timeout.Timeout()
}

// TestNoConnectionWithoutTheKey has a client and a server of another key, and one of
// no TLS, meet a pool.
func TestNoConnectionWithoutTheKey(t *testing.T) {
	ours, err := newIdentities([][]byte{testKey(1), testKey(2)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		keys [][]byte
		ok   bool
	}{
		"the first key":         {[][]byte{testKey(1)}, true},
		"the key of a rotation": {[][]byte{testKey(2), testKey(1)}, true},
		"another system's":      {[][]byte{testKey(3)}, false},
		"half way":              {[][]byte{testKey(3), testKey(1)}, false}, // it shows the other one
	} {
		t.Run(name, func(t *testing.T) {
			theirs, err := newIdentities(tt.keys)
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			done := make(chan error, 1)
			go func() {
				conn, err := net.Dial("tcp", l.Addr().String())
				if err == nil {
					defer conn.Close()
					err = tls.Client(conn, theirs.config()).Handshake()
				}
				done <- err
			}()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			bad := tls.Server(conn, ours.config()).Handshake()
			conn.Close()
			if both := bad == nil && <-done == nil; both != tt.ok {
				t.Errorf("shaking hands: %v", bad)
			}
		})
	}
}

// held is a connection that notes that it was closed.
type held struct{ closed bool }

func (h *held) Close() error {
	h.closed = true
	return nil
}

// Strangers have some places; of a server's address the newest connections stay.
func TestGuests(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.1")
	g := guests{known: func(a netip.Addr) bool { return a == peer }}
	var leave []func()
	for i := range 2 * maxGuests {
		from := netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", i/guestsOfOne))
		if l := g.admit(from, &held{}); l != nil {
			leave = append(leave, l)
		} else if i < maxGuests {
			t.Fatalf("guest %d is not let in", i)
		}
	}
	if len(leave) != maxGuests {
		t.Errorf("%d guests at once", len(leave))
	}
	var conns []*held
	for range 3 * guestsOfPeers {
		conns = append(conns, &held{})
		l := g.admit(peer, conns[len(conns)-1])
		if l == nil {
			t.Fatal("a server of the system is not let in")
		}
		leave = append(leave, l)
	}
	for i, c := range conns {
		if old := i < len(conns)-guestsOfPeers; c.closed != old {
			t.Errorf("connection %d of a server: closed %v", i, c.closed)
		}
	}
	for _, l := range leave {
		l()
	}
	if g.all != 0 || len(g.of) != 0 {
		t.Errorf("all left, and yet %d and %v", g.all, g.of)
	}
}

// TestParts splits messages of many lengths and puts them together, out of order,
// with losses, and with those of other servers between.
func TestParts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, now := assembly{}, time.Now()
	for n := range 300 {
		message := bytes.Repeat([]byte{byte(n)}, r.IntN(40*partSize))
		parts := split(uint64(n+1), message)
		for _, p := range parts {
			if len(p) > partHead+partSize {
				t.Fatalf("a part of %d bytes", len(p))
			}
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		lost := r.IntN(4) == 0 && len(parts) > 1
		if lost {
			parts = parts[1:]
		}
		var got []byte
		for i, p := range parts {
			a.add(fmt.Sprintf("other%d", i%70), split(uint64(n+1), make([]byte, 3*partSize))[i%4%3], now)
			if whole := a.add("b", p, now); whole != nil {
				got = whole
			}
		}
		if lost == (got != nil) || got != nil && !bytes.Equal(got, message) {
			t.Fatalf("message %d of %d bytes: %d come out, a part lost: %v", n, len(message), len(got), lost)
		}
		now = now.Add(partLife + 1)
	}
	if split(1, make([]byte, maxParts*partSize+1)) != nil {
		t.Error("a message of too many parts is split")
	}
	// A run that counts from the start again is heard as soon as the former one's parts are old.
	a.add("c", split(900, make([]byte, 2*partSize))[0], now)
	first := split(1, []byte(strings.Repeat("x", 2*partSize)))
	for _, p := range first {
		a.add("c", p, now.Add(2*partLife))
	}
	if a["c"] != nil {
		t.Error("a new run's message is not put together")
	}
	if len(a) > maxAssemblies {
		t.Errorf("%d messages are being put together", len(a))
	}
}

// TestPanicCostsOneDatagram has what reads a datagram fail.
func TestPanicCostsOneDatagram(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		a.Beat("b")
		b.take()
		good := b.secure.deliver
		b.secure.deliver = func(string, netip.AddrPort, time.Time, []byte) { panic("on purpose") }
		a.Beat("b")
		b.hears(t)
		b.secure.deliver = good
		a.Beat("b")
		b.hears(t, Event{Kind: BeatHeard, From: "a", At: time.Now()})
		if b.mu.Lock(); len(b.refused) != 1 || b.refused[0].Kind != seal.Garbled.String() {
			t.Errorf("refused %+v", b.refused)
		}
		b.mu.Unlock()
	})
}

// FuzzParts gives any part.
func FuzzParts(f *testing.F) {
	for _, p := range split(7, make([]byte, 3*partSize)) {
		f.Add(p)
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 255, 0})
	a, now := assembly{}, time.Now()
	f.Fuzz(func(t *testing.T, part []byte) {
		if whole := a.add("b", part, now); len(whole) > maxParts*partSize {
			t.Errorf("%d bytes", len(whole))
		}
	})
}

func TestExpectedMembership(t *testing.T) {
	ping := []byte{membershipPing, 0x80}
	compound := func(parts ...[]byte) []byte {
		b := []byte{membershipCompound, byte(len(parts))}
		for _, p := range parts {
			b = binary.BigEndian.AppendUint16(b, uint16(len(p))) //nolint:gosec // short
		}
		return append(b, bytes.Join(parts, nil)...)
	}
	checked := func(b []byte) []byte { return append([]byte{membershipChecked, 1, 2, 3, 4}, b...) }
	for name, tt := range map[string]struct {
		b    []byte
		want bool
	}{
		"nothing":              {nil, false},
		"a ping":               {ping, true},
		"a ping with a sum":    {checked(ping), true},
		"two":                  {compound(ping, []byte{membershipAlive, 1}), true},
		"compressed":           {[]byte{9, 1, 2}, false},
		"encrypted":            {[]byte{10, 1, 2}, false},
		"a user's message":     {[]byte{8, 1, 2}, false},
		"a label":              {[]byte{244, 1, 2}, false},
		"compressed, with sum": {checked([]byte{9, 1, 2}), false},
		"compressed, among":    {compound(ping, []byte{9, 1}), false},
		"compound in compound": {compound(compound(ping)), false},
		"cut off":              {compound(ping, ping)[:5], false},
		"lengths of nothing":   {[]byte{membershipCompound, 9}, false},
		"an empty part":        {compound(nil), false},
		"sum of a sum":         {checked(checked(ping)), false},
	} {
		if got := expectedMembership(tt.b); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzSecure sends any datagram, as a stranger, and any body in a frame of a server of the
// system, through the whole way of reception with the membership library at its end.
func FuzzSecure(f *testing.F) {
	end, err := membernet.New().Open(addr("192.0.2.2"))
	if err != nil {
		f.Fatal(err)
	}
	cfg := testConfig("b", addr("192.0.2.2"))
	cfg.Transport = end
	p, err := Open(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { p.Close() })
	from := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.77.7:7946"))
	f.Add([]byte("mx\x01\x02"), true)
	f.Add([]byte{membershipPing, 0x83, 0xa5, 'S', 'e', 'q', 'N', 'o', 1}, false)
	f.Add([]byte{membershipChecked, 0, 0, 0, 0, membershipAlive, 0x80}, false)
	for _, in := range append(compat.Recorded(f, "gossip"), compat.OfTheFuture(f, "gossip")...) {
		f.Add(in.Content, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, outside bool) {
		if outside {
			if o := p.secure.box.Open(b, time.Now()); len(o.Frames) > 0 {
				t.Error("a stranger is believed")
			}
			return
		}
		if expectedMembership(b) {
			p.secure.pass(packetOf(b, from))
		}
	})
}

// FuzzStream sends any bytes over a connection whose other end has shown a key, to the
// membership library at its end: one member does not end another.
func FuzzStream(f *testing.F) {
	end, err := membernet.New().Open(addr("192.0.2.2"))
	if err != nil {
		f.Fatal(err)
	}
	cfg := testConfig("b", addr("192.0.2.2"))
	cfg.Transport = end
	p, err := Open(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { p.Close() })
	go func() {
		for range p.Events() { // nobody cares
		}
	}()
	f.Add([]byte("\x08\x81\xaaUserMsgLen\x02{}"))                                             // a message
	f.Add([]byte("\x06\x83\xa5Nodes\x01\xacUserStateLen\x02\xa4Join\xc3\x81\xa4Name\xa1a[]")) // all states
	f.Add([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1b"))                                       // a ping
	f.Add([]byte("\x09\x82\xa4Algo\x00\xa3Buf\xa3abc"))                                       // compressed
	f.Add([]byte("\xf4\x01x\x00"))                                                            // a label
	for _, in := range append(compat.Recorded(f, "gossip"), compat.OfTheFuture(f, "gossip")...) {
		size := binary.BigEndian.AppendUint16([]byte{0xcd}, uint16(len(in.Content))) //nolint:gosec // recorded are below 64 KiB
		f.Add(slices.Concat([]byte("\x08\x81\xaaUserMsgLen"), size, in.Content))
		f.Add(slices.Concat([]byte("\x06\x83\xa5Nodes\x00\xacUserStateLen"), size, []byte("\xa4Join\xc3"), in.Content))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		p.secure.streams <- theirs
		go func() {
			_, _ = io.Copy(io.Discard, ours)
		}()
		_, _ = ours.Write(b) // what is not read any more is no matter
	})
}

func packetOf(b []byte, from net.Addr) *memberlist.Packet {
	return &memberlist.Packet{Buf: b, From: from, Timestamp: time.Now()}
}
