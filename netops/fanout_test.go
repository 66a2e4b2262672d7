package netops

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// received takes what a channel holds, and tells whether it is closed.
func received[T any](ch <-chan T) (all []T, closed bool) {
	for {
		select {
		case v, open := <-ch:
			if !open {
				return all, true
			}
			all = append(all, v)
		default:
			return all, false
		}
	}
}

func TestFanoutReachesEverySubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fanout[int]{depth: 4}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := f.subscribe(t.Context()), f.subscribe(ctx)
		f.send(1)
		cancel()
		synctest.Wait()
		f.send(2)
		if got, closed := received(first); !slices.Equal(got, []int{1, 2}) || closed {
			t.Errorf("first received %v, closed %v", got, closed)
		}
		if got, closed := received(second); !slices.Equal(got, []int{1}) || !closed {
			t.Errorf("second received %v, closed %v; want 1 and the end", got, closed)
		}
		f.close()
		f.close()
		f.send(3)
		if got, closed := received(first); len(got) != 0 || !closed {
			t.Errorf("first received %v after the end, closed %v", got, closed)
		}
		if _, closed := received(f.subscribe(t.Context())); !closed {
			t.Error("subscribed to a closed fanout")
		}
	})
}

func TestFanoutDropsTheOldest(t *testing.T) {
	f := fanout[int]{depth: 3}
	ch := f.subscribe(t.Context())
	for i := range 10 {
		f.send(i)
	}
	if got, _ := received(ch); !slices.Equal(got, []int{7, 8, 9}) || f.lost.Load() != 7 {
		t.Errorf("received %v and lost %d, want the last three and 7", got, f.lost.Load())
	}
}

func TestFanoutMerges(t *testing.T) {
	f := fanout[Event]{depth: 1, merge: Event.merge}
	ch := f.subscribe(t.Context())
	f.send(Event{Addresses: true})
	f.send(Event{Links: true})
	f.send(Event{Addresses: true})
	if got, _ := received(ch); !slices.Equal(got, []Event{{Addresses: true, Links: true}}) || f.lost.Load() != 0 {
		t.Errorf("received %v and lost %d, want one event for all", got, f.lost.Load())
	}
}

// Every value is received or counted as lost, however slow the receiver is.
func TestFanoutCounts(t *testing.T) {
	const values = 20000
	f := fanout[int]{depth: 8}
	ch := f.subscribe(t.Context())
	var wg sync.WaitGroup
	count, last := 0, -1
	wg.Go(func() {
		for v := range ch {
			if v <= last {
				t.Errorf("%d after %d", v, last)
			}
			last = v
			count++
		}
	})
	for i := range values {
		f.send(i)
	}
	f.close()
	wg.Wait()
	if lost := int(f.lost.Load()); count+lost != values || last != values-1 {
		t.Errorf("%d received, %d lost, last %d; want %d in all, and the last", count, lost, last, values)
	}
}
