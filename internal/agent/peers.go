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
	"mxcluster/internal/levels"
	"mxcluster/internal/manager"
	"mxcluster/internal/rotation"
)

// peers are the other servers.
type peers struct {
	*core
	all map[string]*peer
}

// peer is what is known of another server.
type peer struct {
	failover.Peer
	alarms        []alarms.Alarm // that it has raised
	program       levels.Program // that it ran when it was last heard, also before this run; zero: it never was
	reach         alarms.Reach   // of its sinks
	told          []alarms.Told  // the ledger of its sinks
	keys          rotation.Claim
	management    manager.Word      // of its half of the management system
	at            time.Time         // last sign of life; zero: only known through others
	claimed       time.Time         // arrival of the claim; zero likewise
	holding       map[int]time.Time // since when it claims to have the aliases of LIMs on the wire
	formers       []netip.Addr      // its addresses by earlier documents, until it has the present one in force
	stale         bool              // it is alive, but its present claim is not known
	runs          []string          // former runs of its agent that were heard
	duplicateSeen time.Time         // when a former run was heard again; zero: never
	bothMACs      string            // MAC addresses of the two machines that claim to be this server
	clock         time.Duration     // how far its clock is ahead of this server's
	clockKnown    bool              // clock is known
}

func (a *peers) of(name string) *peer {
	p := a.all[name]
	if p == nil {
		p = &peer{Peer: failover.Peer{Liveness: failover.Unheard, Since: time.Now()}}
		a.all[name] = p
	}
	return p
}

// farLiveness judges a server of another cluster, which the detector does not poll.
func farLiveness(p *peer, now time.Time, limit time.Duration) failover.Liveness {
	switch {
	case p.Claim == nil || p.at.IsZero():
		return failover.Unheard
	case now.Sub(p.at) > limit:
		return failover.AgentLost
	}
	return failover.Alive
}

// programs are those of the document's servers, as far as they are known.
func (a *peers) programs() map[string]levels.Program {
	out := map[string]levels.Program{a.cfg.Server: levels.Told(a.cfg.Version, a.cfg.Levels)}
	for _, s := range a.doc.Servers {
		if p := a.all[s.Name]; p != nil && p.program != (levels.Program{}) {
			out[s.Name] = p.program
		}
	}
	return out
}

// behind reports whether this server lacks a document that the other has.
func (a *peers) behind(c *failover.Claim) bool {
	order := c.Age().Compare(a.doc.Age())
	return order > 0 || order == 0 && c.Hash != a.hash
}

// leaseMargin is how long after the end of its lease an alias may still be present: kernels count
// whole seconds, and remove it a little later.
const leaseMargin = time.Second

// noteLease records the time when, by its last word, a server can no longer have any alias. The
// word may be older than its arrival by the time between two words. zero: not known.
func (a *peers) noteLease(p *peer) {
	p.LeaseEnds = time.Time{}
	if p.Claim != nil && p.Claim.Lease > 0 && !p.at.IsZero() {
		p.LeaseEnds = p.at.Add(p.Claim.Lease + a.beatPeriod() + leaseMargin)
	}
}

// refresh updates what is known of the others by their last signs of life.
func (a *peers) refresh() {
	now := time.Now()
	for name, p := range a.all {
		if e, ok := a.net.detector.LastSeen(name); ok {
			p.at, p.stale, p.clock, p.clockKnown = e.At, e.Stale, e.Clock, e.Clocks
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

// addrsOf returns the addresses where a server may be reached: its address by the document, and its
// former bases. A server not heard since this agent started may have left its cluster and have its
// alias as base; it was given up as lost, and must be told so.
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

// lags returns which newer document is missing here; "": none.
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

// heardOther reports whether the other server of a LIM was heard.
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

// expired reports whether a server that is not in the document is to be forgotten.
func (a *peers) expired(name string, p *peer, now time.Time) bool {
	return now.Sub(later(p.at, p.Since)) > strangerLife && a.doc.Server(name) == nil
}

// mostFormers bounds the former addresses that are kept of a server.
const mostFormers = 8

// noteMoves records the former address of every server that the new document moves, until that
// server is heard with the document in force. A server that missed several documents is still at
// the first of these addresses.
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
