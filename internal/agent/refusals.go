package agent

import (
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/member"
)

const (
	refusedEvery = 10 * time.Minute // from one event about what is not believed to the next of the same kind and server
	maxRefused   = 256              // kinds and servers that are kept apart
	maxPeers     = 512              // servers that are remembered, named in the document or not
	strangerLife = 10 * time.Minute // how long one that the document does not name is remembered after it was heard
	strangeFor   = 3 * time.Minute  // how long a server counts as not understood; that is told each minute
)

// refusalCause is why a server's agent is not understood.
type refusalCause struct {
	why       string
	at        time.Time
	authentic bool // it is that agent
}

// refusal is something that is not believed, and whose.
type refusal struct{ server, kind string }

// refusals are what came from other servers and was not believed, as far as it was told.
type refusals struct {
	*core
	peers   *peers
	refused map[refusal]time.Time   // when it was told last
	causes  map[string]refusalCause // servers that are not understood
}

// refuse tells that something is not believed, for each kind and server now and then.
func (a *refusals) refuse(server, kind, text string) {
	key, now := refusal{server, kind}, time.Now()
	if last, ok := a.refused[key]; ok && now.Sub(last) < refusedEvery {
		return
	}
	if a.refused == nil || len(a.refused) >= maxRefused {
		a.refused = map[refusal]time.Time{}
	}
	a.refused[key] = now
	a.journal.notBelieved(server, kind, text)
}

// notBelieved tells of what is not believed; and of a server of the system whose agent
// cannot be understood that this, and not a dead server, is why it is not heard.
func (a *refusals) notBelieved(ev member.Event) {
	r := ev.Refusal
	if ev.From != "" {
		a.notUnderstood(ev.From, r, ev.At, true)
		return
	}
	a.journal.refused(r)
	for _, addr := range r.Servers {
		// The address of a datagram proves nothing: of one that is heard it says nothing.
		if server := a.serverBased(addr); server != "" && r.Remedy != "" && (a.peers.all[server] == nil || a.peers.all[server].Liveness != failover.Alive) {
			a.notUnderstood(server, r, ev.At, false)
		}
	}
}

// notUnderstood tells of a server why its agent is not understood.
func (a *refusals) notUnderstood(server string, r *member.Refusal, at time.Time, authentic bool) {
	why := fmt.Sprintf("what comes from it is %s; %s", r.Reason, r.Remedy)
	if a.doc.Server(server) != nil {
		a.causes[server] = refusalCause{why, at, authentic}
	}
	a.refuse(server, "not-believed", fmt.Sprintf("the agent of %s is not understood: %s", server, why))
}

// serverBased names the server of the system with a base address, "" for none.
func (a *refusals) serverBased(addr netip.Addr) string {
	for _, s := range a.doc.Servers {
		if s.Base.Addr() == addr {
			return s.Name
		}
	}
	return ""
}

// highestTerm is the highest of a LIM that is known here.
func (a *lims) highestTerm(lim int) uint64 {
	l := a.all[lim]
	if l == nil {
		return 0
	}
	return max(l.Term, l.Known.Term)
}
