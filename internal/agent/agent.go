// Package agent runs one server of a cluster: it gathers what is known of all servers, asks package
// failover what every LIM should do here, carries that out on addresses and software, and tells the
// other agents.
//
// One goroutine, the main loop, owns all state. Events arrive in its inbox, in order. Operations
// that take time run in goroutines beside it and post their results to the inbox.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
	"mxcluster/internal/sinks"
)

// Config is the configuration of an agent.
type Config struct {
	Server        string
	GossipPort    uint16
	Lease         time.Duration // of an alias, enforced by the kernel
	StopLease     time.Duration // of an alias whose LIM goes on after the agent was stopped
	StartGrace    time.Duration // how long a starting agent waits for servers that it has not heard
	FirstHold     time.Duration // how long a server that failed again soon after a fallback must stay up before the next automatic one; doubled each time; 0: no backoff
	FromLoad      bool          // whether a LIM may fall back to a server where it is still loading
	ARPBudget     int           // bound of ARP packets per second on one interface, exclusive; 0: none
	ARPRefresh    time.Duration // between periodic announcements
	CheckInterval time.Duration // between health checks of software
	Restarts      int           // of failing software in place, before the LIM counts as failed here
	Version       string
	Levels        levels.Levels // that this version understands
	PID           int
	Watchdog      time.Duration // the service manager's limit between signs of life; 0: none
	Boot          string        // identity of the server's boot; "": not known
	ArbiterLease  time.Duration // of a LIM's key at the arbiter, if one is configured
	Log           *slog.Logger
}

// settleTime is how long a starting agent waits for servers of its cluster that it does not hear.
const settleTime = 2 * time.Second

// Agent supervises one server. Create it with [New], and run it with [Agent.Run].
type Agent struct {
	*core
	notifier *notifier

	// The following is owned by the main loop.
	aliases     *aliases
	arbiterKeys *arbiterKeys
	copies      *copies
	data        *data
	docs        *documents
	fitness     *fitness
	gossip      *gossip
	gossipKeys  *gossipKeys
	kept        *keptState
	lims        *lims
	link        *link
	mail        *messenger
	management  *management
	networks    *networks
	orders      *orders
	peers       *peers
	refusals    *refusals
	rehearsals  *rehearsals
	shutdown    *shutdown
	sinks       *sinks.Set
	swaps       *swaps

	alarms     alarms.State
	outlook    outlook // only on a standby
	plan       failover.Plan
	lastChores time.Time
}

// New returns an agent, which does nothing before Run.
func New(cfg Config, deps Deps) (*Agent, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("making the identity of this run: %w", err)
	}
	if deps.Arbiter != nil {
		cfg.Lease = keeper.AliasLease(cfg.Lease, cfg.ArbiterLease)
	}
	a := &Agent{
		core:     &core{cfg: cfg, deps: deps, log: cfg.Log, journal: newJournal(cfg.Server, cfg.Log, deps.Events), run: hex.EncodeToString(id), inbox: make(chan func(), 256), done: make(chan struct{})},
		notifier: newNotifier(deps.Notify, cfg.Watchdog),
	}
	a.assemble()
	a.ctx, a.shutdown.cancel = context.WithCancel(context.Background()) // of the main loop; calls may come before it runs
	if deps.Arbiter != nil {
		a.keeper = keeper.New(keeper.Config{Arbiter: deps.Arbiter, Server: cfg.Server, Lease: cfg.ArbiterLease, Alive: a.alive, Changed: func() { a.post(func() {}) }, Log: cfg.Log})
	}
	return a, nil
}

