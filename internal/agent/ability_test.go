package agent

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/services"
)

// checked gives LIM 1 a check, and tells what it says on each server; "": it passes.
type checked struct {
	mu    sync.Mutex
	says  map[string]string
	roles map[string]string // that it was told last
}

// withCheck has LIM 1 of a world have a check.
func (w *world) withCheck() *checked {
	c := &checked{says: map[string]string{}, roles: map[string]string{}}
	w.doc.LIMs[0].Checks = []string{"exec:/trunk"}
	for _, m := range w.servers {
		if _, err := m.store.Edit(w.t.Context(), clusterconf.Change{By: "test"}, func(d *clusterconf.Document) error { return d.SetChecks(1, []string{"exec:/trunk"}) }); err != nil {
			w.t.Fatal(err)
		}
	}
	w.wrap = func(m *machine, d Deps) Deps {
		d.Ability = func(_ context.Context, l *clusterconf.LIM, env services.Env) (failed, unknown string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.roles[env.Server] = env.Role
			if !slices.Equal(l.Checks, []string{"exec:/trunk"}) || env.LIM != 1 {
				return "", "asked about something else"
			}
			return c.says[m.name], ""
		}
		return d
	}
	return c
}

func (c *checked) on(server, says string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.says[server] = says
}

const trunkDown = "check /trunk: trunk 3 is down"

// A LIM leaves a server whose check fails for the standby as in a planned move, after three
// failures; it falls back when the check passes again, and the next time only when that has
// held for a while.
func TestUnfitServerGivesItsLIMToTheStandby(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		c := w.withCheck()
		w.settled()
		pass(3 * time.Second)
		w.wantRedundant("yes")
		c.on("srv1", trunkDown)
		w.staysOn(1, []string{"srv1"}, 1500*time.Millisecond)
		w.await(1, "sb1", 5*time.Second)
		pass(3 * time.Second)
		w.wantRedundant("no: srv1 is unfit: " + trunkDown)
		if l := w.status("sb1").LIM(1); !strings.HasPrefix(l.Reason, "srv1 is unfit: "+trunkDown) {
			t.Errorf("the reason is %q", l.Reason)
		}
		if a := w.alarmOf("sb1", alarms.Unfit); a == nil || a.Server != "srv1" || a.Severity != "warning" {
			t.Errorf("the alarm is %+v", a)
		}
		w.staysOn(1, []string{"sb1"}, 30*time.Second)
		c.on("srv1", "")
		w.await(1, "srv1", 10*time.Second)
		pass(3 * time.Second)
		w.wantRedundant("yes")
		if a := w.alarmOf("sb1", alarms.Unfit); a != nil {
			t.Errorf("fit again: %+v", a)
		}
		c.mu.Lock()
		if c.roles["srv1"] != "active" || c.roles["sb1"] != "passive" {
			t.Errorf("the checks were told %v", c.roles)
		}
		c.mu.Unlock()

		c.on("srv1", trunkDown)
		w.await(1, "sb1", 10*time.Second)
		c.on("srv1", "")
		w.staysOn(1, []string{"sb1"}, 110*time.Second)
		w.await(1, "srv1", time.Minute)
		w.neverTwice()
	})
}

// An unfit standby takes nothing over, and says so beforehand; it gives the LIM that it runs back.
func TestUnfitStandbyPromisesNothing(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		c := w.withCheck()
		w.settled()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", 10*time.Second)
		c.on("sb1", trunkDown)
		w.await(1, "srv1", 10*time.Second)
		pass(3 * time.Second)
		w.wantRedundant("no: sb1 is unfit: " + trunkDown)
		w.refused("srv1", control.Order{Kind: control.OrderFailover, LIM: 1})
		w.powerCut("srv1")
		pass(time.Second)
		w.staysOn(1, nil, 30*time.Second)
		w.await(2, "srv2", time.Second)
		c.on("sb1", "")
		w.await(1, "sb1", 10*time.Second)
		w.neverTwice()
	})
}

// Where both sides are unfit the LIM stays where it is.
func TestUnfitOnBothSidesMovesNothing(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		c := w.withCheck()
		w.settled()
		c.on("srv1", trunkDown)
		c.on("sb1", trunkDown)
		w.staysOn(1, []string{"srv1"}, 30*time.Second)
		if a := w.alarmOf("srv1", alarms.Unfit); a == nil || w.status("srv1").Health != "critical" {
			t.Errorf("the alarm is %+v", a)
		}
		w.neverTwice()
	})
}

// Checks are run anew when the document has others, and none are run once they are taken off.
func TestChecksFollowTheDocument(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		c := w.withCheck()
		w.settled()
		c.on("sb1", trunkDown)
		pass(10 * time.Second)
		w.wantRedundant("no: sb1 is unfit")
		w.change("srv1", func(d *clusterconf.Document) error { return d.SetChecks(1, []string{"exec:/other"}) })
		pass(5 * time.Second)
		w.wantRedundant("unknown: whether sb1 is fit is not known: asked about something else")
		w.change("srv1", func(d *clusterconf.Document) error { return d.SetChecks(1, nil) })
		pass(3 * time.Second)
		w.wantRedundant("yes")
	})
}
