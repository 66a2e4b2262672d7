package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/rotation"
)

// peers are the other servers as this one knows them.
type peers struct {
	*core
	all map[string]*peer
}

// peer is another server as this one knows it.
type peer struct {
	failover.Peer
	alarms   []alarms.Alarm // that it has raised
	reach    alarms.Reach   // of its sinks
	told     []alarms.Told  // the ledger of its sinks
	keys     rotation.Claim
	at       time.Time         // of the last sign of life; zero if second-hand only
	claimed  time.Time         // when the claim arrived; the same
	holding  map[int]time.Time // since when it says that it has the aliases of LIMs on the wire
	formers  []netip.Addr      // where it was heard by earlier documents, until it works by the present one
	stale    bool              // it speaks, but what it claims now was not heard yet
	runs     []string          // of its agent, heard before the present one
	twice    time.Time         // when a former one was heard again; zero: never
	bothMACs string            // the MACs of the machines that both say they are this server
	clock    time.Duration     // how far its clock is ahead of this server's
	clocks   bool              // whether that is known
}

func (a *peers) of(name string) *peer {
	p := a.all[name]
	if p == nil {
		p = &peer{Peer: failover.Peer{Liveness: failover.Unheard, Since: time.Now()}}
		a.all[name] = p
	}
	return p
}

// farLiveness judges a server of another cluster, which is not supervised here.
func farLiveness(p *peer, now time.Time, limit time.Duration) failover.Liveness {
	switch {
	case p.Claim == nil || p.at.IsZero():
		return failover.Unheard
	case now.Sub(p.at) > limit:
		return failover.AgentLost
	}
	return failover.Alive
}

// behind reports whether a server has a document that this one should see.
func (a *peers) behind(c *failover.Claim) bool {
	order := c.Age().Compare(a.doc.Age())
	return order > 0 || order == 0 && c.Hash != a.hash
}

// leaseMargin is how much later than a lease's end its alias is surely gone: kernels count
// in whole seconds, and take it off some time after.
const leaseMargin = time.Second

// noteLease notes when no alias can be on a server any more by its last word, which
// may be as much older than its end as words are apart; zero: it did not say.
func (a *peers) noteLease(p *peer) {
	p.LeaseEnds = time.Time{}
	if p.Claim != nil && p.Claim.Lease > 0 && !p.at.IsZero() {
		p.LeaseEnds = p.at.Add(p.Claim.Lease + a.beatPeriod() + leaseMargin)
	}
}

// refresh brings what is known of the others up to the last sign of life.
func (a *peers) refresh() {
	now := time.Now()
	for name, p := range a.all {
		if e, ok := a.net.detector.LastSeen(name); ok {
			p.at, p.stale, p.clock, p.clocks = e.At, e.Stale, e.Clock, e.Clocks
		}
		a.noteLease(p)
		if a.expired(name, p, now) {
			delete(a.all, name)
			a.net.detector.Forget(name)
		}
	}
}

// hearsServer reports whether any other server is alive.
func (a *peers) hearsServer() bool {
	for _, p := range a.all {
		if p.Liveness == failover.Alive {
			return true
		}
	}
	return false
}

// addrsOf lists where a server may be reached: where it hears the others by the
// document, and the other addresses that were its base until a moment ago. One that was
// not heard since this agent started may have left its cluster, and has the alias as its
// base by now: this server was given up as lost for good, and is to be told so.
func (a *peers) addrsOf(s *clusterconf.Server) []netip.AddrPort {
	var all []netip.AddrPort
	addrs := []netip.Addr{a.doc.Gossip(s).Addr(), s.Base.Addr(), s.ReachedAt.Addr()}
	addrs = append(addrs, a.of(s.Name).formers...)
	if c := a.doc.ClusterOfLIM(s.LIM); c != nil && a.of(s.Name).at.IsZero() {
		addrs = append(addrs, c.Member(s.LIM).Alias.Addr())
	}
	for _, addr := range addrs {
		if at := netip.AddrPortFrom(addr, a.cfg.GossipPort); addr.IsValid() && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}

// lags says which document this server has not got; "": it has the newest it knows of.
func (a *peers) lags() string {
	newest, who := a.doc.Age(), ""
	for _, name := range slices.Sorted(maps.Keys(a.all)) {
		p := a.all[name]
		if p.Liveness == failover.Alive && p.Claim != nil && a.behind(p.Claim) && (who == "" || p.Claim.Age().Compare(newest) > 0) {
			newest, who = p.Claim.Age(), name
		}
	}
	if who == "" {
		return ""
	}
	if newest == a.doc.Age() {
		return fmt.Sprintf("%s and %s have different cluster documents of revision %d", a.cfg.Server, who, newest.Revision)
	}
	return fmt.Sprintf("%s works by revision %d of the cluster document; %s has revision %d", a.cfg.Server, a.doc.Revision, who, newest.Revision)
}

// heardOther reports whether the other server of a LIM has told what it knows.
func (a *peers) heardOther(lim int) bool {
	other := ""
	if c, r := a.doc.ClusterOfLIM(lim), a.doc.RegularOf(lim); c != nil && c.Standby != a.cfg.Server {
		other = c.Standby
	} else if c != nil && r != nil {
		other = r.Name
	}
	p := a.all[other]
	return other == "" || p != nil && p.Claim != nil
}

// expired tells whether a server that the document does not name is to be forgotten.
func (a *peers) expired(name string, p *peer, now time.Time) bool {
	return now.Sub(later(p.at, p.Since)) > strangerLife && a.doc.Server(name) == nil
}

// mostFormers bounds the former addresses that are kept of a server.
const mostFormers = 8

// noteMoves remembers where every server that the new document moves was heard until
// then, until that server is heard to work by it. One that misses several documents is
// where the first of them found it.
func (a *peers) noteMoves(old, d *clusterconf.Document) (some bool) {
	if old == nil {
		return false
	}
	for _, s := range d.Servers {
		was := old.Server(s.Name)
		if was == nil || s.Name == a.cfg.Server {
			continue
		}
		p, at := a.of(s.Name), old.Gossip(was)
		if at != d.Gossip(&s) && len(p.formers) < mostFormers && !slices.Contains(p.formers, at.Addr()) {
			p.formers, some = append(p.formers, at.Addr()), true
		}
	}
	return some
}
