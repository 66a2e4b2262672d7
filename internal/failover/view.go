// Package failover is the brain: it decides, for one server, where each LIM of
// its cluster should run, and says why. It is pure: a View goes in, a Plan
// comes out. There is no clock, no goroutine and no I/O in it; package agent
// gathers the view, carries the plan out and tells the other servers.
//
// The caller must make what it persists durable before it acts on a plan:
// the term of a start first, then the start.
package failover

import (
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
)

// State is what a LIM does on one server.
type State string

// The states, in the contract's words.
const (
	Stopped  State = "stopped"
	Starting State = "starting"
	Running  State = "running"
	Stopping State = "stopping"
	Failed   State = "failed" // its software or its address did not come up here
	Unknown  State = "unknown"

	// Of a preloaded cluster's passive side: not reachable, and so not active.
	Loading   State = "loading"
	Preloaded State = "preloaded"
)

// Active reports whether the LIM may be reachable in this state.
func (s State) Active() bool { return s == Starting || s == Running || s == Stopping }

// Place is where a LIM last ran, as far as anybody knows.
type Place struct {
	Term   uint64 `json:"term"`             // 0: it never ran under supervision
	Server string `json:"server,omitempty"` // "": nowhere
}

// maxTerm is above every term that is ever reached; a higher one is damage, and
// would leave no room to count on.
const maxTerm = 1 << 62

// Later returns the place with the higher term.
func (p Place) Later(q Place) Place {
	if q.Term > p.Term && q.Term < maxTerm {
		return q
	}
	return p
}

// Claim is what one server says of itself. It travels as JSON between agents;
// fields are only ever added.
type Claim struct {
	Server   string     `json:"server"`
	Run      string     `json:"run"` // identity of this run of the agent
	At       time.Time  `json:"at"`  // that server's clock when it spoke
	Version  string     `json:"version"`
	Revision uint64     `json:"revision"`        // of its cluster document
	Epoch    uint64     `json:"epoch,omitempty"` // of the same
	Hash     string     `json:"hash"`
	MAC      string     `json:"mac,omitempty"`      // of the interface of its base address
	Settled  bool       `json:"settled"`            // it knows what the others run
	Parked   bool       `json:"parked,omitempty"`   // its agent was stopped on purpose; its LIMs go on
	Leaving  bool       `json:"leaving,omitempty"`  // its agent is about to end
	Isolated bool       `json:"isolated,omitempty"` // it hears nobody or its link is down
	Arbiter  string     `json:"arbiter,omitempty"`  // whether it reaches the arbiter, see [ArbiterReached]; "": it has none, or has not asked yet
	LIMs     []LIMClaim `json:"lims,omitempty"`

	Looked  bool     `json:"looked,omitempty"`  // it has looked whether it could do its part
	Unready []string `json:"unready,omitempty"` // what would keep it from that; see Looked
	Limits  string   `json:"limits,omitempty"`  // what it could do once only; "": nothing

	Hindered   []string      `json:"hindered,omitempty"`   // what would keep it from taking any LIM over, that the rules of failing over do not know of
	Unreadable string        `json:"unreadable,omitempty"` // why the document on its disk cannot be used; it works by the last one that could
	KeyLease   time.Duration `json:"keyLease,omitempty"`   // how long its keys at the arbiter may outlive it; 0: there is no arbiter

	Witnessed bool `json:"witnessed,omitempty"` // hosts beside its cluster tell it that it is not cut off

	MACs []string `json:"macs,omitempty"` // of all its interfaces, and former ones of this run

	Lease time.Duration `json:"lease,omitempty"` // how long an alias that it has may outlive this word, for no later one of it; 0: not said

	Denied    bool  `json:"denied,omitempty"`    // its kernel keeps every alias that it does not hold off the wire, as it was read back
	Misplaced []int `json:"misplaced,omitempty"` // LIMs whose alias is on an interface of it where it should not be
}

// Age is that of the document that the server works by.
func (c *Claim) Age() clusterconf.Age { return clusterconf.Age{Epoch: c.Epoch, Revision: c.Revision} }

// Lacks reports whether the server works by an older document.
func (c *Claim) Lacks(d *clusterconf.Document) bool { return c.Age().Compare(d.Age()) < 0 }

