package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
)

// EventLog keeps what happened on this server (package events).
type EventLog interface {
	Append(batch []events.Event) error
	Read(q events.Query) (found []events.Event, truncated bool, err error)
}

const (
	eventsWaiting = 1024        // for the disk; more are lost, supervision goes on
	eventsTold    = time.Minute // from one complaint about the disk to the next
	eventsAgain   = 5 * time.Second
	// eventsGather is how long events are gathered before they are written: what
	// must be on disk before an alias is taken is saved at the same moment, and two
	// at once wait for one another.
	eventsGather = 20 * time.Millisecond
)

// recorder writes events to disk beside the main loop, so that neither a full
// nor a hung disk holds that up.
type recorder struct {
	log   EventLog
	queue chan events.Event
	lost  atomic.Int64
}

func newRecorder(log EventLog) *recorder {
	return &recorder{log: log, queue: make(chan events.Event, eventsWaiting)}
}

// put hands an event over, or counts it as lost.
func (r *recorder) put(e events.Event) {
	select {
	case r.queue <- e:
	default:
		r.lost.Add(1)
	}
}

// run writes until ctx ends, and then what is left. What the disk does not take the
// log keeps in memory; it is tried again from time to time.
func (r *recorder) run(ctx context.Context, log *slog.Logger) {
	var told time.Time
	var again <-chan time.Time
	for {
		batch := r.gather(ctx, again)
		if len(batch) == 0 && ctx.Err() != nil && again == nil {
			return
		}
		again = nil
		if err := r.log.Append(batch); err != nil {
			if ctx.Err() != nil {
				log.Error("events are lost with this agent", "err", err)
				return
			}
			again = time.After(eventsAgain)
			if now := time.Now(); now.Sub(told) >= eventsTold {
				told = now
				log.Error("events cannot be written; they are kept in memory", "lost", r.lost.Load(), "err", err)
			}
		}
	}
}

