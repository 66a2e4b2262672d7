package agent

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/status"
)

// shelf has a service of each SPEC on each server of a world.
type shelf struct {
	mu  sync.Mutex
	all map[string]*servicestest.Fake
}

// shelves has the services of LIMs made by their SPECs.
func (w *world) shelves() *shelf {
	s := &shelf{all: map[string]*servicestest.Fake{}}
	w.wrap = func(m *machine, d Deps) Deps {
		d.Software = func(l *clusterconf.LIM, _ clusterconf.Side) (services.Set, error) {
			var set services.Set
			for _, service := range l.Services {
				set = append(set, s.of(m.name, l.Number, service.Run))
			}
			return set, nil
		}
		return d
	}
	return s
}

func (s *shelf) of(server string, lim int, spec string) *servicestest.Fake {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(server, lim, spec)
	if s.all[key] == nil {
		s.all[key] = &servicestest.Fake{Name: spec}
	}
	return s.all[key]
}

// up says which services of LIM 1 run on a server, of some.
func (s *shelf) up(server string, specs ...string) string {
	var up []string
	for _, spec := range specs {
		if s.of(server, 1, spec).State() == services.Running {
			up = append(up, spec)
		}
	}
	return strings.Join(up, " ")
}

// setServices gives LIM 1 other software.
func (w *world) setServices(server string, specs ...string) {
	w.t.Helper()
	m := w.servers[server]
	_, err := m.store.Edit(w.t.Context(), clusterconf.Change{By: "test", On: server, Command: "lim set 1"}, func(d *clusterconf.Document) error {
		var list []clusterconf.Service
		for _, s := range specs {
			list = append(list, clusterconf.Service{Run: s})
		}
		return d.SetServices(1, list)
	})
	if err == nil && m.agent != nil {
		err = m.agent.Reload(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

var threeSpecs = []string{"exec:/lim", "exec:/new", "exec:/more"}

// Services of a LIM that runs are added and removed on whichever side it is; what is
// neither goes on untouched.
func TestSoftwareIsChangedWhileItRuns(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		s := w.shelves()
		w.settled()
		for _, server := range []string{"srv1", "sb1"} {
			old := s.of(server, 1, "exec:/lim")
			gap := w.watchGap(1, server)
			w.setServices("srv2", "exec:/new", "exec:/lim", "exec:/more")
			pass(3 * time.Second)
			if got := s.up(server, threeSpecs...); got != "exec:/lim exec:/new exec:/more" {
				t.Errorf("up on %s after two were added: %s", server, got)
			}
			w.setServices("srv2", "exec:/lim")
			pass(3 * time.Second)
			if got := s.up(server, threeSpecs...); got != "exec:/lim" {
				t.Errorf("up on %s after two were removed: %s", server, got)
			}
			for _, call := range old.Calls() {
				if call.Verb == servicestest.VerbStop {
					t.Errorf("what was neither added nor removed was stopped on %s", server)
				}
			}
			if g := gap(); g > 0 {
				t.Errorf("the alias was missing for %s", g)
			}
			if server == "srv1" {
				w.movedToStandby(1)
			}
		}
		contains(t, w.eventsFrom("srv2", events.Query{LIM: 1}), "srv1: the software of LIM 1 was changed: srv1 starts exec:/new, exec:/more",
			"srv1: the software of LIM 1 was changed: srv1 stops exec:/new, exec:/more")
	})
}

// A service that was added and does not start is told and tried again; the LIM stays
// where it is, also when its agent or its other software starts anew.
func TestAddedServiceThatDoesNotStart(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		s := w.shelves()
		w.settled()
		bad := s.of("srv1", 1, "exec:/new")
		bad.Script(servicestest.VerbStart, servicestest.Step{Err: errors.New("no licence")})
		w.setServices("srv1", "exec:/lim", "exec:/new")
		const raised = "not-redundant lim 1 srv1 warning"
		w.awaitAlarms(10*time.Second, raised)
		w.await(1, "srv1", 0)
		if st := w.status("srv2"); !strings.Contains(readyWhy(st, "srv1"), "exec:/new does not start: no licence") {
			t.Errorf("why srv1 is not ready: %q", readyWhy(st, "srv1"))
		}
		w.kill("srv1")
		w.start("srv1")
		w.awaitAlarms(10*time.Second, raised)
		s.of("srv1", 1, "exec:/lim").SetState(services.Stopped) // it crashes
		pass(10 * time.Second)
		w.await(1, "srv1", 0)
		if got := s.up("srv1", threeSpecs...); got != "exec:/lim" {
			t.Errorf("up: %s", got)
		}
		bad.Script(servicestest.VerbStart, servicestest.Step{})
		w.awaitAlarms(retryLongest)
		if got := s.up("srv1", threeSpecs...); got != "exec:/lim exec:/new" {
			t.Errorf("up in the end: %s", got)
		}
		w.neverTwice()
	})
}

