package agent

import (
	"slices"
	"time"

	"mxcluster/internal/failover"
)

// housekeep does what is due periodically.
func (a *Agent) housekeep(now time.Time) {
	a.orders.pending = slices.DeleteFunc(a.orders.pending, func(o failover.Order) bool { return !now.Before(o.Expires) || a.orders.fulfilled(o) })
	if now.Sub(a.lastChores) >= chorePeriod {
		a.lastChores = now
		a.journal.tellSuppressed(now)
		a.swaps.expire(now)
		a.link.check()
		a.docs.tendOnDisk(now)
		a.link.tendAddresses(now)
		a.aliases.tendBlockProbes(now)
		a.aliases.tendStrangers(now)
		if a.link.gateways.changed {
			a.link.lookAtGateways()
		}
		a.docs.catchUp()
		a.docs.sendOwed()
		if a.docs.notInForce != nil {
			a.docs.readDocument()
		}
		a.gossip.rejoin()
		a.gossipKeys.step(now)
		a.lookAhead()
		a.data.look(a.own(), now)
		a.fitness.look(now)
		a.tellAlarms(now)
	}
	a.kept.tend(now)
}
