package xdata

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// given are attributes of a file or folder, by name.
type given map[string]string

// give writes them, or tells that they cannot be had here.
func (g given) give(t *testing.T, name string) {
	t.Helper()
	for attr, value := range g {
		err := unix.Lsetxattr(name, attr, []byte(value), 0)
		if errors.Is(err, unix.ENOTSUP) {
			t.Skipf("the file system of %s has no attribute %s", name, attr)
		}
		must(t, err)
	}
}

// has makes sure that a file or folder has these, and none besides.
func (g given) has(t *testing.T, name string) {
	t.Helper()
	h := tree.Handle{Name: name}
	var err error
	h.Fd, err = unix.Open(name, unix.O_RDONLY, 0)
	must(t, err)
	defer func() { must(t, h.Close()) }()
	x, err := tree.ReadXattrs(h, true, func(string) {})
	must(t, err)
	is := given{}
	for attr, value := range x.All {
		is[attr] = value
	}
	for attr, value := range g {
		if is[attr] != value {
			t.Errorf("%s has %s of %d bytes; want %d", name, attr, len(is[attr]), len(value))
		}
	}
	if len(is) != len(g) {
		t.Errorf("%s has %d attributes; want %d", name, len(is), len(g))
	}
}

// withExtras makes a folder of which some files and folders have attributes.
func withExtras(t *testing.T) (dir string, all map[string]given) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	fileTree{"a": "a", "b/in": "x", "empty": "", "large": noise(5, 3<<20), "plain": "p", "read-only": "r"}.write(t, dir, baseTime)
	must(t, os.Chmod(filepath.Join(dir, "read-only"), 0o400))
	all = map[string]given{
		"a":         {manifest.AclAccess: aclOf(6, 6, 4, 6, 0), "user.note": "x\x00y", "user.empty": ""},
		"b":         {manifest.AclAccess: aclOf(7, 7, 5, 7, 0), manifest.AclDefault: aclOf(7, 6, 5, 7, 0), "user.folder": "f"},
		"b/in":      {},
		"empty":     {"user.of": strings.Repeat("v", 3000)},
		"large":     {manifest.AclAccess: aclOf(6, 4, 0, 4, 0), "user.large": "l"},
		"plain":     {},
		"read-only": {"user.ro": "r"},
		".":         {manifest.AclAccess: aclOf(7, 5, 5, 5, 0), "user.top": "t"},
	}
	for name, g := range all {
		g.give(t, filepath.Join(dir, name))
	}
	must(t, os.Chtimes(dir, baseTime, baseTime))
	return dir, all
}

// They are kept by a backup, a sync of what was read and of what was not, and a restore; also
// where the folder above would have others inherited.
func TestExtrasAreKept(t *testing.T) {
	from, all := withExtras(t)
	p := newPair(t)
	for _, s := range p {
		must(t, os.MkdirAll(s.Dir, 0o755))
		given{manifest.AclDefault: aclOf(7, 7, 7, 7, 7)}.give(t, s.Dir)
		s.Note = func(text string) { t.Errorf("it says %s", text) }
	}
	check := func(dir string) {
		t.Helper()
		for name, g := range all {
			g.has(t, filepath.Join(dir, name))
		}
		if is, was := describe(t, dir), describe(t, from); is != was {
			t.Errorf("it is\n%s\nof\n%s", is, was)
		}
	}
	v, err := p[clusterconf.SideRegular].Backup(context.Background(), 1, from)
	must(t, err)
	check(v.Path)
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		for _, known := range []bool{true, false} {
			if !known {
				must(t, os.Remove(p[clusterconf.SideRegular].indexes().path(v.Name)))
			}
			must(t, os.RemoveAll(p[clusterconf.SideStandby].Dir))
			must(t, os.MkdirAll(p[clusterconf.SideStandby].Dir, 0o755))
			given{manifest.AclDefault: aclOf(7, 7, 7, 7, 7)}.give(t, p[clusterconf.SideStandby].Dir)
			_, err := p.syncFrom(t, asks, DirectionAuto)
			must(t, err)
			there, _, err := p[clusterconf.SideStandby].Newest(1)
			must(t, err)
			check(there.Path)
			above := t.TempDir()
			given{manifest.AclDefault: aclOf(7, 7, 7, 7, 7)}.give(t, above)
			must(t, p[clusterconf.SideStandby].Restore(context.Background(), there, filepath.Join(above, "back"), nil))
			check(filepath.Join(above, "back"))
		}
	})
}

