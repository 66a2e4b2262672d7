package status

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// next says what would happen to a LIM: where it serves, when it is at risk or
// returns; where it does not, what it waits for.
func (in *Input) next(c *clusterconf.Cluster, m clusterconf.Member, l *StatusLIM, home, away *place) string {
	locked := m.LockedTo(in.Now)
	switch {
	case l.Side == string(clusterconf.SideRegular):
		return in.nextAtHome(c, m, locked, home, away)
	case l.Side == string(clusterconf.SideStandby):
		return in.nextAway(c, m, l, locked, home, away)
	case l.Waiting:
		return fmt.Sprintf("starts on %s or on %s, whichever can run it first", home.name, away.name)
	case l.Side != "none":
		return ""
	case locked != "":
		return fmt.Sprintf("stays down until it can run on the %s side, which it is locked to; 'mxcluster unlock %d' lets the other one run it", locked, m.LIM)
	}
	return ""
}

func (in *Input) nextAtHome(c *clusterconf.Cluster, m clusterconf.Member, locked clusterconf.Side, home, away *place) string {
	switch {
	case locked == clusterconf.SideStandby:
		return fmt.Sprintf("moves to %s, which it is locked to, when that is ready", away.name)
	case in.drained(home) && locked != clusterconf.SideRegular:
		return fmt.Sprintf("moves to %s as soon as that can run it: %s is drained", away.name, home.name)
	case locked == clusterconf.SideRegular:
		return fmt.Sprintf("if %s fails, nobody takes over: it is locked to it", home.name)
	case in.drained(away):
		return fmt.Sprintf("if %s fails, nobody takes over: %s is drained", home.name, away.name)
	case c.FrozenAt(in.Now):
		return fmt.Sprintf("if %s fails, nobody takes over: cluster %s is frozen", home.name, c.Name)
	case !away.trusted() || away.Claim.Parked:
		return fmt.Sprintf("if %s fails, nobody takes over: %s is out of order", home.name, away.name)
	case away.claim.Unfit != "":
		return fmt.Sprintf("if %s fails, nobody takes over: %s is unfit", home.name, away.name)
	case away.claim.NotTaken != "":
		return "waits for an order if its server fails: " + away.claim.NotTaken
	}
	for _, other := range c.LIMs {
		if other.LIM == m.LIM || !away.Claim.LIM(other.LIM).State.Active() {
			continue
		}
		switch {
		case other.LockedTo(in.Now) == clusterconf.SideStandby:
			return fmt.Sprintf("if %s fails, it waits: %s runs LIM %d, which is locked to it", home.name, away.name, other.LIM)
		case other.Priority <= m.Priority:
			return fmt.Sprintf("if %s fails, it waits: %s runs LIM %d", home.name, away.name, other.LIM)
		}
		return fmt.Sprintf("if %s fails, it replaces LIM %d on %s", home.name, other.LIM, away.name)
	}
	text := fmt.Sprintf("if %s fails, %s takes over after %s", home.name, away.name, clusterconf.Duration(c.SilenceLimit()))
	if away.Claim.Limits != "" {
		text += "; if all regular servers fail, it waits for an order"
	}
	return text
}

func (in *Input) nextAway(c *clusterconf.Cluster, m clusterconf.Member, l *StatusLIM, locked clusterconf.Side, home, away *place) string {
	held := time.Duration(l.Fallback.HeldForMs) * time.Millisecond
	switch {
	case c.FrozenAt(in.Now):
		return fmt.Sprintf("stays: cluster %s is frozen; 'mxcluster unfreeze %s' ends that", c.Name, c.Name)
	case in.drained(home):
		return fmt.Sprintf("stays: %s is drained; 'mxcluster server undrain %s' ends that", home.name, home.name)
	case in.drained(away):
		return fmt.Sprintf("falls back to %s when that is ready: %s is drained", home.name, away.name)
	case locked == clusterconf.SideStandby:
		return fmt.Sprintf("stays: it is locked to the standby; 'mxcluster unlock %d' ends that", m.LIM)
	case locked == clusterconf.SideRegular:
		return fmt.Sprintf("falls back to %s, which it is locked to, when that is ready", home.name)
	case c.Fallback != clusterconf.FallbackAutomatic && away.claim.Unfit != "":
		return fmt.Sprintf("falls back to %s when that is fit and ready: %s is unfit", home.name, away.name)
	case c.Fallback != clusterconf.FallbackAutomatic:
		return fmt.Sprintf("stays until 'mxcluster fallback %d'", m.LIM)
	case away.claim.Suspended:
		return fmt.Sprintf("stays until 'mxcluster fallback %d', or until the agent of %s starts anew", m.LIM, home.name)
	case held > 0:
		return fmt.Sprintf("falls back to %s in %s, if that stays up", home.name, held.Round(time.Second))
	case home.claim.Released && home.Liveness == failover.Alive:
		return fmt.Sprintf("stays until 'mxcluster fallback %d'", m.LIM)
	}
	return fmt.Sprintf("falls back to %s by itself when that is ready", home.name)
}

// drained reports whether nothing is to run on a server.
func (in *Input) drained(p *place) bool {
	s := in.Document.Server(p.name)
	return s != nil && s.Drained != nil
}