// LIM returns the claim's entry for a LIM; the zero value, state stopped, when
// it says nothing of it.
func (c *Claim) LIM(number int) LIMClaim {
	if c != nil {
		for i := range c.LIMs {
			if c.LIMs[i].LIM == number {
				return c.LIMs[i]
			}
		}
	}
	return LIMClaim{LIM: number, State: Stopped}
}

// What came of asking a server for an alias that it says it has blocked.
const (
	BlockSilent   = "silent"   // it did not answer, as it should be
	BlockAnswered = "answered" // the block is none
)

// LIMClaim is what a server says of one LIM.
type LIMClaim struct {
	LIM       int              `json:"lim"`
	State     State            `json:"state"`
	Term      uint64           `json:"term,omitempty"` // under which it runs or last ran here
	Since     time.Time        `json:"since,omitzero"`
	Holds     bool             `json:"holds,omitempty"`    // its kernel has the alias
	Yields    clusterconf.Side `json:"yields,omitempty"`   // holds: the side that stops by its document if the other one holds it, too
	Released  bool             `json:"released,omitempty"` // given up by order, for the other side to take
	Known     Place            `json:"known"`              // highest term this server has heard of
	Reason    string           `json:"reason,omitempty"`
	Failure   string           `json:"failure,omitempty"`   // state failed: what went wrong
	Unable    string           `json:"unable,omitempty"`    // what surely keeps its software from starting there
	Unfit     string           `json:"unfit,omitempty"`     // by its checks, see [Fitness]
	Unchecked string           `json:"unchecked,omitempty"` // the same
	Failing   string           `json:"failing,omitempty"`   // the same
	FitSince  time.Time        `json:"fitSince,omitzero"`   // the same
	NoPrompts string           `json:"noPrompts,omitempty"` // why its announcement prompts are not there; it runs without
	Announced time.Time        `json:"announced,omitzero"`

	Clear         bool   `json:"clear,omitempty"`         // it leaves its cluster, and nothing of it is left here: read back from the kernel
	Blocked       bool   `json:"blocked,omitempty"`       // its kernel keeps the alias off the wire
	Absent        bool   `json:"absent,omitempty"`        // holds: somebody took the alias off, and it is put back once the interface works
	OtherBlock    string `json:"otherBlock,omitempty"`    // holds: what came of asking the other side, which says that it has the alias blocked; see [BlockSilent]; "": not known yet
	ForeignMAC    string `json:"foreignMac,omitempty"`    // of a host that is no server and uses the alias
	AnnounceError string `json:"announceError,omitempty"` // of the last announcement

	Data      *Data     `json:"data,omitempty"`    // newest complete data version
	NextSync  time.Time `json:"nextSync,omitzero"` // when its agent synchronises the data at the latest; zero: it cannot
	Damaged   []string  `json:"damaged,omitempty"` // data versions that cannot be relied on, newest first
	Waiting   bool      `json:"waiting,omitempty"`
	BlockedBy []string  `json:"blockedBy,omitempty"` // what keeps it from falling back
	HeldUntil time.Time `json:"heldUntil,omitzero"`  // automatic fallback is held back until then at least ...
	HeldWhy   string    `json:"heldWhy,omitempty"`   // ... because of this
	Flaps     int       `json:"flaps,omitempty"`     // how often its regular server failed soon after a fallback
	Suspended bool      `json:"suspended,omitempty"` // a fallback failed: no further automatic one
	NotTaken  string    `json:"notTaken,omitempty"`  // on the standby: why it would not take the LIM over now if its server failed
	Remedy    *Remedy   `json:"remedy,omitempty"`    // what people can do about it, while it does not serve here
	Promise   *Promise  `json:"promise,omitempty"`   // on the standby: whether the loss of the server where it is active would be covered; nil: not looked yet

	StartMs   int64      `json:"startMs,omitempty"`   // how long its software took to start there last, be it on trial; 0: it was not started yet
	Rehearsal *Rehearsal `json:"rehearsal,omitempty"` // on the standby: the last one; nil: there was none
}

// whyFailed says what went wrong with a LIM that failed, else why it is as it is.
func (c LIMClaim) whyFailed() string {
	if c.State == Failed && c.Failure != "" {
		return c.Failure
	}
	return c.Reason
}

