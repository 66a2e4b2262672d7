// Package failover decides, for one server, where each LIM of its cluster should run, and says why.
// It is pure: a View goes in, a Plan comes out, without a clock, goroutines or I/O. Package agent
// gathers the view, carries out the plan and tells the other servers.
//
// The caller must persist what the plan says before it acts on it: first the term of a start, then
// the start.
package failover

import (
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/levels"
)

// State is the state of a LIM on one server.
type State string

// The states, in the contract's words.
const (
	Stopped  State = "stopped"
	Starting State = "starting"
	Running  State = "running"
	Stopping State = "stopping"
	Failed   State = "failed" // its software or its address did not come up here
	Unknown  State = "unknown"

	// On the passive side of a preloaded cluster: not reachable, and so not active.
	Loading   State = "loading"
	Preloaded State = "preloaded"
)

// Active reports whether the LIM may be reachable in this state.
func (s State) Active() bool { return s == Starting || s == Running || s == Stopping }

// Place is where a LIM last ran, as far as known.
type Place struct {
	Term   uint64 `json:"term"`             // 0: it never ran in a cluster
	Server string `json:"server,omitempty"` // "": nowhere
}

// maxTerm is above every valid term; a higher one is damage, and would leave no room for counting
// on.
const maxTerm = 1 << 62

// Later returns the place with the higher term.
func (p Place) Later(q Place) Place {
	if q.Term > p.Term && q.Term < maxTerm {
		return q
	}
	return p
}

// Claim is what one server states about itself. It travels as JSON between agents; fields are only
// ever added.
type Claim struct {
	Server   string     `json:"server"`
	Run      string     `json:"run"` // ID of this run of the agent
	At       time.Time  `json:"at"`  // when it was made, by that server's clock
	Version  string     `json:"version"`
	Revision uint64     `json:"revision"`        // of its cluster document
	Epoch    uint64     `json:"epoch,omitempty"` // of the same document
	Hash     string     `json:"hash"`
	MAC      string     `json:"mac,omitempty"`      // of the interface of its base address
	Settled  bool       `json:"settled"`            // it knows what the others run
	Parked   bool       `json:"parked,omitempty"`   // its agent was stopped by order; its LIMs go on
	Leaving  bool       `json:"leaving,omitempty"`  // its agent is about to end
	Isolated bool       `json:"isolated,omitempty"` // it hears nobody, or its link is down
	Arbiter  string     `json:"arbiter,omitempty"`  // whether it reaches the arbiter, see [ArbiterReached]; "": there is none, or it has not asked yet
	LIMs     []LIMClaim `json:"lims,omitempty"`

	Looked  bool     `json:"looked,omitempty"`  // it has checked whether it could do its part
	Unready []string `json:"unready,omitempty"` // what would keep it from that; valid with Looked
	Limits  string   `json:"limits,omitempty"`  // what it can do only once; "": nothing

	Hindered   []string      `json:"hindered,omitempty"`   // what would keep it from taking over any LIM, apart from the rules of failover
	Unreadable string        `json:"unreadable,omitempty"` // why the document on its disk cannot be used; the last usable one is in force
	KeyLease   time.Duration `json:"keyLease,omitempty"`   // how long its keys at the arbiter may outlive it; 0: there is no arbiter

	Witnessed bool `json:"witnessed,omitempty"` // witnesses outside of its cluster answer it, so that it is not isolated

	MACs []string `json:"macs,omitempty"` // of all its interfaces, present and former ones of this run

	Lease time.Duration `json:"lease,omitempty"` // how long an alias there may outlive this claim if no later one follows; 0: not stated

	Denied    bool  `json:"denied,omitempty"`    // its kernel denies every alias that it does not hold, as read back
	Misplaced []int `json:"misplaced,omitempty"` // LIMs whose alias is present there and should not be

	Levels levels.Levels `json:"levels,omitzero"` // that its version understands; zero: it does not tell
}

// Program is the version of the program that a server runs, by its own word.
func (c *Claim) Program() levels.Program { return levels.Told(c.Version, c.Levels) }

// Age is the age of the server's document.
func (c *Claim) Age() clusterconf.Age { return clusterconf.Age{Epoch: c.Epoch, Revision: c.Revision} }

