package agent

import (
	"slices"
	"time"

	"mxcluster/internal/failover"
)

// housekeep does what is due from time to time.
func (a *Agent) housekeep(now time.Time) {
	a.orders.orders = slices.DeleteFunc(a.orders.orders, func(o failover.Order) bool { return !now.Before(o.Expires) || a.orders.fulfilled(o) })
	if now.Sub(a.lastJoin) >= joinPeriod {
		a.lastJoin = now
		a.journal.tellHeld(now)
		a.forgetPrepared(now)
		a.link.check()
		a.docs.lookAtPaper(now)
		a.link.tendAddresses(now)
		a.aliases.tendBlockProbes(now)
		if a.link.gateways.changed {
			a.link.lookAtGateways()
		}
		a.docs.catchUp()
		a.docs.payOwed()
		if a.docs.notInForce != nil {
			a.docs.readDocument()
		}
		a.rejoin()
		a.turnKeys(now)
		a.lookAhead()
	}
	if now.Sub(a.lastData) >= dataPeriod {
		a.lastData = now
		a.data.look(a.own(), now)
		a.needs.look(a.own(), now)
		a.abilities.look(a.own(), now)
	}
	a.kept.lookForRoom(now)
	short := a.kept.room.disk != "" || a.kept.room.memory != ""
	if since := now.Sub(a.lastSeen); !a.kept.saving && (since >= seenPeriod || a.kept.unsaved && since >= savePause && !short || short && since >= roomRetry) {
		a.lastSeen, a.kept.unsaved = now, false
		a.kept.saveBeside()
	}
}

// rejoin brings back servers that memberlist forgot or never met. Joining
// blocks, so it runs beside the main loop, once at a time.
func (a *Agent) rejoin() {
	if a.joining {
		return
	}
	members := a.net.pool.Members()
	var missing []string
	for name := range a.peers.all {
		if a.doc.Server(name) != nil && !slices.Contains(members, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return
	}
	slices.Sort(missing)
	// One a second, in turn, so that a dead server costs one connection attempt.
	a.joinTurn++
	at := a.peers.addrsOf(a.doc.Server(missing[a.joinTurn%len(missing)]))
	addr := at[a.joinTurn/len(missing)%len(at)]
	pool := a.net.pool
	a.joining = true
	a.wg.Go(func() {
		if _, err := pool.Join(addr); err != nil {
			a.log.Debug("joining", "addr", addr, "err", err)
		}
		a.post(func() { a.joining = false })
	})
}