// What cannot be kept is told once, and nothing lets more people in.
func TestExtrasThatCannotBeKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it mounts a file system: run as root")
	}
	const inside = "MXCLUSTER_TEST_NO_EXTRAS"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestExtrasThatCannotBeKept$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	disk := t.TempDir()
	must(t, unix.Mount("ramfs", disk, "ramfs", 0, "")) // it has no attributes
	defer func() { _ = unix.Unmount(disk, unix.MNT_DETACH) }()
	from, all := withExtras(t)
	modes := map[string]os.FileMode{"a": 0o640, "b": 0o750, "large": 0o600, "plain": 0o640, "read-only": 0o400, ".": 0o750}
	var said []string
	note := func(text string) { said = append(said, text) }
	check := func(dir string) {
		t.Helper()
		for name, want := range modes {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if is := info.Mode().Perm(); is != want {
				t.Errorf("%s/%s has the mode %o; want %o", dir, name, is, want)
			}
		}
		if len(said) != 1 || !strings.Contains(said[0], `5 access lists (ACL) could not be kept, such as that of "."`) || !strings.Contains(said[0], `7 extended attributes were not kept, such as "user.top" of "."`) {
			t.Errorf("it says %q", said)
		}
		said = nil
	}
	bare := &Store{Dir: filepath.Join(disk, "xdata"), Space: ample, Note: note, Still: AtOnce}
	v, err := bare.Backup(context.Background(), 1, from)
	must(t, err)
	check(v.Path)
	must(t, os.RemoveAll(bare.Dir))

	p := newPair(t)
	p[clusterconf.SideRegular].Note, p[clusterconf.SideStandby] = note, bare
	p[clusterconf.SideRegular].Space = ample
	v, err = p[clusterconf.SideRegular].Backup(context.Background(), 1, from)
	must(t, err)
	for _, asks := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		must(t, os.RemoveAll(bare.Dir))
		_, err = p.syncFrom(t, asks, DirectionAuto)
		must(t, err)
		there, _, err := bare.Newest(1)
		must(t, err)
		check(there.Path)
	}
	must(t, p[clusterconf.SideRegular].Restore(context.Background(), v, filepath.Join(disk, "back"), nil))
	check(filepath.Join(disk, "back"))

	// The access lists are not lost for a side that can keep them.
	must(t, os.RemoveAll(p[clusterconf.SideRegular].Dir))
	_, err = p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	back, _, err := p[clusterconf.SideRegular].Newest(1)
	must(t, err)
	all["a"].has(t, filepath.Join(back.Path, "a"))
}

// Programs cannot be planted, and what is left out is said.
func TestCapabilitiesAreNotKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives capabilities")
	}
	from := filepath.Join(t.TempDir(), "data")
	fileTree{"a": "a"}.write(t, from, baseTime)
	given{"security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "trusted.x": "1"}.give(t, filepath.Join(from, "a"))
	s := newStore(t)
	said := ""
	s.Note = func(text string) { said += text }
	v, err := s.Backup(context.Background(), 1, from)
	must(t, err)
	if want := `2 extended attributes were not kept, such as "security.capability" of "a"`; said != want {
		t.Errorf("it says %q; want %q", said, want)
	}
	given{}.has(t, filepath.Join(v.Path, "a"))
}

func FuzzExtras(f *testing.F) {
	f.Add([]byte(manifest.Xattrs("").Add(manifest.AclAccess, []byte(aclOf(6, 6, 4, 6, 0))).Add("user.a", []byte("1"))), true)
	f.Add([]byte(manifest.Xattrs("").Add("user.a", nil).Add("user.b", []byte("x"))), false)
	f.Add([]byte("\x06user.a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), false)
	f.Fuzz(func(t *testing.T, b []byte, dir bool) {
		x := manifest.Xattrs(b)
		if x.Check(dir) != nil {
			return
		}
		var again manifest.Xattrs
		for name, value := range x.All {
			if !manifest.KeepsXattr(name, dir) {
				t.Errorf("%q is let through", name)
			}
			again = again.Add(name, []byte(value))
		}
		if again != x {
			t.Errorf("%q is not canonical", b)
		}
	})
}