// Lacks reports whether the server has an older document than d.
func (c *Claim) Lacks(d *clusterconf.Document) bool { return c.Age().Compare(d.Age()) < 0 }

// LIM returns the claim's entry for a LIM; the zero value, with state stopped, if it has none.
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

// Results of asking a server for an alias that it claims to have blocked.
const (
	BlockSilent   = "silent"   // it did not answer, as it should be
	BlockAnswered = "answered" // the block is not effective
)

// LIMClaim is what a server states about one LIM.
type LIMClaim struct {
	LIM       int              `json:"lim"`
	State     State            `json:"state"`
	Term      uint64           `json:"term,omitempty"` // under which it runs or last ran here
	Since     time.Time        `json:"since,omitzero"`
	Holds     bool             `json:"holds,omitempty"`    // the alias is present there
	Yields    clusterconf.Side `json:"yields,omitempty"`   // with Holds: the side that yields, by its document, if the other one has it, too
	Released  bool             `json:"released,omitempty"` // given up by order, for the other side to take
	Known     Place            `json:"known"`              // highest term that this server knows
	Reason    string           `json:"reason,omitempty"`
	Failure   string           `json:"failure,omitempty"`   // with state failed: the reason
	Unable    string           `json:"unable,omitempty"`    // what surely keeps its software from starting there
	Unfit     string           `json:"unfit,omitempty"`     // by its checks, see [Fitness]
	Unchecked string           `json:"unchecked,omitempty"` // the same
	Failing   string           `json:"failing,omitempty"`   // the same
	FitSince  time.Time        `json:"fitSince,omitzero"`   // the same
	NoPrompts string           `json:"noPrompts,omitempty"` // why its announcement prompts are missing there; it runs without them
	Announced time.Time        `json:"announced,omitzero"`

	Clear         bool   `json:"clear,omitempty"`         // it leaves its cluster, and nothing of it is left there, as read back from the kernel
	Blocked       bool   `json:"blocked,omitempty"`       // its kernel keeps the alias off the wire
	Absent        bool   `json:"absent,omitempty"`        // with Holds: the alias was removed, and is added again when the interface works
	OtherBlock    string `json:"otherBlock,omitempty"`    // with Holds: whether the other side's block of the alias is effective, see [BlockSilent]; "": not known
	ForeignMAC    string `json:"foreignMac,omitempty"`    // of a host outside of the system that uses the alias
	AnnounceError string `json:"announceError,omitempty"` // error of the last announcement

	Data      *Data     `json:"data,omitempty"`    // newest complete data version
	NextSync  time.Time `json:"nextSync,omitzero"` // when its agent synchronises the data at the latest; zero: it cannot
	Damaged   []string  `json:"damaged,omitempty"` // damaged data versions, newest first
	Waiting   bool      `json:"waiting,omitempty"`
	BlockedBy []string  `json:"blockedBy,omitempty"` // what keeps it from falling back
	HeldUntil time.Time `json:"heldUntil,omitzero"`  // automatic fallback waits until then at least ...
	HeldWhy   string    `json:"heldWhy,omitempty"`   // ... for this reason
	Flaps     int       `json:"flaps,omitempty"`     // how often its regular server failed soon after a fallback
	Suspended bool      `json:"suspended,omitempty"` // a fallback failed: no further automatic one follows
	NotTaken  string    `json:"notTaken,omitempty"`  // why this server would not take the LIM over if the one failed where it runs
	Remedy    *Remedy   `json:"remedy,omitempty"`    // what a person can do about it while it is not active there
	Promise   *Promise  `json:"promise,omitempty"`   // on the standby: whether the loss of the LIM's server would be covered; nil: not known yet

	Serving time.Time `json:"serving,omitzero"` // since when it is active here, whatever became of its agent meanwhile; zero: it is not
	Cause   *Cause    `json:"cause,omitempty"`  // why it is here, or was last; nil: not known
	Left    *Cause    `json:"left,omitempty"`   // why it left for the other side; nil: it did not, or for no reason of its own
	Split   *Split    `json:"split,omitempty"`  // the last one, as long as it is told; nil: there was none

	StartMs   int64      `json:"startMs,omitempty"`   // how long its software took to start there last, on trial or not; 0: not known
	Rehearsal *Rehearsal `json:"rehearsal,omitempty"` // on the standby: the last one; nil: there was none
}

