package agent

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/rotation"
	"mxcluster/internal/status"
)

// clock returns the servers of this cluster whose clocks differ by more than the times of data
// versions allow (spec ch. 3). If most of the others differ, it is this server's clock that is
// wrong.
func (a *conditions) clock() []alarms.Condition {
	mates := a.mates()
	var off []string
	for _, name := range mates {
		if p := a.peers.of(name); p.Liveness == failover.Alive && p.clockKnown && p.clock.Abs() > status.MaxClockOffset {
			off = append(off, name)
		}
	}
	if len(mates) > 1 && 2*len(off) > len(mates) {
		off = []string{a.cfg.Server}
	}
	var out []alarms.Condition
	for _, name := range off {
		out = append(out, alarms.Condition{Name: alarms.ClockSkew, Severity: alarms.Warning, Server: name,
			Text: fmt.Sprintf("the clock of %s is more than %s off; see to NTP there", name, status.MaxClockOffset)})
	}
	return out
}

// arbiterLost returns the condition of an unreachable arbiter, and of servers of this cluster
// without an arbiter, which would take over without asking it.
func (a *conditions) arbiterLost() []alarms.Condition {
	if a.keeper == nil {
		return nil
	}
	var out []alarms.Condition
	if a.arbiterKeys.toldState == failover.ArbiterSilent {
		out = append(out, alarms.Condition{Name: alarms.ArbiterUnreachable, Severity: alarms.Warning, Server: a.cfg.Server,
			Text: fmt.Sprintf("%s does not reach the arbiter: LIMs neither run nor start there until it does", a.cfg.Server)})
	}
	for _, name := range a.mates() {
		if p := a.peers.of(name); p.Liveness == failover.Alive && p.Claim.Settled && p.Claim.Arbiter == "" {
			out = append(out, alarms.Condition{Name: alarms.ArbiterDiffers, Severity: alarms.Warning, Server: name, After: settleTime,
				Text: fmt.Sprintf("%s asks no arbiter, unlike %s: it would take over without one; see arbiter.etcd.endpoints in its settings", name, a.cfg.Server)})
		}
	}
	return out
}

// stopped returns the agents of this cluster that were stopped, or are silent, on servers that are
// up.
func (a *conditions) stopped() []alarms.Condition {
	var out []alarms.Condition
	for _, name := range a.mates() {
		p := a.peers.of(name)
		c := alarms.Condition{Name: alarms.AgentStopped, Severity: alarms.Warning, Server: name}
		switch {
		case p.Claim == nil || p.Liveness != failover.AgentLost && p.Liveness != failover.Alive:
			continue
		case p.Claim.Parked:
			c.Text = fmt.Sprintf("the agent of %s was stopped; what runs there goes on, and nobody watches it: `systemctl start mxcluster-agent` there", name)
		case p.Liveness == failover.AgentLost && p.Claim.Leaving:
			c.Text = fmt.Sprintf("the agent of %s was stopped: `systemctl start mxcluster-agent` there", name)
		case p.Liveness == failover.AgentLost:
			c.After = silentFor
			c.Text = fmt.Sprintf("the agent of %s is silent, although that server answers: `systemctl status mxcluster-agent` there", name)
		default:
			continue
		}
		out = append(out, c)
	}
	return out
}

// noRoom returns the disks that are nearly full.
func (a *conditions) noRoom(now time.Time) []alarms.Condition {
	c := alarms.Condition{Name: alarms.DiskFull, Severity: alarms.Warning, Server: a.cfg.Server}
	r := &a.kept.room
	switch {
	case r.nowhere() != "":
		c.Severity = alarms.Critical
		c.Text = fmt.Sprintf("%s has no room for its state, so that no LIM can be started there: %s", a.cfg.Server, r.nowhere())
	case r.disk != "":
		c.Text = fmt.Sprintf("%s has no room for its state on disk; it is in memory, and lost if the power goes: %s", a.cfg.Server, r.disk)
	case r.hangs(now):
		c.Text = fmt.Sprintf("the disk of %s does not take its state: a write has not ended for more than %s", a.cfg.Server, diskHangs)
	case r.memory != "":
		c.Text = fmt.Sprintf("%s has no room for its state in its runtime folder; each change waits for the disk: %s", a.cfg.Server, r.memory)
	case r.store != "":
		c.Text = fmt.Sprintf("%s cannot store the newest cluster document: %s", a.cfg.Server, r.store)
	case r.tight != "":
		c.Text = fmt.Sprintf("%s is about to have no room for its state: %s", a.cfg.Server, r.tight)
	default:
		return nil
	}
	return []alarms.Condition{c}
}

// stateLost returns the condition of a lost state file.
func (a *conditions) stateLost(now time.Time) []alarms.Condition {
	if a.kept.lost == "" || now.Sub(a.started) >= lostFor {
		return nil
	}
	return []alarms.Condition{{Name: alarms.StateLost, Severity: alarms.Warning, Server: a.cfg.Server,
		Text: fmt.Sprintf("%s lost what it knew of its last run and goes on by what the others know: %s", a.cfg.Server, a.kept.lost)}}
}

