package xdata

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// seenTwice looks at a version by its index, and without it, and returns what came of both.
func seenTwice(t testing.TB, s *Store, name string) (byIndex, plain *manifest.Manifest, guided bool) {
	t.Helper()
	root, err := os.OpenRoot(filepath.Join(s.Dir, name))
	must(t, err)
	defer root.Close()
	kept, err := s.indexes().load(name)
	must(t, err)
	if kept == nil {
		t.Fatal("no index was kept")
	}
	index, err := s.indexes().load(name) // surveyAs may change the other one
	must(t, err)
	byIndex, found, err := tree.SurveyByIndex(root, kept)
	must(t, err)
	plain, wanted, err := tree.Survey(root)
	must(t, err)
	if found != wanted {
		t.Errorf("totals %+v by the index, %+v without", found, wanted)
	}
	if guided = byIndex == kept; !guided {
		byIndex.Recall(kept)
	}
	plain.Recall(index)
	return byIndex, plain, guided
}

// differ tells what two looks at a version found that is not the same.
func differ(a, b *manifest.Manifest) string {
	switch {
	case a.Top != b.Top:
		return fmt.Sprintf("%+v and %+v", a.Top, b.Top)
	case len(a.Entries) != len(b.Entries):
		return fmt.Sprintf("%d and %d entries", len(a.Entries), len(b.Entries))
	}
	for i := range a.Entries {
		x, y := a.Entries[i], b.Entries[i]
		if x.Dir {
			x.Known = y.Known // of no meaning
		}
		chunks := slices.Equal(a.ChunksOf(&a.Entries[i]), b.ChunksOf(&b.Entries[i]))
		x.First = y.First
		if !chunks || !reflect.DeepEqual(x, y) {
			return fmt.Sprintf("%+v and %+v", x, y)
		}
	}
	return ""
}

