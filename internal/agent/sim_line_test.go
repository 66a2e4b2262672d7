package agent

import (
	"math/rand/v2"
	"sync"
	"time"
)

// roughLine is the network's quality, the same between all servers: how often a
// frame or datagram is lost or doubled, and how late it arrives. It draws from
// numbers of its own, so that how many frames there were does not change which
// faults follow.
type roughLine struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	loss  float64
	twice float64
	late  time.Duration // at most; the delay of each copy is drawn, so that they overtake each other
}

func (l *roughLine) set(loss, twice float64, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss, l.twice, l.late = loss, twice, late
}

// delays draws what becomes of one frame: how late each of its copies arrives.
func (l *roughLine) delays() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loss == 0 && l.twice == 0 && l.late == 0 {
		return []time.Duration{0}
	}
	var out []time.Duration
	copies := 1
	if l.rnd.Float64() < l.twice {
		copies = 2
	}
	for range copies {
		if l.rnd.Float64() < l.loss {
			continue
		}
		out = append(out, time.Duration(l.rnd.Int64N(int64(l.late)+1)))
	}
	return out
}

// lost draws whether a frame that has no copies and no delay is lost.
func (l *roughLine) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loss > 0 && l.rnd.Float64() < l.loss
}

// rough reports whether anything is wrong with the line.
func (l *roughLine) rough() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loss > 0 || l.twice > 0 || l.late > 0
}
