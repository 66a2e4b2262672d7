package commands

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// checkIdentity refuses to treat this machine as a server of the system if it has none of that
// server's addresses, or another machine answers for its base. Bases on the loopback interface are
// for trials and accepted.
func (a *app) checkIdentity(ctx context.Context, doc *clusterconf.Document, s *clusterconf.Server) error {
	if s.Base.Addr().IsLoopback() {
		return nil
	}
	k, err := a.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	here, err := k.Addresses("")
	if err != nil {
		return err
	}
	own := addressesOf(doc, s)
	i := slices.IndexFunc(here, func(x netops.Address) bool { return slices.Contains(own, x.Prefix.Addr()) })
	if i < 0 {
		return fault.New(fault.Refused, otherServer(doc, here, fmt.Sprintf("ip address add %s dev %s, or name the server that this machine is with --server", s.Base, s.Interface)),
			"this machine has none of the addresses of %s, whose base is %s", s.Name, s.Base)
	}
	mac, err := a.env.probe(ctx, here[i].Interface, s.Base.Addr())
	if err != nil || mac == nil {
		return err
	}
	// Another interface in the same network answers for the addresses of the first.
	links, err := k.Links()
	if err != nil || slices.ContainsFunc(links, func(l netops.Link) bool { return bytes.Equal(l.MAC, mac) }) {
		return err
	}
	return fault.New(fault.Refused, "end that machine first if this one takes its place; else give this one a name and an address of its own: mxcluster server add",
		"another machine, %s, answers for %s, the base of %s", mac, s.Base.Addr(), s.Name)
}

// addressesOf returns the addresses that identify a server.
func addressesOf(doc *clusterconf.Document, s *clusterconf.Server) []netip.Addr {
	own := []netip.Addr{s.Base.Addr()}
	if s.ReachedAt.IsValid() {
		own = append(own, s.ReachedAt.Addr())
	}
	if c := doc.ClusterOfLIM(s.LIM); c != nil {
		own = append(own, c.Member(s.LIM).Alias.Addr()) // its base before the cluster was created
	}
	return own
}

// otherServer returns a remedy that names the server whose address this machine has; otherwise if
// it has none.
func otherServer(doc *clusterconf.Document, here []netops.Address, otherwise string) string {
	for i := range doc.Servers {
		s := &doc.Servers[i]
		if slices.ContainsFunc(here, func(x netops.Address) bool { return x.Prefix.Addr() == s.Base.Addr() }) {
			return fmt.Sprintf("it has the base of %s: --server %s", s.Name, s.Name)
		}
	}
	return otherwise
}
