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
	minBeat      = 40 * time.Millisecond  // shortest time between heartbeats to the servers of the cluster
	maxBeat      = 2 * time.Second        // longest time between them
	farBeat      = 2 * time.Second        // shortest time between heartbeats to all other servers
	farSpacing   = 25 * time.Millisecond  // shortest time between two of those
	farInLimit   = 4                      // how many of those must be missing for a server to count as lost
	chorePeriod  = time.Second            // between calls of housekeep's chores
	seenPeriod   = 30 * time.Second       // how often it is saved who is alive, and checked whether it can be saved
	savePause    = 100 * time.Millisecond // between two saves of what was heard
	seenFresh    = 5 * time.Minute        // how long that counts after a restart of the agent
	beatsInLimit = 5
)

// core is what all parts of an agent share: configuration, effects, main loop, record of events,
// and the document in force.
type core struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	run     string // ID of this run
	journal *journal

	inbox chan func()
	done  chan struct{}
	loop  atomic.Int64 // when the main loop last turned, in nanoseconds since started
	wg    sync.WaitGroup

	// The following is owned by the main loop.
	ctx     context.Context
	started time.Time
	doc     *clusterconf.Document // in force
	hash    string                // hash of the stored document
	net     *network              // where this server is reached; replaced when the document changes that
	keeper  *keeper.Keeper        // manages keys at the arbiter; nil: there is no arbiter

	settled  bool // what the others run is known, or was waited for
	stopping bool // the agent is to stop
	parked   bool // the agent stops, and LIMs go on here

	// nothingNew is set by an event that changes no decision, as most heartbeats and most looks at
	// the disk do; then no decision is made.
	nothingNew bool

	awaited []chan struct{} // closed at the end of this turn
}

// stepped returns what is closed at the end of this turn of the main loop.
func (a *core) stepped() <-chan struct{} {
	ch := make(chan struct{})
	a.awaited = append(a.awaited, ch)
	return ch
}

// post runs f on the main loop. After the agent's end f is dropped.
func (a *core) post(f func()) {
	select {
	case a.inbox <- f:
	case <-a.done:
	case <-a.ctx.Done():
	}
}

// after runs f on the main loop after d. A decision follows only if f clears nothingNew.
func (a *core) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		a.post(func() {
			a.nothingNew = true
			f()
		})
	})
}

// onLoop runs f on the main loop, for an operation, and waits for it. If the operation was
// cancelled meanwhile, instead is run.
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

// on runs f on the main loop and waits for it.
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

// pump posts everything received from a channel.
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

// drain handles everything in the inbox, so that one decision covers it.
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

// turned records a turn of the main loop; holders renew leases only while it turns.
func (a *core) turned(now time.Time) { a.loop.Store(int64(now.Sub(a.started))) }

// alive reports whether the main loop turned within the last lease.
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

// sharesAliasWith reports whether there is a LIM whose alias either this server or the mate may
// hold: the standby shares one with each regular server.
func (a *core) sharesAliasWith(mate string) bool {
	standby := a.cluster().Standby
	return mate == standby || a.cfg.Server == standby
}

// silenceLimit is how long a server of this cluster must be silent to count as gone.
func (a *core) silenceLimit() time.Duration {
	if c := a.cluster(); c != nil {
		return c.SilenceLimit()
	}
	return clusterconf.DefaultFailoverAfter
}

// concerns reports whether a LIM belongs to this server or its cluster.
func (a *core) concerns(lim int) bool {
	self, c := a.doc.Server(a.cfg.Server), a.cluster()
	return c != nil && c.Member(lim) != nil || lim != 0 && self != nil && self.LIM == lim
}

// beatPeriod is the time between heartbeats to the cluster.
func (a *core) beatPeriod() time.Duration {
	return min(max(a.silenceLimit()/beatsInLimit, minBeat), maxBeat)
}

// farPeriod is the time between heartbeats to all servers of other clusters. In systems of more
// than eighty servers it grows with their number, as the traffic of all grows with its square.
func (a *core) farPeriod() time.Duration {
	return max(farBeat, time.Duration(len(a.doc.Servers))*farSpacing)
}

// aliasOf returns a LIM's alias; the zero prefix if it is in no cluster.
func (a *core) aliasOf(number int) netip.Prefix {
	if c := a.doc.ClusterOfLIM(number); c != nil {
		return c.Member(number).Alias
	}
	return netip.Prefix{}
}

// side returns the side of this server in its cluster.
func (a *core) side() clusterconf.Side {
	if s := a.doc.Server(a.cfg.Server); s != nil && s.Standby {
		return clusterconf.SideStandby
	}
	return clusterconf.SideRegular
}

// newestData puts the newest data version into the environment of a LIM's software, and returns
// what there is. It reads the disk, so it runs beside the main loop.
func (a *core) newestData(env *services.Env) DataHere {
	d := a.deps.Data(env.LIM)
	env.XData = d.Path
	return d
}

// own returns the LIMs that may run on this server.
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

// background returns a context for short work that ends with the agent.
func (a *core) background(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.ctx, limit)
}
