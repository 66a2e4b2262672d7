//go:build linux

package lab

import (
	"net"
	"slices"
	"testing"
	"time"

	"mxcluster/netops"
)

func TestWatcherBetween(t *testing.T) {
	start := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	const ms = time.Millisecond
	a, b := serverMAC(0), serverMAC(1)
	for _, c := range []struct {
		name    string
		replies [][]net.HardwareAddr // to each of the requests, 1 ms apart
		want    Holding
	}{
		{"nobody", [][]net.HardwareAddr{nil, nil}, Holding{2, 2, 0, 0, nil}},
		{"one", [][]net.HardwareAddr{{a}, {a}, {a}}, Holding{3, 0, 0, ms, []string{a.String()}}},
		{"a move", [][]net.HardwareAddr{{a}, nil, nil, {b}}, Holding{4, 2, 0, 3 * ms, []string{a.String(), b.String()}}},
		{"two at once", [][]net.HardwareAddr{{a}, {a, b}, {b}}, Holding{3, 0, 1, ms, []string{a.String(), b.String()}}},
		{"one that stutters", [][]net.HardwareAddr{{a, a}}, Holding{1, 0, 0, 0, []string{a.String()}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWatcher()
			for i, macs := range c.replies {
				w.requests = append(w.requests, arpRequest{sent: start.Add(time.Duration(i) * ms)})
				for _, mac := range macs {
					w.note(replyTo(w, i, mac))
				}
			}
			got := w.Between(start, start.Add(time.Second))
			if got.Requests != c.want.Requests || got.Unanswered != c.want.Unanswered || got.Twice != c.want.Twice ||
				got.Vacant != c.want.Vacant || !slices.Equal(got.By, c.want.By) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// A reply is counted for the request that it answers, however late it comes,
// and for nothing else.
func TestWatcherNote(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*netops.Observation)
		counts bool
	}{
		{"reply", func(*netops.Observation) {}, true},
		{"request", func(o *netops.Observation) { o.Op = netops.Request }, false},
		{"other address", func(o *netops.Observation) { o.SenderIP = labAddress(12).Addr() }, false},
		{"to somebody else", func(o *netops.Observation) { o.TargetIP = labAddress(100).Addr() }, false},
		{"announcement", func(o *netops.Observation) { o.TargetMAC, o.TargetIP = o.SenderMAC, o.SenderIP }, false},
		{"request not sent yet", func(o *netops.Observation) { o.TargetMAC = requestMAC(2) }, false},
		{"other MAC with that number", func(o *netops.Observation) {
			o.TargetMAC = slices.Clone(o.TargetMAC)
			o.TargetMAC[0] = 0x06
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWatcher()
			w.requests = make([]arpRequest, 2)
			o := replyTo(w, 0, serverMAC(0))
			c.change(&o)
			w.note(o)
			if got := len(w.requests[0].holders) == 1; got != c.counts || w.requests[1].holders != nil {
				t.Errorf("requests %+v, want the first answered: %v", w.requests, c.counts)
			}
		})
	}
}

func testWatcher() *Watcher {
	return &Watcher{from: labAddress(101).Addr(), alias: labAddress(11).Addr(), answered: make(chan struct{})}
}

func replyTo(w *Watcher, number int, mac net.HardwareAddr) netops.Observation {
	return netops.Observation{
		Op: netops.Reply, SenderMAC: mac, SenderIP: w.alias, TargetMAC: requestMAC(number), TargetIP: w.from,
	}
}
