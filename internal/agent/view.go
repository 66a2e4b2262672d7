package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/detector"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/internal/rotation"
)

const (
	minBeat      = 40 * time.Millisecond // heartbeats to the servers of the cluster, at the most often
	maxBeat      = 2 * time.Second       // and at the most seldom
	farBeat      = 2 * time.Second       // heartbeats to all other servers, at the most often
	farSpacing   = 25 * time.Millisecond // from one of those to the next, at the most often
	farInLimit   = 4                     // of those, which missing make a server count as lost
	joinPeriod   = time.Second
	dataPeriod   = time.Second
	seenPeriod   = 30 * time.Second       // how often it is saved who is alive, and seen whether that can be
	savePause    = 100 * time.Millisecond // between two saves of what was heard
	seenFresh    = 5 * time.Minute        // how long that counts after a restart of the agent
	beatsInLimit = 5
)

// view gathers all that a decision rests on.
func (a *Agent) view(now time.Time) failover.View {
	v := failover.View{
		Now: now, Self: a.cfg.Server, Started: a.started, Settled: a.settled, Isolated: a.link.isolation.Isolated && !a.link.isolation.Listens,
		Rejoined:   a.link.isolation.Listens,
		StartGrace: a.cfg.StartGrace, FirstHold: a.cfg.FirstHold, FromLoad: a.cfg.FromLoad, Document: a.doc, Orders: a.orders,
		Peers: make(map[string]failover.Peer, len(a.peers.all)), LIMs: make(map[int]failover.Local, len(a.lims.all)),
		Wire: a.net.detector.Aliases(),
	}
	v.Deaf, v.Down = a.link.deafSince(now), !a.link.up
	v.Arbiter = a.arbiterView(now)
	for name, p := range a.peers.all {
		v.Peers[name] = failover.Peer{Doubtful: p.doubtful, LeaseEnds: a.peers.leaseEnds(p), Liveness: p.liveness, Since: p.since, RunSince: p.runSince, Claim: p.claim, IdleSince: p.idle}
	}
	for n, l := range a.lims.all {
		v.LIMs[n] = failover.Local{State: l.state, Term: l.term, Holds: l.alias.holds || l.alias.absent, Released: l.released,
			Known: l.known, RetryAt: l.retryAt, Failure: l.failure, Data: a.data.newest[n], Flaps: l.flaps, Suspended: l.suspended}
	}
	return v
}

// lease is how long an alias may stay here after this word.
func (a *Agent) lease() time.Duration {
	if a.parked || a.stopping {
		return max(a.cfg.Lease, a.cfg.StopLease)
	}
	return a.cfg.Lease
}

// judge updates what is known of the other servers' lives.
func (a *Agent) judge(now time.Time) {
	a.peers.hearsay()
	seen := a.net.detector.Sightings()
	mates := a.mates()
	heardAll := true
	for _, s := range a.doc.Servers {
		if s.Name == a.cfg.Server {
			continue
		}
		p := a.peers.of(s.Name)
		was := p.liveness
		if g, ok := seen[s.Name]; ok && slices.Contains(mates, s.Name) {
			p.liveness, p.doubtful = a.liveness(s.Name, p, g), g.Doubtful
			heardAll = heardAll && p.liveness == failover.Alive
		} else {
			p.liveness = farLiveness(p, now, farInLimit*a.farPeriod())
		}
		a.judgeIdle(p, s.LIM, now)
		if p.liveness != was {
			p.since = now
			if was == failover.Gone {
				a.aliases.returned(s.Name)
			}
			if p.liveness == failover.Alive {
				a.aliases.announceAll() // it, and the clients beside it, may have heard of another holder
			}
			a.recordServer(s.Name, p.liveness, was)
		}
	}
	if settled := heardAll && a.arbiterAsked(now) || a.waited(now); settled && !a.settled {
		a.settled = true
		a.recordAgent("settled", fmt.Sprintf("the agent of %s has settled: it knows what the others run, or has waited for them", a.cfg.Server))
	}
	a.link.judgeIsolation(now)
	a.link.keepBase(now)
}

// waited reports whether a starting agent has waited long enough for those that it does
// not hear. They have that time from the first frame of anybody: before, a switch port
// may have been shut. Where nothing at all is heard the time for a cold start counts.
func (a *Agent) waited(now time.Time) bool {
	if first := a.net.detector.FirstFrame(); !first.IsZero() {
		return now.Sub(later(a.started, first)) >= settleTime
	}
	return now.Sub(a.started) >= max(a.cfg.StartGrace, settleTime)
}

