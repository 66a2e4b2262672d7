package detector

import (
	"sync"
	"time"
)

// offsetWindow is the time over which clock offsets are compared: the message that
// took least time on its way tells most.
const offsetWindow = 30 * time.Second

// lastSeen keeps when each server's agent was last heard, so that a heartbeat, which says
// nothing new, does not cost anybody a turn.
type lastSeen struct {
	mu sync.Mutex
	by map[string]*seen
}

// Seen is what was heard of one server's agent.
type Seen struct {
	At     time.Time     // last sign of life
	Stale  bool          // it speaks, but what it claims now was not heard yet
	Clock  time.Duration // how far its clock is ahead of this server's
	Clocks bool          // whether its clock was ever heard
}

type seen struct {
	Seen
	clock offset
}

// offset estimates how far another server's clock is ahead of this one's. Each
// message says less than the truth by the time that it took on its way, so the
// largest of the last two windows counts.
type offset struct {
	since       time.Time
	best, prior time.Duration
}

func (o *offset) heard(at time.Time, ahead time.Duration) {
	switch age := at.Sub(o.since); {
	case age >= 2*offsetWindow || age < 0:
		o.since, o.best, o.prior = at, ahead, ahead
	case age >= offsetWindow:
		o.since, o.best, o.prior = at, ahead, o.best
	default:
		o.best = max(o.best, ahead)
	}
}

func (o *offset) value() time.Duration { return max(o.best, o.prior) }

// hear takes in a sign of life; true when it is more than the last one was.
func (l *lastSeen) hear(w Word) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string]*seen{}
	}
	r := l.by[w.From]
	if r == nil {
		r, news = &seen{}, true
		l.by[w.From] = r
	}
	news = news || r.Stale != w.Stale
	r.At, r.Stale = w.At, w.Stale
	if !w.Sent.IsZero() {
		r.Clocks = true
		r.clock.heard(w.At, w.Sent.Sub(w.At.Round(0)))
		r.Clock = r.clock.value()
	}
	return news
}

// of returns what was heard of a server; false when nothing was.
func (l *lastSeen) of(server string) (Seen, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.by[server]
	if r == nil {
		return Seen{}, false
	}
	return r.Seen, true
}

// forget drops what was heard of a server.
func (l *lastSeen) forget(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, server)
}
