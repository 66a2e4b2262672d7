package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/status"
)

// stage is where a server rehearses: what runs there outlives the agent, until it is over
// or is ended.
type stage struct {
	takes  time.Duration // a rehearsal
	ending time.Duration // what it takes to end one

	mu     sync.Mutex
	gone   chan struct{} // closed when what is there has ended; nil: nothing is there
	result failover.Rehearsal
	lims   []int             // that were rehearsed
	ended  map[int]time.Time // when one of a LIM first came to its end
}

func (s *stage) rehearse(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
	gone := make(chan struct{})
	s.mu.Lock()
	if s.gone != nil {
		s.mu.Unlock()
		return failover.Rehearsal{}, errors.New("two at once")
	}
	s.gone, s.lims = gone, append(s.lims, spec.LIM.Number)
	r, takes := s.result, s.takes
	s.mu.Unlock()
	go func() {
		select {
		case <-gone:
		case <-time.After(takes):
			s.through(spec.LIM.Number)
			s.end(gone)
		}
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		return failover.Rehearsal{}, ctx.Err()
	}
	r.Version = spec.Version
	return r, nil
}

// through notes that a rehearsal of a LIM came to its end.
func (s *stage) through(lim int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = map[int]time.Time{}
	}
	if s.ended[lim].IsZero() {
		s.ended[lim] = time.Now()
	}
}

// end ends what is there, if it is that.
func (s *stage) end(what chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil && (what == nil || what == s.gone) {
		close(s.gone)
		s.gone = nil
	}
}

func (s *stage) endAll(limit time.Duration) error {
	if s.taken() {
		s.mu.Lock()
		ending := s.ending
		s.mu.Unlock()
		pass(min(ending, limit))
	}
	s.end(nil)
	return nil
}

// taken reports whether something runs there.
func (s *stage) taken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone != nil
}

func (s *stage) rehearsed() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lims)
}

func (s *stage) set(result failover.RehearsalResult, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result = failover.Rehearsal{Result: result, Text: text}
	if result == failover.RehearsalOK {
		s.result.StartMs = 4100
	}
}

// staged gives the standby a stage, and starts all agents.
func (w *world) staged() *stage {
	w.t.Helper()
	st := &stage{takes: 5 * time.Second, ending: 40 * time.Millisecond}
	st.set(failover.RehearsalOK, "healthy")
	w.servers["sb1"].stage = st
	w.settled()
	pass(3 * time.Second)
	return st
}

// rehearse orders a rehearsal, and waits until it runs.
func (w *world) rehearse(st *stage, via string, lim int) {
	w.t.Helper()
	res, err := w.order(via, control.Order{Kind: control.OrderRehearse, LIM: lim, By: "test"})
	if err != nil || !res.Accepted || res.Target != "sb1" {
		w.t.Fatalf("the order gives %+v, %v", res, err)
	}
	w.until(3*time.Second, "it is rehearsed", st.taken)
}

// lastRehearsal is what a server shows of the last one of a LIM.
func (w *world) lastRehearsal(on string, lim int) status.StatusRehearsal {
	if r := w.status(on).LIM(lim).Rehearsal; r != nil {
		return *r
	}
	return status.StatusRehearsal{}
}

// noStart fails the test if software was started on the standby while something was on stage.
func (w *world) noStart(st *stage) {
	w.t.Helper()
	if st.taken() {
		w.t.Error("the stage is taken")
	}
	if n := w.count("sb1", servicestest.VerbStart); n != 0 {
		w.t.Errorf("software was started %d times", n)
	}
}