// Where nothing of the new software starts, nothing serves: the LIM has failed there.
func TestAllServicesReplacedInVain(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		s := w.shelves()
		w.settled()
		s.of("srv1", 1, "exec:/new").Script(servicestest.VerbStart, servicestest.Step{Err: errors.New("no licence")})
		w.setServices("srv1", "exec:/new")
		w.await(1, "sb1", 2*time.Minute)
		if got := s.up("srv1", threeSpecs...) + "," + s.up("sb1", threeSpecs...); got != ",exec:/new" {
			t.Errorf("up on srv1 and sb1: %s", got)
		}
	})
}

// What an edit removes while the agent is away does not stay behind.
func TestServiceRemovedWhileTheAgentIsAway(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		s := w.shelves()
		w.settled()
		w.setServices("srv1", "exec:/lim", "exec:/new")
		pass(3 * time.Second)
		w.kill("srv1")
		w.setServices("srv1", "exec:/lim", "exec:/more")
		w.start("srv1")
		pass(5 * time.Second)
		w.await(1, "srv1", 0)
		if got := s.up("srv1", threeSpecs...); got != "exec:/lim exec:/more" {
			t.Errorf("up: %s", got)
		}
	})
}

// The passive side of a preloaded cluster follows, too.
func TestSoftwareOfThePassiveSideIsChanged(t *testing.T) {
	inPreloadedWith(t, func(w *world, s *shelf) {
		w.setServices("srv1", "exec:/lim", "exec:/new")
		pass(5 * time.Second)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		for _, server := range []string{"srv1", "sb1"} {
			if got := s.up(server, threeSpecs...); got != "exec:/lim exec:/new" {
				t.Errorf("up on %s after one was added: %s", server, got)
			}
		}
		w.setServices("srv1", "exec:/new")
		pass(5 * time.Second)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		for _, server := range []string{"srv1", "sb1"} {
			if got := s.up(server, threeSpecs...); got != "exec:/new" {
				t.Errorf("up on %s after one was removed: %s", server, got)
			}
		}
		w.await(1, "srv1", 0)
	})
}

// Software that cannot be seen goes on, and is told; what would keep it from starting on
// the other side is seen before it is needed.
func TestSoftwareUnseenAndUnable(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		s := w.shelves()
		w.settled()
		soft := s.of("srv1", 1, "exec:/lim")
		stops := countOf(soft, servicestest.VerbStop)
		soft.Script(servicestest.VerbCheck, servicestest.Step{Err: errors.New("the bus is away")})
		soft.SetState(services.Unknown)
		pass(30 * time.Second)
		w.await(1, "srv1", 0)
		if st := w.status("sb1"); !strings.Contains(readyWhy(st, "srv1"), "the software of LIM 1 cannot be seen: the bus is away") {
			t.Errorf("why srv1 is not ready: %q", readyWhy(st, "srv1"))
		}
		soft.SetState(services.Running)
		soft.Script(servicestest.VerbCheck, servicestest.Step{})
		pass(5 * time.Second)
		if st := w.status("sb1"); readyWhy(st, "srv1") != "" {
			t.Errorf("why srv1 is not ready: %q", readyWhy(st, "srv1"))
		}
		if n := countOf(soft, servicestest.VerbStop) - stops; n != 0 {
			t.Errorf("it was stopped %d times", n)
		}
		s.of("sb1", 1, "exec:/lim").Script(servicestest.VerbAble, servicestest.Step{Err: errors.New("program /lim does not exist")})
		w.awaitAlarms(10*time.Second, "not-redundant lim 1 sb1 warning")
		if st := w.status("srv2"); st.Health != "warning" || !strings.Contains(readyWhy(st, "sb1"), "LIM 1 cannot start") {
			t.Errorf("health %s, why sb1 is not ready: %q", st.Health, readyWhy(st, "sb1"))
		}
		s.of("sb1", 1, "exec:/lim").Script(servicestest.VerbAble, servicestest.Step{})
		w.awaitAlarms(10 * time.Second)
	})
}

// inPreloadedWith is inPreloaded with services made by their SPECs.
func inPreloadedWith(t *testing.T, f func(w *world, s *shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Clusters[0].Failover = clusterconf.FailoverPreloaded
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		w := newWorldOf(t, doc)
		w.watchers.Add(1)
		go w.watchAliases()
		defer w.close()
		s := w.shelves()
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", soon)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		f(w, s)
		w.neverTwice()
	})
}

// readyWhy is why a server is not ready, by a status.
func readyWhy(st *status.ClusterStatus, server string) string {
	for _, s := range st.Clusters[0].Servers {
		if s.Name == server && s.Ready != nil && !*s.Ready {
			return s.ReadyWhy
		}
	}
	return ""
}

// countOf counts the calls of one kind that a service received.
func countOf(f *servicestest.Fake, verb servicestest.Verb) int {
	n := 0
	for _, c := range f.Calls() {
		if c.Verb == verb {
			n++
		}
	}
	return n
}
