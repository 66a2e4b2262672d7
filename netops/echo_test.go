package netops

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"
)

// answerTo turns a question into its answer as a kernel does.
func answerTo(t *testing.T, question []byte) []byte {
	t.Helper()
	b := bytes.Clone(question)
	copy(b[0:6], question[6:12])
	copy(b[6:12], question[0:6])
	switch b[12] {
	case 0x08:
		copy(b[26:30], question[30:34])
		copy(b[30:34], question[26:30])
		b[34] = echoReply4
		b[36], b[37] = 0, 0
		sum := internetSum(0, b[34:])
		b[36], b[37] = byte(sum>>8), byte(sum)
	default:
		copy(b[22:38], question[38:54])
		copy(b[38:54], question[22:38])
		b[54] = echoReply6
		b[56], b[57] = 0, 0
		sum := checksum(netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54])), b[54:])
		b[56], b[57] = byte(sum>>8), byte(sum)
	}
	return b
}

func TestEchoFrames(t *testing.T) {
	own, to := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	e, other := newEchoes(), newEchoes()
	for _, at := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		from, target := netip.MustParseAddr(at[0]), netip.MustParseAddr(at[1])
		asked := e.began.Add(1234567 * time.Nanosecond)
		question, err := e.appendFrame(nil, own, to, from, target, asked)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.parse(question, asked); err == nil {
			t.Errorf("%s: a question was taken for an answer", target)
		}
		answer := answerTo(t, question)
		padded := append(bytes.Clone(answer), make([]byte, 20)...)
		for _, b := range [][]byte{answer, padded} {
			got, err := e.parse(b, asked.Add(time.Millisecond))
			if err != nil || got.From != target || !got.Asked.Equal(asked) || got.MAC.String() != to.String() {
				t.Errorf("%s: %+v, %v", target, got, err)
			}
		}
		if _, err := other.parse(answer, asked); err == nil {
			t.Errorf("%s: another wire takes it for an answer of its own", target)
		}
		for i := 12; i < len(answer); i++ { // any bit that is wrong, but in what says nothing
			for bit := range 8 {
				b := bytes.Clone(answer)
				b[i] ^= 1 << bit
				if got, err := e.parse(b, asked); err == nil && (got.From != target || !got.Asked.Equal(asked)) {
					t.Fatalf("%s: byte %d changed: %+v", target, i, got)
				}
			}
		}
		for n := range answer {
			if _, err := e.parse(answer[:n], asked); err == nil {
				t.Errorf("%s: the first %d bytes are an answer", target, n)
			}
		}
	}
	for _, to := range []net.HardwareAddr{nil, broadcast(), groupMAC(allNodes())} {
		if _, err := e.appendFrame(nil, own, to, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), time.Now()); err == nil {
			t.Errorf("an echo goes to %s", to)
		}
	}
}

func FuzzParseEcho(f *testing.F) {
	e := newEchoes()
	for _, at := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		b, err := e.appendFrame(nil, net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}, netip.MustParseAddr(at[0]), netip.MustParseAddr(at[1]), e.began)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := e.parse(b, time.Now()); err == nil && !got.From.IsValid() {
			t.Errorf("%+v", got)
		}
	})
}
