package fanout

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
		f := Fanout[int]{Depth: 4}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := f.Subscribe(t.Context()), f.Subscribe(ctx)
		f.Send(1)
		cancel()
		synctest.Wait()
		f.Send(2)
		if got, closed := received(first); !slices.Equal(got, []int{1, 2}) || closed {
			t.Errorf("first received %v, closed %v", got, closed)
		}
		if got, closed := received(second); !slices.Equal(got, []int{1}) || !closed {
			t.Errorf("second received %v, closed %v; want 1 and the end", got, closed)
		}
		f.Close()
		f.Close()
		f.Send(3)
		if got, closed := received(first); len(got) != 0 || !closed {
			t.Errorf("first received %v after the end, closed %v", got, closed)
		}
		if _, closed := received(f.Subscribe(t.Context())); !closed {
			t.Error("subscribed to a closed fanout")
		}
	})
}

func TestFanoutDropsTheOldest(t *testing.T) {
	f := Fanout[int]{Depth: 3}
	ch := f.Subscribe(t.Context())
	for i := range 10 {
		f.Send(i)
	}
	if got, _ := received(ch); !slices.Equal(got, []int{7, 8, 9}) || f.Lost() != 7 {
		t.Errorf("received %v and lost %d, want the last three and 7", got, f.Lost())
	}
}

func TestFanoutMerges(t *testing.T) {
	f := Fanout[string]{Depth: 1, Merge: func(older, newer string) string { return older + newer }}
	ch := f.Subscribe(t.Context())
	f.Send("a")
	f.Send("b")
	f.Send("c")
	if got, _ := received(ch); !slices.Equal(got, []string{"abc"}) || f.Lost() != 0 {
		t.Errorf("received %v and lost %d, want one event for all", got, f.Lost())
	}
}

// Every value is received or counted as lost, however slow the receiver is.
func TestFanoutCounts(t *testing.T) {
	const values = 20000
	f := Fanout[int]{Depth: 8}
	ch := f.Subscribe(t.Context())
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
		f.Send(i)
	}
	f.Close()
	wg.Wait()
	if lost := int(f.Lost()); count+lost != values || last != values-1 {
		t.Errorf("%d received, %d lost, last %d; want %d in all, and the last", count, lost, last, values)
	}
}
