package netops

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
)

var (
	ip6a = netip.MustParseAddr("2001:db8::11")
	ip6b = netip.MustParseAddr("2001:db8::21")
)

// A solicitation that Linux 6.18 sent for 2001:db8::11 before it used the address,
// with a nonce (RFC 7527), and the advertisement with which another host answered.
const (
	probe6 = "3333ff000011020000000001" + "86dd" + "6000000000203aff" +
		"00000000000000000000000000000000" + "ff0200000000000000000001ff000011" +
		"8700fb0a00000000" + "20010db8000000000000000000000011" + "0e010102030405060000"
	answer6 = "333300000001020000000002" + "86dd" + "6000000000203aff" +
		"20010db8000000000000000000000011" + "ff020000000000000000000000000001" +
		"8800000020000000" + "20010db8000000000000000000000011" + "0201020000000002"
)

// frame6 is a frame with the right checksum.
func frame6(text string) []byte {
	b := unhex(text)
	message := b[ethernetLen+ipv6HeaderLen:]
	length := int(b[ethernetLen+4])<<8 | int(b[ethernetLen+5])
	message = message[:length]
	message[2], message[3] = 0, 0
	sum := checksum(netip.AddrFrom16([16]byte(b[22:])), netip.AddrFrom16([16]byte(b[38:])), message)
	message[2], message[3] = byte(sum>>8), byte(sum)
	return b
}

func TestParseNeighbour(t *testing.T) {
	mac1, mac2 := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	o, err := ParseNeighbour(frame6(probe6))
	if err != nil || o.Op != Request || !o.SenderIP.IsUnspecified() || o.TargetIP != ip6a || !bytes.Equal(o.SenderMAC, mac1) || !Claims(o, ip6a) {
		t.Errorf("probe: %+v, %v", o, err)
	}
	o, err = ParseNeighbour(frame6(answer6))
	if err != nil || o.Op != Reply || o.SenderIP != ip6a || o.TargetIP != allNodes() || !bytes.Equal(o.SenderMAC, mac2) || !Claims(o, ip6a) {
		t.Errorf("answer: %+v, %v", o, err)
	}
}

func TestParseNeighbourRefuses(t *testing.T) {
	change := func(text string, at int, to byte) []byte {
		b := unhex(text)
		b[at] = to
		return frame6(hex.EncodeToString(b))
	}
	wrong := frame6(probe6)
	wrong[56]++
	for name, b := range map[string][]byte{
		"nothing":                     nil,
		"ARP":                         unhex(frame),
		"cut short":                   frame6(probe6)[:77],
		"over a router":               change(probe6, 21, 254),
		"a wrong checksum":            wrong,
		"an echo request":             change(probe6, 54, 128),
		"a code":                      change(probe6, 55, 1),
		"a group as target":           change(probe6, 62, 0xff),
		"an option without length":    change(probe6, 79, 0),
		"an option that is too long":  change(probe6, 79, 9),
		"a probe with a link option":  change(probe6, 78, 1),
		"a probe for one station":     change(probe6, 53, 0x12),
		"an answer to all, solicited": change(answer6, 58, 0x60),
	} {
		if o, err := ParseNeighbour(b); err == nil {
			t.Errorf("%s: %+v, want an error", name, o)
		}
	}
}

func TestNeighbourFramesRoundTrip(t *testing.T) {
	for name, o := range map[string]Observation{
		"probe":           WhoHas(macA, netip.IPv6Unspecified(), ip6a, nil),
		"question to all": WhoHas(macA, ip6b, ip6a, nil),
		"question to one": WhoHas(macA, ip6b, ip6a, macB),
		"announcement":    Announcement(macA, ip6a)[0],
	} {
		b, err := o.AppendFrame(nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := ParseNeighbour(b)
		if err != nil || !sameNeighbour(o, back) {
			t.Errorf("%s: %+v came back as %+v, %v", name, o, back, err)
		}
	}
	claims := map[bool][]Observation{
		true:  {Announcement(macA, ip6a)[0], WhoHas(macA, netip.IPv6Unspecified(), ip6a, nil), WhoHas(macA, ip6a, ip6b, nil)},
		false: {WhoHas(macA, ip6b, ip6a, nil), WhoHas(macA, ip6b, ip6a, macB), Announcement(macA, ip6b)[0]},
	}
	for want, all := range claims {
		for _, o := range all {
			if Claims(o, ip6a) != want {
				t.Errorf("%+v claims %s: %v, want %v", o, ip6a, !want, want)
			}
		}
	}
}

func sameNeighbour(a, b Observation) bool {
	return a.Op == b.Op && a.SenderIP == b.SenderIP && a.TargetIP == b.TargetIP &&
		bytes.Equal(a.SenderMAC, b.SenderMAC) && bytes.Equal(a.EthSrc, b.EthSrc) && bytes.Equal(a.EthDst, b.EthDst)
}

// Whatever is decoded encodes to a frame that says the same.
func FuzzNeighbour(f *testing.F) {
	f.Add(frame6(probe6))
	f.Add(frame6(answer6))
	f.Add(frame6(answer6)[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		o, err := ParseNeighbour(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		got, err := o.AppendFrame(nil)
		if err != nil {
			t.Fatalf("%x decoded to %+v: %v", b, o, err)
		}
		clear(b)
		again, err := ParseNeighbour(got)
		if err != nil || again.Op != o.Op || again.SenderIP != o.SenderIP || !bytes.Equal(again.EthSrc, o.EthSrc) {
			t.Fatalf("%x decoded to %+v, then to %+v (%v)", before, o, again, err)
		}
	})
}
