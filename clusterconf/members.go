package clusterconf

import (
	"fmt"
	"slices"
	"strings"

	"mxcluster/internal/fault"
)

// AddLIM adds a LIM to a cluster and exchanges addresses as CreateCluster does:
// the base of its server becomes its alias, newBase, as A.B.C.D[/LEN], becomes
// the base (spec ch. 10, "Add a LIM to a Cluster"). Callers fill in
// DefaultPriority where no priority was given.
func (d *Document) AddLIM(cluster string, lim int, newBase string, priority int) error {
	if err := usablePriority(lim, priority); err != nil {
		return err
	}
	c, err := d.needCluster(cluster)
	if err != nil {
		return err
	}
	l := CreateLIM{LIM: lim, NewBase: newBase, Priority: priority}
	if c.Member(lim) != nil {
		return l.alreadyIn(d, c)
	}
	server, err := d.needRegular(lim)
	if err != nil {
		return err
	}
	cannot := fmt.Sprintf("cannot add LIM %d to cluster %s", lim, cluster)
	switch {
	case len(c.Leaves()) == len(c.LIMs):
		return fault.New(fault.Refused, "wait until it is deleted: mxcluster delete "+cluster+" --wait", "%s: it is being deleted", cannot)
	case c.Failover == FailoverPreloaded:
		return fault.New(fault.Refused, "create a cluster of its own for it; preloading ends only with the cluster: mxcluster delete "+cluster,
			"%s: it is preloaded and can have one LIM", cannot)
	case len(c.LIMs) >= MaxLIMs:
		return fault.New(fault.Refused, "put it into another cluster with a standby of its own",
			"%s: it has %d LIMs already, a cluster can have %d", cannot, len(c.LIMs), MaxLIMs)
	}
	standby, err := d.needServer(c.Standby)
	if err != nil {
		return err
	}
	base, err := l.newBase(d, cannot, standby)
	if err != nil {
		return err
	}
	c.LIMs = append(c.LIMs, Member{LIM: lim, Alias: server.Base, Priority: priority})
	server.Base = base
	return nil
}

// alreadyIn returns nil if the LIM is in the cluster as it was asked for.
func (l CreateLIM) alreadyIn(d *Document, c *Cluster) error {
	differs, err := l.differs(d, c)
	if err != nil || differs == "" {
		return err
	}
	return fault.New(fault.Refused, "mxcluster change "+c.Name+" changes priorities; for another base remove the LIM first: mxcluster remove-lim",
		"LIM %d is in cluster %s and differs: %s", l.LIM, c.Name, differs)
}

// differs says in what a LIM of the cluster is not as asked for, or "".
func (l CreateLIM) differs(d *Document, c *Cluster) (string, error) {
	m, server := c.Member(l.LIM), d.RegularOf(l.LIM)
	if m == nil || server == nil {
		return fmt.Sprintf("LIM %d is not in it", l.LIM), nil
	}
	base, err := ParseAddress(l.NewBase, server.Base)
	switch {
	case err != nil:
		return "", err
	case base != server.Base:
		return fmt.Sprintf("the base of %s is %s", server.Name, server.Base), nil
	case m.Priority != l.Priority:
		return fmt.Sprintf("the priority of LIM %d is %d", l.LIM, m.Priority), nil
	}
	return "", nil
}

// RemoveLIM takes a LIM out of a cluster and turns the exchange of addresses
// round: the alias becomes the base again. With its last LIM the cluster goes
// too (spec ch. 10, "Remove a LIM from a Cluster"). A LIM that is in no cluster
// is left alone.
func (d *Document) RemoveLIM(cluster string, lim int) error {
	if !validLIM(lim) {
		return badLIM(lim)
	}
	c, err := d.needCluster(cluster)
	if err != nil {
		return err
	}
	if c.Member(lim) == nil {
		_, err := d.needRegular(lim)
		if err == nil && d.ClusterOfLIM(lim) != nil {
			return d.notIn(c, lim, "remove")
		}
		return err
	}
	d.leave(*c.Member(lim))
	c.LIMs = slices.DeleteFunc(c.LIMs, func(m Member) bool { return m.LIM == lim })
	if len(c.LIMs) == 0 {
		d.dropCluster(cluster)
	}
	return nil
}

// DeleteCluster removes a cluster; every alias becomes the base of its server
// again (spec ch. 10, "Remove a Cluster"). The standby stays one.
func (d *Document) DeleteCluster(name string) error {
	c, err := d.needCluster(name)
	if err != nil {
		return err
	}
	for _, m := range c.LIMs {
		d.leave(m)
	}
	d.dropCluster(name)
	return nil
}

// leave gives the LIM's server its alias as base.
func (d *Document) leave(m Member) {
	if s := d.RegularOf(m.LIM); s != nil {
		s.Base = m.Alias
	}
}

func (d *Document) dropCluster(name string) {
	d.Clusters = slices.DeleteFunc(d.Clusters, func(c Cluster) bool { return c.Name == name })
}

// notIn says that a LIM is not in a cluster, and where it is.
func (d *Document) notIn(c *Cluster, lim int, doing string) error {
	if _, err := d.needRegular(lim); err != nil {
		return err
	}
	members := make([]string, len(c.LIMs))
	for i, m := range c.LIMs {
		members[i] = fmt.Sprint(m.LIM)
	}
	where := "no cluster"
	if other := d.ClusterOfLIM(lim); other != nil {
		where = "cluster " + other.Name
	}
	return fault.New(fault.Refused, "cluster "+c.Name+" has LIM "+strings.Join(members, ", "),
		"cannot %s LIM %d in cluster %s: it is in %s", doing, lim, c.Name, where)
}
