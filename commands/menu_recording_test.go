package commands

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/fault"
)

// The menu as a person sees it, with what is typed: README.md shows it. UPDATE_GOLDEN=1
// writes it.
func TestMenuRecording(t *testing.T) {
	const file = "testdata/menu.golden"
	w := newWorld(filepath.Join(t.TempDir(), "w"))
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.document(t, clusterconftest.OneCluster)
	w.agent.running = true
	if err := addAddresses(w.kernel, "eth0", "10.0.0.11/24", "10.0.0.21/24"); err != nil {
		t.Fatal(err)
	}
	screen := bytes.NewBufferString("srv1# mxcluster menu\n")
	w.term, w.stdin = true, &typist{strings.SplitAfter("lock\n1\n\n2h\nnew memory\n\nyes\nq\n", "\n"), screen}
	if code := Run(t.Context(), w.env(screen, screen), []string{"menu"}); code != fault.OK {
		t.Errorf("code %d", code)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, screen.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(screen.Bytes(), want) {
		t.Errorf("%s differs; UPDATE_GOLDEN=1 writes it:\n%s", file, screen)
	}
}

// typist types one line when one is read, and the terminal shows it.
type typist struct {
	lines  []string
	screen io.Writer
}

func (y *typist) Read(p []byte) (int, error) {
	if len(y.lines) == 0 || y.lines[0] == "" {
		return 0, io.EOF
	}
	n := copy(p, y.lines[0])
	shown, err := y.screen.Write(p[:n])
	y.lines[0] = y.lines[0][shown:]
	if y.lines[0] == "" {
		y.lines = y.lines[1:]
	}
	return n, err
}
