package status

import (
	"maps"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
)

// The contract's words for health, from best to worst but for unknown, which
// hides less than what is critical and may hide more than a warning.
const (
	healthOK       = "ok"
	healthWarning  = "warning"
	healthUnknown  = unknown
	healthCritical = "critical"
)

// MaxClockOffset is how far two servers' clocks may be apart: further, and the
// times of their data no longer tell which is newer (spec ch. 3 asks for NTP).
const MaxClockOffset = 2 * time.Second

// Input is what one server knows, from which it answers `status`.
type Input struct {
	Now      time.Time
	Observer string
	Document *clusterconf.Document
	Servers  map[string]Seen // by name, the observer included
	Notices  []alarms.Notice // of alarms, by people

	Moving map[int]bool // LIMs whose alias two servers may say they have, one of them no more

	Arbiter *failover.Arbiter // what it said to the observer; nil: there is none
}

// Seen is what the observer knows of one server; the zero value: nothing.
type Seen struct {
	Liveness failover.Liveness
	Heard    time.Time       // last sign of life; zero: never, or the observer itself
	Claim    *failover.Claim // nil: none was heard
	Said     time.Time       // when the claim was last heard to be as it is; zero: the observer's own
	Every    time.Duration   // in which it says so
	Alarms   []alarms.Alarm  // that the server has raised

	ClockOffset *time.Duration // how far its clock is ahead of the observer's; nil: not known

	Program levels.Program // that it ran when it was last heard, also before the observer's agent started; zero: it never was
}

// trusted reports whether what the server claims is so now. A stopped agent's
// word stays good as long as its server is not gone.
func (s Seen) trusted() bool {
	return s.Claim != nil && (s.Liveness == failover.Alive || s.Liveness == failover.AgentLost && s.Claim.Parked)
}

// Build answers `status` from what an agent knows.
func Build(in Input) *ClusterStatus {
	out := &ClusterStatus{
		APIVersion: clusterconf.APIVersion, Kind: "ClusterStatus", GeneratedAt: in.Now.UTC(),
		Observer: in.Observer, Agent: true, Revision: in.Document.Revision, Clusters: []StatusCluster{}, Unclustered: []StatusLIM{},
	}
	if in.isolated() {
		in.Servers = unheard(in.Servers)
	}
	for i := range in.Document.Clusters {
		out.Clusters = append(out.Clusters, in.cluster(&in.Document.Clusters[i]))
	}
	for _, s := range in.Document.Servers {
		if s.LIM != 0 && in.Document.ClusterOfLIM(s.LIM) == nil {
			out.Unclustered = append(out.Unclustered, in.alone(s.LIM, s.Name))
		}
	}
	out.Alarms = in.alarms(nil)
	out.sort()
	out.Health = worse(worstHealth(out.Clusters), out.aloneHealth())
	out.Redundant, out.RedundantWhy = ofAll(out.Clusters)
	return out
}

// aloneHealth is that of LIMs and servers in no cluster: a LIM that does not serve is as bad
// as any, and what was raised about them counts.
func (s *ClusterStatus) aloneHealth() string {
	health := healthOK
	for i := range s.Unclustered {
		switch s.Unclustered[i].Side {
		case "none":
			health = worse(health, healthCritical)
		case unknown:
			health = worse(health, healthUnknown)
		}
	}
	for i := range s.Alarms {
		if a := &s.Alarms[i]; a.Counts() && (a.LIM == 0 || s.alone(a.LIM)) {
			health = worse(health, a.Severity)
		}
	}
	return health
}

// alone reports whether a LIM is in no cluster.
func (s *ClusterStatus) alone(lim int) bool {
	return slices.ContainsFunc(s.Unclustered, func(l StatusLIM) bool { return l.LIM == lim })
}

// isolated reports whether the observer hears nobody at all.
func (in *Input) isolated() bool {
	c := in.Servers[in.Observer].Claim
	return c != nil && c.Isolated
}

// unheard is what an isolated observer knows of the others: whoever is silent may be
// well, since it is the observer that hears nobody.
func unheard(servers map[string]Seen) map[string]Seen {
	out := maps.Clone(servers)
	for name, s := range out {
		if s.Liveness == failover.Gone {
			s.Liveness = failover.Unheard
			out[name] = s
		}
	}
	return out
}

func (in *Input) cluster(c *clusterconf.Cluster) StatusCluster {
	sc := StatusCluster{Name: c.Name, LIMs: []StatusLIM{}, Servers: []StatusServer{}, Alarms: []Alarm{}}
	for _, m := range c.LIMs {
		sc.LIMs = append(sc.LIMs, in.lim(c, m))
		if r := in.Document.RegularOf(m.LIM); r != nil {
			sc.Servers = append(sc.Servers, in.server(r.Name, clusterconf.RoleRegular))
		}
	}
	sc.Servers = append(sc.Servers, in.server(c.Standby, clusterconf.RoleStandby))
	sc.SplitBrain = in.splitBrain(&sc)
	sc.Alarms = in.alarms(c)
	sc.Frozen = Frozen(c, in.Now)
	sc.Redundant, sc.RedundantWhy = sc.redundant()
	sc.Health = in.health(&sc)
	return sc
}

