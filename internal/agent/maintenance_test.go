package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/status"
)

// change edits the document on one server as a command does, and waits until all have it.
func (w *world) change(on string, edit func(*clusterconf.Document) error) {
	w.t.Helper()
	if _, err := w.servers[on].store.Edit(w.t.Context(), clusterconf.Change{By: "test"}, edit); err != nil {
		w.t.Fatal(err)
	}
	if err := w.servers[on].agent.Reload(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	pass(3 * time.Second)
}

func (w *world) drain(on, server string, d time.Duration) {
	w.t.Helper()
	w.change(on, func(doc *clusterconf.Document) error {
		until := time.Now().Add(d)
		return doc.DrainServer(server, time.Now(), "test", "new disk", &until, false)
	})
}

func (w *world) undrain(on, server string) {
	w.t.Helper()
	w.change(on, func(doc *clusterconf.Document) error { return doc.UndrainServer(server) })
}

// alarmOf returns an alarm of a name as one server shows it; nil: there is none.
func (w *world) alarmOf(on string, name alarms.Name) *status.Alarm {
	st := w.status(on)
	i := slices.IndexFunc(st.Clusters[0].Alarms, func(a status.Alarm) bool { return a.Name == string(name) })
	if i < 0 {
		return nil
	}
	return &st.Clusters[0].Alarms[i]
}

// redundant says whether LIM 1 is covered, as a server shows it, and why not.
func (w *world) redundant(on string) string {
	switch l := w.status(on).LIM(1); {
	case l.Redundant == nil:
		return "unknown: " + l.RedundantWhy
	case *l.Redundant:
		return "yes"
	default:
		return "no: " + l.RedundantWhy
	}
}

func (w *world) wantRedundant(want string) {
	w.t.Helper()
	for _, on := range []string{"sb1", "srv1"} {
		if w.servers[on].agent == nil {
			continue
		}
		if got := w.redundant(on); !strings.HasPrefix(got, want) {
			w.t.Errorf("%s shows redundant %q, want %q", on, got, want)
		}
	}
}

// A drained regular server gives its LIM to the standby, which keeps it: nothing starts on
// the drained one, also when the standby dies. Undrained, the fallback type decides.
func TestDrainedRegularServer(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		pass(3 * time.Second)
		w.wantRedundant("yes")
		w.drain("srv2", "srv1", time.Minute)
		w.await(1, "sb1", 10*time.Second)
		w.staysOn(1, []string{"sb1"}, 20*time.Second)
		w.refused("srv1", control.Order{Kind: control.OrderFallback, LIM: 1, Now: true})
		w.wantRedundant("no: srv1 is drained until")
		if a := w.alarmOf("srv2", alarms.LIMOnStandby); a == nil || !a.Expected {
			t.Errorf("lim-on-standby is %+v", a)
		}
		if a := w.alarmOf("srv2", alarms.DrainLeft); a != nil {
			t.Errorf("before its end: %+v", a)
		}
		pass(time.Minute)
		w.staysOn(1, []string{"sb1"}, 5*time.Second)
		if a := w.alarmOf("srv2", alarms.DrainLeft); a == nil || a.Expected || a.Server != "srv1" {
			t.Errorf("after its end drain-left is %+v", a)
		}
		w.powerCut("sb1")
		pass(time.Second)
		w.staysOn(1, nil, 20*time.Second)
		w.boot("sb1")
		w.await(1, "sb1", 40*time.Second)
		w.undrain("srv2", "srv1")
		w.await(1, "srv1", 10*time.Second)
		pass(3 * time.Second)
		w.wantRedundant("yes")
		if a := w.alarmOf("srv2", alarms.DrainLeft); a != nil {
			t.Errorf("undrained: %+v", a)
		}
		w.neverTwice()
	})
}

// A drained standby gives the LIM that it runs back, where fallback is manual too, and
// takes nothing over.
func TestDrainedStandby(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", 10*time.Second)
		w.drain("srv2", "sb1", time.Hour)
		w.await(1, "srv1", 10*time.Second)
		pass(2 * time.Second)
		w.wantRedundant("no: sb1 is drained until")
		if h := w.status("sb1").Health; h != "warning" {
			t.Errorf("health is %s", h)
		}
		w.refused("srv1", control.Order{Kind: control.OrderFailover, LIM: 1, Now: true})
		w.powerCut("srv1")
		pass(time.Second)
		w.staysOn(1, nil, 20*time.Second)
		w.undrain("srv2", "sb1")
		w.await(1, "sb1", 10*time.Second)
		w.neverTwice()
	})
}

// In a frozen cluster nothing is taken over and nothing falls back until the freeze ends by
// itself; what is ordered moves.
func TestFrozenCluster(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.change("srv2", func(doc *clusterconf.Document) error {
			until := time.Now().Add(2 * time.Minute)
			return doc.FreezeCluster("c1", time.Now(), "test", "new switch", &until)
		})
		w.wantRedundant("no: cluster c1 is frozen until")
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", 10*time.Second)
		w.staysOn(1, []string{"sb1"}, 10*time.Second)
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", 10*time.Second)
		w.powerCut("srv1")
		pass(time.Second)
		w.staysOn(1, nil, 30*time.Second)
		w.await(1, "sb1", 2*time.Minute)
		w.neverTwice()
	})
}

// Automatic fallback waits for its window, by the clock of the standby.
func TestFallbackWindow(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		opens := time.Now().Add(2 * time.Minute)
		minute := opens.Hour()*60 + opens.Minute()
		w.change("srv2", func(doc *clusterconf.Document) error {
			return doc.ChangeCluster("c1", clusterconf.ChangeSpec{FallbackWindow: &clusterconf.Window{From: minute, To: (minute + 60) % (24 * 60)}})
		})
		w.powerCut("srv1")
		w.await(1, "sb1", 10*time.Second)
		w.boot("srv1")
		pass(20 * time.Second)
		w.staysOn(1, []string{"sb1"}, 20*time.Second)
		if l := w.status("sb1").LIM(1); l.Fallback.HeldForMs == 0 {
			t.Errorf("fallback is %+v", l.Fallback)
		}
		w.await(1, "srv1", 2*time.Minute)
		w.neverTwice()
	})
}

// What follows from a drain is expected; that a LIM is down is not.
func TestExpectedOfDrains(t *testing.T) {
	d := worldDocument(manual)
	d.Server("srv1").Drained = &clusterconf.Maintenance{Since: time.Now()}
	for _, tt := range []struct {
		c    alarms.Condition
		want bool
	}{
		{alarms.Condition{Name: alarms.LIMOnStandby, LIM: 1, Server: "sb1"}, true},
		{alarms.Condition{Name: alarms.LIMOnStandby, LIM: 2, Server: "sb1"}, false},
		{alarms.Condition{Name: alarms.DataBehind, LIM: 1, Server: "srv1"}, true},
		{alarms.Condition{Name: alarms.AgentStopped, Server: "srv1"}, true},
		{alarms.Condition{Name: alarms.AgentStopped, Server: "srv2"}, false},
		{alarms.Condition{Name: alarms.LIMDown, LIM: 1, Server: "srv1"}, false},
		{alarms.Condition{Name: alarms.DocumentConflict}, false},
	} {
		if got := expected(d, []alarms.Condition{tt.c})[0].Expected; got != tt.want {
			t.Errorf("%+v: expected is %t", tt.c, got)
		}
	}
}
