package failover

import (
	"strings"
	"time"
)

// Moved says what brought a LIM to where it is.
type Moved string

// What brings a LIM somewhere.
const (
	ByFailure  Moved = "failed"    // the server where it ran could not serve it any more
	ByOrder    Moved = "ordered"   // people moved it to the standby, or locked it to another side
	ByFallback Moved = "fallback"  // back to its regular server, by an order or by itself
	ByPriority Moved = "preempted" // another LIM has its place on the standby
	ByDrain    Moved = "drained"   // people work on the server where it ran
	ByStart    Moved = "start"     // it was started there and came from nowhere
)

// Cause is why a LIM is where it is. It stands until the LIM moves again.
type Cause struct {
	What   Moved     `json:"what"`
	By     string    `json:"by,omitempty"`     // who wanted it; "": nobody did, the agents moved it
	Reason string    `json:"reason,omitempty"` // that was given, or what the agents saw
	At     time.Time `json:"at,omitzero"`      // when it came to run there; zero: it is on its way
}

// Wish is who wants something, and why.
type Wish struct{ By, Reason string }

// Wishes are those of people about one LIM on one server.
type Wishes struct {
	Order Wish // that is being carried out
	Drain Wish // of this server, or of the one that the LIM leaves
	Lock  Wish // of the LIM
}

func (w Wish) cause(what Moved) *Cause { return &Cause{What: what, By: w.By, Reason: w.Reason} }

// Leaving is why a LIM leaves a server by a decision there that it is not to serve, so that the other
// one runs it; nil: it does not leave, or for no reason that is its own.
func (d *Decision) Leaving(standby bool, w Wishes) *Cause {
	if d.Want != Stop && d.Want != Preload {
		return nil
	}
	switch d.Rule {
	case RuleOrder:
		if standby {
			return w.Order.cause(ByFallback)
		}
		return w.Order.cause(ByOrder)
	case RuleDrain:
		return w.Drain.cause(ByDrain)
	case RuleLock:
		return w.Lock.cause(ByOrder)
	case RuleFallback:
		return &Cause{What: ByFallback}
	case RuleUnfit:
		return &Cause{What: ByFailure, Reason: Past(d.Reason)}
	case RulePriority, RuleOneLIM:
		return &Cause{What: ByPriority, Reason: Past(d.Reason)}
	}
	return nil
}

// Arrival is why a LIM comes to a server by a decision there to run it. Left is why the
// other side says that it left that one, nil if it says nothing.
func (d *Decision) Arrival(left *Cause, w Wishes) *Cause {
	switch {
	case d.SaidDead:
		c := w.Order.cause(ByOrder)
		if c.Reason == "" {
			c.Reason = Past(d.Reason)
		}
		return c
	case d.Rule == RuleTakeover, d.Rule == RuleSoftware, d.Rule == RuleArbiter, d.Rule == RuleUnfit:
		return &Cause{What: ByFailure, Reason: Past(d.Reason)}
	case left != nil:
		return &Cause{What: left.What, By: left.By, Reason: left.Reason}
	case d.Rule == RuleDrain:
		return w.Drain.cause(ByDrain)
	case d.Rule == RuleLock:
		return w.Lock.cause(ByOrder)
	case d.Rule == RuleOrder:
		return &Cause{What: ByFailure, Reason: Past(d.Reason)} // given up by an agent that ends
	}
	return &Cause{What: ByStart}
}

// Past words what is so now as what was so: a cause is told later, when it may be over.
func Past(reason string) string {
	return strings.NewReplacer(" is ", " was ", " does not ", " did not ", " answers ", " answered ", " has ", " had ", " stops", " stopped",
		" runs ", " ran ", "makes room ", "made room ", " fails", " failed").Replace(reason)
}

// Split is a time in which two servers had the alias of a LIM, each without knowing of the
// other.
type Split struct {
	With  string    `json:"with"` // the other server
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
}

// SplitTold is for how long a split that is over is told.
const SplitTold = 24 * time.Hour
