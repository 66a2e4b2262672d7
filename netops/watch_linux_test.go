package netops_test

import (
	"context"
	"testing"
	"time"

	"mxcluster/netops"
)

// next waits for an event, and returns the zero Event if none comes.
func next(events <-chan netops.Event, limit time.Duration) netops.Event {
	select {
	case e := <-events:
		return e
	case <-time.After(limit):
		return netops.Event{}
	}
}

// settle takes the events that are still on their way.
func settle(events <-chan netops.Event) {
	for next(events, 200*time.Millisecond) != (netops.Event{}) {
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	events, err := h.kernel.Watch(t.Context())
	must(t, err)
	must(t, h.kernel.Drop(eth0, alias)) // sets promote_secondaries, a change of the link
	for _, tc := range []struct {
		name string
		do   func() error
		want netops.Event
	}{
		{"lease taken", func() error { return h.kernel.Hold(eth0, alias, time.Minute) }, netops.Event{Addresses: true}},
		{"lease renewed", func() error {
			return h.kernel.Extend(eth0, alias, time.Minute, time.Now().Add(time.Minute))
		}, netops.Event{}},
		{"made permanent", func() error { return h.kernel.Hold(eth0, alias, 0) }, netops.Event{Addresses: true}},
		{"made permanent again", func() error { return h.kernel.Hold(eth0, alias, 0) }, netops.Event{}},
		{"deleted by hand", func() error { return h.ns.DeleteAddress(eth0, alias) }, netops.Event{Addresses: true}},
		{"added by hand", func() error { return h.ns.AddAddress(eth0, alias) }, netops.Event{Addresses: true}},
		{"cable pulled", func() error { return h.net.SetDown(h.port) }, netops.Event{Links: true}},
		{"cable plugged in", func() error { return h.net.SetUp(h.port) }, netops.Event{Links: true}},
	} {
		settle(events)
		must(t, tc.do())
		start := time.Now()
		got := next(events, 300*time.Millisecond)
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
		if got != (netops.Event{}) {
			t.Logf("%s: told after %s", tc.name, time.Since(start))
		}
	}
}

func TestWatchTellsOfExpiry(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	must(t, h.kernel.Hold(eth0, alias, time.Second))
	events, err := h.kernel.Watch(t.Context())
	must(t, err)
	settle(events)
	if got := next(events, 5*time.Second); !got.Addresses || h.has(alias) {
		t.Errorf("event %+v with the alias there: %v", got, h.has(alias))
	}
}

// A watcher that does not look gets one event for all that happened.
func TestWatchMergesAndEnds(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	slow, err := h.kernel.Watch(ctx)
	must(t, err)
	prompt, err := h.kernel.Watch(t.Context())
	must(t, err)
	settle(prompt)
	for range 100 {
		must(t, h.kernel.Hold(eth0, alias, 0))
		must(t, h.kernel.Drop(eth0, alias))
	}
	must(t, h.net.SetDown(h.port))
	settle(prompt)
	if got := <-slow; !got.Addresses || !got.Links {
		t.Errorf("merged event %+v, want both", got)
	}
	if got := next(slow, 50*time.Millisecond); got != (netops.Event{}) {
		t.Errorf("a second event %+v", got)
	}
	cancel()
	eventually(t, 5*time.Second, "the channel is closed", func() bool {
		select {
		case _, open := <-slow:
			return !open
		default:
			return false
		}
	})
}
