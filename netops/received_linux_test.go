package netops

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stamped is the control message of a frame received at the given time, with
// fields of 64 or 32 bits.
func stamped(at time.Time, kind uint32, wide bool) []byte {
	b := binary.NativeEndian.AppendUint64(nil, uint64(unix.CmsgLen(16)))
	b = binary.NativeEndian.AppendUint32(b, unix.SOL_SOCKET)
	b = binary.NativeEndian.AppendUint32(b, kind)
	if wide {
		b = binary.NativeEndian.AppendUint64(b, uint64(at.Unix()))
		return binary.NativeEndian.AppendUint64(b, uint64(at.Nanosecond()))
	}
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(8)))
	b = binary.NativeEndian.AppendUint32(b, uint32(at.Unix()))
	return binary.NativeEndian.AppendUint32(b, uint32(at.Nanosecond()))
}

// Frames that waited in the socket, for instance while the process was
// stopped, are as old as they are.
func TestReceivedAt(t *testing.T) {
	if unix.SizeofLong != 8 {
		t.Log("the messages below are those of 64-bit machines")
		return
	}
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tc := range []struct {
		name    string
		control []byte
		age     time.Duration
	}{
		{"just now", stamped(now, unix.SO_TIMESTAMPNS, true), 0},
		{"2 s in the buffer", stamped(ago(2*time.Second), unix.SO_TIMESTAMPNS, true), 2 * time.Second},
		{"fields of 32 bits", stamped(ago(time.Second), unix.SO_TIMESTAMPNS, false), time.Second},
		{"a wall clock set back", stamped(ago(-time.Hour), unix.SO_TIMESTAMPNS, true), 0},
		{"a wall clock set forward", stamped(ago(time.Hour), unix.SO_TIMESTAMPNS, true), 0},
		{"another message", stamped(ago(time.Second), unix.SO_RXQ_OVFL, true), 0},
		{"another message first", slices.Concat(stamped(ago(time.Hour), unix.SO_RXQ_OVFL, true),
			stamped(ago(time.Second), unix.SO_TIMESTAMPNS, true)), time.Second},
		{"none", nil, 0},
		{"garbage", []byte{1, 2, 3}, 0},
		{"cut off", stamped(now, unix.SO_TIMESTAMPNS, true)[:20], 0},
	} {
		if got := now.Sub(receivedAt(tc.control, now)); got != tc.age {
			t.Errorf("%s: age %s, want %s", tc.name, got, tc.age)
		}
	}
}

// Whatever the kernel says, a message that cannot be read counts as a change.
func TestUnreadableMessagesAreChanges(t *testing.T) {
	header := func(length uint32, kind uint16, rest ...byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, length)
		b = binary.NativeEndian.AppendUint16(b, kind)
		return append(append(b, make([]byte, 10)...), rest...)
	}
	all := Event{Addresses: true, Links: true, Routes: true}
	for _, tc := range []struct {
		name string
		b    []byte
		want Event
	}{
		{"cut off", header(100, unix.RTM_NEWADDR), all},
		{"empty address", header(16, unix.RTM_NEWADDR), Event{Addresses: true}},
		{"address without attributes", header(24, unix.RTM_DELADDR, make([]byte, 8)...), Event{Addresses: true}},
		{"bad attribute", header(28, unix.RTM_NEWADDR, append(make([]byte, 8), 0xff, 0xff, 2, 0)...), Event{Addresses: true}},
		{"link", header(16, unix.RTM_DELLINK), Event{Links: true}},
		{"route", header(16, unix.RTM_NEWROUTE), Event{Routes: true}},
		{"route without attributes", header(28, unix.RTM_DELROUTE, make([]byte, 12)...), Event{}},
		{"something else", header(16, unix.RTM_NEWNEIGH), Event{}},
	} {
		if got := (knownAddresses{}).changes(tc.b); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}
