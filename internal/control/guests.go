package control

import (
	"log/slog"
	"slices"
	"sync"
)

const (
	// maxGuests limits the connections of users who may only read, so that they can
	// neither use up the agent's descriptors nor keep root out.
	maxGuests = 64

	// maxOfUser limits those of one of them, so that none keeps the others out.
	maxOfUser = 16
)

// guests are the connections of users who may only read, the oldest first.
type guests struct {
	mu     sync.Mutex
	held   []*conn
	warned map[uint32]bool // users who were refused a place and have not left since
	log    *slog.Logger    // nil: nobody is told
}

// admit gives a connection a place, or reports false. Where all are taken, who holds
// fewer than another gets the oldest place of whoever holds most: users with many
// identities, as user namespaces give them, cannot keep the places either.
func (g *guests) admit(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.count(c.peer.uid)
	if own >= maxOfUser {
		g.refused(c.peer.uid)
		return false
	}
	if len(g.held) >= maxGuests {
		oldest := g.busiest()
		if g.count(oldest.peer.uid) <= own {
			g.refused(c.peer.uid)
			return false
		}
		g.remove(oldest)
		oldest.Conn.Close()
	}
	g.held = append(g.held, c)
	return true
}

// leave gives a place back.
func (g *guests) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(c)
}

func (g *guests) remove(c *conn) {
	g.held = slices.DeleteFunc(g.held, func(h *conn) bool { return h == c })
	if g.count(c.peer.uid) == 0 {
		delete(g.warned, c.peer.uid)
	}
}

// count returns how many connections a user holds.
func (g *guests) count(uid uint32) int {
	n := 0
	for _, h := range g.held {
		if h.peer.uid == uid {
			n++
		}
	}
	return n
}

// busiest returns the oldest connection of the user who holds most.
func (g *guests) busiest() *conn {
	return slices.MaxFunc(g.held, func(a, b *conn) int { return g.count(a.peer.uid) - g.count(b.peer.uid) })
}

// refused tells of a user who gets no place, once until all of its connections are gone.
func (g *guests) refused(uid uint32) {
	if g.log == nil || g.warned[uid] || g.count(uid) == 0 {
		return
	}
	if g.warned == nil {
		g.warned = make(map[uint32]bool)
	}
	g.warned[uid] = true
	g.log.Warn("a user has too many connections to the control socket; more are closed unanswered",
		"uid", uid, "held", g.count(uid), "limit", maxOfUser)
}

// logTo has the log told who gets no place.
func (g *guests) logTo(log *slog.Logger) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = log
}
