package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// scribble has somebody write to a server's document by hand.
func (w *world) scribble(server string, f func(text []byte) []byte) {
	w.t.Helper()
	m := w.servers[server]
	text, err := os.ReadFile(m.store.Path)
	if err == nil {
		err = os.WriteFile(m.store.Path, f(text), 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	_ = m.agent.Reload(w.t.Context()) // as when the file is seen to have changed; its error is what the test is about
}

// aside returns what was set aside beside a server's document.
func (w *world) aside(server string) [][]byte {
	w.t.Helper()
	files, err := filepath.Glob(w.servers[server].store.Path + ".set-aside-*")
	if err != nil {
		w.t.Fatal(err)
	}
	var out [][]byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

func breakText(text []byte) []byte {
	return bytes.Replace(text, []byte("fallback:"), []byte("fallbak:"), 1)
}

// A document that was broken by hand is told on every server with its line and word,
// and heals by itself from what the agent works by; what was written is kept.
func TestBrokenDocumentIsToldAndHeals(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.scribble("sb1", breakText)
		w.awaitAlarms(soon, "document-unreadable lim 0 sb1 warning")
		st := w.status("srv1")
		text := st.Clusters[0].Alarms[0].Text
		if !strings.Contains(text, "cluster.yaml:") || !strings.Contains(text, "fallbak") || st.Health != "warning" {
			t.Errorf("health %s, alarm %q: want file, line and word", st.Health, text)
		}
		if s := serverOf(st, "sb1"); s.Ready == nil || *s.Ready {
			t.Errorf("sb1 is shown as ready: %v %q", s.Ready, s.ReadyWhy)
		}
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority++ }) // does not reach sb1 yet
		pass(brokenFor - 10*time.Second)
		if _, err := w.servers["sb1"].store.Read(); err == nil {
			t.Error("the document was replaced while somebody may be at it")
		}
		pass(20 * time.Second)
		w.awaitAlarms(soon)
		w.sameDocument(2)
		if kept := w.aside("sb1"); len(kept) != 1 || !bytes.Contains(kept[0], []byte("fallbak")) {
			t.Errorf("%d texts were set aside, want the broken one", len(kept))
		}
		w.neverTwice()
	})
}

// So does one that lost its end and makes sense all the same: no command goes by it.
func TestDocumentCutShortHeals(t *testing.T) {
	for name, end := range map[string]string{"without its cluster": "clusters:", "in a number": "priority: 1"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				cut := func(text []byte) []byte { return text[:bytes.LastIndex(text, []byte(end))+len(end)] }
				if end == "clusters:" {
					cut = func(text []byte) []byte { return text[:bytes.Index(text, []byte(end))] }
				}
				w.scribble("srv1", cut)
				w.awaitAlarms(soon, "document-unreadable lim 0 srv1 warning")
				if text := w.status("sb1").Clusters[0].Alarms[0].Text; !strings.Contains(text, "cut short") {
					t.Errorf("the alarm says %q", text)
				}
				if _, err := w.servers["srv1"].store.Edit(t.Context(), clusterconf.Change{By: "test"}, func(*clusterconf.Document) error { return nil }); fault.CodeOf(err) != fault.Invalid {
					t.Errorf("an edit begins with what is left: %v", err)
				}
				pass(brokenFor + 5*time.Second)
				w.awaitAlarms(soon)
				if d := w.sameDocument(1); len(d.Clusters) != 1 {
					t.Errorf("%d clusters are left", len(d.Clusters))
				}
				w.neverTwice()
			})
		})
	}
}

// So does one that is gone, also when the agent starts anew meanwhile.
func TestLostDocumentHeals(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("srv1")
		if err := os.Remove(w.servers["srv1"].store.Path); err != nil {
			t.Fatal(err)
		}
		w.start("srv1")
		w.await(1, "srv1", soon)
		w.awaitAlarms(soon, "document-unreadable lim 0 srv1 warning")
		pass(brokenFor + 5*time.Second)
		w.awaitAlarms(soon)
		w.sameDocument(1)
		w.neverTwice()
	})
}