// splitBrain reports whether two servers of a cluster have one alias: nil when
// one of them could not be seen. A server that is gone, of which nothing is
// heard at all, is no part of a split that anybody here could notice.
func (in *Input) splitBrain(c *StatusCluster) *bool {
	split, unseen := false, false
	for _, l := range c.LIMs {
		holders := 0
		for _, h := range l.Alias.Holders {
			switch {
			case h.Present == nil:
				unseen = unseen || in.Servers[h.Server].Liveness != failover.Gone
			case *h.Present && (h.Blocked == nil || !*h.Blocked):
				holders++
			}
		}
		split = split || holders > 1 && !in.Moving[l.LIM]
		unseen = unseen || holders > 1
	}
	if unseen && !split {
		return nil
	}
	return &split
}

// server tells of one server.
func (in *Input) server(name string, role clusterconf.Role) StatusServer {
	s := in.Servers[name]
	out := StatusServer{Name: name, Role: string(role), Address: address(in.Document.Server(name)), Drained: Drained(in.Document.Server(name))}
	switch s.Liveness {
	case failover.Alive, failover.AgentLost: // the kernel of a lost agent answers
		reachable := true
		out.Reachable = &reachable
	case failover.Gone:
		out.Reachable = new(bool)
	}
	if !s.Heard.IsZero() {
		ms := max(in.Now.Sub(s.Heard).Milliseconds(), 0)
		out.SilentMs = &ms
	} else if name == in.Observer {
		out.SilentMs = new(int64)
	}
	if s.Claim != nil {
		out.Revision = &s.Claim.Revision
		s.Program = s.Claim.Program()
	}
	if s.Program.Version != "" {
		out.Version = &s.Program.Version
	}
	if s.Program.Levels != (levels.Levels{}) {
		out.Levels = &s.Program.Levels
	}
	switch s.Liveness {
	case failover.Alive:
		runs := true
		out.Agent = &runs
	case failover.AgentLost, failover.Gone:
		out.Agent = new(bool)
	}
	if s.Claim != nil && s.Liveness == failover.Alive && s.Claim.Arbiter != "" {
		out.Arbiter = &s.Claim.Arbiter
	}
	out.Ready, out.ReadyWhy = s.ready()
	switch {
	case name == in.Observer:
		out.ClockOffsetMs = new(int64)
	case s.ClockOffset != nil:
		ms := s.ClockOffset.Milliseconds()
		out.ClockOffsetMs = &ms
	}
	return out
}

// address is the base address of a server; "" where there is none.
func address(s *clusterconf.Server) string {
	if s == nil {
		return ""
	}
	return s.Base.String()
}

// ready tells whether a server could do its part if another one failed, by its own word or
// for its silence.
func (s Seen) ready() (*bool, string) {
	switch {
	case s.Liveness == failover.Gone:
		return new(bool), "nothing is heard of it"
	case s.Liveness == failover.AgentLost && s.Claim != nil && (s.Claim.Parked || s.Claim.Leaving):
		return new(bool), "its agent was stopped"
	case s.Liveness == failover.AgentLost:
		return new(bool), "its agent is silent"
	}
	if s.Claim == nil || s.Liveness != failover.Alive || !s.Claim.Looked {
		return nil, ""
	}
	ready := len(s.Claim.Unready) == 0
	if ready {
		return &ready, s.Claim.Limits
	}
	return &ready, strings.Join(s.Claim.Unready, "; ")
}

// health judges a cluster: critical when a LIM does not serve, warning when
// something is not as it should be.
func (in *Input) health(c *StatusCluster) string {
	worst := healthOK
	for i := range c.LIMs {
		worst = worse(worst, c.LIMs[i].health())
	}
	if c.SplitBrain != nil && *c.SplitBrain {
		worst = worse(worst, healthCritical)
	}
	for _, s := range c.Servers {
		if s.ClockOffsetMs != nil && max(*s.ClockOffsetMs, -*s.ClockOffsetMs) > MaxClockOffset.Milliseconds() {
			worst = worse(worst, healthWarning)
		}
		if s.Ready != nil && !*s.Ready {
			worst = worse(worst, healthWarning)
		}
		switch in.Servers[s.Name].Liveness {
		case failover.Alive:
		case failover.AgentLost, failover.Gone:
			worst = worse(worst, healthWarning)
		default:
			worst = worse(worst, healthUnknown)
		}
	}
	if c.Redundant == nil {
		worst = worse(worst, healthUnknown)
	} else if !*c.Redundant {
		worst = worse(worst, healthWarning)
	}
	for _, a := range c.Alarms {
		if a.Counts() {
			worst = worse(worst, a.Severity)
		}
	}
	return worst
}

func (l *StatusLIM) health() string {
	switch {
	case l.Side == "none":
		return healthCritical
	case l.Side == unknown || l.State == unknown:
		return healthUnknown
	case l.Side == string(clusterconf.SideStandby) || l.State != string(failover.Running):
		return healthWarning
	}
	return healthOK
}

func worse(a, b string) string {
	order := []string{healthOK, healthWarning, healthUnknown, healthCritical}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func worstHealth(clusters []StatusCluster) string {
	worst := healthOK
	for _, c := range clusters {
		worst = worse(worst, c.Health)
	}
	return worst
}

// utc points to t in UTC; nil when it is zero.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
