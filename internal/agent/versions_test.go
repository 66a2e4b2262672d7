package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
	"mxcluster/internal/status"
)

// Each agent tells what its version understands. A server with an older one is told of, and by
// others, too, while it is down and after their agents were started anew.
func TestServerWithAnOlderVersionIsTold(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(versionSettles + soon)
		w.awaitAlarms(soon)
		w.old = map[string]bool{"srv1": true}
		w.kill("srv1")
		w.start("srv1")
		w.awaitAlarms(versionSettles+soon, "version-behind lim 0 srv1 warning")
		s := serverOf(w.status("sb1"), "srv1")
		if s.Version == nil || *s.Version != "test" || s.Levels == nil || *s.Levels != levels.Oldest() {
			t.Errorf("sb1 knows version %v and levels %v of srv1", s.Version, s.Levels)
		}
		w.powerCut("srv1")
		w.kill("sb1")
		w.start("sb1")
		pass(time.Second)
		if s := serverOf(w.status("sb1"), "srv1"); s.Levels == nil || *s.Levels != levels.Oldest() {
			t.Errorf("an agent that was started anew knows levels %v of srv1, which is down", s.Levels)
		}
	})
}

// An edit that a server cannot read is refused where it would be stored, whoever sends it; that
// server gets no such document.
func TestEditThatAServerCannotReadIsRefused(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.old = map[string]bool{"sb1": true}
		w.settled()
		next := w.doc.Clone()
		if err := next.FreezeCluster("c1", time.Now(), "ann", "", nil); err != nil {
			t.Fatal(err)
		}
		edit := func() error {
			_, err := w.servers["srv1"].agent.Edit(w.t.Context(), control.EditRequest{Base: clusterconf.Hash(w.doc), Document: clusterconf.Encode(next)})
			return err
		}
		if err := edit(); fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "level 2 of the cluster document, which sb1 cannot read") {
			t.Errorf("the edit: %v", err)
		}
		if err := next.LeaveBehind("sb1", true); err != nil {
			t.Fatal(err)
		}
		if err := edit(); err != nil {
			t.Errorf("once sb1 is left behind: %v", err)
		}
		pass(5 * time.Second)
		if got := w.redundant("srv1"); !strings.Contains(got, "sb1 is left behind") {
			t.Errorf("a cluster whose standby is left behind: %s", got)
		}
	})
}

// A newer document that this version cannot read is told on every server, with its line, once; the
// cluster is not redundant meanwhile, and what runs goes on.
func TestDocumentOfAnotherServerThatCannotBeRead(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(time.Second)
		a := w.servers["sb1"].agent
		text := strings.Replace(string(clusterconf.Encode(w.doc)), "system:", "level: 99\nsystem:", 1)
		onLoop(t, a, func() {
			a.docs.askedFor = clusterconf.Age{Revision: w.doc.Revision + 1}
			for range 3 {
				a.docs.documentHeard("srv1", []byte(text))
			}
		})
		pass(soon)
		for _, on := range []string{"sb1", "srv1"} {
			st := w.status(on)
			i := slices.IndexFunc(st.Clusters[0].Alarms, func(x status.Alarm) bool { return x.Name == "document-unreadable" && x.Server == "sb1" })
			if i < 0 || !strings.Contains(st.Clusters[0].Alarms[i].Text, "the document of srv1:6:8: the document is of level 99") {
				t.Errorf("%s shows alarms %+v", on, st.Clusters[0].Alarms)
			}
			if st.Health == "ok" {
				t.Errorf("%s shows that all is well", on)
			}
			if got := w.redundant(on); !strings.HasPrefix(got, "no: sb1 could not do its part: it cannot read the others' cluster document") {
				t.Errorf("%s shows redundant %q", on, got)
			}
		}
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority++ })
		pass(unreadFor + soon)
		w.awaitAlarms(soon)
		w.wantRedundant("yes")
	})
}