// Understood returns the state as far as this version knows it. One that only a later version has
// counts as running where the alias is on the wire, so that no other server takes it; otherwise it
// is unknown, which is not active.
func (c LIMClaim) Understood() State {
	switch c.State {
	case Stopped, Starting, Running, Stopping, Failed, Loading, Preloaded:
		return c.State
	}
	if c.Holds && !c.Blocked && !c.Absent {
		return Running
	}
	return Unknown
}

// whyFailed returns why a LIM has failed, or else the reason for its state.
func (c LIMClaim) whyFailed() string {
	if c.State == Failed && c.Failure != "" {
		return c.Failure
	}
	return c.Reason
}

// Liveness is what is known about whether another server is up (design section 4).
type Liveness string

// The degrees of liveness.
const (
	Unheard   Liveness = "unknown"    // nothing was heard of it since this agent started
	Alive     Liveness = "alive"      // its agent answers
	AgentLost Liveness = "agent-lost" // its agent is silent, its kernel answers
	Gone      Liveness = "gone"       // nothing at all was heard for the cluster's silence limit
)

// Peer is what is known of another server.
type Peer struct {
	Liveness  Liveness
	Since     time.Time // of this liveness
	Doubtful  bool      // with agent lost: ARP is answered for it, but its kernel does not answer a sealed echo
	LeaseEnds time.Time // after that, by its last claim, no alias can be present there; zero: not known

	RunSince time.Time // since when the present run of its agent is heard
	Claim    *Claim    // the last one heard; nil: none since this agent started

	// IdleSince is since when a regular server that is alive and settled leaves its LIM down, while
	// the LIM is not up here either; zero: it is up on one of them.
	IdleSince time.Time
}

// active reports whether the peer has the LIM up, as far as its claim is valid.
func (p Peer) active(lim int) bool {
	return p.Liveness == Alive && p.Claim.LIM(lim).State.Active()
}

// servesAnother reports whether the peer is alive and has another LIM up, so that a server which
// runs one LIM at most has no room for this one.
func (p Peer) servesAnother(lim int) bool {
	return p.Liveness == Alive && p.Claim != nil && slices.ContainsFunc(p.Claim.LIMs, func(l LIMClaim) bool { return l.LIM != lim && l.State.Active() })
}

// Expired reports whether all that is heard of a server may come from other hosts, while by its
// last claim it can have no alias any more.
func (p Peer) Expired(now time.Time) bool {
	return p.Liveness == AgentLost && p.Doubtful && !p.LeaseEnds.IsZero() && !now.Before(p.LeaseEnds)
}

// active reports whether a peer has a LIM up. The claim of a stopped agent stays valid while
// somebody answers for the alias.
func (v *View) active(p Peer, lim int) bool {
	stopped := p.Liveness == AgentLost && p.Claim != nil && p.Claim.Parked && p.Claim.LIM(lim).State.Active()
	return p.active(lim) || stopped && !v.Wire[lim].Silent && !p.Expired(v.Now)
}

// holds reports whether the peer is alive and has the LIM's alias.
func (p Peer) holds(lim int) bool {
	c := p.Claim.LIM(lim)
	return p.Liveness == Alive && c.Holds && c.State.Active()
}

// Local is what is known of a LIM on this server.
type Local struct {
	Standing
	Holds   bool // the alias is present here, and its lease is renewed
	Data    *Data
	Fitness Fitness // of this server, by the LIM's checks
}

// Standing is the state of a LIM on this server that its agent keeps.
type Standing struct {
	State    State
	Term     uint64
	Released time.Time // when it was given up by order; zero: it was not
	Known    Place     // place with the highest known term; persisted
	RetryAt  time.Time // after a failure, or an alias in use: time of the next attempt
	Failure  string    // reason of the failure

	// Of the standby:
	Flaps     Flaps
	Suspended Suspension
}

