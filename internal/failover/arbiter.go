package failover

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// Word is what the arbiter says about a LIM's key, as seen from this server.
type Word string

// The words. Ours holds until the key could be another server's; when the arbiter stops answering
// it holds that long.
const (
	Ours   Word = "ours"   // this server has the LIM's key
	Free   Word = "free"   // no server has it
	Held   Word = "held"   // another server has
	Silent Word = "silent" // the arbiter did not answer lately
)

// Verdict is the arbiter's word about one LIM.
type Verdict struct {
	Word   Word
	Holder string // of the key: Held
}

// Arbiter is what is known of the arbiter and its keys (design section 4).
type Arbiter struct {
	Lease time.Duration   // how long a key outlives its holder, approximately
	Since time.Time       // since when it answers
	LIMs  map[int]Verdict // a missing one is Silent
}

// Values of a claim's Arbiter.
const (
	ArbiterReached = "reached"
	ArbiterSilent  = "silent"
)

// keySlack is how much longer than its lease a key may exist after its server died: the arbiter
// checks leases periodically, and extends them when it elects a new leader.
const keySlack = 3 * time.Second

// verdict returns the arbiter's word about a LIM; without an arbiter every LIM is ours.
func (v *View) verdict(lim int) Verdict {
	if v.Arbiter == nil {
		return Verdict{Word: Ours}
	}
	if w, ok := v.Arbiter.LIMs[lim]; ok {
		return w
	}
	return Verdict{Word: Silent}
}

// arbitrate lets a LIM run here only with the arbiter's key. A LIM that is up without it is
// stopped, its alias first; one that is to start claims the key and waits.
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

// without words why a LIM that is up has to stop.
func (w Verdict) without() string {
	switch w.Word {
	case Held:
		return fmt.Sprintf("the arbiter has given it to %s", w.Holder)
	case Free:
		return "its key at the arbiter is lost"
	}
	return "the arbiter cannot be reached: nothing proves that no other server runs it"
}

// waits words what a LIM waits for that is to start.
func (w Verdict) waits() string {
	switch w.Word {
	case Held:
		return fmt.Sprintf("waits for the arbiter to let go of the key of %s", w.Holder)
	case Free:
		return "asks the arbiter for it"
	}
	return "waits for the arbiter, which cannot be reached"
}

// elsewhere reports whether another server still has the key of a LIM that has failed as seen from
// here: the LIM may run there, behind a partition. Until the key would have expired if that server
// had died, the LIM keeps its place in the queue for the standby, but does not displace another
// LIM.
func (v *View) elsewhere(lim int, failed time.Time, taken bool) bool {
	return v.verdict(lim).Word == Held && (taken || v.Now.Sub(failed) > v.Arbiter.Lease+keySlack)
}

// outOfReachOf reports whether a server cannot run a LIM because it does not reach the arbiter,
// while this one has reached it for a while: after an outage not all servers reach it at the same
// moment.
func (v *View) outOfReachOf(p Peer, lim int) bool {
	return v.lacksArbiter(p) && p.Claim.Settled && !p.Claim.LIM(lim).State.Active() && v.couldAsk(lim, v.Arbiter.Lease)
}

// couldAsk reports whether the arbiter has answered for a duration, so that a server that leaves
// its LIM down is not just waiting for the key.
func (v *View) couldAsk(lim int, d time.Duration) bool {
	return v.Arbiter == nil || v.verdict(lim).Word != Silent && v.Now.Sub(v.Arbiter.Since) >= d
}

// lacksArbiter reports whether a server claims that it does not reach the arbiter, so that it can
// run nothing.
func (v *View) lacksArbiter(p Peer) bool {
	return v.Arbiter != nil && p.Claim != nil && p.Claim.Arbiter == ArbiterSilent
}
