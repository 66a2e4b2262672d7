package agent

import (
	"reflect"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

// conditions derives the alarm conditions from what the agent knows. Each method covers one topic
// and changes nothing. Package alarms turns conditions into alarms.
type conditions struct{ *Agent }

// raiseAlarms updates this server's alarms. Before the agent has settled it knows too little, and
// the alarms of the last run stay.
func (a *Agent) raiseAlarms(now time.Time) {
	if !a.settled || a.stopping {
		return
	}
	var others []alarms.Alarm
	for _, p := range a.peers.all {
		if p.Liveness == failover.Alive {
			others = append(others, p.alarms...)
		}
	}
	next, changes := alarms.Update(a.alarms, now, expected(a.doc, (&conditions{a}).all(now)), others)
	if !reflect.DeepEqual(next.Alarms, a.alarms.Alarms) {
		a.kept.unsaved = true
	}
	a.alarms = next
	for _, c := range changes {
		a.journal.alarm(c)
	}
}

// all returns all conditions known here.
func (a *conditions) all(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	if a.docs.conflict == a.doc.Revision {
		out = append(out, alarms.Condition{Name: alarms.DocumentConflict, Severity: alarms.Warning,
			Text: a.docs.conflictText})
	}
	for n, l := range a.lims.all {
		out = append(out, a.alias(n, l, now)...)
		out = append(out, a.block(l)...)
		out = append(out, a.rival(l, now)...)
	}
	out = append(out, a.documents()...)
	out = append(out, a.versions()...)
	out = append(out, a.stopped()...)
	out = append(out, a.serverRemoved()...)
	out = append(out, a.noRoom(now)...)
	out = append(out, a.stateLost(now)...)
	out = append(out, a.notRedundant()...)
	out = append(out, a.unfit()...)
	out = append(out, a.settings()...)
	out = append(out, a.copied(now)...)
	out = append(out, a.damaged()...)
	out = append(out, a.clock()...)
	out = append(out, a.strangers(now)...)
	out = append(out, a.keyRotation()...)
	out = append(out, a.arbiterLost()...)
	out = append(out, a.leaving()...)
	out = append(out, a.managementNotRedundant()...)
	out = append(out, a.nameTwice(now)...)
	out = append(out, a.standIns(now)...)
	out = append(out, drainsLeft(a.doc, a.cluster(), now)...)
	switch c, self := a.cluster(), a.doc.Server(a.cfg.Server); {
	case c != nil && self.Standby:
		for _, m := range c.LIMs {
			out = append(out, a.limOnStandby(m, now)...)
			out = append(out, a.notInSync(c, m.LIM)...)
			out = append(out, a.prompts(m.LIM)...)
		}
		out = append(out, a.rehearsalFailed(c)...)
	case self.LIM != 0:
		out = append(out, a.limAtHome(c, self.LIM, now)...)
	}
	return out
}
