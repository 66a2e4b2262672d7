package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/netops"
)

// renewals is how often a lease is renewed within its duration.
const renewals = 10

// proofRetry is the delay before a renewal is retried that failed for lack of an answer from the
// arbiter: a new run may have little time left.
const proofRetry = 20 * time.Millisecond

// burst is the timing of the first announcements of an alias. Kernels ignore ARP updates that
// follow too closely, so one comes after a second.
var burst = [...]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 1100 * time.Millisecond, 2500 * time.Millisecond}

// holder keeps one alias on this server: it renews the kernel's lease and announces the address
// until its context ends. If the process is killed, stopped or hangs, renewals stop and the kernel
// removes the address.
type holder struct {
	kernel  Kernel
	wire    Wire
	budget  *arpbudget.Budget
	burst   arpbudget.Urgency // of the first announcements
	ifname  string
	alias   netip.Prefix
	lease   time.Duration
	refresh time.Duration // between periodic announcements
	log     *slog.Logger
	alive   func(now time.Time) bool // whether the agent's main loop turns
	lost    func(expired bool)       // called when the alias has vanished; expired: its lease ended
	told    func(at time.Time, err error)
	kick    chan struct{} // something happened to the interface: check now
	muted   atomic.Bool   // the alias is blocked: it is not announced

	left    func(now time.Time) time.Duration // how long the arbiter's key lets this server hold the alias; nil: there is no arbiter
	passive atomic.Bool                       // the alias is that of a passive side, which needs no key

	renewing semaphore // held during a renewal
}

// renew extends the lease and returns its duration, unless the holder has ended.
func (h *holder) renew(ctx context.Context, until time.Time) (time.Duration, error) {
	h.renewing.acquire()
	defer h.renewing.release()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	lease := h.lease
	bound := h.left != nil && !h.passive.Load()
	if bound {
		lease = aliasTime(h.lease, h.left(time.Now()))
	}
	switch {
	case lease > 0:
	case time.Now().Before(until):
		return 0, errNoProof
	default:
		return 0, errors.Join(netops.ErrLeaseLost, h.kernel.Drop(h.ifname, h.alias))
	}
	if err := h.kernel.Extend(h.ifname, h.alias, lease, until); err != nil {
		return 0, err
	}
	if bound && outlives(lease, h.left(time.Now())) { // this process was paused in between
		return 0, errors.Join(netops.ErrLeaseLost, h.kernel.Drop(h.ifname, h.alias))
	}
	return lease, nil
}

// with calls f while no renewal is in progress: a renewal would bring a dropped address back for a
// lease, and keep the next server from taking it.
func (h *holder) with(f func() error) error {
	h.renewing.acquire()
	defer h.renewing.release()
	return f()
}

// keep renews the lease until ctx ends; until is the end of the present lease.
func (h *holder) keep(ctx context.Context, until time.Time) {
	tick := time.NewTicker(h.lease / renewals)
	defer tick.Stop()
	hurried := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.kick:
		}
		now := time.Now()
		if !h.alive(now) {
			continue
		}
		switch lease, err := h.renew(ctx, until); {
		case err == nil:
			if until = now.Add(lease); hurried {
				hurried = false
				tick.Reset(h.lease / renewals)
			}
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoProof): // the arbiter may answer in time
			hurried = true
			tick.Reset(proofRetry)
		case errors.Is(err, netops.ErrLeaseLost):
			h.lost(!time.Now().Before(until))
			return
		default:
			h.log.Error("renewing the lease of an alias", "alias", h.alias, "err", err)
		}
	}
}

// announce announces the alias: a burst, then periodically.
func (h *holder) announce(ctx context.Context) {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !h.muted.Load() && !h.budget.Take(time.Now(), arpbudget.Packets(h.alias.Addr()), h.urgencyOf(i)) {
			i--
			timer.Reset(arpbudget.Retry)
			continue
		}
		err := h.announceOnce()
		now := time.Now()
		if !errors.Is(err, errMuted) {
			h.told(now, err)
		}
		switch {
		case i+1 < len(burst):
			timer.Reset(max(start.Add(burst[i+1]).Sub(now), 0))
		case err != nil:
			timer.Reset(time.Second)
		default:
			timer.Reset(h.refresh)
		}
	}
}

// urgencyOf returns the urgency of an announcement, by its number.
func (h *holder) urgencyOf(number int) arpbudget.Urgency {
	if number < len(burst) {
		return h.burst
	}
	return arpbudget.Plain
}

// errMuted is the result of an announcement that is suppressed because the alias is blocked.
var errMuted = errors.New("the alias is blocked")

// announceOnce announces the alias after checking that it is present.
func (h *holder) announceOnce() error {
	if h.muted.Load() {
		return errMuted
	}
	addrs, err := h.kernel.Addresses(h.ifname)
	if err != nil {
		return fmt.Errorf("checking that %s is here before announcing it: %w", h.alias, err)
	}
	if !slices.ContainsFunc(addrs, func(a netops.Address) bool { return a.Prefix == h.alias }) {
		return fmt.Errorf("not announcing %s: it is not on %s", h.alias, h.ifname)
	}
	return h.wire.Announce(h.alias.Addr())
}
