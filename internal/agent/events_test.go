package agent

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/events"
)

// memoryEvents is an EventLog that survives agents.
type memoryEvents struct {
	mu   sync.Mutex
	all  []events.Event
	fail error
}

// failWith has every append fail from now on; nil: none.
func (m *memoryEvents) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memoryEvents) Append(batch []events.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, e := range batch {
		e.Seq = uint64(len(m.all) + 1)
		m.all = append(m.all, e)
	}
	return nil
}

func (m *memoryEvents) Read(q events.Query) ([]events.Event, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.all), func(e events.Event) bool {
		return e.Time.Before(q.Since) || q.LIM != 0 && q.LIM != e.LIM || e.Seq <= q.After[e.Server]
	}), false, nil
}

// count returns how many events of a kind there are.
func (m *memoryEvents) count(kind events.Kind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.all {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// eventsFrom asks a server's agent for everything.
func (w *world) eventsFrom(server string, q events.Query) *events.List {
	w.t.Helper()
	list, err := w.servers[server].agent.Events(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// contains fails the test unless the events have these, in this order; each is
// "SERVER: part of the text".
func contains(t *testing.T, list *events.List, want ...string) {
	t.Helper()
	var all []string
	i := 0
	for _, e := range list.Events {
		all = append(all, fmt.Sprintf("%s: %s", e.Server, e.Text))
		if server, text, _ := strings.Cut(want[min(i, len(want)-1)], ": "); i < len(want) && e.Server == server && strings.Contains(e.Text, text) {
			i++
		}
	}
	if i < len(want) {
		t.Errorf("missing %q in its place among:\n%s", want[i], strings.Join(all, "\n"))
	}
}

// A power cut and the way back, as any server tells it afterwards.
func TestEventsOfATakeover(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		began := time.Now()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(time.Second)
		list := w.eventsFrom("srv2", events.Query{Since: began})
		contains(t, list,
			"sb1: server srv1 is gone",
			"sb1: LIM 1 is to run here: srv1 is down",
			"sb1: LIM 1 is starting on sb1: srv1 is down",
			"sb1: alarm 1 raised (warning): LIM 1 is starting on the standby server sb1",
			"sb1: LIM 1 is running on sb1")
		if !slices.Equal(list.Missing, []string{"srv1"}) {
			t.Errorf("missing: %v", list.Missing)
		}
		w.boot("srv1")
		pass(10 * time.Second)
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1, By: "tina", Reason: "new disk"}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", soon)
		pass(time.Second)
		list = w.eventsFrom("sb1", events.Query{Since: began, LIM: 1})
		contains(t, list,
			"sb1: fallback of LIM 1 to srv1 was ordered by tina (new disk)",
			"sb1: LIM 1 is not to run here: falls back to srv1 by order",
			"sb1: alarm 1 cleared",
			"srv1: LIM 1 is running on srv1")
		for _, e := range list.Events {
			if e.LIM != 1 || e.Seq == 0 || e.Time.Before(began) {
				t.Errorf("not asked for: %+v", e)
			}
		}
		if len(list.Missing) != 0 {
			t.Errorf("missing: %v", list.Missing)
		}
		last := list.Events[len(list.Events)-1]
		rest := w.eventsFrom("sb1", events.Query{Since: began, After: map[string]uint64{"sb1": 1e9, "srv2": 1e9, last.Server: last.Seq - 1}})
		if !slices.ContainsFunc(rest.Events, func(e events.Event) bool { return e.Server == last.Server && e.Seq == last.Seq }) {
			t.Errorf("after number %d: %+v", last.Seq-1, rest.Events)
		}
	})
}

// One line for each decision, not one for each look.
func TestOneEventForEachDecision(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		before := len(w.eventsFrom("srv1", events.Query{}).Events)
		pass(10 * time.Minute)
		if after := len(w.eventsFrom("srv1", events.Query{}).Events); after != before {
			t.Errorf("%d events in ten minutes in which nothing happened", after-before)
		}
	})
}

// A disk that takes no events keeps nobody from taking over.
func TestEventsThatCannotBeKept(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["sb1"].events.failWith(errBroken)
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(time.Second)
		w.servers["sb1"].events.failWith(nil)
		began := time.Now()
		w.boot("srv1")
		pass(5 * time.Second)
		contains(t, w.eventsFrom("srv2", events.Query{Since: began}), "sb1: server srv1 is alive")
	})
}

// More events than the disk takes are lost, and nobody waits for them.
func TestRecorderDoesNotBlock(t *testing.T) {
	r := newRecorder(&memoryEvents{})
	for range eventsWaiting + 7 {
		r.put(events.Event{})
	}
	if n := r.lost.Load(); n != 7 {
		t.Errorf("%d events lost, want 7", n)
	}
}
