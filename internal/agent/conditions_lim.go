package agent

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/lineage"
)

const (
	downAfter = 2 * time.Second // a LIM that is moving is active nowhere for a moment
	lockedFor = 24 * time.Hour  // after which a lock without an end counts as forgotten
	hearAgain = 5 * time.Second // after an isolation, until all others must have been heard again
)

// limOnStandby returns conditions, on the standby, about one LIM of its cluster.
func (a *conditions) limOnStandby(m clusterconf.Member, now time.Time) []alarms.Condition {
	regular := a.doc.RegularOf(m.LIM).Name
	l, p := a.lims.of(m.LIM), a.peers.of(regular)
	out := append(leftLocked(m, regular, now), a.flapping(l, regular, l.Flaps.Recent(now))...)
	if l.serves() {
		verb := "runs"
		if l.State == failover.Starting {
			verb = "is starting"
		}
		out = append(out, alarms.Condition{Name: alarms.LIMOnStandby, Severity: alarms.Warning, LIM: m.LIM, Server: a.cfg.Server,
			Text: fmt.Sprintf("LIM %d %s on the standby server %s: %s", m.LIM, verb, a.cfg.Server, l.reason)})
	} else if l.alias.passive() {
		is := "is loaded"
		if l.State == failover.Loading {
			is = "is being loaded"
		}
		out = append(out, alarms.Condition{Name: alarms.LIMOnStandby, Severity: alarms.Warning, LIM: m.LIM, Server: a.cfg.Server, Expected: true,
			Text: fmt.Sprintf("LIM %d %s on the standby server %s, as it should be: its alias is blocked there", m.LIM, is, a.cfg.Server)})
	}
	silent := p.Liveness == failover.AgentLost && a.net.detector.Aliases()[m.LIM].Silent
	if !l.serves() && (p.Liveness == failover.Gone || silent) {
		out = append(out, limDown(m.LIM, regular, l.reason, a.link.isolation.Isolated))
	}
	return out
}

// limAtHome returns conditions, on a regular server, about its own LIM and its standby.
func (a *conditions) limAtHome(c *clusterconf.Cluster, number int, now time.Time) []alarms.Condition {
	l := a.lims.of(number)
	if c == nil {
		if l.serves() {
			return nil
		}
		return []alarms.Condition{limDown(number, a.cfg.Server, l.reason, false)}
	}
	out := append(leftLocked(*c.Member(number), a.cfg.Server, now), a.notInSync(c, number)...)
	standby := a.peers.of(c.Standby)
	theirs := standby.Claim.LIM(number)
	unheard := standby.Liveness == failover.Unheard && now.Before(a.started.Add(a.cfg.StartGrace))
	unseen := unheard || standby.Liveness == failover.AgentLost && theirs.State.Active()
	// Another machine with this server's name and base may run the LIM, and may be the one that
	// hears the standby's agent.
	second, _ := a.link.baseUser(now)
	if !l.serves() && (standby.Liveness != failover.Alive || !theirs.State.Active()) {
		out = append(out, limDown(number, a.cfg.Server, l.reason, unseen || second != "" || a.link.isolation.Isolated))
	}
	if standby.Liveness != failover.Alive {
		out = append(out, alarms.Condition{Name: alarms.StandbyOutOfOrder, Severity: alarms.Warning, Server: c.Standby,
			Text: standbyWords(c.Standby, standby), Unsure: unheard || second != "" && standby.Liveness != failover.Gone || a.link.isolation.Isolated || now.Sub(a.link.heardAgain) < hearAgain})
	}
	return out
}

// standbyWords describes what is wrong with a standby server.
func standbyWords(name string, p *peer) string {
	switch {
	case p.Liveness == failover.Gone:
		return fmt.Sprintf("the standby server %s is down", name)
	case p.Liveness == failover.Unheard:
		return fmt.Sprintf("the standby server %s was never heard", name)
	case p.Claim != nil && p.Claim.Parked:
		return fmt.Sprintf("the agent of the standby server %s was stopped", name)
	}
	return fmt.Sprintf("the agent of the standby server %s is silent", name)
}

func limDown(number int, regular, reason string, unsure bool) alarms.Condition {
	return alarms.Condition{Name: alarms.LIMDown, Severity: alarms.Critical, LIM: number, Server: regular, After: downAfter, Unsure: unsure,
		Text: fmt.Sprintf("LIM %d is down: %s", number, reason)}
}

// leftLocked returns the condition of a lock without an end that is older than a day.
func leftLocked(m clusterconf.Member, regular string, now time.Time) []alarms.Condition {
	if m.Lock == nil || m.Lock.Expires != nil || now.Sub(m.Lock.Since) < lockedFor {
		return nil
	}
	return []alarms.Condition{{Name: alarms.LockLeft, Severity: alarms.Warning, LIM: m.LIM, Server: regular,
		Text: fmt.Sprintf("LIM %d is locked to the %s side since %s by %s", m.LIM, m.Lock.To, m.Lock.Since.UTC().Format(time.RFC3339), m.Lock.By)}}
}