// A version that nobody touched is looked at by its index alone, whoever made it: one
// that was backed up, that was received, and another program's once it was read.
func TestUnchangedVersionIsSeenByItsIndex(t *testing.T) {
	regular, standby, other := newStore(t), newStore(t), newStore(t)
	v := backedUp(t, regular, baseTime)
	_, err := Sync(t.Context(), regular, peer(t, standby, ServeOptions{}), Request{LIM: 1, Side: clusterconf.SideRegular})
	must(t, err)
	received, ok, err := standby.Newest(1)
	if err != nil || !ok {
		t.Fatal("nothing was received", err)
	}
	foreign(t, other, "xdata_1_20260301020000", sample, baseTime)
	must(t, openedFor(t, other).ReadAll(t.Context()))
	for what, of := range map[string]struct {
		store *Store
		name  string
	}{
		"backed up": {regular, v.Name}, "received": {standby, received.Name}, "another program's": {other, "xdata_1_20260301020000"},
	} {
		byIndex, plain, guided := seenTwice(t, of.store, of.name)
		if !guided {
			t.Errorf("%s: looked at as if there were no index", what)
		}
		if d := differ(byIndex, plain); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
}

// Whatever is done to a version, a look by its index sees what a look without it sees,
// also when the times of the folders are put back.
func TestChangedVersionIsSeenAsItIs(t *testing.T) {
	changes := map[string]func(dir string) error{
		"file added":          func(dir string) error { return os.WriteFile(filepath.Join(dir, "conf/new"), nil, 0o600) },
		"file added on top":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) },
		"folder added":        func(dir string) error { return os.Mkdir(filepath.Join(dir, "conf/deep/new"), 0o700) },
		"folder added on top": func(dir string) error { return os.Mkdir(filepath.Join(dir, "new"), 0o700) },
		"file removed":        func(dir string) error { return os.Remove(filepath.Join(dir, "db/empty")) },
		"file renamed": func(dir string) error {
			return os.Rename(filepath.Join(dir, "db/empty"), filepath.Join(dir, "db/full"))
		},
		"renamed on top": func(dir string) error { return os.Rename(filepath.Join(dir, "db.txt"), filepath.Join(dir, "db.tyt")) },
		"folder renamed": func(dir string) error {
			return os.Rename(filepath.Join(dir, "conf/deep/er"), filepath.Join(dir, "conf/deep/est"))
		},
		"folders swapped": func(dir string) error {
			return cmp.Or(os.Rename(filepath.Join(dir, "conf"), filepath.Join(dir, "x")),
				os.Rename(filepath.Join(dir, "db"), filepath.Join(dir, "conf")), os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "db")))
		},
		"written": func(dir string) error {
			return cmp.Or(os.WriteFile(filepath.Join(dir, "db/dump.sql"), []byte("select 2;\n"), 0o600),
				os.Chtimes(filepath.Join(dir, "db/dump.sql"), baseTime, baseTime))
		},
		"mode":            func(dir string) error { return os.Chmod(filepath.Join(dir, "db.txt"), 0o444) },
		"mode of folder":  func(dir string) error { return os.Chmod(filepath.Join(dir, "conf/deep"), 0o750) },
		"mode of version": func(dir string) error { return os.Chmod(dir, 0o750) },
		"a link for a file": func(dir string) error {
			return cmp.Or(os.Remove(filepath.Join(dir, "db.txt")), os.Symlink("db/dump.sql", filepath.Join(dir, "db.txt")))
		},
		"a link for a folder": func(dir string) error {
			return cmp.Or(os.Rename(filepath.Join(dir, "conf/deep"), filepath.Join(dir, "conf/other")),
				os.Symlink("other", filepath.Join(dir, "conf/deep")))
		},
		"a folder for a file": func(dir string) error {
			return cmp.Or(os.Remove(filepath.Join(dir, "db.txt")), os.Mkdir(filepath.Join(dir, "db.txt"), 0o700))
		},
		"another folder with the same": func(dir string) error {
			return cmp.Or(os.Rename(filepath.Join(dir, "conf/deep"), filepath.Join(dir, "conf/old")), os.CopyFS(filepath.Join(dir, "conf/deep"), os.DirFS(filepath.Join(dir, "conf/old"))),
				os.RemoveAll(filepath.Join(dir, "conf/old")))
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			v := backedUp(t, s, baseTime)
			awaitLaterChange(t, v.Path)
			times := folderTimes(t, v.Path)
			must(t, change(v.Path))
			for dir, at := range times {
				info, err := os.Lstat(dir)
				if err == nil && info.IsDir() && !info.ModTime().Equal(at) { // of another one it would be a change
					must(t, os.Chtimes(dir, at, at))
				}
			}
			byIndex, plain, guided := seenTwice(t, s, v.Name)
			if guided && name != "mode of version" { // its own attributes are looked at every time
				t.Error("taken for unchanged")
			}
			if d := differ(byIndex, plain); d != "" {
				t.Error(d)
			}
		})
	}
}

// An index with folders that are not as they were is made anew, so that the next look is
// a short one again.
func TestIndexFollowsFolders(t *testing.T) {
	s := newStore(t)
	dir := foreign(t, s, "xdata_1_20260301020000", sample, baseTime)
	must(t, openedFor(t, s).ReadAll(t.Context()))
	awaitLaterChange(t, dir)
	must(t, os.Chmod(filepath.Join(dir, "conf"), 0o700))
	if _, _, guided := seenTwice(t, s, "xdata_1_20260301020000"); guided {
		t.Fatal("taken for unchanged")
	}
	snap := openedFor(t, s)
	if snap.Unread != 0 {
		t.Errorf("%d files would be read again", snap.Unread)
	}
	must(t, snap.ReadAll(t.Context()))
	if _, _, guided := seenTwice(t, s, "xdata_1_20260301020000"); !guided {
		t.Error("the index is as before")
	}
}

