package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"mxcluster/internal/failover"
)

// unableFor is how long software must be unable to start before an alarm: while a package is
// replaced, its program is missing for a moment.
const unableFor = 3 * time.Second

// fitness judges beforehand whether this server could do its part when another one fails.
type fitness struct {
	*core
	arbiterKeys *arbiterKeys
	docs        *documents
	kept        *keptState
	lims        *lims
	link        *link
	peers       *peers

	needs     *preconditions // of the LIMs' software
	abilities *abilities     // results of the LIMs' checks
}

// look starts, beside the main loop, the checks that are due.
func (a *fitness) look(now time.Time) {
	a.needs.look(a.own(), now)
	a.abilities.look(a.own(), now)
}

// unfit returns what would keep this server from doing its part when another one fails, as far as
// this is known beforehand. Each reason is independent.
func (a *fitness) unfit() []string {
	var why []string
	for _, n := range slices.Sorted(maps.Keys(a.needs.unable)) {
		why = append(why, fmt.Sprintf("the software of LIM %d cannot start: %s", n, a.needs.unable[n]))
	}
	for _, n := range slices.Sorted(maps.Keys(a.abilities.all)) {
		if x := a.abilities.all[n]; x.Unfit != "" {
			why = append(why, fmt.Sprintf("it is unfit for LIM %d: %s", n, x.Unfit))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(a.lims.all)) {
		if l := a.lims.all[n]; l.software.unseen != "" {
			why = append(why, fmt.Sprintf("the software of LIM %d cannot be seen: %s", n, l.software.unseen))
		}
		if l := a.lims.all[n]; l.software.lacks != "" {
			why = append(why, fmt.Sprintf("LIM %d runs not as it was set: %s", n, l.software.lacks))
		}
	}
	why = append(why, a.troubled()...)
	if a.kept.room.store != "" {
		why = append(why, "the newest cluster document cannot be stored: "+a.kept.room.store)
	}
	for _, lim := range a.actsNotFor() {
		why = append(why, a.actsNotWords(lim))
	}
	return append(why, a.document()...)
}

// troubled returns what would keep this server from taking over any LIM, apart from the rules of
// failover.
func (a *fitness) troubled() []string {
	why := a.undetectedDeaths()
	if nowhere := a.kept.room.nowhere(); nowhere != "" {
		why = append(why, "there is no room for the agent's state: "+nowhere)
	}
	if a.keeper != nil && a.arbiterKeys.toldState == failover.ArbiterSilent {
		why = append(why, "the arbiter is not reached, so that no LIM can start here")
	}
	return why
}

// actsNotFor returns the LIMs that this standby would not take over now because it is isolated, or
// would be without their servers.
func (a *fitness) actsNotFor() []int {
	c := a.cluster()
	if c == nil || c.Standby != a.cfg.Server || !a.settled {
		return nil
	}
	var lims []int
	w := a.link.witnessed()
	for _, m := range c.LIMs {
		regular := a.doc.RegularOf(m.LIM).Name
		runs := a.peers.of(regular).Liveness == failover.Alive && a.peers.of(regular).Claim.LIM(m.LIM).State.Active()
		if !a.lims.of(m.LIM).State.Active() && (a.link.isolation.Isolated || runs && !w.ActsWithout(regular)) {
			lims = append(lims, m.LIM)
		}
	}
	return lims
}

func (a *fitness) actsNotWords(lim int) string {
	self, regular := a.cfg.Server, a.doc.RegularOf(lim).Name
	command := failover.RemedyOfDead(lim, regular).Command
	switch {
	case !a.link.isolation.Isolated:
		return fmt.Sprintf("%s would not take LIM %d over by itself if %s failed: it would hear nobody else; then `%s`", self, lim, regular, command)
	case !a.link.up:
		return fmt.Sprintf("%s does not take LIM %d over: its link is down", self, lim)
	case a.keeper != nil:
		return fmt.Sprintf("%s does not take LIM %d over: it hears nobody", self, lim)
	}
	return fmt.Sprintf("%s hears nobody and does not take LIM %d over by itself; if %s is dead: `%s`", self, lim, regular, command)
}

// actsNotHome says why this regular server would not take its LIM back if the standby, where
// that runs, failed now; "": it would.
func (a *fitness) actsNotHome(lim int) string {
	self, c := a.doc.Server(a.cfg.Server), a.cluster()
	if c == nil || self.LIM != lim || !a.settled || a.link.isolation.Isolated {
		return ""
	}
	standby := a.peers.of(c.Standby)
	if standby.Liveness != failover.Alive || !standby.Claim.LIM(lim).State.Active() || a.link.witnessed().ActsWithout(c.Standby) {
		return ""
	}
	return fmt.Sprintf("%s would not take LIM %d back by itself if %s failed: it would hear nobody else", self.Name, lim, c.Standby)
}

// limits returns what this server can do only once; "": nothing.
func (a *fitness) limits() string {
	c := a.cluster()
	if c == nil || c.Standby != a.cfg.Server || !a.settled || a.link.isolation.Isolated || !a.link.witnessed().OnlyMates() {
		return ""
	}
	return fmt.Sprintf("redundant for one failure: without all regular servers %s would hear nobody, neither a gateway nor a neighbour, and would take nothing over by itself", a.cfg.Server)
}

// document returns what about the document keeps this server from doing its part.
func (a *fitness) document() []string {
	var why []string
	if a.docs.onDisk.broken != "" {
		why = append(why, "the cluster document on its disk cannot be used: "+a.docs.onDisk.broken)
	}
	if text := a.peers.lags(); text != "" { // reported at once: without that document it takes nothing over
		why = append(why, text)
	}
	return why
}
