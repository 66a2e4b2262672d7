package clusterconf

import (
	"fmt"
	"net/netip"

	"mxcluster/internal/fault"
)

// SetServer changes where a server is reached: the name of its interface, and, of a
// server in no cluster, its base, as A.B.C.D[/LEN]. What is "" stays as it is.
func (d *Document) SetServer(name, ifname, base string) error {
	if ifname == "" && base == "" {
		return fault.New(fault.Usage, "give --interface or --base", "nothing is to be changed of server %s", name)
	}
	s, err := d.needServer(name)
	if err != nil {
		return err
	}
	if ifname != "" && !validInterface(ifname) {
		return fault.New(fault.Usage, "name a network interface of the server, e.g. eth0", "%q is not an interface name", ifname)
	}
	next := s.Base
	if base != "" {
		if next, err = ParseAddress(base, s.Base); err != nil {
			return err
		}
	}
	if next != s.Base {
		if err := d.mayMove(s, next); err != nil {
			return err
		}
	}
	s.Base = next
	if ifname != "" {
		s.Interface = ifname
	}
	return nil
}

// mayMove refuses a base that a server cannot have.
func (d *Document) mayMove(s *Server, base netip.Prefix) error {
	cannot := fmt.Sprintf("cannot set the base of server %s", s.Name)
	c := d.ClusterOfServer(s.Name)
	switch {
	case hostProblem(base) != "":
		return fault.New(fault.Usage, "give the address of a host with its prefix length, e.g. 10.0.0.11/24", "%s: %s %s", cannot, base, hostProblem(base))
	case c != nil && s.Standby:
		return fault.New(fault.Refused, "delete the cluster first: mxcluster delete "+c.Name, "%s: it is the standby of cluster %s", cannot, c.Name)
	case c != nil:
		return fault.New(fault.Refused, fmt.Sprintf("take its LIM out of the cluster first: mxcluster remove-lim %s %d", c.Name, s.LIM),
			"%s: its LIM %d is in cluster %s", cannot, s.LIM, c.Name)
	case base.Addr() != s.Base.Addr() && base != s.ReachedAt && d.userOf(base.Addr()) != "":
		return fault.New(fault.Refused, "give the server an address of its own", "%s: %s is %s", cannot, base.Addr(), d.userOf(base.Addr()))
	}
	return nil
}
