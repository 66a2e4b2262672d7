package agent

import (
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/member"
)

const (
	refusedEvery = 10 * time.Minute // between events of one kind about one server
	maxRefused   = 256              // bound of kinds and servers that are distinguished
	maxName      = 32               // bytes of an unknown type that are told
	maxPeers     = 512              // bound of servers that are remembered, in the document or not
	strangerLife = 10 * time.Minute // how long a server that is not in the document is remembered after it was heard
	strangeFor   = 3 * time.Minute  // how long a server counts as not understood; its refusals are reported every minute
)

// refusalCause is why the messages of a server's agent are not understood.
type refusalCause struct {
	why       string
	at        time.Time
	authentic bool // the messages are authentic
}

// refusal is a kind of message that is refused, and its server.
type refusal struct{ server, kind string }

// repeats are the refusals of one kind.
type repeats struct {
	told time.Time // last event about it
	more int       // since then, without one
}

// refusals records what other servers sent and was refused.
type refusals struct {
	*core
	peers   *peers
	refused map[refusal]*repeats
	causes  map[string]refusalCause // by server whose messages are not understood
}

// refuse records an event about something refused, rarely for each kind and server.
func (a *refusals) refuse(server, kind, text string) {
	key, now := refusal{server, kind}, time.Now()
	r := a.refused[key]
	if r != nil && now.Sub(r.told) < refusedEvery {
		r.more++
		return
	}
	if r != nil && r.more > 0 {
		text += fmt.Sprintf(" (and %d times before)", r.more)
	}
	if a.refused == nil || r == nil && len(a.refused) >= maxRefused {
		a.refused = map[refusal]*repeats{}
	}
	a.refused[key] = &repeats{told: now}
	a.journal.notBelieved(server, kind, text)
}

// unread records that something of another server cannot be read here.
func (a *refusals) unread(server, what string, err error) {
	a.refuse(server, "unreadable", fmt.Sprintf("%s of %s cannot be read here and is passed over: %s; compare their versions: `mxcluster upgrade check`", what, server, fault.Plain(err.Error())))
}

// unknown records that a server sends something of a kind or type that this version does not know.
func (a *refusals) unknown(server, what, name string) {
	a.refuse(server, "unknown", fmt.Sprintf("what comes from %s is of the %s %q, which is not known here and is passed over; compare their versions: `mxcluster upgrade check`", server, what, name[:min(len(name), maxName)]))
}

// notBelieved handles a refused message. If it comes from an agent of the system that cannot be
// understood, that is reported as the reason why the server is not heard.
func (a *refusals) notBelieved(ev member.Event) {
	r := ev.Refusal
	if ev.From != "" {
		a.notUnderstood(ev.From, r, ev.At, true)
		return
	}
	a.journal.refused(r)
	for _, addr := range r.Servers {
		// The source address proves nothing; it is disregarded for a server that is heard, but for
		// what it may tell when that server is heard no more: it is told of once a minute.
		server := a.serverBased(addr)
		switch {
		case server == "" || r.Remedy == "":
		case a.peers.all[server] != nil && a.peers.all[server].Liveness == failover.Alive:
			if !a.causes[server].authentic {
				a.causes[server] = refusalCause{refusalWords(r), ev.At, false}
			}
		default:
			a.notUnderstood(server, r, ev.At, false)
		}
	}
}

// notUnderstood records why a server's agent is not understood.
func (a *refusals) notUnderstood(server string, r *member.Refusal, at time.Time, authentic bool) {
	why := refusalWords(r)
	if a.doc.Server(server) != nil {
		a.causes[server] = refusalCause{why, at, authentic}
	}
	a.refuse(server, "not-believed", fmt.Sprintf("the agent of %s is not understood: %s", server, why))
}

func refusalWords(r *member.Refusal) string {
	return fmt.Sprintf("what comes from it is %s; %s", r.Reason, r.Remedy)
}

// serverBased returns the server with a base address; "": none.
func (a *refusals) serverBased(addr netip.Addr) string {
	for _, s := range a.doc.Servers {
		if s.Base.Addr() == addr {
			return s.Name
		}
	}
	return ""
}

// highestTerm returns the highest known term of a LIM.
func (a *lims) highestTerm(lim int) uint64 {
	l := a.all[lim]
	if l == nil {
		return 0
	}
	return max(l.Term, l.Known.Term)
}
