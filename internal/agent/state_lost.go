package agent

import (
	"fmt"
	"time"

	"mxcluster/internal/failover"
)

// lostFor is how long it is told that what this server knew is lost: it has long
// heard by then what the others know, and somebody has seen it.
const lostFor = time.Hour

// missLast notes that a server heard of a later run of a LIM here than anything here
// tells of: what was kept did not outlive the boot.
func (a *lims) missLast(from string, entry failover.LIMClaim) {
	l := a.of(entry.LIM)
	if a.kept.lost != "" || entry.Known.Server != a.cfg.Server || entry.Known.Term <= max(l.Term, l.Known.Term) {
		return
	}
	a.kept.noteLost(fmt.Sprintf("%s knows that LIM %d ran here under term %d, of which nothing was kept", from, entry.LIM, entry.Known.Term))
}

// noteLost remembers and records that what this server knew is lost.
func (a *keptState) noteLost(why string) {
	a.lost = why
	a.journal.agent("state-lost", fmt.Sprintf("what %s knew of its last run is lost: %s", a.cfg.Server, why))
}

// firstTerm returns the term for a start that is decided on. A term counts up from what
// is known; where that is lost and the LIM's other server was not heard, it would count
// from nothing, and the start would yield to one of long ago. The time in seconds is
// above all that was counted.
func (a *Agent) firstTerm(d *failover.Decision, now time.Time) uint64 {
	if a.kept.lost == "" || d.Want != failover.Run || d.Term <= a.lims.of(d.LIM).Term || a.peers.heardOther(d.LIM) {
		return d.Term
	}
	return max(d.Term, uint64(max(now.Unix(), 0)))
}
