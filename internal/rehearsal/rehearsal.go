// Package rehearsal says which LIMs a standby may start on trial, when, and what such a
// trial consists of. It is pure: what is true of the server goes in, what is to be done
// and the reasons come out.
package rehearsal

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// Spec is one rehearsal: which software is started, on what, and for how long.
type Spec struct {
	LIM       clusterconf.LIM `json:"lim"`
	Server    string          `json:"server"`
	Interface string          `json:"interface"` // name of the one that leads nowhere
	Alias     netip.Prefix    `json:"alias"`
	Base      netip.Prefix    `json:"base"`
	Version   string          `json:"version,omitempty"` // of the data; "": there are none
	XData     string          `json:"xdata,omitempty"`   // their folder

	StartLimit time.Duration `json:"startLimit"` // of each service
	StopLimit  time.Duration `json:"stopLimit"`
	CheckLimit time.Duration `json:"checkLimit"`
	Every      time.Duration `json:"every"` // from one health check to the next
	Healthy    time.Duration `json:"healthy"`
	Untrusted  bool          `json:"untrusted,omitempty"` // programs that other users may change are run all the same
	Room       uint64        `json:"room,omitempty"`      // bytes that it may write; 0: a quarter of the memory
}

// Healthy is how long software has to run in a rehearsal without a failed health check.
const Healthy = 5 * time.Second

// making is how long it may take to make, and to take down, the place of a rehearsal.
const making = 30 * time.Second

// Limit is how long the whole rehearsal may take.
func (s Spec) Limit() time.Duration {
	limit := making + s.Healthy + s.CheckLimit
	for range s.LIM.Services {
		limit += s.StartLimit + s.StopLimit + 2*s.CheckLimit
	}
	return limit
}

// Standby is what a standby knows of itself when it is asked for a rehearsal.
type Standby struct {
	Server   *clusterconf.Server  // nil: it is in no document
	Cluster  *clusterconf.Cluster // nil: it is in none
	Settled  bool                 // it knows what the others run
	Isolated bool                 // it hears nobody
	Stopping bool                 // its agent ends
	Able     bool                 // its agent may confine software
	Busy     map[int]string       // LIMs that are not stopped here, and what they are
}

// Hindrance says why a standby may not rehearse anything now; "": it may.
func (s *Standby) Hindrance() string {
	switch {
	case s.Server == nil || s.Cluster == nil || s.Cluster.Standby != s.Server.Name:
		return "it is the standby of no cluster"
	case !s.Able:
		return "the agent of " + s.Server.Name + " is not root, and cannot confine software"
	case s.Stopping:
		return "its agent is stopping"
	case !s.Settled:
		return s.Server.Name + " has just started, and waits to hear the others"
	case s.Isolated:
		return s.Server.Name + " hears nobody"
	case s.Server.Drained != nil:
		return s.Server.Name + " is " + s.Server.DrainedWords()
	case s.Cluster.Failover == clusterconf.FailoverPreloaded:
		return "cluster " + s.Cluster.Name + " is preloaded: its software is loaded all the time"
	}
	for _, m := range s.Cluster.LIMs {
		if state := s.Busy[m.LIM]; state != "" {
			return fmt.Sprintf("%s is not free: LIM %d is %s", s.Server.Name, m.LIM, state)
		}
	}
	return ""
}

// Skips says why one LIM is not rehearsed on a standby that may; "": nothing is known that
// keeps it. entry is nil where it has no software.
func Skips(m clusterconf.Member, entry *clusterconf.LIM) string {
	switch {
	case m.Leaving:
		return "it leaves its cluster"
	case entry == nil || !slices.ContainsFunc(entry.Services, func(s clusterconf.Service) bool { return !s.RegularOnly }):
		return "it has no software that is started on the standby"
	}
	return ""
}

// Nights begin by the standby's local clock, those of different clusters spread over the
// same hours, for their standbys may share what they run on.
const (
	nightBegins = time.Hour       // after midnight
	nightSpread = 3 * time.Hour   // until the last cluster begins
	nightLasts  = 3 * time.Hour   // for each cluster
	nightRetry  = 5 * time.Minute // after a rehearsal that was aborted
)

// Night is when the present or the next night's rehearsals of a cluster begin and end, in
// the time zone of now.
func Night(cluster string, now time.Time) (begins, ends time.Time) {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(cluster))
	spread := time.Duration(sum.Sum32()%uint32(nightSpread/time.Second)) * time.Second
	y, m, d := now.Date()
	at := func(day int) time.Time {
		return time.Date(y, m, day, 0, 0, 0, int(nightBegins+spread), now.Location())
	}
	if begins = at(d); !now.Before(begins.Add(nightLasts)) {
		begins = at(d + 1)
	}
	return begins, begins.Add(nightLasts)
}

// Due returns the next LIM that a nightly rehearsal is due of; 0: none is now. Each has one
// try a night; one that was aborted has another.
func Due(c *clusterconf.Cluster, last map[int]failover.Rehearsal, now time.Time) int {
	if c.Rehearse != clusterconf.RehearseNightly {
		return 0
	}
	begins, ends := Night(c.Name, now)
	if now.Before(begins) || !now.Before(ends) {
		return 0
	}
	for _, m := range c.LIMs {
		r := last[m.LIM]
		again := r.Result == failover.RehearsalAborted && now.Sub(r.At) >= nightRetry
		if r.At.Before(begins) || again {
			return m.LIM
		}
	}
	return 0
}
