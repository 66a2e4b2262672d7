package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/internal/rotation"
)

// claimHeard handles another server's statement.
func (a *Agent) claimHeard(ev member.Event) {
	var c statement
	err := json.Unmarshal(ev.Payload, &c)
	if err == nil && c.Server != ev.From {
		err = fmt.Errorf("it is of %q", c.Server)
	}
	if err != nil {
		a.refusals.unread(ev.From, "the claim", err)
		return
	}
	if why := c.Beyond(a.doc.Age(), a.lims.highestTerm); why != "" {
		a.refusals.refuse(ev.From, "beyond-reason", fmt.Sprintf("what %s says of itself is not believed: it names %s", ev.From, why))
		return
	}
	for i := range c.LIMs {
		c.LIMs[i].State = c.LIMs[i].Understood()
	}
	if len(a.peers.all) >= maxPeers && a.peers.all[ev.From] == nil && a.doc.Server(ev.From) == nil {
		return // invented names do not crowd out others
	}
	p := a.peers.of(ev.From)
	if p.Claim == nil || p.Claim.Run != c.Run {
		p.noteRun(&c.Claim, ev.At)
		if p.fromSecond(&c.Claim, ev.At) {
			return
		}
		p.RunSince = ev.At
	}
	known := p.Claim != nil && p.Claim.MAC == c.MAC && slices.Equal(p.Claim.MACs, c.MACs)
	a.net.detector.SetMACs(ev.From, append(slices.Clone(c.MACs), c.MAC))
	a.aliases.held.know(ev.From, append(slices.Clone(c.MACs), c.MAC))
	a.aliases.blockFailed(&c.Claim)
	p.noteHolding(&c.Claim, later(ev.At, p.at))
	p.Claim, p.alarms, p.claimed, p.keys = &c.Claim, c.Alarms, ev.At, rotation.Claim{}
	p.reach, p.told = c.Reach, c.Told
	if is := c.Program(); is != p.program {
		p.program, a.kept.unsaved = is, true
	}
	if c.Keys != nil {
		p.keys = *c.Keys
	}
	p.management = c.Management
	a.hearNotices(c.Notices)
	a.peers.noteLease(p)
	if !known {
		a.link.judgeByGateways() // a gateway's MAC is not that of a neighbour
	}
	if p.formers != nil && !c.Lacks(a.doc) {
		p.formers, a.kept.unsaved = nil, true
		a.networks.supervise()
	}
	for _, entry := range c.LIMs {
		if !a.concerns(entry.LIM) {
			continue
		}
		a.lims.noteMissingState(ev.From, entry)
		if l := a.lims.of(entry.LIM); l.Known.Later(entry.Known) != l.Known {
			l.Known, a.kept.unsaved = entry.Known, true
		}
	}
	a.docs.forgetUnread(&c.Claim)
	if a.peers.behind(&c.Claim) {
		a.docs.requestDocument(ev.From, c.Age())
	}
}

// claim returns the claim of this server.
func (a *Agent) claim(now time.Time) failover.Claim {
	c := failover.Claim{
		Server: a.cfg.Server, Run: a.run, Version: a.cfg.Version, Revision: a.doc.Revision, Epoch: a.doc.Epoch, Hash: a.hash,
		MAC: a.link.mac, Settled: a.settled, Parked: a.parked, Leaving: a.stopping, Isolated: a.link.isolation.Isolated, Arbiter: a.arbiterKeys.toldState,
		Looked: a.fitness.needs.unable != nil, Unready: a.fitness.unfit(), Limits: a.fitness.limits(), Witnessed: a.link.witnessed().Others > 0,
		Hindered: a.hindered(), Unreadable: a.docs.onDisk.broken, KeyLease: a.arbiterKeys.lease(),
		Lease: a.lease(), MACs: a.link.macs.list(), Denied: a.aliases.denials.whole, Misplaced: a.copies.misplaced(),
		Levels: a.cfg.Levels,
	}
	notTaken := a.fitness.actsNotFor()
	for n, l := range a.lims.all {
		var yields clusterconf.Side
		if cluster := a.doc.ClusterOfLIM(n); l.alias.holds && cluster != nil {
			yields = failover.YieldingSide(cluster, n, now)
		}
		c.LIMs = append(c.LIMs, failover.LIMClaim{
			Yields: yields, LIM: n, State: l.State, Term: l.Term, Since: l.since, Holds: l.alias.holds || l.alias.absent, Absent: l.alias.absent, OtherBlock: l.alias.otherBlock.result, Released: !l.Released.IsZero() && !l.State.Active(),
			Clear: l.clear && !l.alias.holds, Known: l.Known, Reason: l.whyHere(), Failure: l.Failure, Unable: a.fitness.needs.unable[n], NoPrompts: a.fitness.needs.lacking[n], Announced: l.alias.announced.Truncate(time.Second), AnnounceError: l.alias.announceError, Blocked: l.alias.blocked != "" && !a.aliases.notDenied(l.alias.addr.Addr()),
			ForeignMAC: l.alias.foreign.mac, Data: a.data.newest[n], Damaged: a.data.here[n].names(), NextSync: a.data.nextSync(n),
			Waiting: l.waiting, BlockedBy: l.blocked, HeldUntil: l.backoffUntil, HeldWhy: l.backoffReason, Flaps: l.Flaps.Recent(now),
			Suspended: l.Suspended.Why != "", Remedy: l.remedy, Promise: a.outlook.promises[n],
			Serving: l.serving, Cause: l.cause, Left: l.left, Split: l.told(now),
			StartMs: wholeMs(l.tookToStart), Rehearsal: a.rehearsals.of(n),
		})
	}
	for i := range c.LIMs {
		l, f := &c.LIMs[i], a.fitness.abilities.of(c.LIMs[i].LIM)
		l.Unfit, l.Unchecked, l.Failing, l.FitSince = f.Unfit, f.Unchecked, f.Failing, f.Since
		if slices.Contains(notTaken, l.LIM) {
			l.NotTaken = a.fitness.actsNotWords(l.LIM)
		} else {
			l.NotTaken = a.fitness.actsNotHome(l.LIM)
		}
	}
	slices.SortFunc(c.LIMs, func(x, y failover.LIMClaim) int { return cmp.Compare(x.LIM, y.LIM) })
	return c
}

// hindered returns what would keep this server from taking over any LIM.
func (a *Agent) hindered() []string {
	out := a.fitness.troubled()
	if why := a.docs.unreadable(); why != "" {
		out = append(slices.Clone(out), "it cannot read the others' cluster document: "+why)
	}
	return out
}

// statement returns what this server publishes.
func (a *Agent) statement(now time.Time) statement {
	return statement{Claim: a.claim(now), Alarms: a.alarms.Alarms, Keys: a.gossipKeys.ring.Claim(), Notices: a.alarms.Notices,
		Reach: a.sinks.Reach(), Told: a.alarms.Ledger(), Management: a.management.word(now)}
}
