package agent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
)

// What a command did with the data shows as soon as it told the agent, and on the other servers.
func TestLookAtData(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		shows := func(on string) string {
			d := w.status(on).LIM(1).Data
			if d == nil || d.InSync == nil {
				return "unknown"
			}
			return fmt.Sprintf("in sync %v, conflict %v", *d.InSync, *d.Conflict)
		}
		has := func(server string, d failover.Data) {
			m := w.servers[server]
			m.mu.Lock()
			m.data = &d
			m.mu.Unlock()
			if err := m.agent.LookAtData(w.t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		version := func(content string, parents ...lineage.Node) failover.Data {
			v := lineage.Version{Node: lineage.Node{Name: "xdata_1_20000101000000", Content: content}, Ancestors: parents}
			return failover.Data{Version: v.Node.Name, Newest: epoch, Line: &v}
		}
		has("srv1", version("a"))
		has("sb1", version("b"))
		pass(50 * time.Millisecond)
		if got := shows("srv1"); got != "in sync false, conflict true" {
			t.Errorf("srv1 shows: %s", got)
		}
		has("sb1", version("a"))
		if got := shows("sb1"); got != "in sync true, conflict false" {
			t.Errorf("sb1 shows: %s", got)
		}
		pass(50 * time.Millisecond)
		if got := shows("srv1"); got != "in sync true, conflict false" {
			t.Errorf("srv1 shows: %s", got)
		}
	})
}

// syncLog is when which LIM was synchronised by a server, and what that came to.
type syncLog struct {
	mu    sync.Mutex
	lims  []int
	at    []time.Time
	err   error
	block chan struct{} // a sync lasts until this is closed
}

// record makes a server's syncs be noted; a good one brings the data there.
func (w *world) record(from, to string) *syncLog {
	log := &syncLog{}
	w.servers[from].sync = func(ctx context.Context, lim int) error {
		log.mu.Lock()
		log.lims, log.at = append(log.lims, lim), append(log.at, time.Now())
		err, block := log.err, log.block
		log.mu.Unlock()
		if block != nil {
			select {
			case <-block:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
		w.servers[to].setData(w.servers[from].newestData(lim).Newest)
		return nil
	}
	return log
}

func (l *syncLog) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *syncLog) done() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lims)
}

func version(n int) *failover.Data {
	at := time.Now().Add(time.Duration(n) * time.Minute).UTC()
	return &failover.Data{Version: "xdata_1_" + at.Format("20060102150405"), Newest: at}
}

// A new version on the server that runs the LIM is copied to the other side, once;
// a failure is tried again, ever less often; a passive server copies nothing.
func TestNewDataIsSynchronised(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		regular, standby := w.record("srv1", "sb1"), w.record("sb1", "srv1")
		w.settled()
		w.servers["srv1"].setData(version(1))
		pass(2 * time.Second)
		if n := regular.done(); len(n) != 0 {
			t.Fatalf("synchronised before a backup could do it itself: %v", n)
		}
		pass(25 * time.Second)
		if got := regular.done(); !slices.Equal(got, []int{1}) {
			t.Fatalf("synchronised %v, want LIM 1 once", got)
		}

		regular.set(fault.New(fault.Unreachable, "", "no answer"))
		w.servers["srv1"].setData(version(2))
		pass(100 * time.Second) // at 10 s and at 70 s
		failed := len(regular.done()) - 1
		if failed != 2 {
			t.Errorf("tried %d times in 100 seconds", failed)
		}
		regular.set(nil)
		pass(2 * time.Minute) // at 190 s
		if got := len(regular.done()) - 1 - failed; got != 1 {
			t.Errorf("%d syncs after the failures", got)
		}

		// The standby has no reason to, until the LIM runs there.
		w.servers["sb1"].setData(version(3))
		pass(20 * time.Second)
		if got := standby.done(); len(got) != 0 {
			t.Errorf("the passive side synchronised %v", got)
		}
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		pass(20 * time.Second)
		if got := standby.done(); !slices.Equal(got, []int{1}) {
			t.Errorf("the standby synchronised %v, want LIM 1 once", got)
		}
	})
}

