package member

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/member/seal"
)

// Of each kind the first one is told at once, and then one a minute, with how many there
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
			r.note(seal.Garbled, from, peer)
			<-time.After(10 * time.Millisecond)
		}
		r.note(seal.Replayed, server, peer)
		<-time.After(10 * time.Minute)
		r.end()
		r.note(seal.Replayed, server, peer)
		var garbled, replayed uint64
		for _, x := range told {
			if x.Kind == "replayed" {
				replayed += x.Count
				if !x.Peer || x.From != server {
					t.Errorf("%+v", x)
				}
				continue
			}
			garbled += x.Count
		}
		if len(told) != 4 || garbled != 10_000 || replayed != 1 || told[0].Count != 1 || told[3].From != from {
			t.Errorf("told %+v", told)
		}
	})
}
