package clusterconf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// What lies in the document's place is kept beside it, whatever it is, and never
// replaced once it is something else.
func TestStoreSetAside(t *testing.T) {
	good := version(5, testTime, "")
	tests := []struct {
		name string
		lay  func(path string) error
		kept bool
	}{
		{"broken", func(path string) error { return os.WriteFile(path, []byte("revision: 5\nnonsense"), 0o644) }, true},
		{"empty", func(path string) error { return os.WriteFile(path, nil, 0o644) }, true},
		{"too long", func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("#\n", MaxSize)), 0o644) }, true},
		{"gone", func(string) error { return nil }, false},
		{"a symbolic link", func(path string) error { return os.Symlink("elsewhere", path) }, true},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o755) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := storeIn(t.TempDir())
			if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := test.lay(s.Path); err != nil {
				t.Fatal(err)
			}
			found := s.Look()
			if found.Problem == nil || found.Document != nil {
				t.Fatalf("found %+v, want a problem", found)
			}
			if _, err := s.SetAside(context.Background(), Found{Mark: "another"}, Freeze(good)); fault.CodeOf(err) != fault.Busy {
				t.Fatalf("replaced what was not found: %v", err)
			}
			kept, err := s.SetAside(context.Background(), found, Freeze(good))
			if err != nil || (kept != "") != test.kept {
				t.Fatalf("kept %q, %v", kept, err)
			}
			if test.kept {
				if _, err := os.Lstat(kept); err != nil {
					t.Error(err)
				}
			}
			if d, err := s.Read(); err != nil || Hash(d) != Hash(good) {
				t.Errorf("the document is %v, %v", d, err)
			}
		})
	}
}

func TestStoreTakesAnEditByHand(t *testing.T) {
	before := version(5, testTime, "")
	edited := before.Clone()
	edited.Servers[0].Interface = "eth7"
	stale := edited.Clone()
	stale.Changed.At = testTime.Add(-time.Hour)
	for _, test := range []struct {
		name string
		d    *Document
		code fault.Code
	}{{"a copy", edited, 0}, {"another time", stale, fault.Busy}} {
		t.Run(test.name, func(t *testing.T) {
			s := storeIn(t.TempDir())
			if err := s.Create(context.Background(), test.d); err != nil {
				t.Fatal(err)
			}
			res, err := s.TakeByHand(context.Background(), s.Look(), Freeze(before), Change{By: "hand"})
			if test.code != 0 {
				if fault.CodeOf(err) != test.code {
					t.Errorf("error %v, want code %d", err, test.code)
				}
				return
			}
			if err != nil || !res.Changed || res.After.Revision != 6 || res.After.Server(edited.Servers[0].Name).Interface != "eth7" {
				t.Fatalf("%+v, %v", res, err)
			}
			if kept, err := s.ReadRevision(5); err != nil || Hash(kept) != Hash(before) {
				t.Errorf("history has %v, %v; want the document before the edit", kept, err)
			}
		})
	}
}

// A server that has come into another system by a command does not go on by what it
// worked by before.
func TestStoreRemembersNothingOfASystemThatWasLeft(t *testing.T) {
	for name, store := range map[string]func(s *Store, d *Document) error{
		"create": func(s *Store, d *Document) error { return s.Create(context.Background(), d) },
		"adopt":  func(s *Store, d *Document) error { _, err := s.Adopt(context.Background(), Freeze(d)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s, left := storeIn(t.TempDir()), version(9, testTime, "")
			left.System = "FORMER"
			if err := s.Remember(Freeze(left)); err != nil {
				t.Fatal(err)
			}
			d := version(5, testTime, "")
			if err := store(s, d); err != nil {
				t.Fatal(err)
			}
			if last := s.Remembered(); last == nil || last.Hash() != Hash(d) {
				t.Errorf("remembered is %v", last)
			}
		})
	}
}

// What the agent worked by is there when the stored document is not, and is none of the
// revisions in history.
func TestStoreRemembers(t *testing.T) {
	s := storeIn(t.TempDir())
	d := version(5, testTime, "")
	if s.Remembered() != nil {
		t.Error("a document is remembered that never was")
	}
	if err := s.Remember(Freeze(d)); err != nil {
		t.Fatal(err)
	}
	if last := s.Remembered(); last == nil || last.Hash() != Hash(d) {
		t.Errorf("remembered %v", last)
	}
	if list, err := s.History(); err != nil || len(list) != 0 {
		t.Errorf("history is %v, %v", list, err)
	}
	if got, err := s.Usable(); err != nil || Hash(got) != Hash(d) {
		t.Errorf("usable is %v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(s.HistoryDir, lastName)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Usable(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("usable without any: %v", err)
	}
}

// Of what was set aside the newest ten stay, however often something is.
func TestStoreKeepsSomeSetAside(t *testing.T) {
	good, now := version(5, testTime, ""), testTime
	s := storeIn(filepath.Join(t.TempDir(), "with [brackets]*"))
	s.Now = func() time.Time { return now }
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 15 {
		now = now.Add(time.Minute)
		if err := os.WriteFile(s.Path, fmt.Appendf(nil, "nonsense %d", i), 0o644); err != nil {
			t.Fatal(err)
		}
		kept, err := s.SetAside(context.Background(), s.Look(), Freeze(good))
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(filepath.Dir(s.Path))
		if err != nil {
			t.Fatal(err)
		}
		aside := 0
		for _, f := range files {
			if strings.Contains(f.Name(), asideMark) {
				aside++
			}
		}
		text, err := os.ReadFile(kept)
		if aside != min(i+1, keptAside) || err != nil || string(text) != fmt.Sprint("nonsense ", i) {
			t.Fatalf("after %d: %d files, the newest has %q (%v)", i+1, aside, text, err)
		}
	}
}
