package agent

import (
	"math/rand/v2"
	"time"
)

// disorder is a kind of fault of one server, or of the network beside it, that begins
// and ends. What begins may be one of several things; what ends is all of them.
type disorder interface {
	begin(s *simulation, rnd *rand.Rand, on string)
	end(s *simulation, on string)
}

// disorders are the kinds that a simulation draws from, by weight, with dice of their
// own: a new kind leaves the rest of each life as it is.
type disorders struct {
	rnd       *rand.Rand
	kinds     []weightedDisorder
	routers   routers
	cards     secondCards
	strangers strangers
}

type weightedDisorder struct {
	disorder
	weight int
}

// drawDisorders makes all kinds ready for one life.
func drawDisorders(s *simulation, seed uint64) *disorders {
	x := &disorders{rnd: rand.New(rand.NewPCG(seed, 3)), cards: secondCards{}}
	x.routers = drawRouters(s, x.rnd)
	x.kinds = []weightedDisorder{
		{papers{}, 4}, {fullDisks{}, 4}, {&x.routers, 3}, {x.cards, 2}, {strayAliases{}, 4}, {failingChecks{}, 3},
		{maintenance{}, 5}, {vanished{}, 4}, {lostData{}, 4}, {&x.strangers, 2}, {rehearsing{}, 4}, {drainingCalls{}, 3},
	}
	if x.rnd.IntN(2) == 0 {
		x.kinds = append(x.kinds, weightedDisorder{edits{}, 6})
		pace := pick(x.rnd, 0, 5*time.Millisecond, 20*time.Millisecond)
		for _, name := range s.names() {
			s.trouble[name].pace = pace
		}
	}
	return x
}

// fault begins or ends one of them; false: not this time.
func (x *disorders) fault(s *simulation) bool {
	if x.rnd.IntN(5) > 1 {
		return false
	}
	s.deafen()
	on, kind := pick(x.rnd, s.names()...), x.draw()
	if x.rnd.IntN(3) == 0 {
		kind.end(s, on)
	} else {
		kind.begin(s, x.rnd, on)
	}
	return true
}

func (x *disorders) draw() disorder {
	sum := 0
	for _, k := range x.kinds {
		sum += k.weight
	}
	at := x.rnd.IntN(sum)
	for _, k := range x.kinds {
		if at -= k.weight; at < 0 {
			return k.disorder
		}
	}
	panic("no kind of disorder")
}

// heal ends all of them everywhere.
func (x *disorders) heal(s *simulation) {
	for _, k := range x.kinds {
		for _, name := range s.names() {
			k.end(s, name)
		}
	}
}
