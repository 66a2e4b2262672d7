package xdata

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/badfs"
	"mxcluster/internal/fault"
)

// apart runs a test again in a mount namespace of its own, and returns whether this is it.
func apart(t *testing.T) bool {
	t.Helper()
	const env = "MXCLUSTER_TEST_APART"
	if os.Getenv(env) != "" {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("it mounts file systems: run as root")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// put mounts something bad over a file or folder for the rest of the test.
func put(t *testing.T, path string, b badfs.Bad) {
	t.Helper()
	remove, err := b.Mount(path)
	must(t, err)
	t.Cleanup(func() { must(t, remove()) })
}

// another makes a version of the sample that differs from all of other times.
func another(t *testing.T, s *Store, mtime time.Time) Version {
	t.Helper()
	from := t.TempDir()
	sample.write(t, from, mtime)
	fileTree{"serial": mtime.String()}.write(t, from, mtime)
	v, err := s.Backup(t.Context(), 1, from)
	must(t, err)
	return v
}

// badKind is a way in which a version cannot be relied on.
type badKind struct {
	name   string
	damage func(t *testing.T, dir string)
	says   string // what list says of it; "": that is found out by reading only
	reads  string // what verify says
}

// badKinds are seen by everybody but the last ones, which need the rights to mount.
func badKinds() []badKind {
	return []badKind{
		{"a file gone", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/db.txt")) }, `"db.txt" is missing`, `"db.txt" is missing`},
		{"a file cut off", func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/db.txt", 3)) }, `"db.txt" has 3 bytes instead of 24`, `"db.txt" does not match its hash`},
		{"a file more", func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/new", nil, 0o600)) }, `"new" does not belong to it`, `"new" does not belong to it`},
		{"a link in the place of a file", func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/db.txt"))
			must(t, os.Symlink("nowhere", dir+"/db.txt"))
		}, `"db.txt" is no file any more`, `"db.txt" is no file any more`},
		{"all of it gone", func(t *testing.T, dir string) {
			entries, err := os.ReadDir(dir)
			must(t, err)
			for _, e := range entries {
				must(t, removeTree(filepath.Join(dir, e.Name())))
			}
		}, "is missing", "is missing"},
		{"a file in its place", func(t *testing.T, dir string) {
			must(t, removeTree(dir))
			must(t, os.WriteFile(dir, []byte("x"), 0o600))
		}, "it is a file, not a folder", "it is a file, not a folder"},
		{"a link that leads nowhere in its place", func(t *testing.T, dir string) {
			must(t, removeTree(dir))
			must(t, os.Symlink("/nonexistent", dir))
		}, "it is a symbolic link, not a folder", "it is a symbolic link"},
		{"rot", func(t *testing.T, dir string) { rot(t, dir+"/db.txt") }, "", `"db.txt" does not match its hash`},
		{"an unreadable file", func(t *testing.T, dir string) {
			info, err := os.Stat(dir + "/db.txt")
			must(t, err)
			put(t, dir+"/db.txt", badfs.Bad{Read: unix.EIO, Size: info.Size(), Mtime: info.ModTime()})
		}, "", `"db.txt" cannot be read: input/output error`},
		{"a bad inode", func(t *testing.T, dir string) { put(t, dir+"/db.txt", badfs.Bad{Look: unix.EBADMSG}) },
			`"db.txt" cannot be looked at: bad message`, `"db.txt" cannot be looked at: bad message`},
		{"an inode that needs cleaning", func(t *testing.T, dir string) { put(t, dir+"/db.txt", badfs.Bad{Look: unix.EUCLEAN}) },
			"structure needs cleaning", "structure needs cleaning"},
		{"a file that may not be looked at", func(t *testing.T, dir string) { put(t, dir+"/db.txt", badfs.Bad{Look: unix.EACCES}) },
			`"db.txt" cannot be looked at: permission denied`, `"db.txt" cannot be looked at: permission denied`},
		{"a folder that cannot be listed", func(t *testing.T, dir string) {
			put(t, dir+"/conf", badfs.Bad{Read: unix.EIO, Folder: true, Mtime: baseTime})
		}, `the folder "conf" cannot be listed: input/output error`, `the folder "conf" cannot be listed`},
		{"a stale file server below it", func(t *testing.T, dir string) { put(t, dir+"/conf", badfs.Bad{Look: unix.ESTALE, Folder: true}) },
			"stale", "stale"},
		{"a version whose own inode is bad", func(t *testing.T, dir string) { put(t, dir, badfs.Bad{Look: unix.EIO, Folder: true}) },
			"its folder cannot be looked at: input/output error", "its folder cannot be looked at: input/output error"},
	}
}

// Whatever is wrong with one version, newest or oldest, the others are listed, verified,
// restored, pruned and synchronised, and nothing of the bad one is taken for good.
func TestOneBadVersion(t *testing.T) {
	if !apart(t) {
		return
	}
	for _, k := range badKinds() {
		for _, newest := range []bool{false, true} {
			name := "older: " + k.name
			if newest {
				name = "newest: " + k.name
			}
			t.Run(name, func(t *testing.T) { oneBad(t, k, newest) })
		}
	}
}

func oneBad(t *testing.T, k badKind, newest bool) {
	p := newPair(t)
	here := p[clusterconf.SideRegular]
	first, second := another(t, here, baseTime), another(t, here, baseTime.Add(time.Hour))
	bad, good := first, second
	if newest {
		bad, good = second, first
	}
	k.damage(t, bad.Path)
	look := func() Version {
		t.Helper()
		list, err := here.List(1)
		must(t, err)
		if len(list) != 2 {
			t.Fatalf("listed %+v", list)
		}
		i := slices.IndexFunc(list, func(v Version) bool { return v.Name == bad.Name })
		if o := list[1-i]; !o.Complete || o.Damage != "" {
			t.Errorf("the good one is listed as %+v", o)
		}
		return list[i]
	}
	if v := look(); v.Complete != (k.says == "") || !strings.Contains(v.Damage, k.says) {
		t.Errorf("listed as %+v", v)
	}
	for _, v := range []Version{look()} {
		f, err := here.Verify(t.Context(), v, nil)
		must(t, err)
		if f.Result != Damaged || !strings.Contains(strings.Join(f.Damage, "; "), k.reads) {
			t.Errorf("verified as %+v", f)
		}
	}
	if v := look(); v.Complete || v.Damage == "" {
		t.Errorf("after verify it is listed as %+v", v)
	}
	if v, ok, err := here.Newest(1); err != nil || !ok || v.Name != good.Name {
		t.Errorf("newest %+v, %v, %v", v, ok, err)
	}
	if f := verified(t, here, good.Name); f.Result != Intact {
		t.Errorf("the good one: %+v", f)
	}
	v, err := here.Find(1, good.Name)
	must(t, err)
	must(t, here.Restore(t.Context(), v, filepath.Join(t.TempDir(), "back"), nil))
	r, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	if err != nil || r.Result != Copied || r.Version != good.Name {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := here.Prune(1, 1); err != nil {
		t.Error(err)
	}
	if _, ok, err := here.Newest(1); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	another(t, here, baseTime.Add(2*time.Hour))
}

// A folder of versions that cannot be listed is an error, not an empty one.
func TestUnreadableStore(t *testing.T) {
	s := newStore(t)
	must(t, os.WriteFile(s.Dir, nil, 0o600))
	for _, err := range []error{
		func() error { _, err := s.List(0); return err }(),
		func() error { _, _, err := s.Newest(1); return err }(),
		func() error { _, err := s.Prune(1, 1); return err }(),
		func() error { _, err := s.Remove(1, "xdata_1_20260301020000"); return err }(),
	} {
		if err == nil || fault.CodeOf(err) == fault.NotFound || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("%v", err)
		}
	}
}

// What cannot be removed stops nothing, is told each time, and goes when it can.
func TestUndeletable(t *testing.T) {
	if !apart(t) {
		return
	}
	for _, tc := range []struct {
		name  string
		hold  func(t *testing.T, dir string) (release func())
		stays bool   // as a version
		hint  string // of the warning
	}{
		{"a mount in it", func(t *testing.T, dir string) func() {
			must(t, unix.Mount("tmpfs", dir+"/conf", "tmpfs", 0, ""))
			must(t, os.WriteFile(dir+"/conf/precious", nil, 0o600))
			return func() { must(t, unix.Unmount(dir+"/conf", 0)) }
		}, true, "umount "},
		{"a folder of elsewhere bound into it", func(t *testing.T, dir string) func() {
			other := t.TempDir()
			must(t, os.WriteFile(other+"/precious", nil, 0o600))
			must(t, unix.Mount(other, dir+"/conf", "", unix.MS_BIND, ""))
			return func() {
				must(t, unix.Unmount(dir+"/conf", 0))
				if _, err := os.Stat(other + "/precious"); err != nil {
					t.Error(err)
				}
			}
		}, true, "umount "},
		{"it is a mount", func(t *testing.T, dir string) func() {
			must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
			return func() { must(t, unix.Unmount(dir, 0)) }
		}, true, "umount "},
		{"an immutable file", func(t *testing.T, dir string) func() { return immutable(t, dir+"/db.txt") }, false, "chattr"},
		{"it is immutable", func(t *testing.T, dir string) func() { return immutable(t, dir) }, true, "chattr"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore(t)
			var told []string
			s.Warn = func(err error) { told = append(told, Advice(err)) }
			old := another(t, s, baseTime)
			another(t, s, baseTime.Add(time.Hour))
			release := tc.hold(t, old.Path)
			for i := range 2 {
				told = nil
				another(t, s, baseTime.Add(time.Duration(i+2)*time.Hour))
				if _, err := s.Prune(1, 1); err != nil {
					t.Error(err)
				}
				if len(told) == 0 || !strings.Contains(told[0], s.Dir) || !strings.Contains(told[0], tc.hint) {
					t.Errorf("told %q", told)
				}
				_, err := s.Find(1, old.Name)
				if stays := err == nil; stays != tc.stays {
					t.Errorf("still a version: %v", stays)
				}
			}
			release()
			told = nil
			if _, err := s.Prune(1, 1); err != nil || told != nil {
				t.Errorf("%v, %q", err, told)
			}
			if versions, leftovers := visible(t, s); slices.Contains(versions, old.Name) || leftovers != nil {
				t.Errorf("left %q, %q", versions, leftovers)
			}
		})
	}
}

// immutable makes something immutable.
func immutable(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	flag := func(on uint32) error {
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(on))
	}
	const immutableFlag = 0x10
	if err := flag(immutableFlag); errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("the file system has no immutable files: %v", err)
	} else {
		must(t, err)
	}
	t.Cleanup(func() { _ = flag(0) })
	return func() { must(t, flag(0)) }
}
