// Package fanout hands what happens to all who want to hear of it.
package fanout

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Fanout hands every value to every subscriber and never waits for one: if a
// subscriber's buffer is full, its oldest value goes.
type Fanout[T any] struct {
	Depth int                    // of each subscriber's buffer
	Merge func(older, newer T) T // makes one of two when a buffer is full; nil: the older is lost
	lost  atomic.Uint64

	mu     sync.Mutex
	subs   []subscription[T] // a slice, so that the order is the same in every run
	closed bool
}

type subscription[T any] struct {
	ch   chan T
	stop func() bool // forgets the context
}

// Subscribe returns a channel that is closed when ctx ends or the fanout is closed.
func (f *Fanout[T]) Subscribe(ctx context.Context) <-chan T {
	ch := make(chan T, f.Depth)
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

func (f *Fanout[T]) unsubscribe(ch chan T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.subs, func(s subscription[T]) bool { return s.ch == ch })
	if i >= 0 {
		f.subs = slices.Delete(f.subs, i, i+1)
		close(ch)
	}
}

// Send never blocks.
func (f *Fanout[T]) Send(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.subs {
		f.push(s.ch, v)
	}
}

// push is the only sender on ch, so after one value was taken there is room.
func (f *Fanout[T]) push(ch chan T, v T) {
	select {
	case ch <- v:
		return
	default:
	}
	select {
	case older := <-ch:
		if f.Merge == nil {
			f.lost.Add(1)
		} else {
			v = f.Merge(older, v)
		}
	default: // received meanwhile
	}
	ch <- v
}

// Lost returns how many values were lost, of all subscribers.
func (f *Fanout[T]) Lost() uint64 { return f.lost.Load() }

// Close closes all channels.
func (f *Fanout[T]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, s := range f.subs {
		s.stop()
		close(s.ch)
	}
	f.subs = nil
}
