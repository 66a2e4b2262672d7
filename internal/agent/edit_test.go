package agent

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// editVia has an edit handed in at a server, as a command there does.
func (w *world) editVia(server string, fn func(*clusterconf.Document)) (*control.EditResult, error) {
	w.t.Helper()
	m := w.servers[server]
	before, err := m.store.Read()
	if err != nil {
		w.t.Fatal(err)
	}
	d := before.Clone()
	fn(d)
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	return m.agent.Edit(ctx, control.EditRequest{Base: clusterconf.Hash(before), Document: clusterconf.Encode(d), Change: clusterconf.Change{By: "test", On: server, Command: "test"}})
}

// editWhenPossible does so as soon as it is accepted.
func (w *world) editWhenPossible(server string, within time.Duration, fn func(*clusterconf.Document)) *control.EditResult {
	w.t.Helper()
	var err error
	for began := time.Now(); time.Since(began) <= within; pass(100 * time.Millisecond) {
		var res *control.EditResult
		if res, err = w.editVia(server, fn); err == nil {
			return res
		}
	}
	w.t.Fatalf("an edit on %s is not carried out within %s: %v", server, within, err)
	return nil
}

func priority(lim, p int) func(*clusterconf.Document) {
	return func(d *clusterconf.Document) { d.ClusterOfLIM(lim).Member(lim).Priority = p }
}

func (w *world) stored(server string) *clusterconf.Document {
	w.t.Helper()
	d, err := w.servers[server].store.Read()
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// An edit is carried out where edits are made, whichever server it is handed in on; of
// two that were planned on one document one is refused.
func TestEditIsPassedOn(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		for i, server := range []string{"sb1", "srv2", "srv1"} {
			res, err := w.editVia(server, priority(1, 50+i))
			if err != nil || res.Server != "srv1" {
				t.Fatalf("on %s: %+v, %v", server, res, err)
			}
			pass(soon)
			if d := w.sameDocument(uint64(2 + i)); d.Clusters[0].LIMs[0].Priority != 50+i || d.Changed.On != server || d.Epoch != 0 {
				t.Errorf("after an edit on %s: %+v, epoch %d", server, d.Changed, d.Epoch)
			}
		}
		results := make(chan error, 2)
		for _, server := range []string{"sb1", "srv2"} {
			go func() { _, err := w.editVia(server, priority(2, 7+len(server))); results <- err }()
		}
		first, second := <-results, <-results
		if first == nil {
			first, second = second, first
		}
		if second != nil || fault.CodeOf(first) != fault.Busy {
			t.Errorf("two edits of one document: %v and %v, want one and Busy", first, second)
		}
	})
}

// Where the editor is dead the standby takes its place, with a new epoch that all who are
// heard accept; when it is back it follows. What is not heard is not touched, but may be
// removed.
func TestEditInTheEditorsPlace(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		if res := w.editWhenPossible("srv2", 10*time.Second, priority(2, 8)); res.Server != "sb1" {
			t.Errorf("carried out on %s, want the standby", res.Server)
		}
		pass(soon)
		if d := w.stored("srv2"); d.Epoch != 1 || d.Editor != "sb1" {
			t.Errorf("epoch %d, editor %q", d.Epoch, d.Editor)
		}
		_, err := w.editVia("sb1", func(d *clusterconf.Document) { d.Server("srv1").Interface = "eth7" })
		if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "srv1") {
			t.Errorf("an edit of what is not heard: %v", err)
		}
		w.editWhenPossible("srv2", 0, priority(1, 70))
		w.boot("srv1")
		pass(5 * time.Second)
		d := w.sameDocument(3)
		if d.Epoch != 1 {
			t.Errorf("a second edit in the same place raised the epoch to %d", d.Epoch)
		}
		if res, err := w.editVia("srv1", priority(1, 71)); err != nil || res.Server != "sb1" {
			t.Errorf("an edit on the former editor: %+v, %v", res, err)
		}
		pass(soon)
		w.awaitAlarms(soon, onStandby1)
		w.neverTwice()
	})
}

// An agent that was stopped, or cannot be told from one, is not replaced as the editor.
func TestEditorWhoseServerAnswers(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("srv1")
		pass(time.Second)
		_, err := w.editVia("sb1", priority(2, 9))
		if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "srv1") {
			t.Errorf("got %v", err)
		}
	})
}

