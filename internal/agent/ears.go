package agent

import (
	"sync"
	"time"

	"mxcluster/internal/member"
)

// offsetWindow is the time over which clock offsets are compared: the message that
// took least time on its way tells most.
const offsetWindow = 30 * time.Second

// ears keep when each server was last heard, so that a heartbeat, which says
// nothing new, does not cost the main loop a turn.
type ears struct {
	mu sync.Mutex
	by map[string]*ear
}

// ear is what was heard of one server.
type ear struct {
	at     time.Time // last sign of life of its agent
	stale  bool      // it speaks, but what it claims now was not heard yet
	clock  offset
	clocks bool // whether its clock was ever heard
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
func (e *ears) hear(ev member.Event) (news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.by == nil {
		e.by = map[string]*ear{}
	}
	r := e.by[ev.From]
	if r == nil {
		r, news = &ear{}, true
		e.by[ev.From] = r
	}
	news = news || r.stale != ev.Stale
	r.at, r.stale = ev.At, ev.Stale
	if !ev.Sent.IsZero() {
		r.clocks = true
		r.clock.heard(ev.At, ev.Sent.Sub(ev.At.Round(0)))
	}
	return news
}

// of returns what was heard of a server; false when nothing was.
func (e *ears) of(server string) (ear, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.by[server]
	if r == nil {
		return ear{}, false
	}
	return *r, true
}

// forget drops what was heard of a server.
func (e *ears) forget(server string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.by, server)
}
