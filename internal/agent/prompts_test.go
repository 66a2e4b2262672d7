package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mxcluster/clusterconf"
)

// The standby alone looks for announcement prompts (spec ch. 2), and takes a LIM
// over without them.
func TestPromptsMissing(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.doc.LIM(1).Prompts = "/prompts"
		var there atomic.Bool
		w.wrap = func(m *machine, d Deps) Deps {
			d.Prompts = func(string) error {
				if there.Load() && m.name == "sb1" {
					return nil
				}
				return fs.ErrNotExist
			}
			return d
		}
		for _, m := range w.servers {
			if _, err := m.store.Edit(t.Context(), clusterconf.Change{Command: "test"}, func(d *clusterconf.Document) error { return d.SetPrompts(1, "/prompts") }); err != nil {
				t.Fatal(err)
			}
		}
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", soon)
		missing := func() bool {
			return strings.Contains(fmt.Sprint(w.alarmsSeen("srv2")), "prompts-missing")
		}
		pass(3 * time.Second)
		if !missing() {
			t.Error("no alarm")
		}
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		there.Store(true)
		pass(3 * time.Second)
		if missing() {
			t.Error("the alarm stands though the prompts are there")
		}
	})
}

func TestLookForPrompts(t *testing.T) {
	dir := t.TempDir()
	if err := lookForPrompts(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := lookForPrompts(dir); err == nil {
		t.Error("an empty folder will do")
	}
	if err := os.WriteFile(filepath.Join(dir, "hello.wav"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lookForPrompts(dir); err != nil {
		t.Error(err)
	}
}
