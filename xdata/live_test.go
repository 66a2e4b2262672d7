package xdata

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// backupWhile backs up a folder in which something happens after each piece of
// content that was copied.
func backupWhile(t *testing.T, tr fileTree, happens func(dir string)) (*Store, string, Version, error) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "data")
	tr.write(t, from, baseTime)
	s := newStore(t)
	s.Progress = func(int64) { happens(from) }
	v, err := s.Backup(context.Background(), 1, from)
	return s, from, v, err
}

// once has something happen the first time only.
func once(happens func(dir string) error) func(dir string) {
	done := false
	return func(dir string) {
		if done {
			return
		}
		done = true
		if err := happens(dir); err != nil {
			panic(err)
		}
	}
}

// moving is a folder; its files are copied in the order of their names.
var moving = fileTree{"a": "first", "b": "second", "c/d": "third", "c/e/": "", "z": "last"}

func TestBackupOfWhatMoves(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(dir string) error
		want    string // files and folders of the version
	}{
		{"vanishes", func(dir string) error { return os.Remove(filepath.Join(dir, "z")) }, "a b c c/d c/e"},
		{"folder vanishes", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "c")) }, "a b z"},
		{"changes while it is read", func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("longer now"), 0o600) }, "a b c c/d c/e z"},
		{"is replaced by a folder", func(dir string) error {
			return cmp.Or(os.Remove(filepath.Join(dir, "z")), os.Mkdir(filepath.Join(dir, "z"), 0o755), os.WriteFile(filepath.Join(dir, "z", "in"), nil, 0o600))
		}, "a b c c/d c/e z z/in"},
		{"folder is replaced by a file", func(dir string) error {
			return cmp.Or(os.RemoveAll(filepath.Join(dir, "c")), os.WriteFile(filepath.Join(dir, "c"), []byte("file"), 0o600))
		}, "a b c z"},
		{"was copied and vanishes when another does", func(dir string) error {
			return cmp.Or(os.Remove(filepath.Join(dir, "a")), os.Remove(filepath.Join(dir, "z")))
		}, "b c c/d c/e"},
		{"a new one when another vanishes", func(dir string) error {
			return cmp.Or(os.Remove(filepath.Join(dir, "b")), os.WriteFile(filepath.Join(dir, "c", "e", "new"), []byte("n"), 0o600))
		}, "a c c/d c/e c/e/new z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, from, v, err := backupWhile(t, moving, once(c.happens))
			must(t, err)
			root, err := os.OpenRoot(v.Path)
			must(t, err)
			defer root.Close()
			entries, err := tree.Walk(root)
			must(t, err)
			m := manifest.Manifest{Entries: entries}
			m.Sort()
			var names []string
			for i := range m.Entries {
				names = append(names, m.Entries[i].Path)
			}
			if is := strings.Join(names, " "); is != c.want {
				t.Errorf("the version holds %s; want %s", is, c.want)
			}
			if is, was := describe(t, v.Path), describe(t, from); is != was {
				t.Errorf("the version is\n%s\nof\n%s", is, was)
			}
			if f, err := s.Verify(context.Background(), v, nil); err != nil || f.Result != Intact {
				t.Errorf("verified: %+v, %v", f, err)
			}
			if _, left := visible(t, s); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// What never keeps still is named, and nothing stays of the version.
func TestBackupOfWhatNeverKeepsStill(t *testing.T) {
	n := 0
	for _, c := range []struct {
		name    string
		happens func(dir string)
		want    []string
	}{
		{"a log", func(dir string) {
			n++
			must(t, os.WriteFile(filepath.Join(dir, "a"), []byte(strings.Repeat("x", n)), 0o600))
		}, []string{`"a" changed while it was read`, "in each of 3 tries"}},
		{"temporary files", func(dir string) {
			n++
			must(t, os.RemoveAll(filepath.Join(dir, "c/e")))
			fileTree{fmt.Sprintf("c/e/tmp%da", n): "x", fmt.Sprintf("c/e/tmp%db", n): "x"}.write(t, dir, baseTime)
		}, []string{`"c/e/tmp`, "vanished before it was copied", "in each of 3 tries"}},
		{"everything goes", func(dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "z")))
			must(t, os.RemoveAll(filepath.Join(dir, "c")))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n = 0
			tr := moving
			if c.name == "temporary files" {
				tr = fileTree{"c/d": "third", "c/e/tmp0": "x", "c/e/tmp1": "x"}
			}
			s, _, v, err := backupWhile(t, tr, c.happens)
			if c.want == nil {
				if err != nil || v.Files != 2 {
					t.Errorf("%+v, %v", v, err)
				}
				return
			}
			if fault.CodeOf(err) != fault.Busy || fault.HintOf(err) == "" {
				t.Fatalf("error %v of code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if versions, left := visible(t, s); len(versions)+len(left) > 0 {
				t.Errorf("there are %q and %q", versions, left)
			}
		})
	}
}