// Liveness is what is known of another server's life (design section 4).
type Liveness string

// The degrees of liveness.
const (
	Unheard   Liveness = "unknown"    // nothing was heard of it since this agent started
	Alive     Liveness = "alive"      // its agent answers
	AgentLost Liveness = "agent-lost" // its agent is silent, its kernel answers
	Gone      Liveness = "gone"       // nothing at all was heard for the cluster's silence limit
)

// Peer is another server as this one sees it.
type Peer struct {
	Liveness  Liveness
	Since     time.Time // of this liveness
	Doubtful  bool      // agent lost: somebody answers by ARP for it, and its kernel not when it is asked for what only that can know
	LeaseEnds time.Time // after that no alias can be there any more by its last word; zero: not known

	RunSince time.Time // since when its agent, in its present run, is heard
	Claim    *Claim    // the last one heard; nil if none since this agent started

	// IdleSince is since when a regular server, alive and settled, leaves its own
	// LIM down, which is not up on this server either; zero: it is up on one of them.
	IdleSince time.Time
}

// active reports whether the peer, as far as it can be trusted, has the LIM up.
func (p Peer) active(lim int) bool {
	return p.Liveness == Alive && p.Claim.LIM(lim).State.Active()
}

// servesAnother reports whether the peer, heard now, has a LIM besides one up: where it
// runs one at most, that one has no place there.
func (p Peer) servesAnother(lim int) bool {
	return p.Liveness == Alive && p.Claim != nil && slices.ContainsFunc(p.Claim.LIMs, func(l LIMClaim) bool { return l.LIM != lim && l.State.Active() })
}

// Expired reports whether nothing but answers that others may give tells of a server,
// and by its last word it can have no alias any more.
func (p Peer) Expired(now time.Time) bool {
	return p.Liveness == AgentLost && p.Doubtful && !p.LeaseEnds.IsZero() && !now.Before(p.LeaseEnds)
}

// active reports whether a peer has a LIM up. A stopped agent's word stays good
// as long as somebody answers for the alias.
func (v *View) active(p Peer, lim int) bool {
	stopped := p.Liveness == AgentLost && p.Claim != nil && p.Claim.Parked && p.Claim.LIM(lim).State.Active()
	return p.active(lim) || stopped && !v.Wire[lim].Silent && !p.Expired(v.Now)
}

// holds reports whether the peer, heard now, has the LIM's alias.
func (p Peer) holds(lim int) bool {
	c := p.Claim.LIM(lim)
	return p.Liveness == Alive && c.Holds && c.State.Active()
}

// Local is a LIM on this server.
type Local struct {
	Standing
	Holds   bool // this kernel has the alias and the lease is ours
	Data    *Data
	Fitness Fitness // of this server, by the LIM's checks
}

// Standing is how a LIM stands on this server, as the agent there keeps it.
type Standing struct {
	State    State
	Term     uint64
	Released time.Time // when it was given up by order; zero if it was not
	Known    Place     // highest term heard of, persisted
	RetryAt  time.Time // after a failure, or an alias in use: when another try is due
	Failure  string    // what happened

	// Of the standby:
	Flaps     Flaps
	Suspended Suspension
}

// Suspension says that a fallback failed, so that there is no further automatic
// one (design rule 4). It ends with an order, and when the regular server's agent
// starts anew, which is when somebody has seen to it.
type Suspension struct {
	Run string `json:"run,omitempty"` // of the regular server's agent; "": there is none
	Why string `json:"why,omitempty"`
}

// Wire is what ARP said of a LIM's alias, asked while its holder is in doubt.
type Wire struct {
	AskedSince time.Time  // zero: not being asked
	Answered   time.Time  // last answer; zero: none since AskedSince
	MAC        string     // of the last answer
	Silent     bool       // asked often enough, for the silence limit, without an answer
	Alias      netip.Addr // address asked for
}

// Kind says what an order asks for.
type Kind string

// The orders.
const (
	Fallback Kind = "fallback" // to the regular server
	Failover Kind = "failover" // to the standby server
)

// Order asks that a LIM be moved. It stays pending until it is done or expires.
type Order struct {
	Kind    Kind
	LIM     int
	Now     bool // do not wait until the target is ready
	Expires time.Time

	Dead string // Failover: the regular server, which is said to be dead; "": it gives the LIM up
	Term uint64 // Dead: under which it was started; 0: it was not yet
}

