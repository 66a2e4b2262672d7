package agent

import (
	"testing"
	"time"

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
