package clusterconf

import (
	"fmt"
	"net/netip"
	"slices"

	"mxcluster/internal/fault"
)

// A LIM leaves its cluster in three revisions, so that at every moment all servers
// hear each other and one of them, at most, has its address (spec ch. 10):
//
//  1. BeginLeave: it is not taken over any more; the standby gives up what it has of it.
//  2. CompleteLeave, once the standby has: the alias is its server's base. The former
//     base stays, and with it the way on which the servers hear each other.
//  3. SettleBase, once every server knows that: the former base goes.

// BeginLeave marks LIMs of a cluster as leaving it; without any LIM named, all of
// them. Dead names a server that is lost for good and is not waited for: the
// cluster's standby or one of the LIMs' regular servers; "": there is none.
func (d *Document) BeginLeave(cluster, dead string, lims ...int) error {
	c, err := d.needCluster(cluster)
	if err != nil {
		return err
	}
	for _, lim := range lims {
		if c.Member(lim) == nil {
			return d.notIn(c, lim, "remove")
		}
	}
	concerned := dead == "" || dead == c.Standby
	for i := range c.LIMs {
		m := &c.LIMs[i]
		if len(lims) > 0 && !slices.Contains(lims, m.LIM) {
			continue
		}
		m.Leaving = true
		regular := d.RegularOf(m.LIM)
		if dead != "" && (dead == c.Standby || regular != nil && regular.Name == dead) {
			m.Dead, concerned = dead, true
		}
	}
	if !concerned {
		if _, err := d.needServer(dead); err != nil {
			return err
		}
		return fault.New(fault.Refused, fmt.Sprintf("name the standby %s, or the server of the LIM", c.Standby),
			"cannot leave %s out: what is removed from cluster %s does not concern it", dead, cluster)
	}
	return nil
}

// CompleteLeave takes a leaving LIM out of its cluster: its alias becomes its
// server's base, and the former base is where the server is still reached. With
// its last LIM the cluster goes, too.
func (d *Document) CompleteLeave(lim int) {
	c, s := d.ClusterOfLIM(lim), d.RegularOf(lim)
	if c == nil || s == nil || !c.Member(lim).Leaving {
		return
	}
	if m := c.Member(lim); s.Base != m.Alias {
		s.ReachedAt, s.Base = s.Base, m.Alias
	}
	s.Drained = nil
	c.LIMs = slices.DeleteFunc(c.LIMs, func(m Member) bool { return m.LIM == lim })
	if len(c.LIMs) == 0 {
		if standby := d.Server(c.Standby); standby != nil {
			standby.Drained = nil
		}
		d.dropCluster(c.Name)
	}
}

// SettleBase ends that a server is reached at its former base.
func (d *Document) SettleBase(server string) {
	if s := d.Server(server); s != nil {
		s.ReachedAt = netip.Prefix{}
	}
}

// KeepReached has every server whose base is not what it was before, and that lives,
// stay reachable at that one, until all servers know the new one. A server that is
// moved again before they do is refused with fault.Busy, unless it goes back.
func (d *Document) KeepReached(before *Document, lives func(server string) bool) error {
	for i := range d.Servers {
		s := &d.Servers[i]
		was := before.Server(s.Name)
		switch {
		case was == nil || was.Base == s.Base || !lives(s.Name):
		case !was.ReachedAt.IsValid():
			s.ReachedAt = was.Base
		case was.ReachedAt == s.Base:
			s.ReachedAt = netip.Prefix{}
		default:
			return fault.New(fault.Busy, "wait until every server has the present document: mxcluster status -o json shows their revisions; remove a server that is gone for good: mxcluster server remove",
				"%s still keeps its former base %s, by which others know it", s.Name, was.ReachedAt)
		}
	}
	return nil
}

// Gossip returns the address at which a server hears the others: its base, or the
// former one until all servers know the new one. A former base that has become an
// alias moves between servers, so it is not that.
func (d *Document) Gossip(s *Server) netip.Prefix {
	if !s.ReachedAt.IsValid() || d.isAlias(s.ReachedAt.Addr()) {
		return s.Base
	}
	return s.ReachedAt
}

// isAlias reports whether an address is the alias of a LIM.
func (d *Document) isAlias(a netip.Addr) bool {
	for _, c := range d.Clusters {
		if slices.ContainsFunc(c.LIMs, func(m Member) bool { return m.Alias.Addr() == a }) {
			return true
		}
	}
	return false
}

// Leaves lists the LIMs that are on their way out of a cluster.
func (c *Cluster) Leaves() []int {
	var lims []int
	for _, m := range c.LIMs {
		if m.Leaving {
			lims = append(lims, m.LIM)
		}
	}
	return lims
}

// checkReachedAt holds former bases to addresses that nobody else has: the server's
// own alias may be one.
func checkReachedAt(d *Document, report reportFunc) {
	for i, s := range d.Servers {
		if !s.ReachedAt.IsValid() {
			continue
		}
		path := at("servers", i) + ".reachedAt"
		if problem := hostProblem(s.ReachedAt); problem != "" {
			report(path, "take the line out", "the former base of %s, %s, %s", s.Name, s.ReachedAt, problem)
			continue
		}
		for _, u := range d.addresses() {
			if u.prefix.Addr() == s.ReachedAt.Addr() && (u.cluster < 0 || u.lim != s.LIM) {
				report(path, "take the line out", "the former base of %s, %s, is %s", s.Name, s.ReachedAt.Addr(), u)
			}
		}
		for _, other := range d.Servers[:i] {
			if other.ReachedAt.IsValid() && other.ReachedAt.Addr() == s.ReachedAt.Addr() {
				report(path, "take the line out", "%s is the former base of %s and of %s", s.ReachedAt.Addr(), other.Name, s.Name)
			}
		}
		if s.Base.IsValid() && s.Base.Addr().Is4() != s.ReachedAt.Addr().Is4() {
			report(path, "take the line out", "the base of %s is %s, its former one is %s", s.Name, family(s.Base), family(s.ReachedAt))
		}
	}
}

// checkLeaving: who is not waited for is one of the two servers of a LIM that leaves.
func checkLeaving(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			path := memberPath(i, j) + ".serverIsDead"
			regular := d.RegularOf(m.LIM)
			switch {
			case m.Dead == "":
			case !m.Leaving:
				report(path, "take the line out", "LIM %d does not leave cluster %s, so that no server can be left out of it", m.LIM, c.Name)
			case m.Dead != c.Standby && (regular == nil || m.Dead != regular.Name):
				report(path, "name the standby or the LIM's own server", "%s is no server of LIM %d in cluster %s", m.Dead, m.LIM, c.Name)
			}
		}
	}
}
