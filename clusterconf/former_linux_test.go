package clusterconf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mxcluster/internal/safepath"
)

// What the document once said is its owner's alone to read, also where an earlier version
// left the folder open; the document itself keeps the mode that it was given.
func TestFormerDocumentsAreTheirOwnersAlone(t *testing.T) {
	s := newStore(t)
	if err := os.MkdirAll(s.HistoryDir, 0o755); err != nil {
		t.Fatal(err)
	}
	edit := func(command string) {
		t.Helper()
		if _, err := s.Edit(t.Context(), Change{Command: command}, func(d *Document) error {
			d.Servers[0].Interface += "x"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	edit("first")
	if err := os.Chmod(s.Path, 0o640); err != nil {
		t.Fatal(err)
	}
	edit("second")
	d, err := s.Read()
	if err == nil {
		err = s.Remember(Freeze(d))
	}
	if err == nil {
		err = os.WriteFile(s.Path, []byte("password: secret\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	aside, err := s.SetAside(t.Context(), s.Look(), Freeze(d))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(s.HistoryDir, "*"))
	if err != nil || len(kept) < 3 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	for path, want := range map[string]os.FileMode{s.HistoryDir: 0o700, s.Path: 0o640, aside: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %04o", path, info, err, want)
		}
	}
	for _, path := range kept {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", path, info, err)
		}
	}
}

// A link that another user put in the place of the folder is not followed.
func TestPlantedHistory(t *testing.T) {
	needRoot(t)
	s := newStore(t)
	state, victim := filepath.Join(t.TempDir(), "state"), t.TempDir()
	if err := errors.Join(os.Mkdir(state, 0o755), os.Chown(state, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	s.HistoryDir = filepath.Join(state, "history")
	if err := errors.Join(os.Symlink(victim, s.HistoryDir), os.Lchown(s.HistoryDir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Edit(t.Context(), Change{}, func(d *Document) error {
		d.Servers[0].Interface += "x"
		return nil
	})
	if !errors.Is(err, safepath.ErrLink) {
		t.Errorf("the edit ends with %v", err)
	}
	if found, err := os.ReadDir(victim); err != nil || len(found) > 0 {
		t.Errorf("written: %v, %v", found, err)
	}
}
