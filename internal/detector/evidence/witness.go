package evidence

import (
	"slices"
	"time"
)

// proof is how many answers make a host a witness: one frame proves no more than that
// somebody sent it.
const proof = 2

// Witness is what is known of one host that is asked again and again, so that its
// answers tell whether this server is cut off. The zero value is ready.
type Witness struct {
	asked   bool // since the last answer
	answers int
	since   time.Time // of the answers without a break
	last    time.Time
}

// Asked records a question.
func (w *Witness) Asked() { w.asked = true }

// Answered records an answer. More than half of the silence limit without one is a
// break. Only an answer to a question of its own counts towards the proof.
func (w *Witness) Answered(at time.Time, limit time.Duration) {
	if at.Before(w.last) {
		return
	}
	if w.last.IsZero() || at.Sub(w.last) > limit/2 {
		w.since = at
	}
	if w.asked && w.answers < proof {
		w.answers++
	}
	w.asked, w.last = false, at
}

// Proven reports whether the host has answered often enough to be a witness.
func (w *Witness) Proven() bool { return w.answers >= proof }

// Last returns the time of the last answer; zero if there was none.
func (w *Witness) Last() time.Time { return w.last }

// Since returns since when the host has answered without a break.
func (w *Witness) Since() time.Time { return w.since }

// Testimony is what all witnesses of a server say together.
type Testimony struct {
	Several bool      // there is more than one whose silence would tell
	Last    time.Time // last answer of any; zero: none has answered yet
	Since   time.Time // since when one of them has answered without a break; zero: none has lately
}

// Isolation is whether a server is cut off, as it judges itself. The zero value is a
// server that is not.
type Isolation struct {
	Isolated bool
	Listens  bool // isolated, and something is heard again: for less than the silence limit

	down time.Time // when the link was last seen down
}

// Circumstances are what a judgement of isolation rests on.
type Circumstances struct {
	Now       time.Time
	Limit     time.Duration // silence that makes a server gone
	Link      bool          // carries traffic, as the kernel says
	Settling  bool          // this server has just begun to ask: nobody need have answered yet
	Attentive time.Time     // since when this process has listened without a break
	Testimony
}

// Next judges anew. A server is isolated when its link is down, or when there are several
// witnesses and none has answered for half of the silence limit: those that fall silent
// together do not reach the whole limit at one instant, and nobody is taken over in
// between. With a single host to hear, its silence says nothing about this server. What
// was missed because this process did not get to listen does not make it isolated. It
// ends when one witness has answered without a break for the silence limit: a frame now
// and then must not turn it to and fro, and who is silent may just not have spoken.
func (i Isolation) Next(c Circumstances) Isolation {
	half := c.Limit / 2
	fresh := !c.Last.IsZero() && c.Now.Sub(c.Last) <= half
	switch {
	case !c.Link:
		return Isolation{Isolated: true, down: c.Now}
	case i.Isolated:
		since, until := i.down, c.Now // with a single host the link alone tells
		if c.Several {
			since, until = later(c.Since, i.down), c.Last
		}
		i.Listens = !c.Several || fresh && !c.Since.IsZero()
		if i.Listens && until.Sub(since) >= c.Limit {
			return Isolation{}
		}
	case c.Last.IsZero():
		i.Isolated = c.Several && !c.Settling
	default:
		i.Isolated = c.Several && !fresh && c.Now.Sub(c.Attentive) > half
	}
	return i
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Witnesses are the hosts that tell a server, now, that it is not cut off.
type Witnesses struct {
	Several   bool     // see [Testimony]
	Mates     []string // servers of its own cluster that answer
	Others    int      // hosts beside those that answer
	Supposing bool     // there was no time yet to find out
}

// ActsWithout reports whether the server would act if one of its cluster fell silent: it
// would not take itself for cut off.
func (w Witnesses) ActsWithout(server string) bool {
	return w.Supposing || !w.Several || w.Others > 0 || slices.ContainsFunc(w.Mates, func(m string) bool { return m != server })
}

// OnlyMates reports whether the servers of the cluster are the only witnesses, so that
// the last of them would not be missed: the cluster is covered for one failure.
func (w Witnesses) OnlyMates() bool {
	return !w.Supposing && w.Several && w.Others == 0 && len(w.Mates) > 1
}
