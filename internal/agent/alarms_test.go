package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
)

// alarmsOn lists the alarms that a server's status shows, as "1 lim-down lim 1 srv1 critical".
func (w *world) alarmsOn(server string) []string {
	w.t.Helper()
	var out []string
	for _, a := range w.alarmsSeen(server) {
		out = append(out, fmt.Sprintf("%s lim %d %s %s", a.Name, a.LIM, a.Server, a.Severity))
	}
	slices.Sort(out)
	return out
}

func (w *world) alarmsSeen(server string) []status.Alarm { return w.status(server).Clusters[0].Alarms }

// awaitAlarms lets time pass until the status of every server with an agent
// shows these alarms and no other, each under one handle.
func (w *world) awaitAlarms(within time.Duration, want ...string) {
	w.t.Helper()
	slices.Sort(want)
	var got []string
	for began := time.Now(); time.Since(began) <= within; pass(50 * time.Millisecond) {
		handles := map[string]bool{}
		same := true
		for name, m := range w.servers {
			if m.agent == nil || m.down {
				continue
			}
			got = w.alarmsOn(name)
			same = same && slices.Equal(got, want)
			for _, a := range w.alarmsSeen(name) {
				handles[fmt.Sprintf("%s %d %s %d", a.Name, a.LIM, a.Server, a.Handle)] = true
			}
		}
		if same && len(handles) == len(want) {
			return
		}
	}
	w.t.Fatalf("alarms after %s: %q, want %q on every server", within, got, want)
}

const (
	onStandby1  = "lim-on-standby lim 1 sb1 warning"
	outOfOrder  = "standby-out-of-order lim 0 sb1 warning"
	down1       = "lim-down lim 1 srv1 critical"
	inUse1      = "alias-in-use lim 1 srv1 critical"
	conflicting = "document-conflict lim 0  warning"
)

// The specification's alarm of a LIM on the standby comes with the takeover,
// keeps its handle over restarts of the agent, and goes with the fallback.
func TestAlarmOfALIMOnTheStandby(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.awaitAlarms(0)
		w.until(2*time.Second, "all is well without an alarm", func() bool { return w.status("srv2").Health == "ok" })
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		w.awaitAlarms(soon, onStandby1)
		st := w.status("srv2")
		was := st.Clusters[0].Alarms[0]
		if st.Health != "warning" || !strings.Contains(was.Text, "srv1 is down") {
			t.Errorf("health %s, alarm %+v", st.Health, was)
		}
		pass(time.Second)
		w.kill("sb1")
		w.start("sb1")
		w.await(1, "sb1", soon)
		w.awaitAlarms(soon, onStandby1)
		if a := w.alarmsSeen("srv2")[0]; a.Handle != was.Handle || !a.RaisedAt.Equal(was.RaisedAt) {
			t.Errorf("after a restart of the agent %+v, before %+v", a, was)
		}
		w.boot("srv1")
		w.await(1, "srv1", 20*time.Second)
		w.awaitAlarms(soon)
	})
}

// Both regular servers see that the standby is gone, and say so as one alarm.
func TestAlarmOfAStandbyOutOfOrder(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.powerCut("sb1")
		w.awaitAlarms(soon, outOfOrder)
		was := w.alarmsSeen("srv1")[0]
		w.kill("srv1")
		w.start("srv1")
		pass(20 * time.Second) // it waits for the standby, and does not know
		w.awaitAlarms(soon, outOfOrder)
		if a := w.alarmsSeen("srv1")[0]; a.Handle != was.Handle || !a.RaisedAt.Equal(was.RaisedAt) {
			t.Errorf("after a restart of the agent %+v, before %+v", a, was)
		}
		w.boot("sb1")
		w.awaitAlarms(soon)
	})
}