// A rehearsal that was ordered on any server is carried out by the standby, which counts
// as free meanwhile, and shown by all.
func TestRehearsalByOrder(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		st := w.staged()
		w.servers["sb1"].setData(&failover.Data{Version: "xdata_1_20260301020000"})
		pass(2 * time.Second)
		if l := w.status("srv1").LIM(1); l.Rehearsal != nil || l.Takeover == nil || l.Takeover.Start != nil {
			t.Errorf("before, the status shows %+v, %+v", l.Rehearsal, l.Takeover)
		}
		w.rehearse(st, "srv2", 1)
		if again, err := w.order("srv1", control.Order{Kind: control.OrderRehearse, LIM: 1}); err != nil || !again.Already {
			t.Errorf("ordered again: %+v, %v", again, err)
		}
		w.wantRedundant("yes")
		if got := w.status("sb1").LIM(1); got.Side != "regular" || len(w.holders(1)) != 1 {
			t.Errorf("meanwhile it is %+v", got)
		}
		pass(st.takes + 2*time.Second)
		for _, on := range []string{"sb1", "srv1", "srv2"} {
			l := w.status(on).LIM(1)
			if r := l.Rehearsal; r == nil || r.Result != "ok" || r.StartMs == nil || *r.StartMs != 4100 || r.Version == nil || *r.Version != "xdata_1_20260301020000" {
				t.Errorf("%s shows %+v", on, r)
			}
			if l.Takeover == nil || l.Takeover.Start == nil || *l.Takeover.Start != 4100 {
				t.Errorf("%s shows %+v for a takeover", on, l.Takeover)
			}
		}
		w.noStart(st)
	})
}

// A takeover ends what is rehearsed at once, be it of the same LIM or of another one, and
// starts its software when that is gone.
func TestTakeoverEndsARehearsal(t *testing.T) {
	took := map[int]time.Duration{}
	for _, rehearsed := range []int{0, 1, 2} {
		inWorld(t, manual, func(w *world) {
			st := w.staged()
			if rehearsed != 0 {
				w.rehearse(st, "sb1", rehearsed)
			}
			taken := false
			w.servers["sb1"].soft.Script(servicestest.VerbStart, servicestest.Step{})
			at := w.powerCut("srv1")
			w.until(5*time.Second, "the software is started", func() bool {
				taken = st.taken()
				return w.count("sb1", servicestest.VerbStart) > 0
			})
			if taken {
				t.Errorf("it was started while LIM %d was on stage", rehearsed)
			}
			took[rehearsed] = time.Since(at)
			w.await(1, "sb1", time.Second)
			pass(time.Second)
			if rehearsed != 0 {
				if r := w.lastRehearsal("sb1", rehearsed); r.Result != "aborted" || !strings.Contains(r.Text, "LIM 1 starts") {
					t.Errorf("LIM %d: %+v", rehearsed, r)
				}
			}
			if _, err := w.order("sb1", control.Order{Kind: control.OrderRehearse, LIM: 2}); fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "LIM 1 is running") {
				t.Errorf("a standby that serves takes an order to rehearse: %v", err)
			}
		})
	}
	for lim, d := range took {
		if d > took[0]+100*time.Millisecond {
			t.Errorf("with LIM %d on stage it took %s, without one %s", lim, d, took[0])
		}
	}
}

// An agent that starts takes nothing that was rehearsed for its LIM: it ends it.
func TestRehearsalOfADeadAgentIsEnded(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		st := w.staged()
		st.takes = time.Hour
		var mu sync.Mutex
		said := false // before anything was started
		m := w.servers["sb1"]
		m.state.mu.Lock()
		m.state.seen = func(p persisted) {
			mu.Lock()
			defer mu.Unlock()
			said = said || p.Rehearsing == 1 && !st.taken()
		}
		m.state.mu.Unlock()
		w.rehearse(st, "sb1", 1)
		mu.Lock()
		if !said {
			t.Error("the state did not say it before")
		}
		mu.Unlock()
		w.kill("sb1")
		if !st.taken() {
			t.Fatal("it ended with its agent")
		}
		w.start("sb1")
		w.until(time.Second, "it is ended", func() bool { return !st.taken() })
		pass(5 * time.Second)
		if r := w.lastRehearsal("srv1", 1); r.Result != "aborted" {
			t.Errorf("it is shown as %+v", r)
		}
		if l := w.status("sb1").LIM(1); l.Side != "regular" {
			t.Errorf("LIM 1 is %+v", l)
		}
		w.noStart(st)
	})
}

// An agent that starts beside what is left of a rehearsal takes over only when that is gone.
func TestTakeoverAfterADeadAgentsRehearsal(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		st := w.staged()
		st.takes = time.Hour
		w.rehearse(st, "sb1", 2)
		w.kill("sb1")
		w.powerCut("srv1")
		w.start("sb1")
		w.await(1, "sb1", time.Minute)
		if st.taken() {
			t.Error("the stage is taken")
		}
	})
}

