package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/lineage"
)

// Promises says of every LIM of a cluster whether the loss of the server where it is
// active, now, would be covered. It is the brain's own answer: that server is taken away,
// and what the others then decide is played. What the brain does not judge is added: what
// servers know of themselves, data, and strangers.
func Promises(p Present, c *clusterconf.Cluster) map[int]*failover.Promise {
	out := map[int]*failover.Promise{}
	lost := map[string]*Result{} // by the server that is taken away
	for _, m := range c.LIMs {
		out[m.LIM] = p.promise(c, m, lost)
	}
	return out
}

// promise is that of one LIM. Simulations are kept, for a LIM's neighbours.
func (p *Present) promise(c *clusterconf.Cluster, m clusterconf.Member, lost map[string]*Result) *failover.Promise {
	regular := p.Document.RegularOf(m.LIM)
	home, away := p.side(regular.Name, m.LIM), p.side(c.Standby, m.LIM)
	switch {
	case away.Claim != nil && away.Claim.Isolated:
		return &failover.Promise{Covered: no(), Why: cmp.Or(away.lim.NotTaken, away.name+" hears nobody, and takes nothing over by itself")}
	case home.serves() && away.serves():
		return &failover.Promise{Covered: no(), Why: fmt.Sprintf("it runs on %s and on %s", home.name, away.name)}
	case home.serves():
		return p.promiseFrom(c, m, home, away, lost)
	case away.serves():
		return p.promiseFrom(c, m, away, home, lost)
	case !home.seen() || !away.seen():
		return &failover.Promise{Why: "it cannot be seen where it runs"}
	case home.mayServe(p.Keys[m.LIM]):
		return &failover.Promise{Why: home.whetherServes()}
	case away.mayServe(p.Keys[m.LIM]):
		return &failover.Promise{Why: away.whetherServes()}
	}
	return &failover.Promise{Covered: no(), On: new(string), Why: "it runs nowhere"}
}

// promiseFrom is that of a LIM that is active on one server.
func (p *Present) promiseFrom(c *clusterconf.Cluster, m clusterconf.Member, from, to side, lost map[string]*Result) *failover.Promise {
	out := p.lossOf(c, m, from, to, lost)
	out.On = &from.name
	return out
}

// lossOf says what the loss of that server would come to.
func (p *Present) lossOf(c *clusterconf.Cluster, m clusterconf.Member, from, to side, lost map[string]*Result) *failover.Promise {
	for _, name := range []string{to.name, from.name} {
		if p.Document.Server(name).LeftBehind {
			return &failover.Promise{Covered: no(), Why: name + " is left behind: its version of mxcluster need not understand the cluster document",
				Remedy: &failover.Remedy{What: "once it is upgraded", Command: "mxcluster server leave-behind " + name + " --undo"}}
		}
	}
	if !to.seen() {
		return &failover.Promise{Why: to.name + " was not heard yet"}
	}
	if why, remedy := to.unfit(m.LIM, from); why != "" {
		return &failover.Promise{Covered: no(), Why: why, Remedy: remedy}
	}
	if to.lim.Unchecked != "" {
		return &failover.Promise{Why: fmt.Sprintf("whether %s is fit is not known: %s", to.name, to.lim.Unchecked)}
	}
	if lost[from.name] == nil {
		lost[from.name] = Simulate(*p, Scenario{Down: []string{from.name}})
	}
	return p.judge(c, m, lost[from.name], from, to)
}

