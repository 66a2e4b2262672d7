package agent

import (
	"errors"
	"net/netip"
	"time"

	"mxcluster/internal/arbiter/keeper"
)

// errNoProof is the error for taking or keeping an alias when the arbiter has not confirmed its key
// lately.
var errNoProof = errors.New("the arbiter did not answer lately")

// aliasTime returns the lease for an alias that this server may hold for the time left. Kernels
// count leases in whole seconds.
func aliasTime(lease, left time.Duration) time.Duration {
	return min(lease, left).Truncate(time.Second)
}

// outlives reports whether a lease was set for longer than this server may hold the alias, because
// the process was paused in between. The duration of the call itself is within the margin.
func outlives(lease, left time.Duration) bool { return lease > left+keeper.Margin/4 }

// holdProven takes an alias, with an arbiter for no longer than its key is valid. It returns the
// end of the lease.
func (a *alias) holdProven(n *network, alias netip.Prefix) (time.Time, error) {
	now, lease := time.Now(), a.cfg.Lease
	if a.keeper != nil {
		if lease = aliasTime(lease, a.keeper.Left(a.lim, now)); lease == 0 {
			return now, errNoProof
		}
	}
	if err := a.deps.Kernel.Hold(n.ifname, alias, lease); err != nil {
		return now, err
	}
	if a.keeper != nil && outlives(lease, a.keeper.Left(a.lim, time.Now())) {
		return now, errors.Join(errNoProof, a.deps.Kernel.Drop(n.ifname, alias))
	}
	return now.Add(lease), nil
}

// leaveHeld sets the stop lease for the alias of a LIM that goes on without the agent, with an
// arbiter for no longer than its key is valid.
func (a *alias) leaveHeld() error {
	lease := a.cfg.StopLease
	if a.keeper != nil && !a.passive() {
		if lease = aliasTime(lease, a.keeper.Left(a.lim, time.Now())); lease == 0 {
			return nil // the present lease goes on
		}
	}
	return a.deps.Kernel.Hold(a.net.ifname, a.addr, lease)
}
