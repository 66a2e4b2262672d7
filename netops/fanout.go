package netops

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// fanout hands every value to every subscriber and never waits for one: if a
// subscriber's buffer is full, its oldest value goes.
type fanout[T any] struct {
	depth int
	merge func(older, newer T) T // makes one of two when the buffer is full; nil: the older is lost
	lost  atomic.Uint64

	mu     sync.Mutex
	subs   []subscription[T] // a slice, so that the order is the same in every run
	closed bool
}

type subscription[T any] struct {
	ch   chan T
	stop func() bool // forgets the context
}

// subscribe returns a channel that is closed when ctx ends or the fanout is closed.
func (f *fanout[T]) subscribe(ctx context.Context) <-chan T {
	ch := make(chan T, f.depth)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(ch)
		return ch
	}
	stop := context.AfterFunc(ctx, func() { f.unsubscribe(ch) })
	f.subs = append(f.subs, subscription[T]{ch, stop})
	return ch
}

func (f *fanout[T]) unsubscribe(ch chan T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.subs, func(s subscription[T]) bool { return s.ch == ch })
	if i >= 0 {
		f.subs = slices.Delete(f.subs, i, i+1)
		close(ch)
	}
}

// send never blocks.
func (f *fanout[T]) send(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.subs {
		f.push(s.ch, v)
	}
}

// push is the only sender on ch, so after one value was taken there is room.
func (f *fanout[T]) push(ch chan T, v T) {
	select {
	case ch <- v:
		return
	default:
	}
	select {
	case older := <-ch:
		if f.merge == nil {
			f.lost.Add(1)
		} else {
			v = f.merge(older, v)
		}
	default: // received meanwhile
	}
	ch <- v
}

func (f *fanout[T]) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, s := range f.subs {
		s.stop()
		close(s.ch)
	}
	f.subs = nil
}
