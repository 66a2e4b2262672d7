package status

import (
	"net/netip"
	"time"

	"mxcluster/clusterconf"
)

// unknown is the contract's word for what could not be seen.
const unknown = "unknown"

// Offline is what can be said of the clusters where no agent answers: what the
// document lays down, and what one server's own kernel holds.
type Offline struct {
	Document *clusterconf.Document
	Server   string // who looks
	Now      time.Time

	// Holds tells whether this server's kernel has an address; nil where that
	// could not be seen.
	Holds func(netip.Prefix) *bool
	// Data tells what this server has of a LIM's data; nil where it has none, or that
	// could not be seen.
	Data func(lim int) *LocalData
}

// LocalData is the newest complete data version of a LIM on one server.
type LocalData struct {
	Version  string
	Newest   time.Time // newest modification time of its files
	Conflict bool      // the last sync found that the other side's does not follow it, nor it that
}

// Status builds the answer of `status`. It claims nothing about where a LIM's
// software runs: an address in the kernel does not show that.
func (o Offline) Status() *ClusterStatus {
	st := &ClusterStatus{
		APIVersion:  clusterconf.APIVersion,
		Kind:        "ClusterStatus",
		GeneratedAt: o.Now.UTC(),
		Observer:    o.Server,
		Revision:    o.Document.Revision,
		Health:      unknown,
		Clusters:    make([]StatusCluster, 0, len(o.Document.Clusters)),
		Unclustered: []StatusLIM{},
		Alarms:      []Alarm{},

		RedundantWhy: "no agent answers on " + o.Server,
	}
	for i := range o.Document.Clusters {
		st.Clusters = append(st.Clusters, o.cluster(&o.Document.Clusters[i]))
	}
	st.sort()
	return st
}

func (o Offline) cluster(c *clusterconf.Cluster) StatusCluster {
	out := StatusCluster{
		Name:    c.Name,
		Health:  unknown,
		LIMs:    make([]StatusLIM, 0, len(c.LIMs)),
		Servers: make([]StatusServer, 0, len(c.LIMs)+1),
		Alarms:  []Alarm{},
		Frozen:  Frozen(c, o.Now),

		RedundantWhy: "no agent answers on " + o.Server,
	}
	for _, m := range c.LIMs {
		out.LIMs = append(out.LIMs, o.lim(c, m))
		if s := o.Document.RegularOf(m.LIM); s != nil {
			out.Servers = append(out.Servers, o.server(s))
		}
	}
	if s := o.Document.Server(c.Standby); s != nil {
		out.Servers = append(out.Servers, o.server(s))
	}
	return out
}

func (o Offline) lim(c *clusterconf.Cluster, m clusterconf.Member) StatusLIM {
	l := StatusLIM{
		LIM:    m.LIM,
		Side:   unknown,
		State:  unknown,
		Reason: "no agent answers on " + o.Server,

		RedundantWhy: "no agent answers on " + o.Server,
		Remedy:       startAgent(o.Server, ""),
		Lock:         lockOf(m, o.Now),
		Fallback:     StatusFallback{Type: string(c.Fallback), BlockedBy: []string{}},
		Alias:        StatusAlias{Address: m.Alias.String(), Holders: []Holder{}},
	}
	// Only a server of the cluster can hold the alias.
	if o.Document.ClusterOfServer(o.Server) != c || !o.mayHold(c, m) {
		return l
	}
	l.Data = o.data(m.LIM)
	held := o.Holds(m.Alias)
	l.Alias.Holders = append(l.Alias.Holders, Holder{Server: o.Server, Present: held})
	switch {
	case held == nil:
	case *held:
		l.Reason += ", its kernel has the alias"
	default:
		l.Reason += ", its kernel does not have the alias"
	}
	return l
}

// data tells what is known of a LIM's data without the other side's word: what is here,
// and whether the last sync found a conflict.
func (o Offline) data(lim int) *StatusData {
	if o.Data == nil {
		return nil
	}
	d := o.Data(lim)
	if d == nil {
		return nil
	}
	age := max(o.Now.Sub(d.Newest).Milliseconds(), 0)
	out := &StatusData{Newest: &d.Version, AgeMs: &age}
	if d.Conflict {
		same, conflict := false, true
		out.InSync, out.Conflict = &same, &conflict
	}
	return out
}

// mayHold tells whether this server is one of the LIM's two sides.
func (o Offline) mayHold(c *clusterconf.Cluster, m clusterconf.Member) bool {
	regular := o.Document.RegularOf(m.LIM)
	return c.Standby == o.Server || regular != nil && regular.Name == o.Server
}

func (o Offline) server(s *clusterconf.Server) StatusServer {
	out := StatusServer{Name: s.Name, Role: string(s.Role()), Address: s.Base.String(), Drained: Drained(s)}
	if s.Name == o.Server {
		here, revision := true, o.Document.Revision
		out.Reachable, out.Revision, out.Agent = &here, &revision, new(bool)
	}
	return out
}
