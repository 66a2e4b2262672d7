// Package agent is the body around the brain of package failover: it gathers
// what this server can know of the others, asks the brain what every LIM should
// do here, carries that out on addresses and software, and tells the others.
//
// One goroutine owns all state (the body's loop). Everything that happens
// arrives in its inbox in order; everything that takes time runs beside it and
// reports back through the inbox.
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
	"mxcluster/internal/sinks"
)

// Config is what an agent is told about this server.
type Config struct {
	Server        string
	GossipPort    uint16
	Lease         time.Duration // of an alias, kept by the kernel
	StopLease     time.Duration // of an alias when the agent is stopped and its LIM goes on
	StartGrace    time.Duration // how long servers never heard are waited for
	FirstHold     time.Duration // how long a server that failed again soon after a fallback must stay up before the next one; doubled each time; 0: never
	FromLoad      bool          // whether a LIM may fall back to a server that still loads it
	ARPBudget     int           // fewer ARP packets a second are sent on one interface; 0: there is no bound
	ARPRefresh    time.Duration // from one periodic announcement to the next
	CheckInterval time.Duration // from one health check of the software to the next
	Restarts      int           // of failing software in place, before the LIM counts as failed
	Version       string
	PID           int
	Watchdog      time.Duration // within which the service manager wants a sign of life; 0: it wants none
	Boot          string        // identity of this boot of the server; "": not known
	ArbiterLease  time.Duration // of a LIM's key at the arbiter, if there is one
	Log           *slog.Logger
}

// settleTime is how long a starting agent waits for servers that it does not hear.
const settleTime = 2 * time.Second

// Agent supervises one server. Make it with [New], run it with [Agent.Run].
type Agent struct {
	*core
	notifier *notifier

	// Below is owned by the main loop.
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
	networks    *networks
	orders      *orders
	peers       *peers
	refusals    *refusals
	rehearsals  *rehearsals
	shutdown    *shutdown
	sinks       *sinks.Set
	swaps       *swaps

	alarms     alarms.State
	outlook    outlook // on a standby
	plan       failover.Plan
	lastChores time.Time
}

// New returns an agent; nothing happens before Run.
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
	a.ctx, a.shutdown.cancel = context.WithCancel(context.Background()) // of the main loop; calls may come before that runs
	if deps.Arbiter != nil {
		a.keeper = keeper.New(keeper.Config{Arbiter: deps.Arbiter, Server: cfg.Server, Lease: cfg.ArbiterLease, Alive: a.alive, Changed: func() { a.post(func() {}) }, Log: cfg.Log})
	}
	return a, nil
}

// assemble makes the parts of an agent, and gives each the others that it needs.
func (a *Agent) assemble() {
	c := a.core
	a.peers = &peers{core: c, all: map[string]*peer{}}
	a.mail = &messenger{core: c, waiters: map[string]chan reply{}}
	a.refusals = &refusals{core: c, peers: a.peers, causes: map[string]refusalCause{}}
	a.kept = &keptState{core: c, saver: saver{file: c.deps.State, turn: newTurn()}, take: a.takeState}
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
	a.sinks = sinks.New(c.log, a.sinkTold, c.deps.Sinks...)
	a.shutdown = &shutdown{core: c, arbiterKeys: a.arbiterKeys, gossip: a.gossip, kept: a.kept, lims: a.lims, notifier: a.notifier, orders: a.orders, rehearsals: a.rehearsals, view: a.view}
}

// Run supervises until ctx ends or the agent is told to stop. What runs here
// goes on running: its aliases stay for the stop lease (design section 5, rule 9).
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

// begin reads what is known and takes hold of what runs here.
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
	for _, base := range a.kept.state.Readied {
		a.swaps.ready[base] = a.started.Add(readyLife)
	}
	for name, formers := range a.kept.state.Formers {
		a.peers.of(name).formers = formers
	}
	if a.cfg.Boot == "" || a.kept.state.Boot != a.cfg.Boot {
		a.kept.state.Seen = nil // the others may have gone down with this server
	}
	a.aliases.denyAtStart(doc.Document, a.kept.state.LIMs, lost)
	a.journal.agent("started", fmt.Sprintf("the agent of %s started, version %s", a.cfg.Server, a.cfg.Version))
	if lost {
		a.kept.noteLost(words(err))
	}
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
	a.docs.readDocument() // what is on the disk may not be what it works by
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

// step decides and acts; it returns when to do so again at the latest.
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
	denials := a.aliases.tendDenials(now)
	a.arbiterKeys.tend(a.plan, now)
	if failover.Pending(a.doc) {
		a.lims.giveUpLeaving()
	}
	a.docs.goOn(now)
	a.aliases.noteSplits(now)
	a.raiseAlarms(now)
	a.gossip.publish(now)
	a.notifier.turn(now, a.settled || now.Sub(a.started) >= settleTime, a.statusLine())
	wait := min(a.beatPeriod(), a.cfg.Lease/3, a.arbiterKeys.untilEnd(now)) // holders renew only while this loop turns
	if denials > 0 {
		wait = min(wait, denials)
	}
	return wait
}

// end leaves the pool after a stop.
func (a *Agent) end() error {
	if a.keeper != nil {
		a.keeper.Halt()
	}
	a.net.close(a.log)
	return nil
}
