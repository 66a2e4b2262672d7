package agent

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/rotation"
	"mxcluster/internal/settings"
)

// memoryKeys is a file of keys that survives agents.
type memoryKeys struct {
	mu   sync.Mutex
	keys settings.Keys
	fail error
}

func (m *memoryKeys) Load() (settings.Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys, nil
}

func (m *memoryKeys) Replace(old, keys settings.Keys) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fail != nil:
		return m.fail
	case !m.keys.Equal(old):
		return fault.New(fault.Busy, "", "gossip.key was edited meanwhile")
	}
	m.keys = keys
	return nil
}

func (m *memoryKeys) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// edit changes the file behind the agent's back.
func (m *memoryKeys) edit(keys settings.Keys) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = keys
}

// troubledKeys are those of a server whose disk may be in trouble.
type troubledKeys struct {
	rotation.File
	x *trouble
}

func (k *troubledKeys) Replace(old, keys settings.Keys) error {
	if err := k.x.write(&k.x.store); err != nil {
		return err
	}
	return k.File.Replace(old, keys)
}

// rotate orders a rotation on a server.
func (w *world) rotate(on string) *control.KeyInfo {
	w.t.Helper()
	info, err := w.servers[on].agent.RotateKey(w.t.Context(), control.KeyRequest{By: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return info
}

// awaitStage lets time pass until a rotation has come so far, as a server sees it.
func (w *world) awaitStage(on string, stage control.KeyStage, within time.Duration) *control.KeyInfo {
	w.t.Helper()
	var info *control.KeyInfo
	for began := time.Now(); time.Since(began) <= within; pass(10 * time.Millisecond) {
		var err error
		if info, err = w.servers[on].agent.Keys(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if info.Stage == stage {
			return info
		}
	}
	w.t.Fatalf("%s sees the rotation %s after %s, not %s: waits for %s", on, info.Stage, within, stage, info.Waiting())
	return nil
}

// oneKey fails the test unless every server has one key, the same, in its file; it
// returns its fingerprint.
func (w *world) oneKey() string {
	w.t.Helper()
	var first settings.Keys
	for _, s := range w.doc.Servers {
		keys, _ := w.servers[s.Name].keys.Load()
		if first == nil {
			first = keys
		}
		if len(keys) != 1 || !keys.Equal(first) {
			w.t.Errorf("%s has keys %v, want one, and the same as %v", s.Name, keys.Fingerprints(), first.Fingerprints())
		}
	}
	return first[0].Fingerprint()
}

// nothingLost fails the test if, since the servers settled, anybody missed anybody.
func (w *world) nothingLost() {
	w.t.Helper()
	w.neverTwice()
	for _, s := range w.doc.Servers {
		if m := w.servers[s.Name]; m.agent != nil {
			for _, e := range w.eventsFrom(s.Name, events.Query{}).Events {
				if e.Kind == events.Server && e.Is != string(failover.Alive) {
					w.t.Errorf("%s: %s", s.Name, e.Text)
				}
			}
		}
	}
}

func TestKeyRotation(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		before := w.oneKey()
		info := w.rotate("srv1")
		if !info.Begun || info.Stage != control.KeysSpreading || info.Target == before {
			t.Errorf("begun %v, %s, target %s", info.Begun, info.Stage, info.Target)
		}
		if again := w.rotate("srv2"); again.Begun && again.Target != info.Target {
			t.Log("srv2 had not heard of it yet") // both are rotations then, and end in one
		}
		w.awaitStage("srv1", control.KeysSettled, 15*time.Second)
		pass(5 * time.Second)
		if after := w.oneKey(); after == before {
			t.Errorf("the key is %s as before", after)
		}
		w.nothingLost()
	})
}

// TestKeyRotationWaits has a server be down: the rotation waits for it, says so, and
// goes on when it is back with the former key alone.
func TestKeyRotationWaits(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.powerCut("srv2")
		w.await(2, "sb1", soon)
		before := w.oneKey()
		target := w.rotate("srv1").Target
		pass(11 * time.Minute) // long enough for the alarm
		for _, on := range []string{"srv1", "sb1"} {
			info := w.awaitStage(on, control.KeysSpreading, 0)
			if got := info.Waiting(); got != "srv2 (is down)" {
				t.Errorf("%s waits for %q", on, got)
			}
			if info.Target != target || info.Keys[0].Fingerprint != before || len(info.Keys) != 2 {
				t.Errorf("%s has keys %v", on, info.Keys)
			}
		}
		if again := w.rotate("sb1"); again.Begun || again.Target != target {
			t.Errorf("given again: begun %v, target %s, want %s", again.Begun, again.Target, target)
		}
		w.awaitAlarms(soon, "lim-on-standby lim 2 sb1 warning", "not-redundant lim 1 sb1 warning", "key-rotation lim 0  warning")
		w.boot("srv2")
		w.awaitStage("srv2", control.KeysSettled, 40*time.Second)
		pass(5 * time.Second)
		if got := w.oneKey(); got != target {
			t.Errorf("the key is %s, want %s", got, target)
		}
	})
}

