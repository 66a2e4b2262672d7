package status

import (
	"fmt"
	"time"

	"mxcluster/internal/failover"
)

// promise tells whether the loss of a LIM's server would be covered. The standby says so;
// of one that is out of order the others know that it covers nothing.
func (in *Input) promise(l *StatusLIM, home, away *place) {
	p := away.claim.Promise
	active, other := home, away
	if l.Side == string(away.side) {
		active, other = away, home
	}
	covered := p != nil && p.Covered != nil && *p.Covered
	switch {
	case l.Side == "none":
		l.Redundant, l.RedundantWhy = new(bool), "it runs nowhere"
	case covered && l.ActiveOn != nil && other.Liveness == failover.Gone: // since it was said
		l.Redundant, l.RedundantWhy = new(bool), other.name+" is down"
	case away.Liveness == failover.Alive && l.ActiveOn != nil && p != nil && elsewhere(p, active.name): // it looks again within a second
		l.RedundantWhy = fmt.Sprintf("%s has not looked at it since it came to %s", away.name, active.name)
	case away.Liveness == failover.Alive && away.Claim != nil && p != nil && away.late(in.Now) > 0:
		l.RedundantWhy = fmt.Sprintf("the last word of %s is %s old", away.name, away.late(in.Now).Round(100*time.Millisecond))
	case away.Liveness == failover.Alive && away.Claim != nil && p != nil:
		l.Redundant, l.RedundantWhy = p.Covered, p.Why
		if covered {
			l.Takeover = &StatusTakeover{Detect: p.Detect.Milliseconds()}
			if p.Lease > 0 {
				ms := p.Lease.Milliseconds()
				l.Takeover.Lease = &ms
			}
			by := home
			if p.By == away.name {
				by = away
			}
			if by.claim.StartMs != 0 {
				l.Takeover.Start = &by.claim.StartMs
			}
		} else if l.Remedy == nil {
			l.Remedy = p.Remedy
		}
	case away.Liveness == failover.Gone:
		l.Redundant, l.RedundantWhy = new(bool), away.name+" is down"
	case away.Liveness == failover.AgentLost && l.Side == string(home.side):
		l.Redundant, l.RedundantWhy = new(bool), "the agent of "+away.name+" does not answer"
		if away.Claim != nil && (away.Claim.Parked || away.Claim.Leaving) {
			l.RedundantWhy = "the agent of " + away.name + " was stopped"
		}
	default:
		l.RedundantWhy = away.name + " has not said whether it would take over"
	}
}

// elsewhere reports whether a promise is about the loss of another server than the one where the LIM
// is active now. An earlier version says only who would take over.
func elsewhere(p *failover.Promise, active string) bool {
	if p.On == nil {
		return p.By == active
	}
	return *p.On != active
}

// promiseBeats is how many heartbeats may be missing until what a standby said counts as
// not known: what happens to it shows no sooner.
const promiseBeats = 3

// late tells how old the word of a server is that should have been renewed; 0: it is fresh.
// Looking ahead takes a second, and what is younger is not too old.
func (s Seen) late(now time.Time) time.Duration {
	if age := now.Sub(s.Said); !s.Said.IsZero() && age > max(promiseBeats*s.Every, time.Second) {
		return age
	}
	return 0
}

// redundant tells whether every single loss of a server would be covered in a cluster.
func (c *StatusCluster) redundant() (*bool, string) {
	yes := true
	all, why := &yes, ""
	for i := range c.LIMs {
		l := &c.LIMs[i]
		all, why = both(all, why, l.Redundant, fmt.Sprintf("LIM %d: %s", l.LIM, l.RedundantWhy))
	}
	return all, why
}

// ofAll tells that of a system. Without any cluster nothing is protected, and nobody asked
// for it.
func ofAll(clusters []StatusCluster) (*bool, string) {
	if len(clusters) == 0 {
		return nil, "there is no cluster"
	}
	yes := true
	all, why := &yes, ""
	for i := range clusters {
		c := &clusters[i]
		all, why = both(all, why, c.Redundant, fmt.Sprintf("cluster %s: %s", c.Name, c.RedundantWhy))
	}
	return all, why
}

// both joins two answers: what is surely not covered goes before what cannot be seen, the
// first of each kind is told.
func both(a *bool, why string, b *bool, whyB string) (*bool, string) {
	switch {
	case a != nil && !*a, b != nil && *b, a == nil && b == nil:
		return a, why
	}
	return b, whyB
}
