package agent

import (
	"context"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
)

// eventsMessage asks another agent for its events, or carries them.
type eventsMessage struct {
	Query     events.Query   `json:"query,omitzero"`
	Events    []events.Event `json:"events,omitempty"`
	Truncated bool           `json:"truncated,omitempty"`
}

// Events answers `events` with those of this server and all servers that answer.
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
			case p.Liveness == failover.Alive:
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

// of returns the events with their server set to the sender: a server speaks for itself only.
func (m *eventsMessage) of(server string) []events.Event {
	return slices.DeleteFunc(m.Events, func(e events.Event) bool { return e.Server != server })
}

// eventsHeard answers another agent, beside the main loop.
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
