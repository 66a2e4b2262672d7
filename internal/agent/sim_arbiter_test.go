package agent

import (
	"math/rand/v2"
	"testing/synctest"
	"time"

	"mxcluster/internal/arbiter/arbitertest"
)

// arbitration is the arbiter of a simulation that has one.
type arbitration struct {
	arbitertest.Fake
	rnd   *rand.Rand
	lease time.Duration
	ill   bool // not all servers reach it, in time
}

// drawArbiter gives one life in four an arbiter. It draws from dice of its own, so
// that the other lives stay as they are.
func drawArbiter(seed uint64, limit time.Duration) *arbitration {
	rnd := rand.New(rand.NewPCG(seed, 2))
	if rnd.IntN(4) != 0 {
		return nil
	}
	x := &arbitration{rnd: rnd, lease: pick(rnd, 2*time.Second, 3*time.Second, 6*time.Second, 6*time.Second, 20*time.Second)}
	if limit >= 10*time.Second { // long lives: each renewal takes time to simulate
		x.lease = pick(rnd, 6*time.Second, 20*time.Second, time.Minute)
	}
	return x
}

// fault does one random thing to the arbiter, or to the way there; false: not this
// time.
func (x *arbitration) fault(s *simulation) bool {
	if x == nil || x.rnd.IntN(4) != 0 {
		return false
	}
	name, lim := pick(x.rnd, s.names()...), 1+x.rnd.IntN(len(s.doc.LIMs))
	switch x.rnd.IntN(7) {
	case 0, 1:
		s.note("%s does not reach the arbiter", name)
		x.Cut(name, true)
		x.ill = true
	case 2:
		d := pick(x.rnd, x.lease/2, x.lease*2, time.Minute)
		s.note("the arbiter is down for %s", d)
		x.Down(true)
		x.ill = true
		s.live(d)
		x.Down(false)
		s.note("the arbiter is back")
	case 3:
		d := pick(x.rnd, 10*time.Millisecond, 300*time.Millisecond, 2*time.Second)
		s.note("the arbiter's answers take %s", d)
		x.Slow(d)
		x.ill = true
	case 4:
		s.note("the key of LIM %d runs out before its time", lim)
		// Whoever deletes a key takes the proof away that it is: what follows for
		// a moment is theirs. So nobody has it here.
		if len(s.holders(lim)) == 0 {
			x.Delete(lim)
		}
	default:
		x.heal(s)
	}
	return true
}

// heal has every server reach the arbiter again.
func (x *arbitration) heal(s *simulation) {
	if x == nil {
		return
	}
	s.note("the arbiter is well, and reached by all")
	for _, name := range s.names() {
		x.Cut(name, false)
	}
	x.Slow(0)
	x.ill = false
}

// lookForTwoAtAll checks what an arbiter is for: two servers never have one alias,
// not even for an instant, whether they hear each other or not. What is still
// being done at this instant is waited for.
func (s *simulation) lookForTwoAtAll(lim int) {
	synctest.Wait()
	if by := s.holders(lim); len(by) > 1 {
		s.violated("the alias of LIM %d is on %v, with an arbiter; it says that %q has it; %s", lim, by, s.arb.Holder(lim), s.reasons(lim))
	}
}