// Two islands that edit are told of it on both when they hear each other again: one
// document is in force, the other kept, and the next edit goes above both.
func TestIslandsAreTold(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.partition(true, "srv1", "sb1", "srv2")
		w.await(1, "sb1", 10*time.Second)
		w.editWhenPossible("srv2", 10*time.Second, priority(2, 60))
		for i := range 5 { // the island of the editor makes more
			if _, err := w.servers["srv1"].store.Edit(w.t.Context(), clusterconf.Change{By: "test", On: "srv1"}, func(d *clusterconf.Document) error {
				priority(1, 30+i)(d)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.servers["srv1"].agent.Reload(w.t.Context())
		w.partition(false, "srv1", "sb1", "srv2")
		pass(10 * time.Second)
		d := w.sameDocument(2)
		if d.Epoch != 1 || d.ClusterOfLIM(2).Member(2).Priority != 60 {
			t.Errorf("in force is epoch %d, revision %d", d.Epoch, d.Revision)
		}
		for _, server := range []string{"srv1", "sb1"} {
			text := ""
			for _, a := range w.alarmsSeen(server) {
				if a.Name == "document-conflict" {
					text = a.Text
				}
			}
			if !strings.Contains(text, "revision 2, changed on srv2, is in force; revision 6, changed on srv1, is not") {
				t.Errorf("%s is told %q", server, text)
			}
			kept, err := w.servers[server].store.ReadRevision(6)
			if err != nil || kept.ClusterOfLIM(1).Member(1).Priority != 34 {
				t.Errorf("%s has not kept the other document: %v", server, err)
			}
		}
		w.editWhenPossible("srv1", time.Second, priority(1, 99))
		pass(soon)
		w.sameDocument(7)
		for _, a := range w.alarmsSeen("sb1") {
			if a.Name == "document-conflict" {
				t.Errorf("still told after the next edit: %q", a.Text)
			}
		}
	})
}

// A server that was removed while it was away is told, takes its alias off, stops its
// LIM and idles, until it is added again.
func TestRemovedServerIdles(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.powerCut("srv2")
		w.await(2, "sb1", 10*time.Second)
		w.editWhenPossible("sb1", time.Second, func(d *clusterconf.Document) {
			if err := d.BeginLeave("c1", "srv2", 2); err != nil {
				t.Error(err)
			}
		})
		for began := time.Now(); w.stored("sb1").ClusterOfLIM(2) != nil; pass(100 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("the LIM of the dead server does not leave")
			}
		}
		pass(soon)
		w.editWhenPossible("sb1", time.Second, func(d *clusterconf.Document) {
			if err := d.RemoveServer("srv2"); err != nil {
				t.Error(err)
			}
		})
		pass(soon)
		removed := w.stored("sb1").Revision
		w.boot("srv2")
		pass(10 * time.Second)
		st := w.status("srv2")
		if !strings.Contains(st.Removed, fmt.Sprint("removed from the system at revision ", removed)) || st.Health != "unknown" {
			t.Errorf("health %s, said %q", st.Health, st.Removed)
		}
		here, err := w.servers["srv2"].kernel.Addresses("eth0")
		if err != nil || len(here) != 1 || here[0].Prefix != netip.MustParsePrefix("192.0.2.22/24") {
			t.Errorf("it has %v (%v), want its base alone", here, err)
		}
		if got := w.software("srv2"); got == "running" {
			t.Errorf("its software is %s", got)
		}
		if _, err := w.editVia("srv2", priority(1, 5)); fault.CodeOf(err) != fault.Refused {
			t.Errorf("it takes edits: %v", err)
		}
		w.editWhenPossible("srv1", time.Second, func(d *clusterconf.Document) {
			if err := d.AddServer(clusterconf.Server{Name: "srv2", Base: netip.MustParsePrefix("192.0.2.22/24"), Interface: "eth0"}); err != nil {
				t.Error(err)
			}
		})
		pass(3 * time.Second)
		if st := w.status("srv2"); st.Removed != "" {
			t.Errorf("added again it says %q", st.Removed)
		}
	})
}

// On a server that was removed, too, a document that was broken by hand is healed once,
// from the one in which the server is no more.
func TestRemovedServerHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Servers = append(doc.Servers, clusterconf.Server{Name: "free1", Base: netip.MustParsePrefix("192.0.2.60/24"), Interface: "eth0"})
		w := newWorldOf(t, doc)
		defer w.close()
		w.start("sb1", "srv1", "srv2", "free1")
		w.await(1, "srv1", soon)
		w.editWhenPossible("sb1", time.Second, func(d *clusterconf.Document) {
			if err := d.RemoveServer("free1"); err != nil {
				t.Error(err)
			}
		})
		pass(soon)
		for _, write := range []func([]byte) []byte{breakText, func(text []byte) []byte {
			return bytes.Replace(text, []byte("priority: 100"), []byte("priority: 7"), 1)
		}} {
			w.scribble("free1", write)
			pass(brokenFor + 10*time.Second)
			w.sameDocument(2)
		}
		if kept := w.aside("free1"); len(kept) != 2 {
			t.Errorf("%d texts were set aside, want those two", len(kept))
		}
		if st := w.status("free1"); st.Removed == "" {
			t.Error("it does not know any more that it was removed")
		}
	})
}