func TestRehearsalEndsWithItsAgent(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		st := w.staged()
		w.rehearse(st, "sb1", 1)
		m := w.servers["sb1"]
		m.cancel()
		<-m.ended
		m.agent = nil
		if st.taken() {
			t.Error("it goes on")
		}
		w.start("sb1")
		pass(5 * time.Second)
		if r := w.lastRehearsal("sb1", 1); r.Result != "aborted" || !strings.Contains(r.Text, "stop") {
			t.Errorf("it is shown as %+v", r)
		}
	})
}

func TestRehearsalEndsWhereItsStandbyIsDrained(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		st := w.staged()
		st.takes = time.Minute
		w.rehearse(st, "sb1", 1)
		w.drain("sb1", "sb1", time.Hour)
		if r := w.lastRehearsal("sb1", 1); st.taken() || r.Result != "aborted" || !strings.Contains(r.Text, "drained") {
			t.Errorf("it is shown as %+v", r)
		}
		if _, err := w.order("sb1", control.Order{Kind: control.OrderRehearse, LIM: 1}); fault.CodeOf(err) != fault.Refused {
			t.Errorf("a drained standby takes an order to rehearse: %v", err)
		}
	})
}

// A failed rehearsal is an alarm until a later one succeeds, or nobody consents any more;
// one that is aborted changes nothing of it.
func TestFailedRehearsalIsAnAlarm(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		st := w.staged()
		run := func(result failover.RehearsalResult, text string) {
			t.Helper()
			st.set(result, text)
			w.rehearse(st, "sb1", 1)
			pass(st.takes + 2*time.Second)
		}
		raised := func(want bool) {
			t.Helper()
			if a := w.alarmOf("srv1", alarms.RehearsalFailed); (a != nil) != want || a != nil && !strings.Contains(a.Text, "no licence") {
				t.Errorf("the alarm is %+v", a)
			}
		}
		w.change("sb1", func(d *clusterconf.Document) error { return d.SetRehearsable(1, true) })
		raised(false)
		run(failover.RehearsalFailed, "no licence")
		raised(true)
		w.rehearse(st, "sb1", 1)
		w.drain("sb1", "sb1", time.Hour)
		w.undrain("sb1", "sb1")
		if r := w.lastRehearsal("sb1", 1); r.Result != "aborted" {
			t.Errorf("it is shown as %+v", r)
		}
		raised(true)
		run(failover.RehearsalOK, "")
		raised(false)
		run(failover.RehearsalFailed, "no licence")
		raised(true)
		w.change("sb1", func(d *clusterconf.Document) error { return d.SetRehearsable(1, false) })
		raised(false)
		run(failover.RehearsalFailed, "no licence")
		raised(true)
		run(failover.RehearsalSkipped, "does not consent")
		raised(false)
	})
}

// Each LIM of a cluster that wants it is rehearsed once in a night, one after the other.
func TestNightlyRehearsals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, worldDocument(manual))
		defer w.close()
		begins, _ := rehearsal.Night("c1", time.Now().Add(24*time.Hour))
		pass(time.Until(begins) - time.Minute)
		st := w.staged()
		st.takes = 10 * time.Second
		w.edit("sb1", func(c *clusterconf.Cluster) { c.Rehearse = clusterconf.RehearseNightly })
		pass(30 * time.Second)
		if got := st.rehearsed(); len(got) != 0 {
			t.Errorf("before the night %v were rehearsed", got)
		}
		pass(3 * time.Minute)
		if got := st.rehearsed(); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("%v were rehearsed", got)
		}
		w.noStart(st)
	})
}

// How long a LIM took to start on the standby is told also where it was in earnest.
func TestStartTimeOfATakeoverIsTold(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.staged()
		w.servers["sb1"].soft.Script(servicestest.VerbStart, servicestest.Step{After: 700 * time.Millisecond})
		w.powerCut("srv1")
		w.await(1, "sb1", 5*time.Second)
		w.boot("srv1")
		pass(10 * time.Second)
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", 5*time.Second)
		pass(3 * time.Second)
		if l := w.status("srv2").LIM(1); l.Takeover == nil || l.Takeover.Start == nil || *l.Takeover.Start != 700 {
			t.Errorf("it shows %+v", l.Takeover)
		}
		if w.software("sb1") != services.Stopped {
			t.Error("it runs on the standby")
		}
	})
}