// What a version says of owners and modes is what they are, not what they were to be: an
// owner cannot be given by everybody.
func TestSeenByIndexAsItIs(t *testing.T) {
	s := newStore(t)
	v := backedUp(t, s, baseTime)
	root, err := os.OpenRoot(v.Path)
	must(t, err)
	defer root.Close()
	m, err := s.indexes().load(v.Name)
	must(t, err)
	for i := range m.Entries {
		m.Entries[i].Attr.UID++
	}
	must(t, s.indexes().write(v.Name, m))
	byIndex, plain, guided := seenTwice(t, s, v.Name)
	if d := differ(byIndex, plain); !guided || d != "" {
		t.Errorf("by the index: %t; %s", guided, d)
	}
}

// Random versions, and random changes to them.
func TestSeenByIndexAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	names := []string{"a", "a-b", "b", "b.c", "ab", "\xff", "~"}
	for range 60 {
		s, tr := newStore(t), fileTree{"one": "1"}
		for range r.IntN(40) {
			path := make([]string, 1+r.IntN(3))
			for i := range path {
				path[i] = names[r.IntN(len(names))]
			}
			tr[strings.Join(path, "+/")+".f"] = fmt.Sprint(r.IntN(1000))
		}
		from := t.TempDir()
		tr.write(t, from, baseTime)
		v, err := s.Backup(t.Context(), 1, from)
		must(t, err)
		for touched := false; ; touched = true {
			byIndex, plain, guided := seenTwice(t, s, v.Name)
			if guided == touched {
				t.Fatalf("taken for unchanged: %t, changed: %t", guided, touched)
			}
			if d := differ(byIndex, plain); d != "" {
				t.Fatal(d)
			}
			if touched {
				break
			}
			awaitLaterChange(t, v.Path)
			changeAtRandom(t, r, v.Path, plain)
		}
	}
}

// changeAtRandom does something to one file or folder of a version.
func changeAtRandom(t *testing.T, r *rand.Rand, dir string, m *manifest.Manifest) {
	t.Helper()
	e := &m.Entries[r.IntN(len(m.Entries))]
	path := filepath.Join(dir, e.Path)
	switch what := r.IntN(4); {
	case what == 0:
		must(t, os.RemoveAll(path))
	case what == 1:
		must(t, os.Rename(path, path+"x"))
	case what == 2 && e.Dir:
		must(t, os.WriteFile(filepath.Join(path, "new"), nil, 0o600))
	case what == 2:
		must(t, os.WriteFile(path, []byte("other"), 0o600))
	default:
		must(t, os.Chtimes(path, time.Time{}, baseTime.Add(-time.Second)))
	}
}

// folderTimes returns the times of a folder and of those in it.
func folderTimes(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	times := map[string]time.Time{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			times[path] = info.ModTime()
		}
		return err
	}))
	return times
}

// awaitLaterChange returns when what is changed now is changed later than what is in a
// version: a kernel's time for that may move on only some hundred times a second.
func awaitLaterChange(t *testing.T, version string) {
	t.Helper()
	root, err := os.OpenRoot(version)
	must(t, err)
	defer root.Close()
	_, seen, err := tree.Survey(root)
	must(t, err)
	probe := filepath.Join(t.TempDir(), "probe")
	for {
		must(t, os.WriteFile(probe, nil, 0o600))
		var st unix.Stat_t
		must(t, unix.Lstat(probe, &st))
		var now manifest.Entry
		if tree.Describe(&now, &st); now.Ctime > seen.Changed {
			return
		}
		must(t, os.Remove(probe))
	}
}

func BenchmarkSurvey(b *testing.B) {
	s, tr := newStore(b), fileTree{}
	for i := range 20_000 {
		tr[fmt.Sprintf("d%03d/f%05d", i/100, i)] = "x"
	}
	from := b.TempDir()
	tr.write(b, from, baseTime)
	v, err := s.Backup(b.Context(), 1, from)
	must(b, err)
	for name, guided := range map[string]bool{"plain": false, "by the index": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				seen, err := s.inspector().inspect(v.Name, guided)
				must(b, err)
				snap, err := s.openVersion(seen)
				must(b, err)
				snap.Close()
			}
		})
	}
}