// TestKeyRotationsAtOnce orders one on every server in the same instant.
func TestKeyRotationsAtOnce(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		targets := map[string]bool{}
		for _, s := range w.doc.Servers {
			targets[w.rotate(s.Name).Target] = true
		}
		if len(targets) != 3 {
			t.Fatalf("%d rotations begun, want 3", len(targets))
		}
		w.awaitStage("srv1", control.KeysSettled, 20*time.Second)
		pass(5 * time.Second)
		if got := w.oneKey(); !targets[got] {
			t.Errorf("the key is %s, none of those that were ordered", got)
		}
		w.nothingLost()
	})
}

// TestKeyRotationKilled kills each agent in turn at every moment of a rotation, for
// it to be started again a while later.
func TestKeyRotationKilled(t *testing.T) {
	for _, victim := range []string{"srv1", "srv2", "sb1"} {
		for after := time.Duration(0); after < 5*time.Second; after += 700 * time.Millisecond {
			t.Run(victim+" after "+after.String(), func(t *testing.T) {
				inWorld(t, manual, func(w *world) {
					w.settled()
					target := w.rotate("srv1").Target
					pass(after)
					w.kill(victim)
					pass(1200 * time.Millisecond)
					w.start(victim)
					w.awaitStage("srv2", control.KeysSettled, 40*time.Second)
					pass(5 * time.Second)
					if got := w.oneKey(); got != target {
						t.Errorf("the key is %s, want %s", got, target)
					}
					w.await(1, "srv1", 0)
					w.await(2, "srv2", 0)
					w.neverTwice()
				})
			})
		}
	}
}

// TestKeyRotationOnAFullDisk waits for a server that cannot write, and names it.
func TestKeyRotationOnAFullDisk(t *testing.T) {
	full := errors.New("no space left on device")
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["srv1"].keys.failWith(full)
		if _, err := w.servers["srv1"].agent.RotateKey(w.t.Context(), control.KeyRequest{}); !errors.Is(err, full) {
			t.Errorf("a rotation that cannot begin: %v", err)
		}
		w.servers["srv1"].keys.failWith(nil)
		w.servers["sb1"].keys.failWith(full)
		target := w.rotate("srv1").Target
		pass(time.Minute)
		info := w.awaitStage("srv2", control.KeysSpreading, 0)
		if got := info.Waiting(); got != "sb1 (cannot: no space left on device)" {
			t.Errorf("it waits for %q", got)
		}
		w.servers["sb1"].keys.failWith(nil)
		w.awaitStage("srv1", control.KeysSettled, 15*time.Second)
		pass(5 * time.Second)
		if got := w.oneKey(); got != target {
			t.Errorf("the key is %s, want %s", got, target)
		}
		if k := w.awaitStage("sb1", control.KeysSettled, 0); k.Servers[0].Failed != "" {
			t.Errorf("still said to fail: %+v", k.Servers[0])
		}
		w.nothingLost()
	})
}

