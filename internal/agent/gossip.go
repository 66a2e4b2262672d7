package agent

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/rotation"
)

// statement is what one server says to the others: its claim, on which they
// decide, and what they show to people.
type statement struct {
	failover.Claim
	Alarms []alarms.Alarm  `json:"alarms,omitempty"`
	Keys   *rotation.Claim `json:"keys,omitempty"`

	Notices []alarms.Notice `json:"notices,omitempty"` // of all servers' alarms
	Reach   alarms.Reach    `json:"reach,omitempty"`   // of this server's sinks
	Told    []alarms.Told   `json:"told,omitempty"`    // the ledger of its sinks
}

// gossip is what this server says to all others by itself: what it claims, when that
// changes, heartbeats in between, and its own address to those that have forgotten it.
type gossip struct {
	*core
	peers     *peers
	statement func(now time.Time) statement

	published string    // the last statement, as it was sent; "": it is to be sent anew
	said      statement // that was published, or says the same
	lastBeat  time.Time
	lastFar   time.Time // the same, to servers of other clusters

	joining  bool
	joinTurn int
}

// anew has everything said again, over another network.
func (a *gossip) anew() { a.published = "" }

// publish tells the others: all of it when it changed, else a heartbeat.
func (a *gossip) publish(now time.Time) {
	if a.publishNews(now) {
		a.lastBeat = now
		return
	}
	if now.Sub(a.lastBeat) >= a.beatPeriod() {
		a.lastBeat = now
		a.net.pool.Beat(a.mates()...)
	}
	if now.Sub(a.lastFar) >= a.farPeriod() {
		a.lastFar = now
		mates := a.mates()
		far := slices.DeleteFunc(slices.Collect(maps.Keys(a.peers.all)), func(n string) bool { return slices.Contains(mates, n) })
		a.net.pool.Beat(far...)
	}
}

// publishNews tells the others all of it if it changed. Looking at the values first
// is much cheaper than encoding them, and nearly always enough.
func (a *gossip) publishNews(now time.Time) bool {
	c := a.statement(now)
	if a.published != "" && reflect.DeepEqual(c, a.said) {
		return false
	}
	raw, err := json.Marshal(c)
	if err != nil {
		a.log.Error("encoding the claim", "err", err)
		return false
	}
	a.said = c
	if string(raw) == a.published {
		return false
	}
	a.published = string(raw)
	c.At = now
	if raw, err = json.Marshal(c); err == nil {
		a.net.pool.Publish(raw)
	}
	return true
}

// rejoin brings back servers that memberlist forgot or never met. Joining
// blocks, so it runs beside the main loop, once at a time.
func (a *gossip) rejoin() {
	if a.joining {
		return
	}
	members := a.net.pool.Members()
	var missing []string
	for name := range a.peers.all {
		if a.doc.Server(name) != nil && !slices.Contains(members, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return
	}
	slices.Sort(missing)
	// One a second, in turn, so that a dead server costs one connection attempt.
	a.joinTurn++
	at := a.peers.addrsOf(a.doc.Server(missing[a.joinTurn%len(missing)]))
	addr := at[a.joinTurn/len(missing)%len(at)]
	pool := a.net.pool
	a.joining = true
	a.wg.Go(func() {
		if _, err := pool.Join(addr); err != nil {
			a.log.Debug("joining", "addr", addr, "err", err)
		}
		a.post(func() { a.joining = false })
	})
}