// Suspension says that a fallback failed, so that no automatic one follows (design rule 4). It ends
// with an order, and when the agent of the regular server is restarted, as somebody has dealt with
// the cause then.
type Suspension struct {
	Run string `json:"run,omitempty"` // run of the regular server's agent; "": no suspension
	Why string `json:"why,omitempty"`
}

// Wire is what ARP says about a LIM's alias, asked for while its holder is in doubt.
type Wire struct {
	AskedSince time.Time  // zero: not being asked
	Answered   time.Time  // last answer; zero: none since AskedSince
	MAC        string     // of the last answer
	Silent     bool       // unanswered for the silence limit, with enough questions
	Alias      netip.Addr // address asked for
}

// Kind is the kind of an order.
type Kind string

// The orders.
const (
	Fallback Kind = "fallback" // to the regular server
	Failover Kind = "failover" // to the standby server
)

// Order asks for a move of a LIM. It is pending until it is done or expires.
type Order struct {
	Kind    Kind
	LIM     int
	Now     bool // do not wait until the target is ready
	Expires time.Time

	By, Reason string // who gave it, and why, as far as they said

	Dead string // with Failover: the regular server, if it is declared dead; "": it gives the LIM up
	Term uint64 // with Dead: the term of the start; 0: not started yet
}

// View is the input of a decision.
type View struct {
	Now        time.Time // in this server's time zone
	Self       string
	Started    time.Time // of this agent
	Settled    bool      // the others were heard, or waited for
	Isolated   bool      // its link is down, or it hears nobody
	Rejoined   bool      // it was isolated, and has heard others for less than the silence limit: a silent server may just not have been heard yet
	StartGrace time.Duration
	FirstHold  time.Duration // backoff of automatic fallback after the first repeated failure, doubled with each further one; 0: none
	FromLoad   bool          // whether a LIM may fall back to a server where it is still loading
	Document   *clusterconf.Document
	Unread     string          // which newer document cannot be read by this server's version, whether anybody is heard who has it or not; "": none
	Peers      map[string]Peer // by server, without this one
	LIMs       map[int]Local
	Wire       map[int]Wire
	Orders     []Order

	Arbiter *Arbiter  // nil: there is none
	Down    bool      // this server's link is down
	Deaf    time.Time // since when this server's link is down, or receives nothing at all; zero: it works
}

// Want is the wanted state of a LIM on this server.
type Want string

// The wants.
const (
	Run  Want = "run"
	Stop Want = "stop"
	Wait Want = "wait" // neither start nor stop it now
)

// Decision is the wanted state of one LIM on this server, with the reason.
type Decision struct {
	LIM       int
	Want      Want
	Term      uint64 // Run: the term to run under
	Rule      Rule
	Reason    string
	AliasOff  bool      // with Stop: remove the alias first, then stop the software
	Release   bool      // with Stop: given up by order, for the other side
	Unmark    bool      // with Stop: it no longer counts as given up by order
	Waiting   bool      // it has failed elsewhere, and the standby is occupied
	Contested bool      // with Run: another server has the alias, too, and is to stop
	AskWire   bool      // the decision depends on who answers ARP for the alias: ask
	Claim     bool      // it is to run when the arbiter's key is here: claim the key
	SaidDead  bool      // with Run: its regular server was declared dead
	Remedy    *Remedy   // nil: none is known
	BlockedBy []string  // runs on the standby: what keeps it from falling back
	HeldUntil time.Time // runs on the standby: automatic fallback waits until then at least
	HeldWhy   string

	// What to remember of the LIM with the start or the stop; nil: unchanged.
	Flaps     *Flaps
	Suspended *Suspension
}

// Rule is the rule of design section 5 that a decision follows.
type Rule string

// The rules.
const (
	RuleOnePlace   Rule = "one-place"   // a lower term yields
	RuleOneLIM     Rule = "one-lim"     // the standby runs one LIM at most
	RulePriority   Rule = "priority"    // a higher priority replaces a lower one
	RuleFallback   Rule = "fallback"    // back to the regular server
	RuleFlapping   Rule = "flapping"    // a server that failed again soon must stay up for a while
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
	RuleHome       Rule = "home"        // it runs on its own server
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
