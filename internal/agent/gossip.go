package agent

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/manager"
	"mxcluster/internal/rotation"
)

// statement is what a server publishes: its claim, for the decisions of others, and what they show
// to users.
type statement struct {
	failover.Claim
	Alarms []alarms.Alarm  `json:"alarms,omitempty"`
	Keys   *rotation.Claim `json:"keys,omitempty"`

	Notices []alarms.Notice `json:"notices,omitempty"` // of all servers' alarms
	Reach   alarms.Reach    `json:"reach,omitempty"`   // of this server's sinks
	Told    []alarms.Told   `json:"told,omitempty"`    // the ledger of its sinks

	Management manager.Word `json:"management,omitzero"` // of its half of the management system
}

// gossip publishes this server's statement when it changes, sends heartbeats in between, and joins
// servers that have lost this one.
type gossip struct {
	*core
	peers     *peers
	statement func(now time.Time) statement

	published string    // the last statement, encoded; "": publish again
	said      statement // the last statement
	lastBeat  time.Time
	lastFar   time.Time // last heartbeat to servers of other clusters

	joining  bool
	joinTurn int
}

// anew makes the next step publish everything again, over another network.
func (a *gossip) anew() { a.published = "" }

// publish publishes the statement if it changed, else it sends a heartbeat if one is due.
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

// publishNews publishes the statement if it changed. Values are compared before they are encoded,
// which is much cheaper and mostly enough.
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

// rejoin joins servers that memberlist has forgotten or never met. Joining blocks, so it runs
// beside the main loop, one at a time.
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
	// One per second, in turn: a dead server costs one connection attempt.
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
