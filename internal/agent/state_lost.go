package agent

import (
	"fmt"
	"slices"
	"strings"
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

// noteUnknown records that a later version kept the state, and what of it this one goes on without.
func (a *keptState) noteUnknown() {
	const shown = 10
	places := a.state.unknown
	switch {
	case len(places) == 0 && a.state.Version <= stateVersion:
		return
	case len(places) == 0:
		places = []string{"nothing"}
	case len(places) > shown:
		places = append(slices.Clone(places[:shown]), fmt.Sprintf("%d more", len(places)-shown))
	}
	a.journal.agent("state-of-later-version", fmt.Sprintf("a later version of mxcluster kept the state of %s (format %d); %s goes on by what it knows of it, without %s", a.cfg.Server, a.state.Version, a.cfg.Version, strings.Join(places, ", ")))
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
