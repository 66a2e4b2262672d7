package agent

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
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
