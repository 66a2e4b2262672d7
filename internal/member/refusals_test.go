package member

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/member/seal"
)

// Of each kind the first one is told at once, and of each server's address, and then one a minute, with how many there
// were and where the last one came from, however many sources there are.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Refusal
		r := refusals{tell: func(x Refusal) { told = append(told, x) }}
		server := netip.MustParseAddr("192.0.2.1")
		peer := func(a netip.Addr) bool { return a == server }
		from := netip.MustParseAddr("198.51.100.1")
		for range 10_000 {
			from = from.Next()
			r.note(seal.Garbled.String(), from, peer)
			<-time.After(10 * time.Millisecond)
		}
		r.note(seal.Garbled.String(), server, peer) // in the middle of a minute of strangers
		r.note(seal.Garbled.String(), server, peer)
		r.note(seal.Replayed.String(), server, peer)
		<-time.After(10 * time.Minute)
		r.end()
		r.note(seal.Replayed.String(), server, peer)
		var garbled, replayed uint64
		for _, x := range told {
			if x.Kind == "replayed" {
				replayed += x.Count
				if !slices.Equal(x.Servers, []netip.Addr{server}) || x.From != server {
					t.Errorf("%+v", x)
				}
				continue
			}
			garbled += x.Count
		}
		if len(told) != 5 || garbled != 10_002 || replayed != 1 || told[0].Count != 1 || !slices.Equal(told[2].Servers, []netip.Addr{server}) || told[4].Count != 1 {
			t.Errorf("told %+v", told)
		}
	})
}