// assemble creates the parts of an agent and connects them.
func (a *Agent) assemble() {
	c := a.core
	a.peers = &peers{core: c, all: map[string]*peer{}}
	a.mail = &messenger{core: c, waiters: map[string]chan reply{}}
	a.refusals = &refusals{core: c, peers: a.peers, causes: map[string]refusalCause{}}
	a.kept = &keptState{core: c, saver: saver{file: c.deps.State, turn: newSemaphore()}, take: a.takeState}
	a.docs = &documents{core: c, documentHost: a, kept: a.kept, mail: a.mail, peers: a.peers, editing: editing{owed: map[string][]byte{}}}
	a.gossip = &gossip{core: c, peers: a.peers, statement: a.statement}
	a.gossipKeys = &gossipKeys{core: c, mail: a.mail, peers: a.peers}

	a.link = &link{core: c, peers: a.peers}
	a.lims = &lims{core: c, gossip: a.gossip, kept: a.kept, all: map[int]*lim{}}
	a.aliases = &aliases{core: c, link: a.link, peers: a.peers, all: map[int]*alias{}, view: a.view,
		term: func(n int) uint64 { return a.lims.of(n).Term }, freed: a.lims.aliasFreed}
	a.data = &data{core: c, lims: a.lims, peers: a.peers, newest: map[int]*failover.Data{}, syncs: map[int]*limSync{}}
	a.lims.aliases, a.lims.data = a.aliases, a.data
	a.link.aliases, a.link.lims = a.aliases, a.lims

	a.arbiterKeys = &arbiterKeys{core: c, lims: a.lims}
	a.copies = &copies{core: c, lims: a.lims, peers: a.peers}
	a.networks = &networks{core: c, aliases: a.aliases, gossip: a.gossip, keys: a.gossipKeys, link: a.link, peers: a.peers, heard: a.heard}
	a.orders = &orders{core: c, docs: a.docs, lims: a.lims, mail: a.mail, peers: a.peers, refusals: a.refusals, view: a.view, permits: permits{}, draining: map[int]*drain{}}
	a.rehearsals = &rehearsals{core: c, kept: a.kept, lims: a.lims, link: a.link, all: map[int]rehearsed{}}
	a.lims.endRehearsals, a.orders.rehearse = a.rehearsals.clear, a.rehearsals.order
	a.swaps = &swaps{core: c, docs: a.docs, kept: a.kept, lims: a.lims, mail: a.mail, ready: map[netip.Prefix]time.Time{}}
	a.fitness = &fitness{core: c, arbiterKeys: a.arbiterKeys, docs: a.docs, kept: a.kept, lims: a.lims, link: a.link, peers: a.peers,
		needs: &preconditions{core: c}, abilities: &abilities{core: c, lims: a.lims, all: map[int]*ability{}}}
	a.management = &management{core: c, aliases: a.aliases, copies: a.copies, lims: a.lims, link: a.link, peers: a.peers}
	a.aliases.virtual = a.management.virtual
	a.sinks = sinks.New(c.log, a.sinkTold, c.deps.Sinks...)
	a.shutdown = &shutdown{core: c, arbiterKeys: a.arbiterKeys, gossip: a.gossip, kept: a.kept, lims: a.lims, management: a.management, notifier: a.notifier, orders: a.orders, rehearsals: a.rehearsals, view: a.view}
}

// Run supervises until ctx ends or the agent is told to stop. LIMs that run here stay up then, and
// their aliases stay for the stop lease.
func (a *Agent) Run(ctx context.Context) error {
	loopCtx, cancel := a.ctx, a.shutdown.cancel
	defer cancel()
	defer close(a.done)
	if err := a.begin(); err != nil {
		return err
	}
	defer a.wg.Wait()
	defer cancel()
	signal := ctx.Done()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-loopCtx.Done():
			return a.end()
		case <-signal:
			signal = nil
			a.shutdown.signalled()
		case f := <-a.inbox:
			a.nothingNew = false
			f()
			if a.nothingNew {
				continue
			}
		case <-tick.C:
		}
		a.drain()
		tick.Reset(a.step(time.Now()))
	}
}

