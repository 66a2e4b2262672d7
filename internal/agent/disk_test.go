package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/services/servicestest"
)

// A disk that takes nothing stops no takeover and no return; it is told before it
// matters, and what was kept in memory reaches the disk when that takes it again.
func TestDiskWithoutRoom(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		sb1 := w.servers["sb1"]
		sb1.state.setFail(errBroken, nil)
		w.awaitAlarms(seenPeriod+time.Second, "disk-full lim 0 sb1 warning")
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		gap := w.watchGap(1, "sb1")
		w.kill("sb1") // what is in memory outlives the agent
		w.start("sb1")
		pass(5 * time.Second)
		w.await(1, "sb1", 0)
		if g := gap(); g > 0 {
			t.Errorf("the alias was missing for %s", g)
		}
		sb1.state.setFail(nil, nil)
		pass(2 * roomRetry)
		sb1.state.mu.Lock()
		saved := sb1.state.saved.LIMs[1]
		sb1.state.mu.Unlock()
		if saved.Term != 2 || !saved.Active {
			t.Errorf("on disk when it takes it again: %+v; want term 2, active", saved)
		}
		w.awaitAlarms(soon, "lim-on-standby lim 1 sb1 warning", "not-redundant lim 2 sb1 warning")
		w.neverTwice()
	})
}

// An agent that starts anew while neither disk nor memory takes anything goes on with
// what it runs: nothing new is to be kept.
func TestRestartWithoutAnyRoom(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		srv1 := w.servers["srv1"]
		srv1.state.setFail(errBroken, errBroken)
		gap, starts := w.watchGap(1, "srv1"), w.count("srv1", servicestest.VerbStart)
		w.kill("srv1")
		w.start("srv1")
		w.awaitAlarms(soon, "disk-full lim 0 srv1 critical")
		pass(10 * time.Second)
		w.await(1, "srv1", 0)
		if g := gap(); g > 0 {
			t.Errorf("the alias was missing for %s", g)
		}
		if n := w.count("srv1", servicestest.VerbStop); n > 0 {
			t.Errorf("the software was stopped %d times, started %d times", n, w.count("srv1", servicestest.VerbStart)-starts)
		}
		srv1.state.setFail(nil, nil)
		w.awaitAlarms(soon)
		w.neverTwice()
	})
}

// What fills up is told although nothing is to be written.
func TestRoomIsLookedFor(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		var full atomic.Bool
		w.wrap = func(m *machine, d Deps) Deps {
			if m.name == "sb1" {
				d.Room = func() error {
					if full.Load() {
						return errors.New("the file system of /var is full")
					}
					return nil
				}
			}
			return d
		}
		w.settled()
		full.Store(true)
		w.awaitAlarms(2*roomPeriod, "disk-full lim 0 sb1 warning")
		full.Store(false)
		w.awaitAlarms(2 * roomPeriod)
	})
}

// A state that cannot be read is told, and no start counts from nothing.
func TestStateThatIsLost(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		var broken atomic.Bool
		w.wrap = func(m *machine, d Deps) Deps {
			if m.name == "sb1" {
				d.State = &lostState{StateFile: d.State, broken: &broken}
			}
			return d
		}
		w.settled()
		for range 3 { // its terms are not the first ones any more
			w.movedToStandby(1)
			w.movedHome(1)
		}
		w.powerCut("sb1")
		w.powerCut("srv1")
		broken.Store(true)
		w.boot("sb1")
		w.await(1, "sb1", 3*time.Minute)
		w.boot("srv1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		contains(t, w.eventsFrom("srv2", events.Query{}), "sb1: what sb1 knew of its last run is lost: broken")
		w.awaitAlarms(soon, "lim-on-standby lim 1 sb1 warning", "state-lost lim 0 sb1 warning")
		w.neverTwice()
	})
}

// What others know of an earlier run, and this server does not, tells that it is lost.
func TestStateLostOverABoot(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		sb1 := w.servers["sb1"]
		sb1.state.setFail(errBroken, nil)
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(time.Second)
		w.powerCut("sb1")
		pass(5 * time.Second)
		sb1.state.setFail(nil, nil)
		w.boot("sb1")
		w.await(1, "sb1", 3*time.Minute)
		w.awaitAlarms(soon, "lim-on-standby lim 1 sb1 warning", "not-redundant lim 2 sb1 warning", "state-lost lim 0 sb1 warning")
		contains(t, w.eventsFrom("srv2", events.Query{}), "sb1: what sb1 knew of its last run is lost: srv2 knows that LIM 1 ran here under term 2")
	})
}

// lostState is a state that cannot be read for a while.
type lostState struct {
	StateFile
	broken *atomic.Bool
}

func (s *lostState) Load() (persisted, error) {
	if s.broken.Load() {
		return persisted{Version: stateVersion, LIMs: map[int]persistedLIM{}}, errBroken
	}
	return s.StateFile.Load()
}

// The later one of what was kept and what was saved counts.
func TestDiskStatePlaces(t *testing.T) {
	dir := t.TempDir()
	s := DiskState{Path: filepath.Join(dir, "disk"), Kept: filepath.Join(dir, "memory"), Boot: "b"}
	of := func(number, term uint64) persisted {
		return persisted{Version: stateVersion, Number: number, Boot: "b", LIMs: map[int]persistedLIM{1: {Term: term}}}
	}
	for _, step := range []struct {
		write func(persisted) error
		p     persisted
		want  uint64
	}{{s.Keep, of(1, 1), 1}, {s.Save, of(2, 2), 2}, {s.Keep, of(3, 3), 3}} {
		if err := step.write(step.p); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(); err != nil || got.LIMs[1].Term != step.want {
			t.Errorf("read %+v, %v; want term %d", got, err, step.want)
		}
	}
	if err := os.WriteFile(s.Path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(); err != nil || got.LIMs[1].Term != 3 {
		t.Errorf("with a damaged disk: %+v, %v; want what was kept in this boot", got, err)
	}
	if raw, err := os.ReadFile(s.Path + ".damaged"); err != nil || string(raw) != "garbage" {
		t.Errorf("the damaged file is not set aside: %q, %v", raw, err)
	}
}

// Whatever lies in the place of a state file, it is an error and no harm.
func TestStateFileThatIsNone(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a folder":     func(p string) error { return os.Mkdir(p, 0o755) },
		"a device":     func(p string) error { return os.Symlink("/dev/zero", p) },
		"far too long": func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<40)) },
		"noise":        func(p string) error { return os.WriteFile(p, []byte{0xff, 0, 1}, 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "agent.json")
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		got, err := DiskState{Path: path, Kept: path + ".kept", Boot: "b"}.Load()
		if err == nil || got.LIMs == nil || !strings.Contains(err.Error(), "the agent's state") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// movedHome moves a LIM back by order.
func (w *world) movedHome(lim int) {
	w.t.Helper()
	if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: lim, Now: true}); err != nil {
		w.t.Fatal(err)
	}
	w.await(lim, w.doc.RegularOf(lim).Name, soon)
}