// judge says what the loss of a LIM's server came to in a simulation.
func (p *Present) judge(c *clusterconf.Cluster, m clusterconf.Member, r *Result, from, to side) *failover.Promise {
	o := r.LIM(m.LIM)
	if !slices.Equal(o.After, []string{to.name}) {
		why, remedy := p.supposed(c, m, to.name, o.Reason), o.Remedy
		if w, r := p.forbidden(c, m, to.name); w != "" {
			why, remedy = w, r
		}
		return &failover.Promise{Covered: no(), Why: why, Remedy: remedy}
	}
	for _, other := range r.LIMs {
		if other.LIM == m.LIM || !slices.Contains(other.Before, to.name) || slices.Contains(other.After, to.name) {
			continue
		}
		home := p.side(p.Document.RegularOf(other.LIM).Name, other.LIM)
		if to.Claim.LIM(other.LIM).Blocked && home.serves() {
			continue // its clients are served there, and not where its alias is blocked
		}
		if len(other.After) > 0 {
			home.lim.Unfit = "" // what is thrown off has no other place, and starts there all the same
			if why, _ := home.unfit(other.LIM, to); why == "" {
				continue
			}
		}
		return &failover.Promise{Covered: no(), Why: fmt.Sprintf("%s would take it over and end LIM %d, which it runs", to.name, other.LIM),
			Remedy: &failover.Remedy{What: fmt.Sprintf("once %s is back", p.Document.RegularOf(other.LIM).Name), Command: fmt.Sprintf("mxcluster fallback %d", other.LIM)}}
	}
	yes := true
	return &failover.Promise{Covered: &yes, By: to.name, Why: to.limits(m.LIM, p), Detect: c.SilenceLimit(), Lease: from.Claim.KeyLease}
}

// supposed words the reason of a simulation as what would be: the server that it takes away
// is not down.
func (p *Present) supposed(c *clusterconf.Cluster, m clusterconf.Member, to, reason string) string {
	from := c.Standby
	if to == c.Standby {
		from = p.Document.RegularOf(m.LIM).Name
	}
	down := from + " is down"
	switch rest := strings.TrimPrefix(reason, down); {
	case rest == reason:
		return fmt.Sprintf("without %s: %s", from, reason)
	case strings.TrimLeft(rest, "; ") == "":
		return fmt.Sprintf("without %s nobody would run it", from)
	case strings.HasPrefix(rest, "; waits, "):
		return fmt.Sprintf("without %s it would wait: %s", from, strings.TrimPrefix(rest, "; waits, "))
	default:
		return fmt.Sprintf("without %s: %s", from, strings.TrimLeft(rest, "; "))
	}
}

// forbidden says who forbids a takeover, and the command that ends that.
func (p *Present) forbidden(c *clusterconf.Cluster, m clusterconf.Member, to string) (why string, remedy *failover.Remedy) {
	s := p.Document.Server(to)
	side := clusterconf.SideStandby
	if s.LIM != 0 {
		side = clusterconf.SideRegular
	}
	switch {
	case s.Drained != nil:
		return s.DrainedWords(), &failover.Remedy{What: "when that is done", Command: "mxcluster server undrain " + to}
	case c.FrozenAt(p.Now):
		return c.FrozenWords(), &failover.Remedy{What: "when that is done", Command: "mxcluster unfreeze " + c.Name}
	case m.LockedTo(p.Now) == side.Other():
		return "it is " + m.Lock.String(), &failover.Remedy{What: "to let it move", Command: fmt.Sprintf("mxcluster unlock %d", m.LIM)}
	case m.Leaving:
		return fmt.Sprintf("LIM %d leaves cluster %s", m.LIM, c.Name), nil
	}
	return "", nil
}

// side is one of the two servers of a LIM, as far as it is seen.
type side struct {
	Server
	name string
	lim  failover.LIMClaim
}

func (p *Present) side(name string, lim int) side {
	s := p.Servers[name]
	return side{Server: s, name: name, lim: s.Claim.LIM(lim)}
}

// seen reports whether it is known what the server does.
func (s *side) seen() bool {
	switch s.Liveness {
	case failover.Gone:
		return true
	case failover.Alive, failover.AgentLost:
		return s.Claim != nil
	}
	return false
}

// serves reports whether the LIM runs there, by a word that is good.
func (s *side) serves() bool {
	good := s.Liveness == failover.Alive || s.Liveness == failover.AgentLost && s.Claim != nil && s.Claim.Parked
	return good && s.lim.State.Active()
}