// judgeIdle notes since when a regular server leaves its LIM down, although this
// server has it down, too.
func (a *Agent) judgeIdle(p *peer, lim int, now time.Time) {
	here := a.lims.all[lim]
	switch {
	case lim == 0 || p.liveness != failover.Alive || !p.claim.Settled || p.claim.LIM(lim).State.Active(),
		here != nil && here.state.Active():
		p.idle = time.Time{}
	case p.idle.IsZero():
		p.idle = now
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// liveness judges a server of this server's cluster.
func (a *Agent) liveness(name string, p *peer, g detector.Sighting) failover.Liveness {
	last := a.kept.state.Seen[name]
	known := g.EverGossip || !last.IsZero() && a.started.Sub(last) < seenFresh
	switch {
	case !known:
		return failover.Unheard
	case g.Gone:
		return failover.Gone
	case g.AgentLost:
		return failover.AgentLost
	case p.claim == nil || !g.EverGossip:
		return failover.Unheard
	case p.stale && p.liveness != failover.Alive:
		return p.liveness // it is back, and its claim is that of the run before
	case (p.liveness == failover.Gone || p.liveness == failover.AgentLost) && !g.Gossiped.After(p.since):
		return failover.AgentLost // its kernel is back
	}
	return failover.Alive
}

// claimHeard takes in what another server says of itself.
func (a *Agent) claimHeard(ev member.Event) {
	var c statement
	if err := json.Unmarshal(ev.Payload, &c); err != nil || c.Server != ev.From {
		a.log.Warn("ignoring a claim that cannot be read", "from", ev.From, "err", err)
		return
	}
	if why := c.Beyond(a.doc.Age(), a.highestTerm); why != "" {
		a.refuse(ev.From, "beyond-reason", fmt.Sprintf("what %s says of itself is not believed: it names %s", ev.From, why))
		return
	}
	if len(a.peers.all) >= maxPeers && a.peers.all[ev.From] == nil && a.doc.Server(ev.From) == nil {
		return // invented names take no room from others
	}
	p := a.peers.of(ev.From)
	if p.claim == nil || p.claim.Run != c.Run {
		p.noteRun(&c.Claim, ev.At)
		if p.second(&c.Claim, ev.At) {
			return
		}
		p.runSince = ev.At
	}
	known := p.claim != nil && p.claim.MAC == c.MAC && slices.Equal(p.claim.MACs, c.MACs)
	a.net.detector.SetMACs(ev.From, append(slices.Clone(c.MACs), c.MAC))
	a.aliases.held.know(ev.From, append(slices.Clone(c.MACs), c.MAC))
	a.aliases.blockFailed(&c.Claim)
	p.noteHolding(&c.Claim, later(ev.At, p.at))
	p.claim, p.alarms, p.claimed, p.keys = &c.Claim, c.Alarms, ev.At, rotation.Claim{}
	if c.Keys != nil {
		p.keys = *c.Keys
	}
	if !known {
		a.link.judgeByGateways() // whose MAC is none of a neighbour
	}
	if p.formers != nil && !c.Lacks(a.doc) {
		p.formers, a.kept.unsaved = nil, true
		a.superviseOthers()
	}
	for _, entry := range c.LIMs {
		if !a.concerns(entry.LIM) {
			continue
		}
		a.missLast(ev.From, entry)
		if l := a.lims.of(entry.LIM); l.known.Later(entry.Known) != l.known {
			l.known, a.kept.unsaved = entry.Known, true
		}
	}
	if a.peers.behind(&c.Claim) {
		a.docs.requestDocument(ev.From, c.Age())
	}
}

// statement is what one server says to the others: its claim, on which they
// decide, and what they show to people.
type statement struct {
	failover.Claim
	Alarms []alarms.Alarm  `json:"alarms,omitempty"`
	Keys   *rotation.Claim `json:"keys,omitempty"`
}

// claim is what this server says of itself.
func (a *Agent) claim(now time.Time) failover.Claim {
	c := failover.Claim{
		Server: a.cfg.Server, Run: a.run, Version: a.cfg.Version, Revision: a.doc.Revision, Epoch: a.doc.Epoch, Hash: a.hash,
		MAC: a.link.mac, Settled: a.settled, Parked: a.parked, Leaving: a.stopping, Isolated: a.link.isolation.Isolated, Arbiter: a.arbiter,
		Looked: a.needs.unable != nil, Unready: a.unfit(), Limits: a.limits(), Witnessed: a.link.witnessed().Others > 0,
		Lease: a.lease(), MACs: a.link.macs.list(), Denied: a.aliases.denials.whole, Misplaced: a.copies.misplaced(),
	}
	notTaken := a.actsNotFor()
	for n, l := range a.lims.all {
		var yields clusterconf.Side
		if cluster := a.doc.ClusterOfLIM(n); l.alias.holds && cluster != nil {
			yields = failover.YieldingSide(cluster, n, now)
		}
		c.LIMs = append(c.LIMs, failover.LIMClaim{
			Yields: yields, LIM: n, State: l.state, Term: l.term, Since: l.since, Holds: l.alias.holds || l.alias.absent, Absent: l.alias.absent, OtherBlock: l.alias.otherBlock.result, Released: !l.released.IsZero() && !l.state.Active(),
			Clear: l.clear && !l.alias.holds, Known: l.known, Reason: l.whyHere(), Failure: l.failure, Unable: a.needs.unable[n], Announced: l.alias.announced.Truncate(time.Second), AnnounceError: l.alias.notTold, Blocked: l.alias.hidden != "" && !a.aliases.notDenied(l.alias.addr.Addr()),
			ForeignMAC: l.alias.foreign.mac, Data: a.data.newest[n], Damaged: a.data.here[n].names(), NextSync: a.data.nextSync(n),
			Waiting: l.waiting, BlockedBy: l.blocked, HeldUntil: l.heldUntil, HeldWhy: l.heldWhy, Flaps: l.flaps.Recent(now),
			Suspended: l.suspended.Why != "", Remedy: l.remedy,
		})
	}
	for i := range c.LIMs {
		if n := c.LIMs[i].LIM; slices.Contains(notTaken, n) {
			c.LIMs[i].NotTaken = a.actsNotWords(n)
		}
	}
	slices.SortFunc(c.LIMs, func(x, y failover.LIMClaim) int { return cmp.Compare(x.LIM, y.LIM) })
	return c
}

// publish tells the others: all of it when it changed, else a heartbeat.
func (a *Agent) publish(now time.Time) {
	if a.publishNews(now) {
		a.lastBeat = now
		return
	}
	if now.Sub(a.lastBeat) >= a.beatPeriod() {
		a.lastBeat = now
		a.net.pool.Beat(a.mates()...)
	}
	if now.Sub(a.lastFar) >= a.farPeriod() {
		a.lastFar = now
		mates := a.mates()
		far := slices.DeleteFunc(slices.Collect(maps.Keys(a.peers.all)), func(n string) bool { return slices.Contains(mates, n) })
		a.net.pool.Beat(far...)
	}
}

// publishNews tells the others all of it if it changed. Looking at the values first
// is much cheaper than encoding them, and nearly always enough.
func (a *Agent) publishNews(now time.Time) bool {
	c := statement{a.claim(now), a.alarms.Alarms, a.keyring.Claim()}
	if a.published != "" && reflect.DeepEqual(c, a.said) {
		return false
	}
	raw, err := json.Marshal(c)
	if err != nil {
		a.log.Error("encoding the claim", "err", err)
		return false
	}
	a.said = c
	if string(raw) == a.published {
		return false
	}
	a.published = string(raw)
	c.At = now
	if raw, err = json.Marshal(c); err == nil {
		a.net.pool.Publish(raw)
	}
	return true
}

// housekeep does what is due from time to time.
func (a *Agent) housekeep(now time.Time) {
	a.orders = slices.DeleteFunc(a.orders, func(o failover.Order) bool { return !now.Before(o.Expires) || a.fulfilled(o) })
	if now.Sub(a.lastJoin) >= joinPeriod {
		a.lastJoin = now
		a.writeHeld(a.gate.Due(now))
		a.forgetReadied(now)
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
	}
	if now.Sub(a.lastData) >= dataPeriod {
		a.lastData = now
		a.data.look(a.own(), now)
		a.needs.look(a.own(), now)
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

// savePatience is how long something that must be saved before it is acted on waits
// for the disk: callers do not wait for a server's log or backup to be written. The
// state is kept by then, and a server whose power goes runs nothing (decision 0032).
const savePatience = 50 * time.Millisecond

// takeState is what must outlive the process, as it is now.
func (a *Agent) takeState() persisted {
	a.kept.states = max(a.kept.states+1, uint64(time.Now().UnixNano()))
	p := persisted{Version: stateVersion, Number: a.kept.states, Boot: a.cfg.Boot, LIMs: map[int]persistedLIM{}, Seen: map[string]time.Time{},
		Alarms: a.alarms, Conflict: a.docs.conflict, ConflictText: a.docs.conflictText, Former: a.former, Accepted: a.docs.accepted, Self: a.docs.self, Readied: slices.Collect(maps.Keys(a.readied)), Formers: map[string][]netip.Addr{}}
	for n, l := range a.lims.all {
		p.LIMs[n] = persistedLIM{Term: l.term, Active: l.state.Active(), Loaded: l.software.up, Since: l.since, Up: l.software.specs,
			Known: l.known, Flaps: l.flaps, Suspended: l.suspended, Routes: slices.Clone(l.alias.routes)}
	}
	for name, at := range a.kept.state.Seen {
		p.Seen[name] = at
	}
	for name, x := range a.peers.all {
		if x.formers != nil {
			p.Formers[name] = slices.Clone(x.formers)
		}
		if x.liveness == failover.Alive {
			p.Seen[name] = time.Now().UTC()
		}
	}
	return p
}

// background is a context for short work that must end with the agent.
func (a *core) background(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.ctx, limit)
}
