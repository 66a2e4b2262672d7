package netops

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

var (
	macA  = net.HardwareAddr{2, 0, 0, 0, 0, 0x0a}
	macB  = net.HardwareAddr{2, 0, 0, 0, 0, 0x0b}
	zero  = netip.IPv4Unspecified()
	ip11  = netip.MustParseAddr("10.0.0.11")
	ip21  = netip.MustParseAddr("10.0.0.21")
	frame = "ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000015 000000000000 0a00000b"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The bytes were taken down from RFC 826's description, not from this code.
func TestFrames(t *testing.T) {
	gratuitous := Announcement(macA, ip11)
	for _, tc := range []struct {
		name  string
		o     Observation
		bytes string
	}{
		{"who has", WhoHas(macA, ip21, ip11, nil), frame},
		{"who has, of one station", WhoHas(macA, ip21, ip11, macB),
			"02000000000b 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000015 000000000000 0a00000b"},
		{"probe", WhoHas(macA, zero, ip11, nil),
			"ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 00000000 000000000000 0a00000b"},
		{"announcement as a request", gratuitous[0],
			"ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a00000b 000000000000 0a00000b"},
		{"announcement as a reply", gratuitous[1],
			"ffffffffffff 02000000000a 0806 0001 0800 06 04 0002 02000000000a 0a00000b 02000000000a 0a00000b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := unhex(tc.bytes)
			got, err := tc.o.AppendFrame([]byte("before"))
			if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Errorf("encoded %x (%v), want %x", got, err, want)
			}
			for _, padding := range []int{0, 18, 1000} {
				o, err := ParseFrame(append(bytes.Clone(want), make([]byte, padding)...))
				if err != nil || !reflect.DeepEqual(o, tc.o) {
					t.Errorf("with %d bytes of padding: decoded %+v (%v), want %+v", padding, o, err, tc.o)
				}
			}
		})
	}
}

func TestParseFrameRefuses(t *testing.T) {
	change := func(at int, to ...byte) []byte {
		b := unhex(frame)
		copy(b[at:], to)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                  nil,
		"a byte short":             unhex(frame)[:41],
		"IPv4":                     change(12, 0x08, 0x00),
		"a VLAN tag":               append(unhex("ffffffffffff 02000000000a 8100 0005"), unhex(frame)[12:]...),
		"another hardware":         change(14, 0, 6),
		"another protocol":         change(16, 0x86, 0xdd),
		"longer hardware address":  change(18, 8),
		"longer protocol address":  change(19, 16),
		"reverse ARP":              change(20, 0, 3),
		"operation 0":              change(20, 0, 0),
		"operation in wrong order": change(20, 1, 0),
	} {
		if o, err := ParseFrame(b); !errors.Is(err, errNotARP) {
			t.Errorf("%s: %+v, %v; want an error", name, o, err)
		}
	}
}

func TestAppendFrameRefuses(t *testing.T) {
	long := net.HardwareAddr{1, 2, 3, 4, 5, 6, 7, 8}
	for name, o := range map[string]Observation{
		"no MAC":        WhoHas(nil, ip21, ip11, nil),
		"a long MAC":    WhoHas(macA, ip21, ip11, long),
		"no address":    WhoHas(macA, netip.Addr{}, ip11, nil),
		"IPv6":          WhoHas(macA, ip21, netip.IPv6Loopback(), nil),
		"mapped in IP6": WhoHas(macA, netip.MustParseAddr("::ffff:10.0.0.1"), ip11, nil),
	} {
		if b, err := o.AppendFrame(nil); err == nil || len(b) != 0 {
			t.Errorf("%s: %x, %v; want an error and nothing appended", name, b, err)
		}
	}
}

func TestClaims(t *testing.T) {
	gratuitous := Announcement(macB, ip11)
	reply := Observation{Op: Reply, EthSrc: macB, EthDst: macA, SenderMAC: macB, TargetMAC: macA, SenderIP: ip11, TargetIP: ip21}
	for _, tc := range []struct {
		name string
		o    Observation
		want bool
	}{
		{"announcement as a request", gratuitous[0], true},
		{"announcement as a reply", gratuitous[1], true},
		{"reply", reply, true},
		{"request from it", WhoHas(macB, ip11, ip21, nil), true},
		{"probe for it", WhoHas(macB, zero, ip11, nil), true},
		{"plain request for it", WhoHas(macB, ip21, ip11, nil), false},
		{"unicast request for it", WhoHas(macB, ip21, ip11, macA), false},
		{"probe by a switch for its host", WhoHas(macB, zero, ip11, macA), false},
		{"probe for another", WhoHas(macB, zero, ip21, nil), false},
		{"reply to a probe for another", Observation{Op: Reply, SenderIP: ip21, TargetIP: zero}, false},
		{"reply to it", Observation{Op: Reply, SenderIP: ip21, TargetIP: ip11}, false},
		{"reply without a sender", Observation{Op: Reply, SenderIP: zero, TargetIP: ip11}, false},
		{"nothing", Observation{}, false},
	} {
		if got := Claims(tc.o, ip11); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestOpString(t *testing.T) {
	for op, want := range map[Op]string{Request: "request", Reply: "reply", 9: "operation 9"} {
		if got := op.String(); got != want {
			t.Errorf("%d is %q, want %q", op, got, want)
		}
	}
}

// Whatever is decoded encodes to the same 42 bytes.
func FuzzARP(f *testing.F) {
	f.Add(unhex(frame))
	f.Add(append(unhex(frame), make([]byte, 18)...))
	f.Add(unhex(frame)[:41])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		o, err := ParseFrame(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		Claims(o, ip11)
		got, err := o.AppendFrame(nil)
		if err != nil || !bytes.Equal(got, b[:frameLen]) {
			t.Fatalf("%x decoded to %+v and encoded to %x (%v)", b, o, got, err)
		}
		clear(b)
		if again, _ := o.AppendFrame(nil); !bytes.Equal(again, got) {
			t.Fatal("the result aliases the input")
		}
	})
}

func BenchmarkParseFrame(b *testing.B) {
	in := append(unhex(frame), make([]byte, 18)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFrame(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	o := WhoHas(macA, ip21, ip11, nil)
	buffer := make([]byte, 0, frameLen)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.AppendFrame(buffer); err != nil {
			b.Fatal(err)
		}
	}
}