// mayServe reports whether the LIM may run on a server that is not heard: it did by the last word of
// an agent that is silent, or the server has the LIM's key.
func (s *side) mayServe(key string) bool {
	return s.Liveness == failover.AgentLost && s.lim.State.Active() || s.Liveness != failover.Alive && key == s.name
}

func (s *side) whetherServes() string {
	if s.Liveness == failover.AgentLost {
		return fmt.Sprintf("whether it runs on %s cannot be seen: the agent of %s does not answer", s.name, s.name)
	}
	return fmt.Sprintf("whether it runs on %s cannot be seen: nothing is heard of %s, but the arbiter's key is there", s.name, s.name)
}

// unfit says why a server that is to take a LIM over from another one surely cannot, as
// far as that is no matter of who may run what, and what to type.
func (s *side) unfit(lim int, from side) (why string, remedy *failover.Remedy) {
	start := &failover.Remedy{On: s.name, Command: "systemctl start mxcluster-agent"}
	switch {
	case s.Liveness == failover.Gone:
		return s.name + " is down", nil
	case s.Liveness == failover.AgentLost:
		return "the agent of " + s.name + " does not answer", start
	case s.Claim.Parked || s.Claim.Leaving:
		return "the agent of " + s.name + " is stopped", start
	case !s.Claim.Settled:
		return s.name + " has just started, and waits to hear the others", nil
	case s.Claim.Isolated: // it is heard, say over another interface: by its own word its link is down
		return s.name + " hears nobody, and takes nothing over by itself", nil
	case s.lim.Unable != "" && s.lim.State != failover.Preloaded:
		return fmt.Sprintf("its software cannot start on %s: %s", s.name, s.lim.Unable), nil
	case s.lim.Unfit != "":
		return fmt.Sprintf("%s is unfit: %s", s.name, s.lim.Unfit), nil
	case s.lim.State == failover.Failed:
		return fmt.Sprintf("it failed on %s: %s", s.name, cmp.Or(s.lim.Failure, s.lim.Reason)), nil
	case s.lim.NotTaken != "":
		return s.lim.NotTaken, nil
	case len(s.Claim.Hindered) > 0:
		return fmt.Sprintf("%s could not do its part: %s", s.name, s.Claim.Hindered[0]), nil
	case from.lim.ForeignMAC != "":
		return fmt.Sprintf("its alias is used by %s, too, which is no server of this system", from.lim.ForeignMAC), nil
	}
	sync := &failover.Remedy{What: "to copy it", Command: fmt.Sprintf("mxcluster sync --lim %d", lim)}
	if from.lim.Data != nil && s.lim.Data == nil {
		return fmt.Sprintf("%s has no data version of it that can be relied on", s.name), sync
	}
	return "", nil
}

// limits says what a takeover would not be as it should be for; "": it would.
func (s *side) limits(lim int, p *Present) string {
	var why []string
	if text := s.behind(lim, p); text != "" {
		why = append(why, text)
	}
	if text := s.lim.NoPrompts; text != "" {
		why = append(why, "without announcement prompts: "+text)
	}
	if text := s.Claim.Unreadable; text != "" {
		why = append(why, fmt.Sprintf("the cluster document on the disk of %s cannot be used: %s", s.name, text))
	}
	if text := s.Claim.Limits; text != "" {
		why = append(why, text)
	}
	return strings.Join(why, "; ")
}

// behind says that the data on which a LIM would start are older than those that it runs
// on; "": they are not.
func (s *side) behind(lim int, p *Present) string {
	for _, other := range p.Servers {
		if other.Claim == nil || other.Claim == s.Claim {
			continue
		}
		if theirs := other.Claim.LIM(lim).Data; theirs != nil && theirs.Order(s.lim.Data) == lineage.Newer {
			return fmt.Sprintf("on data version %s, which is older than the newest, %s", s.lim.Data.Version, theirs.Version)
		}
	}
	return ""
}

func no() *bool { return new(bool) }
