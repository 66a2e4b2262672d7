package commands

import (
	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// newAliasCommand groups the commands for aliases of this server.
func newAliasCommand(a *app) *cobra.Command {
	return newGroup("alias", "Show, bring up, block, deny and take down aliases on this server", `
An alias is the address that the clients of a LIM use. These commands work on
this server's kernel, agent or not; an agent that runs here puts its aliases
right again.`, `
  mxcluster alias show
  mxcluster alias up 1
  mxcluster alias down 1`,
		newAliasShowCommand(a), newAliasUpCommand(a), newAliasDownCommand(a), newAliasBlockCommand(a), newAliasUnblockCommand(a), newAliasDenyCommand(a))
}

// aliasHere is the alias of a LIM on this server's interface.
type aliasHere struct {
	member *clusterconf.Member
	ifname string
}

// alias returns the alias of a LIM; this server must be one of the two that may have it.
func (s *server) alias(doc *clusterconf.Document, lim int) (aliasHere, error) {
	me := doc.Server(s.settings.Server)
	if me == nil {
		return aliasHere{}, fault.New(fault.NotFound, "set 'server' in "+s.dirs.Settings()+"; 'mxcluster server list' shows the names",
			"the system has no server %q", s.settings.Server)
	}
	c := doc.ClusterOfLIM(lim)
	if c == nil {
		return aliasHere{}, fault.New(fault.NotFound, "mxcluster list", "LIM %d is in no cluster and has no alias", lim)
	}
	if me.LIM != lim && c.Standby != me.Name {
		return aliasHere{}, fault.New(fault.Refused, "run it on "+doc.RegularOf(lim).Name+" or "+c.Standby,
			"%s is neither the regular server nor the standby of LIM %d", me.Name, lim)
	}
	return aliasHere{member: c.Member(lim), ifname: me.Interface}, nil
}

// aliases returns those of all LIMs that this server may have.
func (s *server) aliases(doc *clusterconf.Document) []aliasHere {
	var all []aliasHere
	for i := range doc.Clusters {
		for _, m := range doc.Clusters[i].LIMs {
			if h, err := s.alias(doc, m.LIM); err == nil {
				all = append(all, h)
			}
		}
	}
	return all
}
