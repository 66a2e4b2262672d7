package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
)

// journal records what happens on this server: each occurrence as one line in the log and one
// event, which is kept on disk. It has a method for each kind of event, and is owned by the main
// loop.
type journal struct {
	name string // of this server
	log  *slog.Logger
	gate events.Gate // bounds repeated events
	disk *recorder

	takeovers takeovers
}

func newJournal(name string, log *slog.Logger, kept EventLog) *journal {
	return &journal{name: name, log: log, disk: newRecorder(kept), takeovers: newTakeovers()}
}

// record records one event, unless it is suppressed because it is repeated too often.
func (j *journal) record(level slog.Level, e events.Event) {
	e.Time, e.Server = time.Now().UTC(), j.name
	if j.gate.Admit(e) {
		j.write(level, e)
	}
}

// tellSuppressed records events that were suppressed for long enough, with a count.
func (j *journal) tellSuppressed(now time.Time) { j.writeSuppressed(j.gate.Due(now)) }

// end records all suppressed events.
func (j *journal) end() { j.writeSuppressed(j.gate.Rest()) }

func (j *journal) writeSuppressed(held []events.Event) {
	for _, e := range held {
		j.write(slog.LevelWarn, e)
	}
}

func (j *journal) write(level slog.Level, e events.Event) {
	attrs := []slog.Attr{slog.String("kind", string(e.Kind))}
	for _, x := range []struct{ key, value string }{
		{"about", e.Subject}, {"is", e.Is}, {"was", e.Was}, {"rule", e.Rule}, {"by", e.By},
	} {
		if x.value != "" {
			attrs = append(attrs, slog.String(x.key, x.value))
		}
	}
	if e.LIM != 0 {
		attrs = append(attrs, slog.Int("lim", e.LIM))
	}
	if e.Term != 0 {
		attrs = append(attrs, slog.Uint64("term", e.Term))
	}
	j.log.LogAttrs(context.Background(), level, e.Text, attrs...)
	j.disk.put(e)
}

// agent records an event of this agent.
func (j *journal) agent(is, text string) {
	j.record(slog.LevelInfo, events.Event{Kind: events.Agent, Subject: j.name, Is: is, Text: text})
}

// decision records what a LIM is to do here, and why.
func (j *journal) decision(d *failover.Decision) {
	j.takeovers.decided(d, time.Now())
	words := map[failover.Want]string{failover.Run: "is to run here: ", failover.Stop: "is not to run here: ",
		failover.Wait: "is left as it is: ", failover.Preload: "is kept loaded here: "}
	j.record(slog.LevelInfo, events.Event{Kind: events.Decision, LIM: d.LIM, Is: string(d.Want), Rule: string(d.Rule), Term: d.Term,
		Reason: d.Reason, Text: fmt.Sprintf("LIM %d %s%s", d.LIM, words[d.Want], d.Reason)})
}

// state records a LIM's change of state.
func (j *journal) state(lim int, term uint64, is, was failover.State, reason string) {
	j.takeovers.is(lim, is, time.Now())
	level := slog.LevelInfo
	if is == failover.Failed {
		level = slog.LevelError
	}
	j.record(level, events.Event{Kind: events.State, LIM: lim, Is: string(is), Was: string(was), Term: term, Reason: reason,
		Text: fmt.Sprintf("LIM %d is %s on %s: %s", lim, is, j.name, reason)})
}

// software records a problem of a LIM's software that does not change the LIM's state.
func (j *journal) software(lim int, text string) {
	j.record(slog.LevelWarn, events.Event{Kind: events.Software, LIM: lim, Text: text})
}

// rehearsal records the result of a rehearsal.
func (j *journal) rehearsal(lim int, r failover.Rehearsal) {
	level, text := slog.LevelInfo, fmt.Sprintf("the rehearsal of LIM %d on %s was %s", lim, j.name, r.Result)
	if r.Result == failover.RehearsalFailed {
		level = slog.LevelWarn
	}
	if r.Text != "" {
		text += ": " + r.Text
	}
	if r.Version != "" {
		text += ", on data version " + r.Version
	}
	j.record(level, events.Event{Kind: events.Rehearsal, LIM: lim, Is: string(r.Result), Reason: r.Text, Text: text})
}

// adopted records that a LIM goes on under a new run of the agent.
func (j *journal) adopted(lim int, term uint64) {
	const is = string(failover.Running)
	j.record(slog.LevelInfo, events.Event{Kind: events.State, LIM: lim, Is: is, Was: is, Term: term,
		Reason: "the agent that ran it before is gone", Text: fmt.Sprintf("LIM %d goes on on %s under a new agent", lim, j.name)})
}

// server records a change of another server's liveness.
func (j *journal) server(name string, is, was failover.Liveness) {
	words := map[failover.Liveness]string{failover.Alive: "is alive", failover.AgentLost: "has an agent that is silent",
		failover.Gone: "is gone: nothing is heard of it", failover.Unheard: "is not heard"}
	level := slog.LevelInfo
	if is != failover.Alive {
		level = slog.LevelWarn
	}
	j.record(level, events.Event{Kind: events.Server, Subject: name, Is: string(is), Was: string(was),
		Text: fmt.Sprintf("server %s %s", name, words[is])})
}

// order records an accepted order.
func (j *journal) order(o control.Order, target string) {
	text := fmt.Sprintf("%s of LIM %d to %s was ordered", o.Kind, o.LIM, target)
	if o.Now {
		text += ", at once"
	}
	if o.Dead != "" {
		text += fmt.Sprintf(", since %s is dead", o.Dead)
	}
	j.record(slog.LevelInfo, events.Event{Kind: events.Order, LIM: o.LIM, Subject: string(o.Kind), Is: target, By: o.By, Reason: o.Reason,
		Text: text + byWords(o.By, o.Reason)})
}

