package agent

import (
	"fmt"
	"time"

	"mxcluster/internal/failover"
)

// lostFor is how long a lost state is reported. By then the agent has long heard what the others
// know.
const lostFor = time.Hour

// noteMissingState records that a server has heard of a later run of a LIM here than this server
// knows of: the state did not outlive the reboot.
func (a *lims) noteMissingState(from string, entry failover.LIMClaim) {
	l := a.of(entry.LIM)
	if a.kept.lost != "" || entry.Known.Server != a.cfg.Server || entry.Known.Term <= max(l.Term, l.Known.Term) {
		return
	}
	a.kept.noteLost(fmt.Sprintf("%s knows that LIM %d ran here under term %d, of which nothing was kept", from, entry.LIM, entry.Known.Term))
}

// noteLost records that the state was lost.
func (a *keptState) noteLost(why string) {
	a.lost = why
	a.journal.agent("state-lost", fmt.Sprintf("what %s knew of its last run is lost: %s", a.cfg.Server, why))
}

// firstTerm returns the term for a start. It counts up from the known term. If the state was lost
// and the LIM's other server was not heard, that term would be too low, and the start would yield
// to an old claim; then the time in seconds is used, which is above all terms.
func (a *Agent) firstTerm(d *failover.Decision, now time.Time) uint64 {
	if a.kept.lost == "" || d.Want != failover.Run || d.Term <= a.lims.of(d.LIM).Term || a.peers.heardOther(d.LIM) {
		return d.Term
	}
	return max(d.Term, uint64(max(now.Unix(), 0)))
}