// gather returns the events of a moment; none when it is time to try again, or ctx
// has ended and all are written.
func (r *recorder) gather(ctx context.Context, again <-chan time.Time) []events.Event {
	var batch []events.Event
	select {
	case <-ctx.Done():
	case <-again:
	case e := <-r.queue:
		batch = append(batch, e)
		select {
		case <-ctx.Done():
		case <-time.After(eventsGather):
		}
	}
	for len(batch) < eventsWaiting {
		select {
		case e := <-r.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// record notes what happened: one line in the log, and one event. Of what comes again and
// again both are bounded.
func (a *core) record(level slog.Level, e events.Event) {
	e.Time, e.Server = time.Now().UTC(), a.cfg.Server
	if a.gate.Admit(e) {
		a.write(level, e)
	}
}

// writeHeld notes events that were held back.
func (a *core) writeHeld(held []events.Event) {
	for _, e := range held {
		a.write(slog.LevelWarn, e)
	}
}

func (a *core) write(level slog.Level, e events.Event) {
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
	a.log.LogAttrs(context.Background(), level, e.Text, attrs...)
	a.recorder.put(e)
}

func (a *core) recordAgent(is, text string) {
	a.record(slog.LevelInfo, events.Event{Kind: events.Agent, Subject: a.cfg.Server, Is: is, Text: text})
}

func (a *core) recordDecision(d *failover.Decision) {
	words := map[failover.Want]string{failover.Run: "is to run here: ", failover.Stop: "is not to run here: ",
		failover.Wait: "is left as it is: ", failover.Preload: "is kept loaded here: "}
	a.record(slog.LevelInfo, events.Event{Kind: events.Decision, LIM: d.LIM, Is: string(d.Want), Rule: string(d.Rule), Term: d.Term,
		Reason: d.Reason, Text: fmt.Sprintf("LIM %d %s%s", d.LIM, words[d.Want], d.Reason)})
}

func (a *core) recordState(l *lim, is failover.State, reason string) {
	level := slog.LevelInfo
	if is == failover.Failed {
		level = slog.LevelError
	}
	a.record(level, events.Event{Kind: events.State, LIM: l.number, Is: string(is), Was: string(l.state), Term: l.term, Reason: reason,
		Text: fmt.Sprintf("LIM %d is %s on %s: %s", l.number, is, a.cfg.Server, reason)})
}

// recordSoftware notes what is out of order with a LIM's software, without its
// state showing that.
func (a *core) recordSoftware(lim int, text string) {
	a.record(slog.LevelWarn, events.Event{Kind: events.Software, LIM: lim, Text: text})
}

// recordAdopted notes that a LIM goes on under a new agent, as if nothing had been.
func (a *core) recordAdopted(l *lim) {
	const is = string(failover.Running)
	a.record(slog.LevelInfo, events.Event{Kind: events.State, LIM: l.number, Is: is, Was: is, Term: l.term,
		Reason: "the agent that ran it before is gone", Text: fmt.Sprintf("LIM %d goes on on %s under a new agent", l.number, a.cfg.Server)})
}

func (a *core) recordServer(name string, is, was failover.Liveness) {
	words := map[failover.Liveness]string{failover.Alive: "is alive", failover.AgentLost: "has an agent that is silent",
		failover.Gone: "is gone: nothing is heard of it", failover.Unheard: "is not heard"}
	level := slog.LevelInfo
	if is != failover.Alive {
		level = slog.LevelWarn
	}
	a.record(level, events.Event{Kind: events.Server, Subject: name, Is: string(is), Was: string(was),
		Text: fmt.Sprintf("server %s %s", name, words[is])})
}

func (a *core) recordOrder(o control.Order, target string) {
	text := fmt.Sprintf("%s of LIM %d to %s was ordered", o.Kind, o.LIM, target)
	if o.Now {
		text += ", at once"
	}
	if o.Dead != "" {
		text += fmt.Sprintf(", since %s is dead", o.Dead)
	}
	a.record(slog.LevelInfo, events.Event{Kind: events.Order, LIM: o.LIM, Subject: string(o.Kind), Is: target, By: o.By, Reason: o.Reason,
		Text: text + byWords(o.By, o.Reason)})
}

func (a *core) recordAlarm(c alarms.Change) {
	level, is := slog.LevelInfo, "cleared"
	if c.Raised {
		level, is = slog.LevelWarn, "raised"
	}
	a.record(level, events.Event{Kind: events.Alarm, LIM: c.LIM, Subject: string(c.Name), Is: is,
		Text: fmt.Sprintf("alarm %d %s (%s): %s", c.Handle, is, c.Severity, c.Text)})
}

func (a *core) recordDocument(d *clusterconf.Document) {
	text := fmt.Sprintf("revision %d of the cluster document is in force", d.Revision)
	if d.Changed.Command != "" {
		text += ": " + d.Changed.Command
		if d.Changed.On != "" {
			text += " on " + d.Changed.On
		}
	}
	a.record(slog.LevelInfo, events.Event{Kind: events.Document, Subject: d.Changed.Command, Is: strconv.FormatUint(d.Revision, 10),
		By: d.Changed.By, Reason: d.Changed.Reason, Text: text + byWords(d.Changed.By, d.Changed.Reason)})
}

// byWords says who wanted something and why, as far as that was told.
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

func (a *core) recordConflict(lim int, text string) {
	a.record(slog.LevelWarn, events.Event{Kind: events.Conflict, LIM: lim, Text: text})
}

// recordRefused notes what came to the gossip port and was not believed.
func (a *core) recordRefused(r *member.Refusal) {
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
	a.record(level, events.Event{Kind: events.Refused, Subject: r.Kind, Reason: r.Reason, Text: text + ": what was refused is " + r.Reason})
}

func (a *core) recordAlias(lim int, addr netip.Addr, is, text string) {
	a.record(slog.LevelWarn, events.Event{Kind: events.Alias, LIM: lim, Subject: addr.String(), Is: is, Text: text})
}

// eventsMessage asks another agent for its events, or answers with them.
type eventsMessage struct {
	Query     events.Query   `json:"query,omitzero"`
	Events    []events.Event `json:"events,omitempty"`
	Truncated bool           `json:"truncated,omitempty"`
}

// Events answers `events`: what is kept here and on all servers that answer.
func (a *Agent) Events(ctx context.Context, q events.Query) (*events.List, error) {
	type question struct {
		server string
		answer <-chan reply
	}
	list := &events.List{APIVersion: clusterconf.APIVersion, Kind: "EventList", Missing: []string{}}
	asked, err := on(ctx, a.core, func() ([]question, error) {
		var asked []question
		for name, p := range a.peers.all {
			switch {
			case a.doc.Server(name) == nil:
			case p.liveness == failover.Alive:
				asked = append(asked, question{name, a.mail.passOn(name, message{Type: typeEvents, Events: &eventsMessage{Query: q}})})
			default:
				list.Missing = append(list.Missing, name)
			}
		}
		return asked, nil
	})
	if err != nil {
		return nil, err
	}
	own, truncated, err := a.deps.Events.Read(q)
	if err != nil {
		return nil, err
	}
	list.Truncated = truncated
	found := [][]events.Event{own}
	for _, x := range asked {
		select {
		case r := <-x.answer:
			if r.err != nil || r.events == nil {
				list.Missing = append(list.Missing, x.server)
				continue
			}
			found = append(found, r.events.of(x.server))
			list.Truncated = list.Truncated || r.events.Truncated
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	list.Events = slices.Concat([]events.Event{}, events.Merge(found...))
	slices.Sort(list.Missing)
	return list, nil
}

// of returns the events as those of one server: it speaks for itself alone.
func (m *eventsMessage) of(server string) []events.Event {
	return slices.DeleteFunc(m.Events, func(e events.Event) bool { return e.Server != server })
}

// eventsHeard answers another agent. Reading the disk takes time.
func (a *Agent) eventsHeard(from string, m message) {
	if m.Events == nil {
		return
	}
	q := m.Events.Query
	a.wg.Go(func() {
		answer := message{Type: typeReply, ID: m.ID, Events: &eventsMessage{}}
		var err error
		if answer.Events.Events, answer.Events.Truncated, err = a.deps.Events.Read(q); err != nil {
			a.log.Error("reading the events for another server", "for", from, "err", err)
			return
		}
		a.post(func() { a.mail.send(from, answer, nil) })
	})
}