// begin loads state and document, and adopts what runs here.
func (a *Agent) begin() error {
	a.started = time.Now()
	a.turned(a.started)
	doc, err := a.docs.firstDocument()
	if err != nil {
		return err
	}
	if err = a.gossipKeys.load(); err != nil {
		return err
	}
	a.kept.state, err = a.deps.State.Load()
	lost := err != nil
	a.kept.states, a.docs.self = a.kept.state.Number, a.kept.state.Self
	a.alarms, a.docs.conflict, a.docs.conflictText, a.swaps.former, a.docs.accepted = a.kept.state.Alarms, a.kept.state.Conflict, a.kept.state.ConflictText, a.kept.state.Former, a.kept.state.Accepted
	a.docs.restoreUnread(a.kept.state.Unread)
	for _, base := range a.kept.state.Readied {
		a.swaps.ready[base] = a.started.Add(readyLife)
	}
	for name, formers := range a.kept.state.Formers {
		a.peers.of(name).formers = formers
	}
	for name, is := range a.kept.state.Programs {
		if doc.Server(name) != nil && name != a.cfg.Server {
			a.peers.of(name).program = is
		}
	}
	if a.cfg.Boot == "" || a.kept.state.Boot != a.cfg.Boot {
		a.kept.state.Seen = nil // the others may have failed together with this server
	}
	a.aliases.denyAtStart(doc.Document, a.kept.state.LIMs, lost)
	a.journal.agent("started", fmt.Sprintf("the agent of %s started, version %s", a.cfg.Server, a.cfg.Version))
	if lost {
		a.kept.noteLost(errText(err))
	}
	a.kept.noteUnknown()
	if err := a.setDocument(doc); err != nil {
		return err
	}
	if err := a.lims.adopt(lost); err != nil {
		return err
	}
	a.rehearsals.lookAtStart(a.kept.state.Rehearsing, a.kept.state.Rehearsals)
	a.copies.look()
	a.aliases.mendDenials(a.aliases.deniable())
	changes, err := a.deps.Kernel.Watch(a.ctx)
	if err != nil {
		return fmt.Errorf("watching the kernel's addresses: %w", err)
	}
	a.docs.readDocument() // the document on the disk may differ from the one in force
	changed := a.deps.Changed(a.ctx)
	if a.keeper != nil {
		a.keeper.Start(a.ctx)
	}
	a.wg.Go(func() { a.journal.disk.run(a.ctx, a.log) })
	a.wg.Go(func() { a.notifier.run(a.ctx, a.log) })
	a.sinks.Restore(a.kept.state.Untold)
	go a.sinks.Run(a.ctx) // the end does not wait for a program that cannot be ended
	a.wg.Go(func() { pump(a.core, changes, a.kernelChanged) })
	a.wg.Go(func() { pump(a.core, changed, func(struct{}) { a.docs.readDocument() }) })
	return nil
}

// step decides and acts once. It returns the longest time to the next step.
func (a *Agent) step(now time.Time) time.Duration {
	a.turned(now)
	a.housekeep(now)
	a.judge(now)
	if !a.stopping {
		a.plan = failover.Decide(a.view(now))
		for i := range a.plan.Decisions {
			d := &a.plan.Decisions[i]
			d.Term = a.firstTerm(d, now)
			a.apply(d, now)
		}
	}
	a.orders.tendDrains(now)
	a.rehearsals.tend(now)
	a.copies.tend(now)
	a.management.tend(now)
	denials := a.aliases.tendDenials(now)
	a.arbiterKeys.tend(a.plan, now)
	if failover.Pending(a.doc) {
		a.lims.giveUpLeaving()
	}
	a.docs.advance(now)
	a.aliases.noteSplits(now)
	a.raiseAlarms(now)
	a.gossip.publish(now)
	a.notifier.update(now, a.settled || now.Sub(a.started) >= settleTime, a.statusLine())
	for _, ch := range a.awaited {
		close(ch)
	}
	a.awaited = nil
	wait := min(a.beatPeriod(), a.cfg.Lease/3, a.arbiterKeys.untilEnd(now)) // holders renew leases only while this loop turns
	if denials > 0 {
		wait = min(wait, denials)
	}
	return wait
}

// end leaves the gossip pool.
func (a *Agent) end() error {
	if a.keeper != nil {
		a.keeper.Halt()
	}
	a.net.close(a.log)
	return nil
}
