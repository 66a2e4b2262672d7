package failover

import (
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// Remedy is what a person can do about a LIM that is not active.
type Remedy struct {
	What    string `json:"what"`    // when it is appropriate
	Command string `json:"command"` // a command of this program

	On string `json:"on,omitempty"` // the server where it is typed; "": any of the system
}

// RemedyOfDead is the order to the standby to take a LIM over from a server that a person knows to
// be dead.
func RemedyOfDead(lim int, regular string) *Remedy {
	return &Remedy{What: "if " + regular + " is dead", Command: fmt.Sprintf("mxcluster failover %d --now --server-is-dead %s", lim, regular)}
}

// saidDead returns the pending order which declares a LIM's regular server dead. It is valid for
// one start, whose term it stores, and only while nothing is heard of the server.
func (v *View) saidDead(lim int, regular string) *Order {
	o, l := v.order(Failover, lim), v.LIMs[lim]
	switch {
	case o == nil || o.Dead != regular || v.Arbiter != nil || !v.lost(v.Peers[regular]):
		return nil
	case o.Term != 0 && (o.Term != l.Term || !l.State.Active()):
		return nil
	}
	return o
}

// MayTakeFromDead returns why this standby may not take a LIM over from a server that is declared
// dead, and the remedy; "": it may.
func MayTakeFromDead(v View, lim int, dead string) (why, hint string) {
	c, regular := v.Document.ClusterOfLIM(lim), v.Document.RegularOf(lim)
	if c == nil || regular == nil {
		return fmt.Sprintf("LIM %d is in no cluster", lim), ""
	}
	p := v.Peers[regular.Name]
	switch {
	case regular.Name != dead:
		return fmt.Sprintf("the server of LIM %d is %s", lim, regular.Name), "name that one, if it is dead"
	case v.Self != c.Standby:
		return v.Self + " is not the standby of cluster " + c.Name, "try again"
	case leaves(c, lim):
		return fmt.Sprintf("LIM %d leaves cluster %s", lim, c.Name), "look at `mxcluster status`"
	case v.drained(c.Standby) != "":
		return v.drained(c.Standby), "let it do its part again first: mxcluster server undrain " + c.Standby
	case v.Arbiter != nil:
		return "the arbiter says who may run a LIM", "look at `mxcluster status`: the standby takes over as soon as it has the arbiter's key"
	case v.Down:
		return "the link of " + v.Self + " is down", "see to its cable first"
	case p.Liveness == Alive:
		return dead + " is heard", "`mxcluster failover` without --server-is-dead moves a LIM from a server that lives"
	case p.Liveness == AgentLost:
		return "the agent of " + dead + " is silent, and its kernel answers", "end that server for good first"
	case !v.lost(p):
		return fmt.Sprintf("%s was not heard yet, and is waited for until %s", dead, clock(v.graceEnd())), "try again then"
	case !v.Settled:
		return v.Self + " waits to hear the other servers first", "try again"
	}
	if v.Unread != "" {
		return v.Unread, "upgrade mxcluster on " + v.Self + ", which then can"
	}
	if why := v.behind(); why != "" {
		return why, "try again when it has that"
	}
	return v.standbyTaken(c, lim), "look at `mxcluster status`"
}

// standbyTaken words which LIM occupies the standby and would not be displaced; "": none.
func (v *View) standbyTaken(c *clusterconf.Cluster, lim int) string {
	for _, m := range c.LIMs {
		switch {
		case m.LIM == lim || !v.LIMs[m.LIM].State.Active():
		case v.lockedTo(c, m.LIM) == clusterconf.SideStandby:
			return fmt.Sprintf("%s runs LIM %d, which is %s", c.Standby, m.LIM, lockWords(c, m.LIM))
		case m.Priority <= c.Member(lim).Priority:
			return fmt.Sprintf("%s runs LIM %d", c.Standby, m.LIM)
		}
	}
	return ""
}

// MakesRoom returns the LIM that leaves the standby if another one starts there; 0: none.
func MakesRoom(v View, lim int) int {
	c := v.Document.ClusterOfLIM(lim)
	i := slices.IndexFunc(c.LIMs, func(m clusterconf.Member) bool { return m.LIM != lim && v.LIMs[m.LIM].State.Active() })
	if i < 0 {
		return 0
	}
	return c.LIMs[i].LIM
}
