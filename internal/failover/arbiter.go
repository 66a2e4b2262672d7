package failover

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// Word is what an arbiter says of a LIM, seen from this server.
type Word string

// The words. Ours is good until the key could be somebody else's; when the
// arbiter falls silent it stays that long.
const (
	Ours   Word = "ours"   // this server has the LIM's key
	Free   Word = "free"   // nobody has
	Held   Word = "held"   // another server has
	Silent Word = "silent" // the arbiter was not reached lately
)

// Verdict is an arbiter's word on one LIM.
type Verdict struct {
	Word   Word
	Holder string // of the key: Held
}

// Arbiter is what a third party says of who may run which LIM (design section 4).
type Arbiter struct {
	Lease time.Duration   // how long a key outlives its holder, about
	Since time.Time       // since when it answers
	LIMs  map[int]Verdict // one that is missing is Silent
}

// What a server's claim says of its arbiter.
const (
	ArbiterReached = "reached"
	ArbiterSilent  = "silent"
)

// keySlack is how much longer than its lease a key may be there after its
// server has died: the arbiter looks at leases now and then, and extends them
// when its own servers elect a new leader.
const keySlack = 3 * time.Second

// verdict is the arbiter's word on a LIM; without an arbiter every LIM is ours.
func (v *View) verdict(lim int) Verdict {
	if v.Arbiter == nil {
		return Verdict{Word: Ours}
	}
	if w, ok := v.Arbiter.LIMs[lim]; ok {
		return w
	}
	return Verdict{Word: Silent}
}

// arbitrate has a LIM run here only with the arbiter's key. What serves without
// it stops, its alias first; what is to start asks for it and waits.
func (v *View) arbitrate(c *clusterconf.Cluster, d Decision) Decision {
	if v.Arbiter == nil || d.Want != Run {
		return d
	}
	l, w := v.LIMs[d.LIM], v.verdict(d.LIM)
	active := l.State.Active()
	switch deaf := !v.Deaf.IsZero() && v.Now.Sub(v.Deaf) >= c.SilenceLimit(); {
	case deaf && active:
		d.AliasOff = true
		return d.with(Stop, RuleIsolated, "nothing comes over the link of this server; gives its key at the arbiter up")
	case deaf:
		return d.with(Wait, RuleIsolated, "nothing comes over the link of this server")
	case w.Word == Ours:
		return d
	case active && (l.Holds || w.Word != Free):
		d.AliasOff = true
		return d.with(Stop, RuleArbiter, w.without())
	}
	d.Claim = true
	return d.with(Wait, RuleArbiter, d.Reason+"; "+w.waits())
}

// without says why a LIM that is up has to stop.
func (w Verdict) without() string {
	switch w.Word {
	case Held:
		return fmt.Sprintf("the arbiter has given it to %s", w.Holder)
	case Free:
		return "its key at the arbiter is lost"
	}
	return "the arbiter cannot be reached: nothing proves that no other server runs it"
}

// waits says what a LIM waits for that is to start.
func (w Verdict) waits() string {
	switch w.Word {
	case Held:
		return fmt.Sprintf("waits for the arbiter to let go of the key of %s", w.Holder)
	case Free:
		return "asks the arbiter for it"
	}
	return "waits for the arbiter, which cannot be reached"
}

// elsewhere reports whether another server still has the key of a LIM that failed
// as far as this one sees: it may serve somewhere beyond. For as long as that
// would last if it had died, the LIM keeps its place in the queue for the
// standby, but it costs no other LIM the standby.
func (v *View) elsewhere(lim int, failed time.Time, taken bool) bool {
	return v.verdict(lim).Word == Held && (taken || v.Now.Sub(failed) > v.Arbiter.Lease+keySlack)
}

// outOfReachOf says that a server cannot run a LIM for it does not reach the
// arbiter, while this one has done so for a while: an arbiter that is back is not
// found by all at one moment.
func (v *View) outOfReachOf(p Peer, lim int) bool {
	return v.lacksArbiter(p) && p.Claim.Settled && !p.Claim.LIM(lim).State.Active() && v.couldAsk(lim, v.Arbiter.Lease)
}

// couldAsk reports whether the arbiter has answered for a time, so that a server
// that leaves its LIM down does not do that because it waits for it.
func (v *View) couldAsk(lim int, d time.Duration) bool {
	return v.Arbiter == nil || v.verdict(lim).Word != Silent && v.Now.Sub(v.Arbiter.Since) >= d
}

// lacksArbiter reports whether a server says that it does not reach the arbiter:
// it could run nothing.
func (v *View) lacksArbiter(p Peer) bool {
	return v.Arbiter != nil && p.Claim != nil && p.Claim.Arbiter == ArbiterSilent
}