// TestKeyRotationAndANewServer adds a server to the document after everybody has the
// new key, which then waits for that one, too.
func TestKeyRotationAndANewServer(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		target := w.rotate("srv1").Target
		w.awaitStage("srv1", control.KeysSwitching, 5*time.Second)
		m := w.servers["srv1"]
		if _, err := m.store.Edit(w.t.Context(), clusterconf.Change{By: "test"}, func(d *clusterconf.Document) error {
			return d.AddServer(clusterconf.Server{Name: "srv9", Base: netip.MustParsePrefix("192.0.2.29/24"), Interface: "eth0"})
		}); err != nil {
			t.Fatal(err)
		}
		if err := m.agent.Reload(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		info := w.awaitStage("srv2", control.KeysSpreading, 0)
		if got := info.Waiting(); got != "srv9 (was not heard)" {
			t.Errorf("it waits for %q", got)
		}
		if len(info.Keys) != 2 || info.Target != target {
			t.Errorf("keys %v", info.Keys)
		}
	})
}

// TestKeysEditedByHand exchanges the key as one would with an editor on each server,
// which no agent undoes.
func TestKeysEditedByHand(t *testing.T) {
	one, two := settings.Key{Secret: make([]byte, 32)}, settings.Key{Secret: bytes.Repeat([]byte{2}, 32)}
	inWorld(t, manual, func(w *world) {
		w.settled()
		for _, keys := range []settings.Keys{{one, two}, {two, one}, {two}} {
			for _, s := range w.doc.Servers {
				m := w.servers[s.Name]
				m.keys.edit(keys)
				if err := m.agent.Reload(w.t.Context()); err != nil {
					t.Fatal(err)
				}
				pass(time.Minute)
				if got, _ := m.keys.Load(); !got.Equal(keys) {
					t.Errorf("%s: edited to %v, is %v", s.Name, keys.Fingerprints(), got.Fingerprints())
				}
			}
		}
		w.nothingLost()
		// Edited, but nobody told the agent: it does not write over that.
		w.servers["srv1"].keys.edit(settings.Keys{two, one})
		if _, err := w.servers["srv1"].agent.RotateKey(w.t.Context(), control.KeyRequest{}); fault.CodeOf(err) != fault.Busy {
			t.Errorf("a rotation over an edited file: %v", err)
		}
	})
}

// TestReinstalledWithTheFormerKey brings a server back, in the middle of a rotation,
// that has lost the new key: the others return to the former one until it has it again.
func TestReinstalledWithTheFormerKey(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		former, _ := w.servers["srv2"].keys.Load()
		w.rotate("srv1")
		w.awaitStage("srv1", control.KeysEnding, 10*time.Second)
		w.kill("srv2")
		w.servers["srv2"].keys.edit(former)
		w.start("srv2")
		w.awaitStage("srv2", control.KeysSettled, 60*time.Second)
		pass(10 * time.Second)
		w.awaitStage("srv1", control.KeysSettled, 60*time.Second)
		w.oneKey()
		w.await(2, "srv2", 0)
	})
}

func TestUnwantedKeys(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		before, now := w.oneKey(), time.Now()
		for _, m := range []*rotation.Message{
			nil, {}, {Secret: make([]byte, 31), Made: now}, {Secret: bytes.Repeat([]byte{1}, 32)}, {Secret: make([]byte, 32), Made: now},
		} {
			w.servers["srv1"].agent.post(func() { w.servers["srv1"].agent.gossipKeys.heard("srv2", m) })
		}
		w.servers["srv1"].agent.post(func() {
			w.servers["srv1"].agent.gossipKeys.heard("(joining 1234)", &rotation.Message{Secret: bytes.Repeat([]byte{1}, 32), Made: now})
		})
		pass(time.Minute)
		if got := w.oneKey(); got != before {
			t.Errorf("the key is %s, want %s as before", got, before)
		}
	})
}
