package xdata

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Of three versions the newest stays, read and noted as verified.
func TestKeepNewest(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	if removed, err := s.KeepNewest(t.Context(), 1); len(removed) != 0 || err != nil {
		t.Errorf("without any version: %v, %v", removed, err)
	}
	from := t.TempDir()
	for i := range 3 {
		name := filepath.Join(from, "reload")
		if err := os.WriteFile(name, []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		mtime := time.Now().Add(time.Duration(i-5) * time.Minute)
		if err := os.Chtimes(name, mtime, mtime); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Backup(t.Context(), 1, from); err != nil {
			t.Fatal(err)
		}
	}
	newest, _, err := s.Newest(1)
	if err != nil {
		t.Fatal(err)
	}
	removed, err := s.KeepNewest(t.Context(), 1)
	if err != nil || len(removed) != 2 {
		t.Fatalf("removed %d, %v; want 2", len(removed), err)
	}
	left, err := s.List(1)
	if err != nil || len(left) != 1 || left[0].Name != newest.Name || left[0].Verified == nil {
		t.Errorf("left: %+v, %v; want %s, verified", left, err, newest.Name)
	}
}

// While the newest cannot be read, nothing is removed.
func TestKeepNewestThatCannotBeRead(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Now: func() time.Time { return time.Now().Add(time.Hour) }}
	for _, name := range []string{"xdata_1_20260301010000", "xdata_1_20260301020000"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Dir, name, "reload"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(s.Dir, "xdata_1_20260301010000", "reload"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("reload", filepath.Join(s.Dir, "xdata_1_20260301020000", "link")); err != nil {
		t.Fatal(err)
	}
	if removed, err := s.KeepNewest(t.Context(), 1); err == nil || len(removed) != 0 {
		t.Errorf("removed %v, %v; want an error and nothing removed", removed, err)
	}
	if left, err := s.List(1); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v; want both", left, err)
	}
}
