// Package manager decides about the redundancy of the management system (PM and SNM; spec
// ch. 9, "Installing PM/SNM Redundancy"): which two servers it is about, what of them stands in
// its way, and how the pair stands. Its data are in PostgreSQL, of which one server accepts
// writes and the other follows. The package looks at nothing: what was seen is given to it.
package manager

import (
	"net/netip"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// Role is the part of a server in the pair.
type Role string

// The two roles. They say where the management system is at home, not where it is active.
const (
	Master  Role = "master"  // the regular server of LIM 1
	Standby Role = "standby" // the standby of LIM 1's cluster
)

// Home is the LIM whose servers the management system runs on.
const Home = 1

// Pair are the servers of the management system.
type Pair struct {
	Cluster  string
	Fallback clusterconf.FallbackType // of the cluster
	Alias    netip.Prefix             // of LIM 1
	Master   clusterconf.Server
	Standby  clusterconf.Server
}

// Find finds the pair in the document. Where LIM 1 is in no cluster there is none, and the
// error is fault.Refused with the remedy.
func Find(doc *clusterconf.Document) (Pair, error) {
	regular, cluster := doc.RegularOf(Home), doc.ClusterOfLIM(Home)
	switch {
	case regular == nil:
		return Pair{}, fault.New(fault.Refused, "mxcluster server list", "the management system runs on the servers of LIM %d, and no server has that LIM", Home)
	case cluster == nil:
		return Pair{}, fault.New(fault.Refused, "put LIM 1 into a cluster first: mxcluster create, or mxcluster add-lim",
			"the management system is redundant only where LIM %d is in a cluster, and it is in none", Home)
	}
	standby := doc.Server(cluster.Standby)
	if standby == nil {
		return Pair{}, fault.New(fault.Invalid, "mxcluster config validate", "the standby of cluster %s is not in the document", cluster.Name)
	}
	return Pair{Cluster: cluster.Name, Fallback: cluster.Fallback, Alias: cluster.Member(Home).Alias, Master: *regular, Standby: *standby}, nil
}

// Server returns the server that has a role.
func (p Pair) Server(r Role) clusterconf.Server {
	if r == Master {
		return p.Master
	}
	return p.Standby
}

// RoleOf returns the role of a server; false where it has none.
func (p Pair) RoleOf(server string) (Role, bool) {
	switch server {
	case p.Master.Name:
		return Master, true
	case p.Standby.Name:
		return Standby, true
	}
	return "", false
}

// Half is what a server keeps of its half of the pair. No password is in it.
type Half struct {
	Instance string   `json:"instance"` // as postgresql-common names it, e.g. 15/main
	Server   string   `json:"server"`
	Peer     string   `json:"peer"` // the other server
	Host     string   `json:"host"` // its base address
	Port     int      `json:"port"` // of its PostgreSQL
	From     []string `json:"from"` // addresses that it may come from
	User     string   `json:"user"` // the replication role
}

// Setup is what a server's half of the pair is set up by.
type Setup struct {
	Half
	Role        Role
	Password    string // of the replication role
	Synchronous bool
	Change      bool // the role's password may be changed
}

// Followed is what came of having a server follow the other one.
type Followed struct {
	Aside string   `json:"aside,omitempty"` // file of what this server alone had; "": it had nothing
	Notes []string `json:"notes,omitempty"` // what was put right on the way, in sentences
}

// Other returns the opposite role.
func (r Role) Other() Role {
	if r == Master {
		return Standby
	}
	return Master
}
