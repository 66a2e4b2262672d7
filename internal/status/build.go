package status

import (
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// Input is what one server knows, from which it answers `status`.
type Input struct {
	Now      time.Time
	Observer string
	Document *clusterconf.Document
	Servers  map[string]Seen // by name, the observer included
}

// Seen is what the observer knows of one server.
type Seen struct {
	Liveness failover.Liveness
	Heard    time.Time       // last sign of life; zero: never, or the observer itself
	Claim    *failover.Claim // nil: none was heard
}

// Build answers `status` from what an agent knows.
func Build(in Input) *ClusterStatus {
	out := &ClusterStatus{
		APIVersion: clusterconf.APIVersion, Kind: "ClusterStatus", GeneratedAt: in.Now.UTC(),
		Observer: in.Observer, Agent: true, Revision: in.Document.Revision, Clusters: []StatusCluster{},
	}
	for i := range in.Document.Clusters {
		out.Clusters = append(out.Clusters, in.cluster(&in.Document.Clusters[i]))
	}
	out.Health = worstHealth(out.Clusters)
	return out
}

func (in *Input) cluster(c *clusterconf.Cluster) StatusCluster {
	sc := StatusCluster{Name: c.Name, LIMs: []StatusLIM{}, Servers: []StatusServer{}, Alarms: []Alarm{}}
	split := false
	for _, m := range c.LIMs {
		sl := in.lim(c, m)
		holders := 0
		for _, h := range sl.Alias.Holders {
			if h.Present != nil && *h.Present {
				holders++
			}
		}
		split = split || holders > 1
		sc.LIMs = append(sc.LIMs, sl)
		if r := in.Document.RegularOf(m.LIM); r != nil {
			sc.Servers = append(sc.Servers, in.server(r.Name, clusterconf.RoleRegular))
		}
	}
	sc.SplitBrain = &split
	sc.Servers = append(sc.Servers, in.server(c.Standby, clusterconf.RoleStandby))
	sc.Health = in.health(&sc)
	return sc
}

// lim tells of one LIM from the claims of the two servers that may run it.
func (in *Input) lim(c *clusterconf.Cluster, m clusterconf.Member) StatusLIM {
	regular := ""
	if r := in.Document.RegularOf(m.LIM); r != nil {
		regular = r.Name
	}
	home, away := in.Servers[regular], in.Servers[c.Standby]
	out := StatusLIM{LIM: m.LIM, Side: "none", State: string(failover.Unknown), Fallback: StatusFallback{Type: string(c.Fallback), BlockedBy: []string{}}}
	active, server, side := pick(home, away, regular, c.Standby, m.LIM)
	shown := home
	switch {
	case server != "":
		shown = active
		out.ActiveOn, out.Side = &server, side
	case trusted(home) || home.Liveness == failover.Gone:
	default:
		out.Side = "unknown"
	}
	if shown.Claim != nil && (server != "" || trusted(shown)) {
		entry := shown.Claim.LIM(m.LIM)
		out.State, out.Reason = string(entry.State), entry.Reason
		if !entry.Since.IsZero() {
			out.Since = timePtr(entry.Since)
		}
		if !trusted(shown) {
			out.State = string(failover.Unknown)
			out.Reason = "the agent of " + server + " does not answer; its last word: " + entry.Reason
		}
		if !entry.Announced.IsZero() {
			out.Alias.LastAnnounced = timePtr(entry.Announced)
		}
	}
	if server == "" && trusted(away) && away.Claim != nil {
		if e := away.Claim.LIM(m.LIM); e.Waiting {
			out.Waiting, out.State, out.Reason = true, "waiting", e.Reason
		} else if home.Liveness != failover.Alive && e.Reason != "" {
			out.State, out.Reason = string(e.State), e.Reason
		}
	}
	out.Term = max(term(home, m.LIM), term(away, m.LIM))
	out.Alias.Address = m.Alias.String()
	out.Alias.Holders = []Holder{holder(regular, home, m.LIM), holder(c.Standby, away, m.LIM)}
	if side == "standby" && trusted(away) {
		blocked := away.Claim.LIM(m.LIM).BlockedBy
		ready := len(blocked) == 0
		out.Fallback.Ready = &ready
		out.Fallback.BlockedBy = append(out.Fallback.BlockedBy, blocked...)
	}
	out.Data = in.data(home, away, m.LIM)
	return out
}

// pick returns the server on which a LIM is active: of several the one that
// holds the alias under the highest term.
func pick(home, away Seen, regular, standby string, lim int) (s Seen, server, side string) {
	h, a := claimOf(home, lim), claimOf(away, lim)
	homeUp, awayUp := h.State.Active() && believed(home), a.State.Active() && believed(away)
	switch {
	case homeUp && awayUp:
		if h.Holds != a.Holds && a.Holds || h.Holds == a.Holds && a.Term > h.Term {
			return away, standby, string(clusterconf.SideStandby)
		}
		return home, regular, string(clusterconf.SideRegular)
	case awayUp:
		return away, standby, string(clusterconf.SideStandby)
	case homeUp:
		return home, regular, string(clusterconf.SideRegular)
	}
	return Seen{}, "", ""
}

func claimOf(s Seen, lim int) failover.LIMClaim { return s.Claim.LIM(lim) }

// trusted reports whether what the server claims is so now.
func trusted(s Seen) bool {
	return s.Claim != nil && (s.Liveness == failover.Alive || s.Liveness == failover.AgentLost && s.Claim.Parked)
}

// believed reports whether what the server claimed last may still be so.
func believed(s Seen) bool { return trusted(s) || s.Claim != nil && s.Liveness == failover.AgentLost }

func term(s Seen, lim int) uint64 {
	e := s.Claim.LIM(lim)
	return max(e.Term, e.Known.Term)
}

// holder says whether a server's kernel has the alias, as far as that is known.
func holder(name string, s Seen, lim int) Holder {
	h := Holder{Server: name}
	switch {
	case s.Claim != nil && s.Liveness == failover.Alive:
		present, blocked := s.Claim.LIM(lim).Holds, false
		h.Present, h.Blocked = &present, &blocked
	case s.Liveness == failover.Gone:
	}
	return h
}

// data compares the newest data versions of the two sides.
func (in *Input) data(home, away Seen, lim int) *StatusData {
	if !trusted(home) && !trusted(away) {
		return nil
	}
	h, a := claimOf(home, lim).Data, claimOf(away, lim).Data
	d := &StatusData{}
	newest, on := h, "regular"
	switch {
	case h == nil && a == nil:
		return nil
	case h == nil || a != nil && a.Newest.After(h.Newest):
		newest, on = a, "standby"
	case a != nil && a.Newest.Equal(h.Newest):
		on = "both"
	}
	d.Newest, d.NewestOn = &newest.Version, &on
	age := in.Now.Sub(newest.Newest).Milliseconds()
	d.AgeMs = &age
	if trusted(home) && trusted(away) {
		same, conflict := on == "both", on == "both" && h.Version != a.Version
		d.InSync, d.Conflict = &same, &conflict
	}
	return d
}

// server tells of one server.
func (in *Input) server(name string, role clusterconf.Role) StatusServer {
	s := in.Servers[name]
	out := StatusServer{Name: name, Role: string(role)}
	switch s.Liveness {
	case failover.Alive:
		out.Reachable = boolPtr(true)
	case failover.Gone:
		out.Reachable = boolPtr(false)
	case failover.AgentLost:
		out.Reachable = boolPtr(true) // its kernel answers
	}
	if !s.Heard.IsZero() {
		ms := max(in.Now.Sub(s.Heard).Milliseconds(), 0)
		out.SilentMs = &ms
	} else if name == in.Observer {
		out.SilentMs = new(int64)
	}
	if s.Claim != nil {
		out.Revision = &s.Claim.Revision
	}
	return out
}

// health judges a cluster: critical when a LIM does not serve, warning when
// something is not as it should be.
func (in *Input) health(c *StatusCluster) string {
	worst := "ok"
	for _, l := range c.LIMs {
		switch {
		case l.Side == "none":
			worst = worse(worst, "critical")
		case l.Side == "unknown" || l.State == string(failover.Unknown):
			worst = worse(worst, "unknown")
		case l.Side == "standby" || l.State != string(failover.Running):
			worst = worse(worst, "warning")
		}
	}
	if *c.SplitBrain {
		worst = worse(worst, "critical")
	}
	for _, s := range c.Servers {
		if seen := in.Servers[s.Name]; seen.Liveness != failover.Alive {
			worst = worse(worst, "warning")
		}
	}
	return worst
}

var severities = map[string]int{"ok": 0, "warning": 1, "unknown": 2, "critical": 3}

func worse(a, b string) string {
	if severities[b] > severities[a] {
		return b
	}
	return a
}

func worstHealth(clusters []StatusCluster) string {
	worst := "ok"
	for _, c := range clusters {
		worst = worse(worst, c.Health)
	}
	return worst
}

func boolPtr(b bool) *bool { return &b }

func timePtr(t time.Time) *time.Time { u := t.UTC(); return &u }
