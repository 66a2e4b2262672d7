package clusterconf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// CreateSpec says what cluster to create. Zero values of Fallback,
// FailoverAfter and SplitBrainStop stand for the defaults.
type CreateSpec struct {
	Name           string
	Standby        string
	LIMs           []CreateLIM
	Fallback       FallbackType
	FailoverAfter  time.Duration
	SplitBrainStop Side
	FallbackWindow Window
	Rehearse       Rehearse
}

// CreateLIM is one LIM of a cluster to create.
type CreateLIM struct {
	LIM      int
	NewBase  string // A.B.C.D[/LEN]; without a length that of the server's present base
	Priority int    // 0 is the highest; callers fill in DefaultPriority where none was given
}

// CreateCluster creates a cluster and exchanges addresses: the old base of each
// regular server becomes its LIM's alias, so that clients keep the address
// they know, and the new address becomes the base (spec ch. 9). A cluster that
// is there already as specified is left alone.
func (d *Document) CreateCluster(spec CreateSpec) error {
	if err := spec.complete(); err != nil {
		return err
	}
	if old := d.Cluster(spec.Name); old != nil {
		return spec.sameAs(d, old)
	}
	standby, err := spec.freeStandby(d)
	if err != nil {
		return err
	}
	bases := make([]netip.Prefix, len(spec.LIMs))
	for i, l := range spec.LIMs {
		if bases[i], err = l.newBase(d, "cannot create cluster "+spec.Name, standby); err != nil {
			return err
		}
		if j := slices.Index(bases[:i], bases[i]); j >= 0 {
			return fault.New(fault.Refused, "give each server an address of its own",
				"cannot create cluster %s: %s is the new base for LIM %d and for LIM %d",
				spec.Name, bases[i].Addr(), spec.LIMs[j].LIM, l.LIM)
		}
	}
	c := Cluster{
		Name: spec.Name, Standby: spec.Standby, Fallback: spec.Fallback, Failover: FailoverNormal,
		FailoverAfter: Duration(spec.FailoverAfter), SplitBrainStop: spec.SplitBrainStop, FallbackWindow: spec.FallbackWindow, Rehearse: spec.Rehearse,
	}
	for i, l := range spec.LIMs {
		server := d.RegularOf(l.LIM)
		c.LIMs = append(c.LIMs, Member{LIM: l.LIM, Alias: server.Base, Priority: l.Priority})
		server.Base = bases[i]
	}
	d.Clusters = append(d.Clusters, c)
	return nil
}

// complete fills in the defaults and checks what can be said without the document.
func (s *CreateSpec) complete() error {
	if s.Fallback == "" {
		s.Fallback = FallbackManual
	}
	if s.SplitBrainStop == "" {
		s.SplitBrainStop = SideRegular
	}
	err := cmp.Or(CheckClusterName(s.Name), knownFallback(s.Fallback), knownSplitBrainStop(s.SplitBrainStop), longEnough(s.FailoverAfter))
	if err != nil {
		return err
	}
	if len(s.LIMs) == 0 {
		return fault.New(fault.Usage, "name each with --lim N=NEWBASE", "cluster %s needs a LIM", s.Name)
	}
	return s.checkLIMs()
}

func (s *CreateSpec) checkLIMs() error {
	seen := map[int]bool{}
	for _, l := range s.LIMs {
		if err := usablePriority(l.LIM, l.Priority); err != nil {
			return err
		}
		if seen[l.LIM] {
			return fault.New(fault.Usage, "name each LIM once", "LIM %d is given twice", l.LIM)
		}
		seen[l.LIM] = true
	}
	if len(s.LIMs) > MaxLIMs {
		return fault.New(fault.Refused, "put some into another cluster with a standby of its own",
			"cannot create cluster %s of %d LIMs: a cluster can have %d", s.Name, len(s.LIMs), MaxLIMs)
	}
	return nil
}