// told is a data version that says what it follows. Its files are older than those of
// version.
func told(name string, ancestors ...string) *failover.Data {
	v := lineage.Version{Node: lineage.Node{Name: name, Content: name}, Made: true}
	for _, a := range ancestors {
		v.Ancestors = append(v.Ancestors, lineage.Node{Name: a, Content: a})
	}
	return &failover.Data{Version: name, Newest: time.Now().Add(-time.Hour).UTC(), Line: &v}
}

// Data that were put back to an older state are newer by what they follow. A conflict is
// found out by one sync, and told then; to try that again would help nobody.
func TestSyncGoesByLineage(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		log := w.record("srv1", "sb1")
		w.settled()
		first := told("a")
		first.Newest = time.Now().UTC()
		w.servers["srv1"].setData(first)
		pass(25 * time.Second)
		w.servers["srv1"].setData(told("b", "a"))
		pass(25 * time.Second)
		if got := log.done(); len(got) != 2 {
			t.Fatalf("%d syncs of 2 versions", len(got))
		}
		if d := w.servers["sb1"]; d.data == nil || d.data.Version != "b" {
			t.Errorf("the standby has %+v", d.data)
		}
		log.set(fault.New(fault.Conflict, "", "in conflict"))
		w.servers["sb1"].setData(told("c", "a"))
		pass(25 * time.Second)
		if got := log.done(); len(got) != 3 {
			t.Fatalf("%d syncs with a conflict", len(got))
		}
		found := told("b", "a")
		found.Conflict = true
		w.servers["srv1"].setData(found)
		pass(3 * time.Minute)
		if got := log.done(); len(got) != 3 {
			t.Errorf("%d syncs after it was told", len(got))
		}
	})
}

// The version that a LIM is started on is remembered where it is started, and nowhere else.
func TestStartIsRemembered(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		for _, name := range []string{"srv1", "sb1"} {
			w.servers[name].setData(told("a"))
		}
		w.settled()
		if got := w.servers["sb1"].startedOn(); len(got) != 0 {
			t.Errorf("the standby was started on %v", got)
		}
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		pass(time.Second)
		if got := w.servers["sb1"].startedOn(); !slices.Equal(got, []string{"1 a"}) {
			t.Errorf("the standby was started on %v", got)
		}
	})
}

// However long a sync lasts, the agent goes on; and its end ends the sync.
func TestSyncBlocksNothing(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		log := w.record("srv1", "sb1")
		log.block = make(chan struct{})
		w.settled()
		w.servers["srv1"].setData(version(1))
		pass(90 * time.Second)
		if got := log.done(); len(got) != 1 {
			t.Fatalf("%d syncs at once", len(got))
		}
		w.await(1, "srv1", 0)
		w.powerCut("srv2")
		w.await(2, "sb1", soon)
		w.kill("srv1") // hangs if the sync goes on
		w.start("srv1")
		pass(time.Second)
		w.neverTwice()
	})
}

// Busy is no failure: another process is at it.
func TestSyncBusy(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		log := w.record("srv1", "sb1")
		log.set(fault.New(fault.Busy, "", "in use"))
		w.settled()
		w.servers["srv1"].setData(version(1))
		pass(35 * time.Second)
		if n := len(log.done()); n < 2 {
			t.Errorf("tried %d times", n)
		}
		w.servers["sb1"].setData(version(1)) // the other process did it
		w.servers["srv1"].setData(version(0))
		n := len(log.done())
		pass(25 * time.Second)
		if len(log.done()) > n+1 {
			t.Error("goes on though the other side has it")
		}
	})
}

// The alarm is one, whichever side knows, and clears by itself.
func TestSyncFailedAlarm(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		late := func(server, why string) {
			m := w.servers[server]
			m.mu.Lock()
			defer m.mu.Unlock()
			m.late = why
		}
		const failed = "sync-failed lim 1 sb1 warning"
		late("srv1", "no answer")
		w.awaitAlarms(5*time.Second, failed)
		late("sb1", "last synchronised at 2026-03-01T02:00:00Z")
		w.awaitAlarms(5*time.Second, failed, "sync-failed lim 2 sb1 warning")
		late("sb1", "")
		w.awaitAlarms(5*time.Second, failed)
		late("srv1", "")
		w.awaitAlarms(5 * time.Second)
	})
}
