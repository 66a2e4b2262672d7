// Package arbitertest has an arbiter in memory, for the tests of what asks one.
package arbitertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"mxcluster/internal/arbiter"
)

// errDown is what a Fake that is down answers.
var errDown = errors.New("asking the arbiter: connection refused, on purpose")

// Fake is an arbiter in memory. It lets keys go as late as etcd does: their time after the last renewal arrived, and once more
// from the start of its own after it was down. The zero Fake is ready.
type Fake struct {
	mu     sync.Mutex
	down   bool
	cut    map[string]bool // servers that do not reach it
	slow   time.Duration
	keys   map[int]arbiter.Key
	leases map[int64]*fakeLease
	last   int64
}

type fakeLease struct {
	lasts time.Duration
	ends  time.Time
}

// Down stops the arbiter, or starts it again.
func (f *Fake) Down(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down && !down {
		for _, l := range f.leases {
			l.ends = time.Now().Add(l.lasts)
		}
	}
	if !f.down && down {
		f.expire() // what ran out before is gone
	}
	f.down = down
}

// Cut keeps a server from reaching the arbiter, or ends that.
func (f *Fake) Cut(server string, cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut == nil {
		f.cut = map[string]bool{}
	}
	f.cut[server] = cut
}

// Slow has every answer take a time, half of it before anything is done.
func (f *Fake) Slow(by time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = by
}

// Holder returns who holds a LIM's key now, "" if nobody does.
func (f *Fake) Holder(lim int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.down {
		f.expire()
	}
	return f.keys[lim].Server
}

// Delete takes a LIM's key away, as an administrator would.
func (f *Fake) Delete(lim int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.keys, lim)
}

// For returns the arbiter as a server reaches it.
func (f *Fake) For(server string) *End { return &End{f, server} }

// End is a [Fake] as one server reaches it.
type End struct {
	f      *Fake
	server string
}

// Keys is as arbiter.Etcd.Keys.
func (e *End) Keys(ctx context.Context) (map[int]arbiter.Key, error) {
	out := map[int]arbiter.Key{}
	err := e.do(ctx, func(f *Fake) error {
		for lim, k := range f.keys {
			out[lim] = k
		}
		return nil
	})
	return out, err
}

// Take is as arbiter.Etcd.Take.
func (e *End) Take(ctx context.Context, lim int, want arbiter.Key, lasts time.Duration) (arbiter.Key, error) {
	var out arbiter.Key
	err := e.do(ctx, func(f *Fake) error {
		if k, ok := f.keys[lim]; ok && k.Server != want.Server {
			out = k
			return nil
		}
		f.last++
		want.Lease = f.last
		if f.keys == nil {
			f.keys, f.leases = map[int]arbiter.Key{}, map[int64]*fakeLease{}
		}
		f.leases[want.Lease] = &fakeLease{lasts, time.Now().Add(lasts)}
		f.keys[lim], out = want, want
		return nil
	})
	return out, err
}

// Renew is as arbiter.Etcd.Renew.
func (e *End) Renew(ctx context.Context, lease int64) error {
	return e.do(ctx, func(f *Fake) error {
		l := f.leases[lease]
		if l == nil {
			return arbiter.ErrNoKey
		}
		l.ends = time.Now().Add(l.lasts)
		return nil
	})
}

// Release is as arbiter.Etcd.Release.
func (e *End) Release(ctx context.Context, lease int64) error {
	return e.do(ctx, func(f *Fake) error {
		if l := f.leases[lease]; l != nil {
			l.ends = time.Time{}
			f.expire()
		}
		return nil
	})
}

// Close is as arbiter.Etcd.Close.
func (e *End) Close() error { return nil }

// do has f done by the arbiter, if it is reached. From a server that is cut off
// nothing comes back, as over a network that is.
func (e *End) do(ctx context.Context, f func(*Fake) error) error {
	if err := e.f.travel(ctx, e.server); err != nil {
		return err
	}
	e.f.mu.Lock()
	if e.f.down {
		e.f.mu.Unlock()
		return errDown
	}
	e.f.expire()
	err := f(e.f)
	e.f.mu.Unlock()
	return errors.Join(e.f.travel(ctx, e.server), err)
}

// travel is a question's way to the arbiter, or an answer's way back.
func (f *Fake) travel(ctx context.Context, server string) error {
	f.mu.Lock()
	half, cut := f.slow/2, f.cut[server]
	f.mu.Unlock()
	if cut {
		<-ctx.Done()
		return ctx.Err()
	}
	if half == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(half)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// expire lets go of the keys whose time has run out.
func (f *Fake) expire() {
	for id, l := range f.leases {
		if l.ends.After(time.Now()) {
			continue
		}
		delete(f.leases, id)
		for lim, k := range f.keys {
			if k.Lease == id {
				delete(f.keys, lim)
			}
		}
	}
}