// View is all that a decision rests on.
type View struct {
	Now        time.Time // in this server's time zone
	Self       string
	Started    time.Time // of this agent
	Settled    bool      // the others were heard, or waited for long enough
	Isolated   bool      // this server's link is down or it hears nobody
	Rejoined   bool      // it was isolated and hears others again, for less than the silence limit: who is silent may just not have spoken
	StartGrace time.Duration
	FirstHold  time.Duration // how long a first repeated failure holds automatic fallback back, doubled with each; 0: never
	FromLoad   bool          // whether a LIM may fall back to a server that still loads it
	Document   *clusterconf.Document
	Peers      map[string]Peer // by server, this one left out
	LIMs       map[int]Local
	Wire       map[int]Wire
	Orders     []Order

	Arbiter *Arbiter  // nil: there is none
	Down    bool      // this server's link is down
	Deaf    time.Time // since when this server's link is down, or brings nothing at all; zero: it works
}

// Want is what a LIM should do on this server.
type Want string

// The wants.
const (
	Run  Want = "run"
	Stop Want = "stop"
	Wait Want = "wait" // neither start nor stop it yet
)

// Decision is the wanted state of one LIM on this server, with the reason.
type Decision struct {
	LIM       int
	Want      Want
	Term      uint64 // Run: the term to run under
	Rule      Rule
	Reason    string
	AliasOff  bool      // Stop: the alias goes first, then the software
	Release   bool      // Stop: given up by order, for the other side to take
	Unmark    bool      // Stop: that it was given up by order counts no more
	Waiting   bool      // failed, and the standby is taken
	Contested bool      // Run: another server has the alias too, and is to stop
	AskWire   bool      // the answer depends on who answers ARP for the alias: ask
	Claim     bool      // it is to run, but for the arbiter's key: ask for it
	SaidDead  bool      // Run: because its regular server was said to be dead
	Remedy    *Remedy   // what people can do about it; nil: nothing is known
	BlockedBy []string  // runs on the standby: what keeps it from falling back
	HeldUntil time.Time // runs on the standby: automatic fallback is held back until then at least
	HeldWhy   string

	// What is to be kept of the LIM with the start or the stop; nil: what was.
	Flaps     *Flaps
	Suspended *Suspension
}

// Rule names the rule of design section 5 that a decision follows.
type Rule string

// The rules.
const (
	RuleOnePlace   Rule = "one-place"   // a lower term yields
	RuleOneLIM     Rule = "one-lim"     // the standby runs one LIM at most
	RulePriority   Rule = "priority"    // a higher priority replaces a lower one
	RuleFallback   Rule = "fallback"    // back to the regular server
	RuleFlapping   Rule = "flapping"    // a server that failed again soon must stay up first
	RuleSplitBrain Rule = "split-brain" // two live claims: the configured side stops
	RuleStart      Rule = "start"       // what a starting agent may do
	RuleOrder      Rule = "order"       // moved by order
	RuleLock       Rule = "lock"        // a locked LIM does not move
	RuleDrain      Rule = "drain"       // nothing starts on a drained server
	RuleFreeze     Rule = "freeze"      // no LIM of a frozen cluster moves by itself
	RuleWindow     Rule = "window"      // automatic fallback waits for its time of day
	RuleUnfit      Rule = "unfit"       // a server whose checks fail takes nothing over, and gives up what the other side can run
	RuleRevision   Rule = "revision"    // a stale document may not take over
	RuleSoftware   Rule = "software"    // software that fails on a healthy server
	RuleTakeover   Rule = "takeover"    // the other server is gone
	RuleIsolated   Rule = "isolated"    // an isolated server takes nothing over
	RuleArbiter    Rule = "arbiter"     // nothing runs without the arbiter's key
	RuleHome       Rule = "home"        // it runs where it belongs
)

// Plan holds one decision for each LIM that concerns this server, by number.
type Plan struct {
	Decisions []Decision
}

// For returns the decision for a LIM, or nil.
func (p Plan) For(lim int) *Decision {
	for i := range p.Decisions {
		if p.Decisions[i].LIM == lim {
			return &p.Decisions[i]
		}
	}
	return nil
}