// freeStandby returns the standby that is asked for, if it can be had.
func (s *CreateSpec) freeStandby(d *Document) (*Server, error) {
	standby, err := d.needServer(s.Standby)
	if err != nil {
		return nil, err
	}
	other := d.ClusterOfServer(standby.Name)
	switch {
	case standby.Role() == RoleFree:
		return nil, fault.New(fault.Refused, "mxcluster server to-standby "+standby.Name,
			"cannot create cluster %s: %s is not a standby server yet", s.Name, standby.Name)
	case standby.Role() == RoleRegular:
		return nil, fault.New(fault.Refused, "name a standby server: mxcluster server list",
			"cannot create cluster %s: %s is the regular server of LIM %d", s.Name, standby.Name, standby.LIM)
	case other != nil:
		return nil, fault.New(fault.Refused, "give every cluster a standby of its own",
			"cannot create cluster %s: %s is the standby of cluster %s", s.Name, standby.Name, other.Name)
	}
	return standby, nil
}

// newBase returns the base that the LIM's server will have in d when the LIM enters
// a cluster of that standby, if it can be had. A refusal begins with cannot.
func (l CreateLIM) newBase(d *Document, cannot string, standby *Server) (netip.Prefix, error) {
	server, err := d.needRegular(l.LIM)
	if err != nil {
		return netip.Prefix{}, err
	}
	refuse := func(hint, format string, args ...any) (netip.Prefix, error) {
		err := fault.New(fault.Refused, hint, format, args...)
		return netip.Prefix{}, fault.Wrap(err, fault.Refused, "", "%s", cannot)
	}
	if other := d.ClusterOfLIM(l.LIM); other != nil {
		return refuse("a LIM can be in one cluster only", "LIM %d is in cluster %s", l.LIM, other.Name)
	}
	base, err := ParseAddress(l.NewBase, server.Base)
	switch {
	case err != nil:
		return netip.Prefix{}, err
	case base.Addr() == server.Base.Addr():
		return refuse("give it a new address; the present one becomes the LIM's alias",
			"%s is the base of %s already", base.Addr(), server.Name)
	case d.userOf(base.Addr()) != "" && base != server.ReachedAt:
		return refuse("give an address that nothing else has", "%s is %s", base.Addr(), d.userOf(base.Addr()))
	case !sameSubnet(server.Base, standby.Base):
		return refuse("servers of a cluster must be in one subnet",
			"%s (%s) and its standby %s (%s) are in different subnets", server.Name, server.Base, standby.Name, standby.Base)
	case !sameSubnet(base, server.Base):
		return refuse("give an address of "+server.Base.Masked().String(),
			"the new base %s of %s is not in the subnet of %s", base, server.Name, server.Base)
	}
	if problem := d.mediaServerProblem(l.LIM, server.Base.Addr()); problem != "" {
		return refuse(fmt.Sprintf("mxcluster lim set %d --media-server colocated --media-address %s --control-address %[2]s", l.LIM, server.Base.Addr()),
			"%s, which will be its alias", problem)
	}
	return base, nil
}

// sameAs returns nil if old, a cluster of d, is what is asked for.
func (s *CreateSpec) sameAs(d *Document, old *Cluster) error {
	differs := func(format string, args ...any) error {
		err := fault.New(fault.Refused, "mxcluster change "+old.Name+" changes its settings; choose another name for another cluster",
			format, args...)
		return fault.Wrap(err, fault.Refused, "", "cluster %s exists and differs", old.Name)
	}
	switch {
	case old.Standby != s.Standby:
		return differs("its standby is %s", old.Standby)
	case old.Fallback != s.Fallback:
		return differs("its fallback type is %s", old.Fallback)
	case old.FailoverAfter != Duration(s.FailoverAfter):
		return differs("it fails over after %s", old.SilenceLimit())
	case old.SplitBrainStop != s.SplitBrainStop:
		return differs("at a split brain it stops the %s side", old.SplitBrainStop)
	case old.FallbackWindow != s.FallbackWindow:
		return differs("it falls back within %s", old.FallbackWindow)
	case old.Rehearse != s.Rehearse:
		return differs("its rehearsals are %s", old.Rehearse)
	case len(old.LIMs) != len(s.LIMs):
		return differs("it has %d LIMs", len(old.LIMs))
	}
	for _, l := range s.LIMs {
		switch what, err := l.differs(d, old); {
		case err != nil:
			return err
		case what != "":
			return differs("%s", what)
		}
	}
	return nil
}
