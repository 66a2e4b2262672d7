package agent

import (
	"errors"
	"net/netip"
	"time"

	"mxcluster/internal/arbiter/keeper"
)

// errNoProof says that the arbiter's word is too old for an alias to be taken or
// kept by it.
var errNoProof = errors.New("the arbiter did not answer lately")

// aliasTime is for how long the kernel may be given an alias that this server may
// have for some time: it counts in whole seconds.
func aliasTime(lease, left time.Duration) time.Duration {
	return min(lease, left).Truncate(time.Second)
}

// outlives reports whether an alias was given away for longer than this server may
// have it. The time that the call took does not matter, that of a pause does.
func outlives(lease, left time.Duration) bool { return lease > left+keeper.Margin/4 }

// holdProven takes an alias, with an arbiter for no longer than its key is proof.
// It returns until when.
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

// leaveHeld leaves the alias of a LIM that goes on without the agent for the stop
// lease, with an arbiter for no longer than its key.
func (a *alias) leaveHeld() error {
	lease := a.cfg.StopLease
	if a.keeper != nil && !a.passive() {
		if lease = aliasTime(lease, a.keeper.Left(a.lim, time.Now())); lease == 0 {
			return nil // it has some time left
		}
	}
	return a.deps.Kernel.Hold(a.net.ifname, a.addr, lease)
}