// draining records an order that waits for the LIM's calls to end.
func (j *journal) draining(o control.Order, target string) {
	j.record(slog.LevelInfo, events.Event{Kind: events.Software, LIM: o.LIM, By: o.By, Reason: o.Reason,
		Text: fmt.Sprintf("the calls of LIM %d are drained on %s, for at most %s, before it moves to %s", o.LIM, j.name, o.DrainCalls, target) + byWords(o.By, o.Reason)})
}

// drained records the result of that wait.
func (j *journal) drained(lim int, text string) {
	j.record(slog.LevelInfo, events.Event{Kind: events.Software, LIM: lim, Text: text})
}

// alarm records that an alarm was raised or cleared.
func (j *journal) alarm(c alarms.Change) {
	level, is := slog.LevelInfo, "cleared"
	if c.Raised {
		level, is = slog.LevelWarn, "raised"
	}
	j.record(level, events.Event{Kind: events.Alarm, LIM: c.LIM, Subject: string(c.Name), Is: is,
		Text: fmt.Sprintf("alarm %d %s (%s): %s", c.Handle, is, c.Severity, c.Text)})
}

// noticed records that somebody acknowledged or cleared an alarm.
func (j *journal) noticed(n alarms.Notice) {
	is := "noticed"
	if n.Cleared {
		is = "cleared"
	}
	j.record(slog.LevelInfo, events.Event{Kind: events.Alarm, LIM: n.LIM, Subject: string(n.Name), Is: is, By: n.By, Reason: n.Comment,
		Text: fmt.Sprintf("alarm %d %s", n.Handle, is) + byWords(n.By, n.Comment)})
}

// document records that another revision is in force.
func (j *journal) document(d *clusterconf.Document) {
	text := fmt.Sprintf("revision %d of the cluster document is in force", d.Revision)
	if d.Changed.Command != "" {
		text += ": " + d.Changed.Command
		if d.Changed.On != "" {
			text += " on " + d.Changed.On
		}
	}
	j.record(slog.LevelInfo, events.Event{Kind: events.Document, Subject: d.Changed.Command, Is: strconv.FormatUint(d.Revision, 10),
		By: d.Changed.By, Reason: d.Changed.Reason, Text: text + byWords(d.Changed.By, d.Changed.Reason)})
}

// documentFile records other events about the document: the state of its file, or whether this
// server is in it.
func (j *journal) documentFile(level slog.Level, revision uint64, is, text string) {
	j.record(level, events.Event{Kind: events.Document, Subject: is, Is: strconv.FormatUint(revision, 10), Text: text})
}

// conflict records two claimants of one thing, such as an alias or a document.
func (j *journal) conflict(lim int, text string) {
	j.record(slog.LevelWarn, events.Event{Kind: events.Conflict, LIM: lim, Text: text})
}

// refused records what arrived at the gossip port and was refused.
func (j *journal) refused(r *member.Refusal) {
	what := "datagram"
	if r.Kind == member.RefusedConnections {
		what = "connection"
	}
	level, text := slog.LevelInfo, fmt.Sprintf("%d %ss on the gossip port were refused, the last one with the source address %s", r.Count, what, r.From)
	if r.Count == 1 {
		text = fmt.Sprintf("a %s on the gossip port with the source address %s was refused", what, r.From)
	}
	if slices.Contains(r.Servers, r.From) {
		level, text = slog.LevelWarn, text+", the address of a server of this system"
	}
	j.record(level, events.Event{Kind: events.Refused, Subject: r.Kind, Reason: r.Reason, Text: text + ": what was refused is " + r.Reason})
}

// alias records an event about an alias.
func (j *journal) alias(lim int, addr netip.Addr, is, text string) {
	j.record(slog.LevelWarn, events.Event{Kind: events.Alias, LIM: lim, Subject: addr.String(), Is: is, Text: text})
}

// key records an event about the gossip keys.
func (j *journal) key(level slog.Level, is, text, by, reason string) {
	j.record(level, events.Event{Kind: events.Key, Subject: j.name, Is: is, By: by, Reason: reason, Text: text})
}

// notBelieved records something sent by a server, or in its name, that is disregarded.
func (j *journal) notBelieved(server, is, text string) {
	j.record(slog.LevelWarn, events.Event{Kind: events.Server, Subject: server, Is: is, Text: text})
}

// arbiter records whether the arbiter is reachable; failure is why not.
func (j *journal) arbiter(is, was, failure string) {
	if is == failover.ArbiterSilent {
		j.record(slog.LevelError, events.Event{Kind: events.Arbiter, Is: is, Was: was, Reason: failure,
			Text: fmt.Sprintf("%s does not reach the arbiter: %s", j.name, failure)})
		return
	}
	j.record(slog.LevelInfo, events.Event{Kind: events.Arbiter, Is: is, Was: was, Text: j.name + " reaches the arbiter"})
}

// isolation records whether this server is isolated, and by which evidence.
func (j *journal) isolation(isolated bool, text string) {
	j.record(slog.LevelWarn, events.Event{Kind: events.Isolation, Subject: j.name, Is: strconv.FormatBool(isolated), Text: text})
}

// byWords words who gave an order and why, as far as known.
func byWords(by, reason string) string {
	text := ""
	if by != "" {
		text = " by " + by
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	return text
}