// A valid edit by hand becomes a revision where edits are made, and is set aside
// elsewhere: it is never a silent difference.
func TestEditByHand(t *testing.T) {
	slower := func(text []byte) []byte {
		return bytes.Replace(text, []byte("priority: 100"), []byte("priority: 77"), 1)
	}
	older := func(text []byte) []byte {
		return bytes.Replace(slower(text), []byte("revision: 2"), []byte("revision: 1"), 1)
	}
	tests := []struct {
		name, server string
		write        func([]byte) []byte
		revision     uint64
		priority     int
		aside        int
	}{
		{"where edits are made", "srv1", slower, 3, 77, 0},
		{"elsewhere", "sb1", slower, 2, 100, 1},
		{"an older one", "srv1", older, 2, 100, 1},
		{"without its cluster", "srv1", func(text []byte) []byte {
			return append(text[:bytes.Index(text, []byte("clusters:"))], "# none\n"...)
		}, 2, 100, 1},
		{"comments", "sb1", func(text []byte) []byte { return append(text, "# mine\n"...) }, 2, 100, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				w.edit("srv1", func(c *clusterconf.Cluster) { c.FailoverAfter = clusterconf.Duration(3 * time.Second) })
				pass(soon)
				w.scribble(test.server, test.write)
				pass(byHandFor + soon)
				d := w.sameDocument(test.revision)
				if got := d.Clusters[0].LIMs[0].Priority; got != test.priority {
					t.Errorf("priority %d, want %d", got, test.priority)
				}
				if n := len(w.aside(test.server)); n != test.aside {
					t.Errorf("%d texts were set aside, want %d", n, test.aside)
				}
				w.awaitAlarms(soon)
			})
		})
	}
}

// A document that was edited while the agent was stopped is treated as one that was
// edited while it runs: no hash decides between the two.
func TestEditByHandWhileStopped(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("sb1")
		path := w.servers["sb1"].store.Path
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, bytes.Replace(text, []byte("priority: 100"), []byte("priority: 77"), 1), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.start("sb1")
		pass(byHandFor + soon)
		w.sameDocument(1)
		if n := len(w.aside("sb1")); n != 1 {
			t.Errorf("%d texts were set aside, want 1", n)
		}
		w.awaitAlarms(soon)
	})
}

// One of another system that was put there while the agent was stopped is never in
// force, and goes again.
func TestDocumentOfAnotherSystem(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("srv1")
		path := w.servers["srv1"].store.Path
		other := worldDocument(automatic)
		other.System, other.Revision, other.Clusters = "ANOTHER", 50, nil
		if err := os.WriteFile(path, clusterconf.Encode(other), 0o644); err != nil {
			t.Fatal(err)
		}
		w.start("srv1")
		w.await(1, "srv1", soon)
		w.awaitAlarms(soon, "document-unreadable lim 0 srv1 warning")
		if st := w.status("srv1"); st.Revision != 1 || len(st.Clusters) != 1 {
			t.Errorf("in force is revision %d, with %d clusters", st.Revision, len(st.Clusters))
		}
		pass(brokenFor + 5*time.Second)
		w.awaitAlarms(soon)
		w.sameDocument(1)
		if kept := w.aside("srv1"); len(kept) != 1 || !bytes.Contains(kept[0], []byte("ANOTHER")) {
			t.Errorf("%d texts were set aside, want that document", len(kept))
		}
		w.neverTwice()
	})
}

// A server that cannot store the present document is told of, by itself and by those
// who hear it; at once it is not shown as ready, for it takes nothing over.
func TestServerThatStaysBehind(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.wrap = func(m *machine, d Deps) Deps {
			if m.name == "sb1" {
				d.Documents = fullDocuments{d.Documents}
			}
			return d
		}
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority++ })
		began := time.Now()
		for _, server := range []string{"sb1", "srv1"} {
			for s := serverOf(w.status(server), "sb1"); s.Ready == nil || *s.Ready; s = serverOf(w.status(server), "sb1") {
				if time.Since(began) > documentLate/2 {
					t.Fatalf("sb1 is shown as ready on %s: %v %q", server, s.Ready, s.ReadyWhy)
				}
				pass(time.Millisecond)
			}
		}
		w.awaitAlarms(documentLate+soon, "document-behind lim 0 sb1 warning")
	})
}

// An agent that is stopped is told of at once, not when its lease ends.
func TestStoppedAgentIsTold(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.stop("srv1", false)
		w.awaitAlarms(time.Second, "agent-stopped lim 0 srv1 warning")
		w.start("srv1")
		w.awaitAlarms(soon)
		w.kill("srv1") // its kernel answers
		w.awaitAlarms(silentFor+soon, "agent-stopped lim 0 srv1 warning", onStandby1)
		w.neverTwice()
	})
}

// fullDocuments are a store that takes no other server's document.
type fullDocuments struct{ Documents }

func (fullDocuments) Adopt(context.Context, *clusterconf.Encoded) (clusterconf.Adoption, error) {
	return clusterconf.Adoption{}, errBroken
}

// serverOf returns what a status says of a server.
func serverOf(st *status.ClusterStatus, name string) status.StatusServer {
	for _, s := range st.Clusters[0].Servers {
		if s.Name == name {
			return s
		}
	}
	return status.StatusServer{}
}