func TestBackupOfNothingLeft(t *testing.T) {
	s, _, _, err := backupWhile(t, fileTree{"a": "x", "b": "y"}, once(func(dir string) error {
		return cmp.Or(os.Remove(filepath.Join(dir, "a")), os.Remove(filepath.Join(dir, "b")))
	}))
	if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "there are no files") {
		t.Errorf("error %v", err)
	}
	if versions, left := visible(t, s); len(versions)+len(left) > 0 {
		t.Errorf("there are %q and %q", versions, left)
	}
}

// deepFolder makes folders below dir until the path of a file in them has so many
// bytes, and returns the file's path relative to dir.
func deepFolder(t *testing.T, dir string, bytes int) string {
	t.Helper()
	fd, err := syscall.Open(dir, syscall.O_RDONLY, 0)
	must(t, err)
	rel := ""
	for {
		left := bytes - len(rel)
		if left <= manifest.MaxName {
			file, err := syscall.Openat(fd, strings.Repeat("f", left), syscall.O_CREAT|syscall.O_WRONLY, 0o600)
			must(t, err)
			must(t, cmp.Or(syscall.Close(file), syscall.Close(fd)))
			return rel + strings.Repeat("f", left)
		}
		name := strings.Repeat("d", min(200, left-2))
		must(t, syscall.Mkdirat(fd, name, 0o755))
		inner, err := syscall.Openat(fd, name, syscall.O_RDONLY, 0)
		must(t, err)
		must(t, syscall.Close(fd))
		fd, rel = inner, rel+name+"/"
	}
}

// What can be backed up can be copied, and restored; what cannot is refused.
func TestPathsAtTheirLimit(t *testing.T) {
	for _, bytes := range []int{manifest.MaxPath, manifest.MaxPath + 1, manifest.MaxPath + 900} {
		t.Run(fmt.Sprint(bytes), func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "data")
			fileTree{"a": "x"}.write(t, from, baseTime)
			deepFolder(t, from, bytes)
			s := newStore(t)
			may := s.MayBackup(from)
			v, err := s.Backup(context.Background(), 1, from)
			if bytes > manifest.MaxPath {
				for _, err := range []error{may, err} {
					if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "at most 4096") || len(err.Error()) > 800 {
						t.Errorf("error %v", err)
					}
				}
				if versions, left := visible(t, s); len(versions)+len(left) > 0 {
					t.Errorf("there are %q and %q", versions, left)
				}
				return
			}
			must(t, cmp.Or(may, err))
			_, err = pair{clusterconf.SideRegular: s, clusterconf.SideStandby: newStore(t)}.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
			must(t, err)
			must(t, s.Restore(context.Background(), v, filepath.Join(t.TempDir(), "back"), nil))
		})
	}
}

// Another program's version that cannot be copied is told by the side that has it.
func TestForeignPathBeyondTheLimit(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		deepFolder(t, foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301020000", fileTree{"a": "x"}, baseTime), manifest.MaxPath+1)
		_, err := p.syncFrom(t, asks, DirectionAuto)
		wantCode(t, err, fault.Refused, "at most 4096")
	})
}
