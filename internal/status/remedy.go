package status

import (
	"fmt"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// startAgent is what to type on a server whose agent does not answer.
func startAgent(server, when string) *failover.Remedy {
	return &failover.Remedy{What: when, On: server, Command: "systemctl start mxcluster-agent"}
}

// powered says when an agent can be started on a server of which nothing is heard.
const powered = "once it has power and network"

// remedy is what people can do for a LIM whose loss would not be covered, or that does not
// serve, where the standby names nothing. It speaks of the cause that is told; nil where
// time alone helps.
func (in *Input) remedy(c *clusterconf.Cluster, m clusterconf.Member, l *StatusLIM, home, away *place) *failover.Remedy {
	switch {
	case in.splits(l):
		stops := home
		if failover.YieldingSide(c, m.LIM, in.Now) == clusterconf.SideStandby {
			stops = away
		}
		return &failover.Remedy{What: "to end it before they hear each other", On: stops.name, Command: "mxcluster agent stop --release"}
	case l.Side == "none":
		return in.remedyDown(c, m, l, home, away)
	case l.Side == string(clusterconf.SideRegular):
		return in.remedyAtHome(c, m, l, away)
	case l.Side == string(clusterconf.SideStandby):
		return in.remedyAway(c, m, home)
	case home.Liveness == failover.AgentLost:
		return startAgent(home.name, "")
	case away.Liveness == failover.AgentLost:
		return startAgent(away.name, "")
	}
	return nil
}

// splits reports whether two servers have the alias of a LIM.
func (in *Input) splits(l *StatusLIM) bool {
	return !in.Moving[l.LIM] && len(l.Alias.holding()) > 1
}

// holding names the servers that have the alias on the wire.
func (a *StatusAlias) holding() (servers []string) {
	for _, h := range a.Holders {
		if h.Present != nil && *h.Present && (h.Blocked == nil || !*h.Blocked) {
			servers = append(servers, h.Server)
		}
	}
	return servers
}

// remedyDown is that of a LIM that runs nowhere.
func (in *Input) remedyDown(c *clusterconf.Cluster, m clusterconf.Member, l *StatusLIM, home, away *place) *failover.Remedy {
	locked := m.LockedTo(in.Now)
	switch {
	case l.Alias.ForeignMAC != nil:
		return strangerOnAlias()
	case home.Liveness == failover.Gone && locked == clusterconf.SideRegular && away.Liveness == failover.Alive:
		return &failover.Remedy{What: "to let " + away.name + " run it", Command: fmt.Sprintf("mxcluster unlock %d", m.LIM)}
	case away.Liveness == failover.Gone && locked == clusterconf.SideStandby && home.Liveness == failover.Alive:
		return &failover.Remedy{What: "to let " + home.name + " run it", Command: fmt.Sprintf("mxcluster unlock %d", m.LIM)}
	case in.drained(home) && home.Liveness == failover.Alive:
		return undrain(home)
	case in.drained(away) && away.Liveness == failover.Alive:
		return undrain(away)
	case c.FrozenAt(in.Now) && away.Liveness == failover.Alive:
		return &failover.Remedy{What: "to have it taken over", Command: "mxcluster unfreeze " + c.Name}
	}
	return in.remedyAlone(home)
}

// remedyAlone is that of a LIM that does not run on its own server, on which nobody else
// would run it.
func (in *Input) remedyAlone(home *place) *failover.Remedy {
	switch {
	case home.Liveness == failover.Gone:
		return startAgent(home.name, powered)
	case home.Liveness == failover.AgentLost:
		return startAgent(home.name, "")
	case home.trusted() && home.claim.State == failover.Failed:
		return lookAtSoftware(home)
	}
	return nil
}

// remedyAtHome is that of a LIM on its regular server, which the standby would not take
// over.
func (in *Input) remedyAtHome(c *clusterconf.Cluster, m clusterconf.Member, l *StatusLIM, away *place) *failover.Remedy {
	switch {
	case away.Liveness == failover.Gone:
		return startAgent(away.name, powered)
	case away.Liveness == failover.AgentLost:
		return startAgent(away.name, "")
	case away.Liveness != failover.Alive:
		return nil
	case l.Alias.ForeignMAC != nil:
		return strangerOnAlias()
	case away.claim.Unable != "" || away.claim.State == failover.Failed:
		return lookAtSoftware(away)
	case away.claim.Unfit != "" || !away.Claim.Settled || away.claim.NotTaken != "":
		return nil // its checks and its start go on; what is not taken says what to do then
	}
	for _, other := range c.LIMs {
		if other.LIM == m.LIM || !away.Claim.LIM(other.LIM).State.Active() {
			continue
		}
		if r := in.Document.RegularOf(other.LIM); r != nil {
			own := in.place(r.Name, clusterconf.SideRegular, other.LIM)
			return in.remedyAway(c, other, &own)
		}
	}
	if len(away.Claim.Hindered) > 0 {
		return &failover.Remedy{Command: "mxcluster alarms list"}
	}
	return nil
}

// remedyAway is that of a LIM on the standby, which others need, or which its own server
// would not take back.
func (in *Input) remedyAway(c *clusterconf.Cluster, m clusterconf.Member, home *place) *failover.Remedy {
	back := &failover.Remedy{Command: fmt.Sprintf("mxcluster fallback %d", m.LIM)}
	switch {
	case m.LockedTo(in.Now) == clusterconf.SideStandby:
		return &failover.Remedy{What: "to let it move", Command: fmt.Sprintf("mxcluster unlock %d", m.LIM)}
	case in.drained(home):
		return undrain(home)
	case home.Liveness == failover.Gone && c.Fallback == clusterconf.FallbackAutomatic:
		return startAgent(home.name, powered)
	case home.Liveness == failover.Gone:
		back.What = fmt.Sprintf("once %s is up again", home.name)
	case home.Liveness == failover.AgentLost:
		return startAgent(home.name, "")
	case home.Liveness != failover.Alive:
		return nil
	case home.claim.Unable != "":
		return lookAtSoftware(home)
	case home.claim.State == failover.Failed: // it is not tried while it runs elsewhere
		return &failover.Remedy{What: fmt.Sprintf("once it is mended on %s", home.name), Command: fmt.Sprintf("mxcluster fallback %d --now", m.LIM)}
	case home.claim.Unfit != "" || in.blocked(c.Standby, m.LIM):
		return nil
	}
	return back
}

// blocked reports whether the standby would refuse a fallback now.
func (in *Input) blocked(standby string, lim int) bool {
	return len(in.Servers[standby].Claim.LIM(lim).BlockedBy) > 0
}

func undrain(p *place) *failover.Remedy {
	return &failover.Remedy{What: "when that is done", Command: "mxcluster server undrain " + p.name}
}

func strangerOnAlias() *failover.Remedy {
	return &failover.Remedy{What: "find that host and take the address off it", Command: "mxcluster alarms explain alias-in-use"}
}

func lookAtSoftware(p *place) *failover.Remedy {
	return &failover.Remedy{What: "mend it; this says how it is", On: p.name, Command: fmt.Sprintf("mxcluster service status %d", p.claim.LIM)}
}