// flapping returns, on the standby, the condition of a regular server that fails repeatedly, as
// long as automatic fallback waits for it.
func (a *conditions) flapping(l *lim, regular string, count int) []alarms.Condition {
	text := fmt.Sprintf("%s failed again soon after a fallback of LIM %d", regular, l.number)
	if count == 0 || a.cluster().Fallback != clusterconf.FallbackAutomatic || a.cfg.FirstHold <= 0 {
		return nil
	}
	if count > 1 {
		text = fmt.Sprintf("%s failed %d times soon after a fallback of LIM %d", regular, count, l.number)
	}
	text += fmt.Sprintf("; before the next automatic one it must stay up for %s", l.Flaps.Hold(a.cfg.FirstHold))
	if at := l.Flaps.Forgotten(); !at.IsZero() {
		text += fmt.Sprintf("; forgotten at %s if it does not fail before", at.UTC().Format("15:04:05Z"))
	}
	return []alarms.Condition{{Name: alarms.Flapping, Severity: alarms.Warning, LIM: l.number, Server: regular, Text: text}}
}

// notRedundant returns the LIMs whose next failure would not be covered because of this server.
func (a *conditions) notRedundant() []alarms.Condition {
	var out []alarms.Condition
	tell := func(lim int, text string) {
		if a.doc.ClusterOfLIM(lim) != nil {
			out = append(out, alarms.Condition{Name: alarms.NotRedundant, Severity: alarms.Warning, LIM: lim, Server: a.cfg.Server, After: unableFor, Text: text})
		}
	}
	for _, lim := range a.fitness.actsNotFor() {
		tell(lim, a.fitness.actsNotWords(lim))
	}
	for n, l := range a.lims.all {
		switch why := a.fitness.needs.unable[n]; {
		case l.software.lacks != "":
			tell(n, fmt.Sprintf("LIM %d runs on %s not as it was set: %s", n, a.cfg.Server, l.software.lacks))
		case why != "" && l.State.Active():
			tell(n, fmt.Sprintf("the software of LIM %d could not be started again on %s: %s", n, a.cfg.Server, why))
		case why != "":
			tell(n, fmt.Sprintf("LIM %d cannot move to %s: its software cannot start there: %s", n, a.cfg.Server, why))
		}
	}
	return out
}

// prompts returns the condition, on the standby, of a LIM without voice announcements here (spec
// ch. 2). It is taken over nevertheless.
func (a *conditions) prompts(lim int) []alarms.Condition {
	why := a.fitness.needs.lacking[lim]
	if why == "" {
		return nil
	}
	return []alarms.Condition{{Name: alarms.PromptsMissing, Severity: alarms.Warning, LIM: lim, Server: a.cfg.Server,
		Text: fmt.Sprintf("the announcement prompts of LIM %d are not on %s: %s; copy them from %s", lim, a.cfg.Server, why, a.doc.RegularOf(lim).Name)}}
}

// notInSync returns the condition of a LIM whose data differ between the two sides: one alarm, by
// its cause. A failed sync is reported of the standby, whichever side notices it (spec, "Standby
// Cluster has Failed to Synchronize Data").
func (a *conditions) notInSync(c *clusterconf.Cluster, lim int) []alarms.Condition {
	out := alarms.Condition{Severity: alarms.Warning, LIM: lim, Server: c.Standby}
	d, failed, other := a.data.newest[lim], a.data.records[lim].Failed, a.data.otherSide(lim)
	order := lineage.Same // as far as known
	if p := a.peers.all[other]; p != nil && p.Liveness == failover.Alive && p.Claim != nil {
		order = d.Order(p.Claim.LIM(lim).Data)
	}
	switch l := a.lims.all[lim]; {
	case order == lineage.Apart, d != nil && d.Conflict:
		out.Name = alarms.DataConflict
		out.Text = fmt.Sprintf("the data of LIM %d went different ways on both sides, and neither is copied; keep one: mxcluster sync --lim %d --keep regular|standby", lim, lim)
	case failed != "":
		out.Name = alarms.SyncFailed
		out.Text = fmt.Sprintf("the data of LIM %d was not synchronised with %s: %s", lim, c.Standby, failed)
	case order == lineage.Newer && l != nil && l.State == failover.Running:
		out.Name, out.Server, out.After = alarms.DataBehind, other, behindFor
		out.Text = fmt.Sprintf("%s has older data of LIM %d than %s: %s is not there yet; see what 'mxcluster sync --lim %d' says", other, lim, a.cfg.Server, d.Version, lim)
	default:
		return nil
	}
	return []alarms.Condition{out}
}

// damaged returns the data versions on this server that are damaged.
func (a *conditions) damaged() (out []alarms.Condition) {
	for lim, d := range a.data.here {
		if d.Unseen == "" && len(d.Damaged) == 0 {
			continue
		}
		c := alarms.Condition{Name: alarms.DataDamaged, Severity: alarms.Warning, LIM: lim, Server: a.cfg.Server,
			Text: fmt.Sprintf("the data versions of LIM %d on %s cannot be looked at: %s", lim, a.cfg.Server, d.Unseen)}
		if d.Unseen == "" {
			c.Text = fmt.Sprintf("the data version %s of LIM %d on %s is damaged: %s", d.Damaged[0].Version, lim, a.cfg.Server, d.Damaged[0].Why)
		}
		if more := len(d.Damaged) - 1; d.Unseen == "" && more > 0 {
			c.Text += fmt.Sprintf(" (and %d more)", more)
		}
		on := "without any data"
		if d.Newest != nil {
			on = "on " + d.Newest.Version
		} else {
			c.Severity = alarms.Critical
		}
		c.Text += fmt.Sprintf("; LIM %d would start there %s", lim, on)
		out = append(out, c)
	}
	return out
}
