package agent

import (
	"sync/atomic"
	"testing"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// notice says on one server that an alarm is known, or clears it.
func (w *world) notice(server string, r control.NoticeRequest) (*control.NoticeResult, error) {
	return w.servers[server].agent.Notice(w.t.Context(), r)
}

// seen is how a server shows an alarm; nil: it does not.
func (w *world) seen(server string, name alarms.Name) *status.Alarm {
	w.t.Helper()
	for _, a := range w.alarmsSeen(server) {
		if a.Name == string(name) {
			return &a
		}
	}
	return nil
}

// An alarm that is noticed on one server is so on every one, also after its agents start
// anew, and counts no more; raised anew it counts again.
func TestNoticeIsKnownEverywhere(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.powerCut("sb1")
		w.until(soon, "srv1 and srv2 raise it", func() bool {
			return w.seen("srv1", alarms.StandbyOutOfOrder) != nil && w.seen("srv2", alarms.StandbyOutOfOrder) != nil
		})
		handle := w.seen("srv1", alarms.StandbyOutOfOrder).Handle
		r, err := w.notice("srv2", control.NoticeRequest{Handle: handle, By: "anna", Comment: "a new disk"})
		if err != nil || r.Already || r.Alarm.Name != string(alarms.StandbyOutOfOrder) || !r.Alarm.Noticed {
			t.Fatalf("%+v, %v", r, err)
		}
		noticed := func(server string) bool {
			a := w.seen(server, alarms.StandbyOutOfOrder)
			return a != nil && a.Noticed && a.Notice.By == "anna" && a.Notice.Comment == "a new disk" && !a.Counts()
		}
		w.until(soon, "both know it", func() bool { return noticed("srv1") && noticed("srv2") })
		if r, err := w.notice("srv1", control.NoticeRequest{Handle: handle, By: "bert", Comment: "a new disk"}); err != nil || !r.Already {
			t.Errorf("noticed again: %+v, %v", r, err)
		}
		pass(2 * time.Second) // so that state files are written
		w.kill("srv1")
		w.start("srv1")
		w.until(soon, "srv1 knows it after a start", func() bool { return noticed("srv1") })

		w.boot("sb1")
		w.until(soon, "the alarm ends", func() bool { return w.seen("srv1", alarms.StandbyOutOfOrder) == nil })
		pass(time.Minute)
		w.powerCut("sb1")
		w.until(soon, "it is raised anew and counts", func() bool {
			a := w.seen("srv1", alarms.StandbyOutOfOrder)
			return a != nil && a.Handle != handle && a.Counts()
		})
	})
}

// What goes on is not cleared; what is past is, by one word, on every server.
func TestClearEndsWhatIsPast(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		var broken atomic.Bool
		w.wrap = func(m *machine, d Deps) Deps {
			if m.name == "srv2" {
				d.State = &lostState{StateFile: d.State, broken: &broken}
			}
			return d
		}
		w.settled()
		w.powerCut("sb1")
		w.until(soon, "it is raised", func() bool { return w.seen("srv1", alarms.StandbyOutOfOrder) != nil })
		if _, err := w.notice("srv1", control.NoticeRequest{Handle: w.seen("srv1", alarms.StandbyOutOfOrder).Handle, Clear: true}); fault.CodeOf(err) != fault.Refused {
			t.Errorf("cleared what goes on: %v", err)
		}
		if _, err := w.notice("srv1", control.NoticeRequest{Handle: 999}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("noticed what is not there: %v", err)
		}
		w.boot("sb1")
		w.until(soon, "the standby is back", func() bool { return w.seen("srv1", alarms.StandbyOutOfOrder) == nil })
		w.powerCut("srv2")
		broken.Store(true)
		w.boot("srv2")
		w.until(3*time.Minute, "the loss is told everywhere", func() bool { return w.seen("srv1", alarms.StateLost) != nil })
		if _, err := w.notice("srv1", control.NoticeRequest{Handle: w.seen("srv1", alarms.StateLost).Handle, By: "anna", Clear: true}); err != nil {
			t.Fatal(err)
		}
		w.until(soon, "it ends everywhere", func() bool { return w.seen("srv1", alarms.StateLost) == nil && w.seen("srv2", alarms.StateLost) == nil })
		pass(10 * time.Second)
		if w.seen("srv2", alarms.StateLost) != nil {
			t.Error("it came back")
		}
	})
}