// A LIM that nobody serves is a critical alarm, whoever is there to raise it; a
// planned move raises none.
func TestAlarmOfALIMThatIsDown(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.movedToStandby(2)
		w.awaitAlarms(soon, "lim-on-standby lim 2 sb1 warning")
		w.edit("srv2", func(c *clusterconf.Cluster) {
			c.LIMs[0].Lock = &clusterconf.Lock{To: clusterconf.SideRegular, Since: time.Now().Add(time.Minute - lockedFor).UTC(), By: "test"}
		})
		pass(time.Second)
		w.powerCut("srv1")
		w.awaitAlarms(soon, "lim-on-standby lim 2 sb1 warning", down1)
		st := w.status("srv2")
		if st.Health != "critical" || !strings.Contains(st.Clusters[0].Alarms[1].Text, "locked") {
			t.Errorf("health %s, alarms %+v", st.Health, st.Clusters[0].Alarms)
		}
		pass(time.Minute) // and a lock that was forgotten
		w.awaitAlarms(soon, "lim-on-standby lim 2 sb1 warning", down1, "lock-left lim 1 srv1 warning")
		w.boot("srv1")
		w.awaitAlarms(10*time.Second, "lim-on-standby lim 2 sb1 warning", "lock-left lim 1 srv1 warning")
	})
}

// A standby tries again and again to take over a LIM whose alias a stranger uses: it does not say each
// time that the LIM is on the standby.
func TestNoAlarmOfEachTryToHaveAnAlias(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.foreignHost(w.alias(1))
		w.powerCut("srv1")
		w.awaitAlarms(15*time.Second, "alias-in-use lim 1 sb1 critical", down1)
		since := time.Now()
		pass(5 * foreignRetry)
		tries := 0
		for _, e := range w.eventsFrom("sb1", events.Query{Since: since}).Events {
			switch {
			case e.Kind == events.Alarm && e.Subject == string(alarms.LIMOnStandby):
				t.Errorf("alarm %s %s: %s", e.Subject, e.Is, e.Text)
			case e.Kind == events.State && e.Is == string(failover.Starting):
				tries++
			}
		}
		if tries < 4 {
			t.Errorf("it was tried %d times", tries)
		}
	})
}

// The alias is used by a stranger: the alarm names its MAC, until it is gone.
func TestAlarmOfAForeignHost(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		foreign := w.foreignHost(w.alias(1))
		w.start("srv1", "srv2", "sb1")
		w.await(2, "srv2", soon)
		w.awaitAlarms(10*time.Second, inUse1, down1)
		if text := w.alarmsSeen("sb1")[0].Text + w.alarmsSeen("sb1")[1].Text; !strings.Contains(text, "02:00:00:00:00:99") {
			t.Errorf("the alarm does not name the MAC: %s", text)
		}
		if err := foreign.Drop("eth0", w.alias(1)); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", soon)
		w.awaitAlarms(soon)
	})
}

// Two documents with one revision are told until somebody edits again.
func TestAlarmOfADocumentConflict(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.partition(true, "srv2", "sb1", "srv1")
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 1 })
		pass(time.Second)
		w.edit("srv2", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 2 })
		pass(100 * time.Millisecond)
		w.partition(false, "srv2", "sb1", "srv1")
		pass(10 * time.Second)
		if got := w.alarmsOn("srv2"); !slices.Contains(got, conflicting) {
			t.Errorf("alarms after two edits at once: %q", got)
		}
		w.edit("srv2", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 3 })
		pass(5 * time.Second)
		if got := w.alarmsOn("srv1"); slices.Contains(got, conflicting) {
			t.Errorf("alarms after the next edit: %q", got)
		}
	})
}

// A holder whose announcements fail says so.
func TestAlarmOfAFailedAnnouncement(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(burst[len(burst)-1]) // an announcement that goes well would end it
		a := w.servers["srv1"].agent
		a.post(func() { a.lims.of(1).alias.announcedBy(a.lims.of(1).alias.hold, time.Now(), errBroken) })
		w.awaitAlarms(soon, "announce-failed lim 1 srv1 warning")
		a.post(func() { a.lims.of(1).alias.announcedBy(a.lims.of(1).alias.hold, time.Now(), nil) })
		w.awaitAlarms(soon)
	})
}
