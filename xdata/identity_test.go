package xdata

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copied returns a store that was made of another by a program.
func copied(t *testing.T, s *Store, program ...string) *Store {
	t.Helper()
	to := newStore(t)
	must(t, os.MkdirAll(to.Dir, 0o755))
	args := append(program[1:len(program):len(program)], s.Dir+"/.", to.Dir)
	if out, err := exec.Command(program[0], args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

// What verify found goes with the store when it is copied or moved, whether the content or
// the look shows the damage, and so does that versions are whole; a copy that was cut short is
// no whole version. Another verify has the last word.
func TestFindingsGoWithTheStore(t *testing.T) {
	s := newStore(t)
	s.Still = time.Hour
	good, rotten := another(t, s, baseTime), another(t, s, baseTime.Add(time.Hour))
	rot(t, filepath.Join(rotten.Path, "db/dump.sql"))
	verified(t, s, good.Name)
	verified(t, s, rotten.Name)
	for name, to := range map[string]*Store{
		"cp -a":         copied(t, s, "cp", "-a"),
		"cp --no-times": copied(t, s, "cp", "-r", "--preserve=mode"),
	} {
		to.Still = time.Hour
		g, err := to.Find(1, good.Name)
		must(t, err)
		r, err := to.Find(1, rotten.Name)
		must(t, err)
		if name != "cp -a" { // nothing tells that they are the same
			if g.Complete || g.Verified != nil || r.Complete {
				t.Errorf("%s: %+v, %+v", name, g, r)
			}
			continue
		}
		if !g.Complete || g.Verified == nil || r.Complete || r.Damage != `"db/dump.sql" does not match its hash` {
			t.Errorf("%s: %+v, %+v", name, g, r)
		}
		if f := verified(t, to, rotten.Name); f.Result != Damaged {
			t.Errorf("%s: verified again: %+v", name, f)
		}
		if f := verified(t, to, good.Name); f.Result != Intact {
			t.Errorf("%s: the good one: %+v", name, f)
		}
		rot(t, filepath.Join(to.Dir, rotten.Name, "db/dump.sql")) // the same bit again
		if f := verified(t, to, rotten.Name); f.Result != Intact {
			t.Errorf("%s: mended: %+v", name, f)
		}
		if r, err := to.Find(1, rotten.Name); err != nil || !r.Complete || r.Damage != "" {
			t.Errorf("%s: mended: %+v", name, r)
		}
		must(t, os.Remove(filepath.Join(to.Dir, good.Name, "db.txt")))
		if g, err = to.Find(1, good.Name); err != nil || g.Complete || g.Damage != `"db.txt" is missing` {
			t.Errorf("%s: cut short: %+v, %v", name, g, err)
		}
	}
}

// Whole seconds and two of them are times that file systems keep.
func TestFindingsWhereTimesAreCoarse(t *testing.T) {
	for _, grain := range []time.Duration{time.Second, 2 * time.Second, 100 * time.Nanosecond} {
		s := newStore(t)
		v := another(t, s, baseTime)
		rot(t, filepath.Join(v.Path, "db/dump.sql"))
		verified(t, s, v.Name)
		to := copied(t, s, "cp", "-a")
		must(t, filepath.WalkDir(filepath.Join(to.Dir, v.Name), func(name string, _ os.DirEntry, err error) error {
			must(t, err)
			info, err := os.Stat(name)
			must(t, err)
			return os.Chtimes(name, time.Time{}, info.ModTime().Truncate(grain))
		}))
		if v, err := to.Find(1, v.Name); err != nil || v.Damage == "" || v.Complete {
			t.Errorf("%s: %+v, %v", grain, v, err)
		}
	}
}

// A version that was put in the place of a damaged one is not condemned for it: at once
// where it shows that it is another one, else by the next verify.
func TestReplacedVersionsAreNotCondemned(t *testing.T) {
	s := newStore(t)
	v := another(t, s, baseTime)
	saved := t.TempDir()
	must(t, exec.Command("cp", "-a", v.Path, saved).Run())
	rot(t, filepath.Join(v.Path, "db/dump.sql"))
	if f := verified(t, s, v.Name); f.Result != Damaged {
		t.Fatalf("%+v", f)
	}
	must(t, os.RemoveAll(v.Path))
	must(t, exec.Command("cp", "-a", filepath.Join(saved, v.Name), s.Dir).Run())
	if f := verified(t, s, v.Name); f.Result != Intact {
		t.Errorf("the good one back: %+v", f)
	}
	if now, err := s.Find(1, v.Name); err != nil || !now.Complete || now.Damage != "" {
		t.Errorf("the good one back: %+v, %v", now, err)
	}
	rot(t, filepath.Join(v.Path, "db/dump.sql"))
	verified(t, s, v.Name)
	must(t, os.RemoveAll(v.Path))
	foreign(t, s, v.Name, fileTree{"db/dump.sql": "select 2;\n", "db.txt": "another one"}, baseTime.Add(time.Minute))
	if now, err := s.Find(1, v.Name); err != nil || !now.Complete || now.Damage != "" {
		t.Errorf("another one: %+v, %v", now, err)
	}
	if f := verified(t, s, v.Name); f.Result != Recorded {
		t.Errorf("another one: %+v", f)
	}
}

// Where nothing can be written beside the versions everything can still be read, and what is
// found is kept elsewhere; where that cannot be either, it is told.
func TestReadOnlyStore(t *testing.T) {
	if !apart(t) {
		return
	}
	s := newStore(t)
	good, rotten := another(t, s, baseTime), another(t, s, baseTime.Add(time.Hour))
	foreign(t, s, "xdata_1_20200101000000", sample, baseTime.Add(-time.Hour))
	rot(t, filepath.Join(rotten.Path, "db/dump.sql"))
	must(t, unix.Mount(s.Dir, s.Dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(s.Dir, 0)) })
	writable := func(on bool) {
		flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT)
		if !on {
			flags |= unix.MS_RDONLY
		}
		must(t, unix.Mount("", s.Dir, "", flags, ""))
	}
	writable(false)
	var told []string
	s.Warn = func(err error) { told = append(told, Advice(err)) }
	if f := verified(t, s, rotten.Name); f.Result != Damaged || len(told) != 1 || !strings.Contains(told[0], "cannot be kept: read-only file system") {
		t.Errorf("%+v, told %q", f, told)
	}
	if v, err := s.Find(1, rotten.Name); err != nil || v.Damage != "" {
		t.Errorf("%+v, %v", v, err)
	}

	s.Notes, told = filepath.Join(t.TempDir(), "state/findings"), nil
	if f := verified(t, s, rotten.Name); f.Result != Damaged || len(told) != 1 || !strings.Contains(told[0], s.Notes) {
		t.Errorf("%+v, told %q", f, told)
	}
	if v, err := s.Find(1, rotten.Name); err != nil || v.Damage == "" || v.Complete {
		t.Errorf("%+v, %v", v, err)
	}
	if f := verified(t, s, good.Name); f.Result != Intact {
		t.Errorf("%+v", f)
	}
	if f := verified(t, s, "xdata_1_20200101000000"); f.Result != Readable {
		t.Errorf("another program's: %+v", f)
	}
	v, err := s.Find(1, good.Name)
	if must(t, err); v.Verified == nil {
		t.Errorf("%+v", v)
	}
	must(t, s.Restore(t.Context(), v, filepath.Join(t.TempDir(), "back"), nil))
	if v, ok, err := s.Newest(1); err != nil || !ok || v.Name != good.Name {
		t.Errorf("newest %+v, %v, %v", v, ok, err)
	}

	writable(true)
	rot(t, filepath.Join(rotten.Path, "db/dump.sql")) // the same bit again
	if f := verified(t, s, rotten.Name); f.Result != Intact {
		t.Errorf("mended: %+v", f)
	}
	if v, err := s.Find(1, rotten.Name); err != nil || v.Damage != "" || !v.Complete {
		t.Errorf("mended: %+v, %v", v, err)
	}
	must(t, removeTree(good.Path))
	if _, err := s.Prune(1, 3); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(s.Notes)
	must(t, err)
	if len(left) != 1 || left[0].Name() != "xdata_1_20200101000000.json" {
		t.Errorf("of versions that are gone or noted beside, there is still %v", left)
	}
}