// strangers returns the servers that are present but whose messages cannot be understood, with the
// cause.
func (a *conditions) strangers(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	if len(a.refusals.causes) == 0 {
		return nil
	}
	seen := a.net.detector.Sightings()
	for name, x := range a.refusals.causes {
		s, p := a.doc.Server(name), a.peers.all[name]
		switch {
		case s == nil || now.Sub(x.at) >= strangeFor:
			delete(a.refusals.causes, name)
		case x.authentic || p == nil || p.Liveness != failover.Alive && !x.at.Before(seen[name].Gossiped):
			out = append(out, alarms.Condition{Name: alarms.NotUnderstood, Severity: alarms.Warning, LIM: s.LIM, Server: name,
				Text: fmt.Sprintf("the agent of %s is not understood: %s", name, x.why)})
		}
	}
	return out
}

// settings returns the condition of settings on the disk that differ from those of the running
// agent.
func (a *conditions) settings() []alarms.Condition {
	if a.fitness.needs.otherSettings == "" {
		return nil
	}
	return []alarms.Condition{{Name: alarms.SettingsNotRead, Severity: alarms.Warning, Server: a.cfg.Server, Text: a.fitness.needs.settingsWords(a.cfg.Server)}}
}

// serverRemoved returns the condition that this server is no longer in the system.
func (a *conditions) serverRemoved() []alarms.Condition {
	if a.docs.removed == 0 {
		return nil
	}
	return []alarms.Condition{{Name: alarms.ServerRemoved, Severity: alarms.Warning, Server: a.cfg.Server, Text: a.docs.removedText()}}
}

// keyRotation returns the condition of a key rotation that does not complete.
func (a *conditions) keyRotation() []alarms.Condition {
	if !rotation.Rotating(a.gossipKeys.ring.Keys()) {
		return nil
	}
	return []alarms.Condition{{Name: alarms.KeyRotation, Severity: alarms.Warning, After: rotationSlow,
		Text: fmt.Sprintf("the rotation of the gossip key waits for %s; `mxcluster key show` says why", a.gossipKeys.info().Waiting())}}
}

// documents returns the conditions of documents that cannot be read, or did not arrive.
func (a *conditions) documents() []alarms.Condition {
	var out []alarms.Condition
	if a.docs.onDisk.broken != "" {
		out = append(out, alarms.Condition{Name: alarms.DocumentUnreadable, Severity: alarms.Warning, Server: a.cfg.Server, After: time.Second,
			Text: fmt.Sprintf("the cluster document on the disk of %s cannot be used; revision %d stays in force: %s", a.cfg.Server, a.doc.Revision, a.docs.onDisk.broken)})
	}
	if why := a.docs.unreadable(); why != "" {
		out = append(out, alarms.Condition{Name: alarms.DocumentUnreadable, Severity: alarms.Warning, Server: a.cfg.Server,
			Text: fmt.Sprintf("%s, of version %s, cannot read %s, and takes nothing over; revision %d stays in force: %s", a.cfg.Server, a.cfg.Version, alarms.OthersDocument, a.doc.Revision, why)})
	}
	if text := a.peers.lags(); text != "" {
		out = append(out, alarms.Condition{Name: alarms.DocumentBehind, Severity: alarms.Warning, Server: a.cfg.Server, After: documentLate, Text: text})
	}
	for _, name := range a.mates() {
		if p := a.peers.of(name); p.Liveness == failover.Alive && p.Claim != nil && p.Claim.Lacks(a.doc) {
			out = append(out, alarms.Condition{Name: alarms.DocumentBehind, Severity: alarms.Warning, Server: name, After: documentLate,
				Text: fmt.Sprintf("%s works by revision %d of the cluster document, by its last word; %s has revision %d", name, p.Claim.Revision, a.cfg.Server, a.doc.Revision)})
		}
	}
	return out
}

// versions returns the servers whose program understands less than that of others: the system works
// by what all understand.
func (a *conditions) versions() []alarms.Condition {
	programs, highest := a.peers.programs(), a.cfg.Levels
	for _, is := range programs {
		highest = highest.Highest(is.Levels)
	}
	var out []alarms.Condition
	for _, s := range a.doc.Servers {
		is, known := programs[s.Name]
		if behind := is.Levels.Behind(highest); known && !s.LeftBehind && len(behind) > 0 {
			out = append(out, alarms.Condition{Name: alarms.VersionBehind, Severity: alarms.Warning, Server: s.Name, After: versionSettles,
				Text: fmt.Sprintf("%s runs an older version of mxcluster, %s, and holds the system back: %s; upgrade it there", s.Name, cmp.Or(is.Version, "which it does not tell"), strings.Join(behind, ", "))})
		}
	}
	return out
}

// versionSettles is how long a difference of versions lasts before it is told.
const versionSettles = 5 * time.Second

// leaving returns the conditions of LIMs that leave their clusters and are not taken over
// meanwhile, and of such changes that do not complete. The document's editor reports them, and
// every server of the cluster.
func (a *conditions) leaving() []alarms.Condition {
	var out []alarms.Condition
	c := a.cluster()
	for _, w := range a.docs.steps.Waits {
		switch {
		case w.LIM != 0 && c != nil && c.Member(w.LIM) != nil:
			out = append(out, alarms.Condition{Name: alarms.NotRedundant, Severity: alarms.Warning, LIM: w.LIM, Server: w.Server, After: downAfter,
				Text: fmt.Sprintf("LIM %d leaves cluster %s and is not taken over any more; that waits: %s", w.LIM, c.Name, w.Why)})
		case w.LIM == 0:
			out = append(out, alarms.Condition{Name: alarms.DocumentBehind, Severity: alarms.Warning, Server: w.For, After: lingersAfter,
				Text: fmt.Sprintf("%s keeps its former base: %s; if that is gone for good: `mxcluster server remove %s`", w.Server, w.Why, w.For)})
		}
	}
	return out
}
