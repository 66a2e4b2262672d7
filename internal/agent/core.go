package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
)

const (
	minBeat      = 40 * time.Millisecond  // heartbeats to the servers of the cluster, at the most often
	maxBeat      = 2 * time.Second        // and at the most seldom
	farBeat      = 2 * time.Second        // heartbeats to all other servers, at the most often
	farSpacing   = 25 * time.Millisecond  // from one of those to the next, at the most often
	farInLimit   = 4                      // of those, which missing make a server count as lost
	chorePeriod  = time.Second            // of what housekeep does
	seenPeriod   = 30 * time.Second       // how often it is saved who is alive, and seen whether that can be
	savePause    = 100 * time.Millisecond // between two saves of what was heard
	seenFresh    = 5 * time.Minute        // how long that counts after a restart of the agent
	beatsInLimit = 5
)

// core is what all parts of an agent share: what it was told, its effects, its main loop,
// its record of events, and the document that it works by.
type core struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	run     string // identity of this run
	journal *journal

	inbox chan func()
	done  chan struct{}
	loop  atomic.Int64 // when the main loop last turned, in nanoseconds since started
	wg    sync.WaitGroup

	// Below is owned by the main loop.
	ctx     context.Context
	started time.Time
	doc     *clusterconf.Document // in force
	hash    string                // of it, as it is stored
	net     *network              // where this server is reached; replaced when the document moves it
	keeper  *keeper.Keeper        // of the arbiter's keys; nil: there is no arbiter

	settled  bool // it knows what the others run, or has waited for them
	stopping bool // it is told to stop
	parked   bool // it stops, and what runs here goes on

	// nothingNew is set by what came in and changes no decision, as nearly every
	// heartbeat and every look at the disk does: then none is made.
	nothingNew bool
}

// post has f done by the main loop; it is dropped when the agent has ended.
func (a *core) post(f func()) {
	select {
	case a.inbox <- f:
	case <-a.done:
	case <-a.ctx.Done():
	}
}

// after has f done by the main loop, after which it only decides anew if f says so.
func (a *core) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		a.post(func() {
			a.nothingNew = true
			f()
		})
	})
}

// onLoop has f done by the main loop, for an operation that waits for it; instead
// is done when the operation was called off meanwhile.
func (a *core) onLoop(ctx context.Context, f func() error, instead func()) error {
	done := make(chan error, 1)
	a.post(func() {
		if err := ctx.Err(); err != nil {
			instead()
			done <- err
			return
		}
		done <- f()
	})
	select {
	case err := <-done:
		return err
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// on has f done by the main loop and waits for it.
func on[T any](ctx context.Context, a *core, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	ch := make(chan answer, 1)
	var zero T
	select {
	case a.inbox <- func() { v, err := f(); ch <- answer{v, err} }:
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-a.done:
		return zero, fault.New(fault.Unreachable, "", "the agent has stopped")
	}
	select {
	case x := <-ch:
		return x.v, x.err
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-a.done:
		return zero, fault.New(fault.Unreachable, "", "the agent has stopped")
	}
}

// timer returns a context that ends after d, or with the agent.
func (a *core) timer(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(a.ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// pump puts everything that comes over a channel into the inbox.
func pump[T any](a *core, ch <-chan T, f func(T)) {
	for {
		select {
		case <-a.ctx.Done():
			return
		case v, ok := <-ch:
			if !ok {
				return
			}
			a.post(func() { f(v) })
		}
	}
}

// drain does all that waits in the inbox, so that one decision covers it.
func (a *core) drain() {
	for {
		select {
		case f := <-a.inbox:
			f()
		default:
			return
		}
	}
}

// turned notes that the main loop turns; the holders renew leases only while it does.
func (a *core) turned(now time.Time) { a.loop.Store(int64(now.Sub(a.started))) }

// alive reports whether the main loop has turned within the lease.
func (a *core) alive(now time.Time) bool {
	return now.Sub(a.started)-time.Duration(a.loop.Load()) < a.cfg.Lease
}

// cluster returns the cluster of this server, or nil.
func (a *core) cluster() *clusterconf.Cluster { return a.doc.ClusterOfServer(a.cfg.Server) }

// mates returns the other servers of this server's cluster.
func (a *core) mates() []string {
	c := a.cluster()
	if c == nil {
		return nil
	}
	names := []string{c.Standby}
	for _, m := range c.LIMs {
		if r := a.doc.RegularOf(m.LIM); r != nil {
			names = append(names, r.Name)
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == a.cfg.Server })
}

// sharesAliasWith reports whether a mate may have an alias that this server may
// have, too: the standby shares one with each regular server.
func (a *core) sharesAliasWith(mate string) bool {
	standby := a.cluster().Standby
	return mate == standby || a.cfg.Server == standby
}

// silenceLimit is how long a server of this cluster must be silent to be gone.
func (a *core) silenceLimit() time.Duration {
	if c := a.cluster(); c != nil {
		return c.SilenceLimit()
	}
	return clusterconf.DefaultFailoverAfter
}

// concerns reports whether a LIM belongs to this server or to its cluster.
func (a *core) concerns(lim int) bool {
	self, c := a.doc.Server(a.cfg.Server), a.cluster()
	return c != nil && c.Member(lim) != nil || lim != 0 && self != nil && self.LIM == lim
}

// beatPeriod is the time from one heartbeat to the next.
func (a *core) beatPeriod() time.Duration {
	return min(max(a.silenceLimit()/beatsInLimit, minBeat), maxBeat)
}

// farPeriod is the time from one heartbeat to all servers of other clusters to the
// next. In a large system it is longer, so that a server says no more than in one of
// eighty: the square of the servers would be their traffic.
func (a *core) farPeriod() time.Duration {
	return max(farBeat, time.Duration(len(a.doc.Servers))*farSpacing)
}

// aliasOf returns a LIM's alias; the zero prefix when it is in no cluster.
func (a *core) aliasOf(number int) netip.Prefix {
	if c := a.doc.ClusterOfLIM(number); c != nil {
		return c.Member(number).Alias
	}
	return netip.Prefix{}
}

// side is the side that this server is for the LIMs of its cluster.
func (a *core) side() clusterconf.Side {
	if s := a.doc.Server(a.cfg.Server); s != nil && s.Standby {
		return clusterconf.SideStandby
	}
	return clusterconf.SideRegular
}

// newestData puts the newest data version into the environment of a LIM's
// software, and returns what there is. It looks at the disk, so it runs beside the main loop.
func (a *core) newestData(env *services.Env) DataHere {
	d := a.deps.Data(env.LIM)
	env.XData = d.Path
	return d
}

// own lists the LIMs that may run on this server.
func (a *core) own() (lims []int) {
	self, c := a.doc.Server(a.cfg.Server), a.cluster()
	switch {
	case c != nil && c.Standby == a.cfg.Server:
		for _, m := range c.LIMs {
			lims = append(lims, m.LIM)
		}
	case self != nil && self.LIM != 0:
		lims = []int{self.LIM}
	}
	return lims
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// background is a context for short work that must end with the agent.
func (a *core) background(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.ctx, limit)
}
