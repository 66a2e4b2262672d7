package agent

import (
	"fmt"
	"reflect"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

const (
	downAfter = 2 * time.Second // a LIM that moves is nowhere for a moment
	lockedFor = 24 * time.Hour  // after which a lock without an end counts as left behind
	inUseFor  = 10 * time.Second
	hearAgain = 5 * time.Second // after this server was cut off the others need not all be heard yet
)

// raiseAlarms brings this server's alarms in line with what it knows. Before it
// has settled it knows too little, and the alarms of the last run stand.
func (a *Agent) raiseAlarms(now time.Time) {
	if !a.settled || a.stopping {
		return
	}
	var others []alarms.Alarm
	for _, p := range a.peers.all {
		if p.liveness == failover.Alive {
			others = append(others, p.alarms...)
		}
	}
	next, changes := alarms.Update(a.alarms, now, a.conditions(now), others)
	if !reflect.DeepEqual(next.Alarms, a.alarms.Alarms) {
		a.unsaved = true
	}
	a.alarms = next
	for _, c := range changes {
		a.recordAlarm(c)
	}
}

// conditions lists everything known here that calls for an alarm.
func (a *Agent) conditions(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	if a.conflict == a.doc.Revision {
		out = append(out, alarms.Condition{Name: alarms.DocumentConflict, Severity: alarms.Warning,
			Text: a.conflictText})
	}
	for n, l := range a.lims.all {
		out = append(out, a.aliasConditions(n, l, now)...)
		out = append(out, a.blockConditions(l)...)
		out = append(out, a.rivalConditions(l, now)...)
	}
	out = append(out, a.documentConditions()...)
	out = append(out, a.peers.stoppedConditions()...)
	out = append(out, a.removedConditions()...)
	out = append(out, a.diskConditions(now)...)
	out = append(out, a.lostConditions(now)...)
	out = append(out, a.readyConditions()...)
	out = append(out, a.copyConditions(now)...)
	out = append(out, a.dataConditions()...)
	out = append(out, a.peers.clockConditions()...)
	out = append(out, a.strangeConditions(now)...)
	out = append(out, a.keyConditions()...)
	out = append(out, a.arbiterConditions()...)
	out = append(out, a.leavingConditions()...)
	out = append(out, a.peers.twinConditions(now)...)
	out = append(out, a.standInConditions(now)...)
	switch c, self := a.cluster(), a.doc.Server(a.cfg.Server); {
	case c != nil && self.Standby:
		for _, m := range c.LIMs {
			out = append(out, a.limOnStandby(m, now)...)
			out = append(out, a.syncConditions(c, m.LIM)...)
			out = append(out, a.promptsConditions(m.LIM)...)
		}
	case self.LIM != 0:
		out = append(out, a.limAtHome(c, self.LIM, now)...)
	}
	return out
}

// aliasConditions tells of the alias of a LIM that this server has or wants.
func (a *Agent) aliasConditions(number int, l *lim, now time.Time) []alarms.Condition {
	var out []alarms.Condition
	if l.alias.holds && l.alias.split {
		out = append(out, alarms.Condition{Name: alarms.SplitBrain, Severity: alarms.Critical, LIM: number, Server: a.cfg.Server,
			Text: fmt.Sprintf("another server has the alias %s too; it is to give way to %s", l.alias.addr.Addr(), a.cfg.Server)})
	}
	if l.alias.holds && l.alias.notTold != "" {
		out = append(out, alarms.Condition{Name: alarms.AnnounceFailed, Severity: alarms.Warning, LIM: number, Server: a.cfg.Server,
			Text: fmt.Sprintf("the alias %s could not be announced: %s", l.alias.addr.Addr(), l.alias.notTold)})
	}
	if l.alias.holds && l.alias.foreign.mac != "" {
		out = append(out, alarms.Condition{Name: alarms.AliasInUse, Severity: alarms.Critical, LIM: number, Server: a.cfg.Server,
			Text: fmt.Sprintf("the alias %s is used by %s, too, which is no server of this system; find that host and take the address off it", l.alias.addr.Addr(), l.alias.foreign.mac)})
	}
	// A start that is not tried again any more says nothing about now.
	if !l.alias.holds && l.alias.inUse.text != "" && now.Before(l.retryAt.Add(inUseFor)) {
		out = append(out, alarms.Condition{Name: alarms.AliasInUse, Severity: alarms.Critical, LIM: number, Server: a.cfg.Server,
			Text: l.alias.inUse.text, After: a.inUseDelay(l)})
	}
	return out
}

// inUseDelay leaves an alias that another server of the LIM still answers for
// the time in which its lease runs out.
func (a *Agent) inUseDelay(l *lim) time.Duration {
	if l.alias.inUse.server {
		return 2 * a.cfg.Lease
	}
	return 0
}

// limOnStandby tells, on the standby, of one LIM of its cluster.
func (a *Agent) limOnStandby(m clusterconf.Member, now time.Time) []alarms.Condition {
	regular := a.doc.RegularOf(m.LIM).Name
	l, p := a.lims.of(m.LIM), a.peers.of(regular)
	out := append(leftLocked(m, regular, now), a.flapping(l, regular, l.flaps.Recent(now))...)
	if l.state == failover.Running || l.state == failover.Starting {
		verb := "runs"
		if l.state == failover.Starting {
			verb = "is starting"
		}
		out = append(out, alarms.Condition{Name: alarms.LIMOnStandby, Severity: alarms.Warning, LIM: m.LIM, Server: a.cfg.Server,
			Text: fmt.Sprintf("LIM %d %s on the standby server %s: %s", m.LIM, verb, a.cfg.Server, l.reason)})
	} else if l.alias.passive() {
		out = append(out, alarms.Condition{Name: alarms.LIMOnStandby, Severity: alarms.Warning, LIM: m.LIM, Server: a.cfg.Server, Expected: true,
			Text: fmt.Sprintf("LIM %d is loaded on the standby server %s, as it should be: its alias is blocked there", m.LIM, a.cfg.Server)})
	}
	silent := p.liveness == failover.AgentLost && a.net.detector.Aliases()[m.LIM].Silent
	if !l.serves() && (p.liveness == failover.Gone || silent) {
		out = append(out, limDown(m.LIM, regular, l.reason, a.link.isolation.Isolated))
	}
	return out
}

// limAtHome tells, on a regular server, of its own LIM and of its standby.
func (a *Agent) limAtHome(c *clusterconf.Cluster, number int, now time.Time) []alarms.Condition {
	l := a.lims.of(number)
	if c == nil {
		if l.serves() {
			return nil
		}
		return []alarms.Condition{limDown(number, a.cfg.Server, l.reason, false)}
	}
	out := append(leftLocked(*c.Member(number), a.cfg.Server, now), a.syncConditions(c, number)...)
	standby := a.peers.of(c.Standby)
	theirs := standby.claim.LIM(number)
	unheard := standby.liveness == failover.Unheard && now.Before(a.started.Add(a.cfg.StartGrace))
	unseen := unheard || standby.liveness == failover.AgentLost && theirs.State.Active()
	if !l.serves() && (standby.liveness != failover.Alive || !theirs.State.Active()) {
		out = append(out, limDown(number, a.cfg.Server, l.reason, unseen || a.link.isolation.Isolated))
	}
	if standby.liveness != failover.Alive {
		out = append(out, alarms.Condition{Name: alarms.StandbyOutOfOrder, Severity: alarms.Warning, Server: c.Standby,
			Text: standbyWords(c.Standby, standby), Unsure: unheard || a.link.isolation.Isolated || now.Sub(a.link.heardAgain) < hearAgain})
	}
	return out
}

// standbyWords says how a standby server is out of order.
func standbyWords(name string, p *peer) string {
	switch {
	case p.liveness == failover.Gone:
		return fmt.Sprintf("the standby server %s is down", name)
	case p.liveness == failover.Unheard:
		return fmt.Sprintf("the standby server %s was never heard", name)
	case p.claim != nil && p.claim.Parked:
		return fmt.Sprintf("the agent of the standby server %s was stopped", name)
	}
	return fmt.Sprintf("the agent of the standby server %s is silent", name)
}

// serves reports whether a LIM is up here, or coming up and did not fail before.
func (l *lim) serves() bool {
	return l.state == failover.Running || l.state == failover.Starting && l.failure == ""
}

func limDown(number int, regular, reason string, unsure bool) alarms.Condition {
	return alarms.Condition{Name: alarms.LIMDown, Severity: alarms.Critical, LIM: number, Server: regular, After: downAfter, Unsure: unsure,
		Text: fmt.Sprintf("LIM %d is down: %s", number, reason)}
}

// leftLocked tells of a lock that nobody took off for a day, and that has no end.
func leftLocked(m clusterconf.Member, regular string, now time.Time) []alarms.Condition {
	if m.Lock == nil || m.Lock.Expires != nil || now.Sub(m.Lock.Since) < lockedFor {
		return nil
	}
	return []alarms.Condition{{Name: alarms.LockLeft, Severity: alarms.Warning, LIM: m.LIM, Server: regular,
		Text: fmt.Sprintf("LIM %d is locked to the %s side since %s by %s", m.LIM, m.Lock.To, m.Lock.Since.UTC().Format(time.RFC3339), m.Lock.By)}}
}
