package clusterconf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

var ordered = Change{By: "root", On: "srv1", Command: "mxcluster server add srv3", Reason: "growth"}

func addSrv3(d *Document) error {
	return d.AddServer(Server{Name: "srv3", Base: prefix("10.0.0.15/24"), Interface: "eth0", LIM: 3})
}

func TestStoreCreate(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	s := newStore(t)
	d := mustRead(t, s)
	if want := uncreated(); d.Revision != 1 || d.System != want.System || !d.Changed.At.Equal(want.Changed.At) {
		t.Errorf("got %+v", d)
	}
	if info, err := os.Stat(s.Path); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v, %v: everybody should be able to read it", info.Mode(), err)
	}
	err := s.Create(context.Background(), uncreated())
	wantFault(t, err, fault.Refused, "cannot create the cluster document: "+s.Path+" exists", "mxcluster server list")
}

func TestStoreCreateStamps(t *testing.T) {
	s, d := storeIn(t.TempDir()), uncreated()
	d.Changed = Change{By: "root"}
	if err := s.Create(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, s).Changed; !got.At.Equal(testTime.Truncate(time.Millisecond)) || got.By != "root" {
		t.Errorf("got %+v", got)
	}
	if !d.Changed.At.IsZero() {
		t.Error("Create changed its argument")
	}
}

func TestStoreCreateRefusesInvalid(t *testing.T) {
	s := storeIn(t.TempDir())
	err := s.Create(context.Background(), New("x", Server{Name: "srv1", Interface: "eth0"}))
	wantFault(t, err, fault.Refused, "the change would break a rule: the base of srv1", "address of a host")
	if _, err := os.Lstat(filepath.Dir(s.Path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

func TestStoreReadMissing(t *testing.T) {
	s := storeIn(t.TempDir())
	_, err := s.Read()
	wantFault(t, err, fault.Invalid, "no cluster document: cannot read "+s.Path, "mxcluster init")
	_, err = s.Edit(context.Background(), ordered, addSrv3)
	wantFault(t, err, fault.Invalid, "no cluster document", "mxcluster join")
}

func TestStoreEdit(t *testing.T) {
	s := newStore(t)
	old := "# kept as it was\n" + readFile(t, s.Path)
	writeFile(t, s.Path, old)
	result, err := s.Edit(context.Background(), ordered, addSrv3)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Changed || result.Before.Revision != 1 || result.After.Revision != 2 || result.Before.RegularOf(3) != nil {
		t.Errorf("result %+v", result)
	}
	got := mustRead(t, s)
	if !reflect.DeepEqual(got, result.After.Document) || got.RegularOf(3) == nil {
		t.Errorf("stored %+v\nresult %+v", got, result.After)
	}
	want := ordered
	want.At = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)
	if got.Changed != want {
		t.Errorf("change %+v, want %+v", got.Changed, want)
	}
	if kept := readFile(t, filepath.Join(s.HistoryDir, "00000001.yaml")); kept != old {
		t.Errorf("history has\n%s", kept)
	}
	if got := names(t, filepath.Dir(s.Path)); !slices.Equal(got, []string{"cluster.lock", "cluster.yaml"}) {
		t.Errorf("files %v", got)
	}
}

func TestStoreEditChangesNothing(t *testing.T) {
	tests := []struct {
		name    string
		fn      func(d *Document) error
		code    fault.Code
		message string
	}{
		{"already so", func(d *Document) error { return d.ToStandby("sb1") }, fault.OK, ""},
		{"another order", func(d *Document) error { slices.Reverse(d.Servers); return nil }, fault.OK, ""},
		{"revision and change are the store's", func(d *Document) error { d.Revision, d.Changed.By = 99, "me"; return nil }, fault.OK, ""},
		{"refused", func(d *Document) error { d.Servers = nil; return fault.New(fault.NotFound, "", "no such thing") }, fault.NotFound, "no such thing"},
		{"result breaks a rule", func(d *Document) error { d.Servers[0].LIM, d.Servers[0].Base = 1, d.Servers[1].Base; return nil }, fault.Refused, "the change would break a rule: LIM 1 is on free1 and on srv1 (and 1 more)"},
		{"result is too large", func(d *Document) error {
			return d.SetServices(1, slices.Repeat([]Service{{Run: "exec:/" + strings.Repeat("x", 1000)}}, 1100))
		}, fault.Refused, "the change is refused: the cluster document has"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			dir := filepath.Dir(filepath.Dir(s.Path))
			before := tree(t, dir)
			for _, apply := range []func() (Result, error){
				func() (Result, error) { return s.Preview(ordered, test.fn) },
				func() (Result, error) { return s.Edit(context.Background(), ordered, test.fn) },
			} {
				result, err := apply()
				if test.code != fault.OK {
					wantFault(t, err, test.code, test.message, "")
				} else if err != nil || result.Changed || result.After.Revision != 1 || result.Before.Revision != 1 {
					t.Errorf("result %+v, error %v", result, err)
				}
			}
			after := tree(t, dir)
			lock := s.lockPath()
			before[lock] = after[lock]
			if !reflect.DeepEqual(after, before) {
				t.Errorf("got  %v\nwant %v", after, before)
			}
		})
	}
}

// Preview plans what Edit does, and writes nothing at all.
func TestStorePreview(t *testing.T) {
	s := newStore(t)
	dir := filepath.Dir(filepath.Dir(s.Path))
	if err := os.Remove(s.lockPath()); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	previewed, err := s.Preview(ordered, addSrv3)
	if err != nil {
		t.Fatal(err)
	}
	if after := tree(t, dir); !reflect.DeepEqual(after, before) {
		t.Errorf("got  %v\nwant %v", after, before)
	}
	edited, err := s.Edit(context.Background(), ordered, addSrv3)
	if err != nil || !reflect.DeepEqual(previewed, edited) {
		t.Errorf("previewed %+v\nedited    %+v\nerror %v", previewed, edited, err)
	}
	_, err = storeIn(t.TempDir()).Preview(ordered, addSrv3)
	wantFault(t, err, fault.Invalid, "no cluster document", "mxcluster init")
}

func TestStoreKeepsModeAndOwner(t *testing.T) {
	s := newStore(t)
	if err := os.Chmod(s.Path, 0o640); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12, 34
		if err := os.Chown(s.Path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Edit(context.Background(), ordered, addSrv3); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(s.Path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode&0o777 != 0o640 || int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("mode %o, owner %d:%d", st.Mode&0o777, st.Uid, st.Gid)
	}
}

// Only whole regular files can be replaced without surprises.
func TestStoreRefusesOtherFiles(t *testing.T) {
	tests := []struct {
		name    string
		put     func(path string) error
		message string
	}{
		{"symbolic link", func(path string) error {
			if err := os.Rename(path, path+".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}, "is a symbolic link"},
		{"dangling link", func(path string) error { return errors.Join(os.Remove(path), os.Symlink("nowhere", path)) }, "is a symbolic link"},
		{"folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, "is not a regular file"},
		{"FIFO", func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644)) }, "is not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			if err := test.put(s.Path); err != nil {
				t.Fatal(err)
			}
			before := tree(t, filepath.Dir(s.Path))
			message := s.Path + " " + test.message
			_, err := s.Read()
			wantFault(t, err, fault.Invalid, message, "put the file itself there")
			_, err = s.Edit(context.Background(), ordered, addSrv3)
			wantFault(t, err, fault.Invalid, message, "")
			wantFault(t, s.Create(context.Background(), uncreated()), fault.Invalid, message, "")
			_, err = s.Adopt(context.Background(), Freeze(uncreated()))
			wantFault(t, err, fault.Invalid, message, "")
			after := tree(t, filepath.Dir(s.Path))
			delete(before, s.lockPath())
			delete(after, s.lockPath())
			if !reflect.DeepEqual(after, before) {
				t.Errorf("got  %v\nwant %v", after, before)
			}
		})
	}
}

func TestStoreReadsBrokenDocument(t *testing.T) {
	s := newStore(t)
	writeFile(t, s.Path, "apiVersion: mxcluster/v1\nrevision: x\n")
	before := readFile(t, s.Path)
	_, err := s.Edit(context.Background(), ordered, addSrv3)
	wantFault(t, err, fault.Invalid, s.Path+":1:1: kind is missing", "add kind")
	if readFile(t, s.Path) != before {
		t.Error("the document was changed")
	}
}

func TestStoreNotPermitted(t *testing.T) {
	s := openStore(t)
	before := readFile(t, s.Path)
	asNobody(t, func() {
		if _, err := s.Read(); err != nil {
			t.Errorf("reading is open to all: %v", err)
		}
		if os.Geteuid() == 0 {
			_, err := s.Edit(context.Background(), ordered, addSrv3)
			wantFault(t, err, fault.NotPermitted, "cannot lock "+s.lockPath()+": permission denied", "run it as root")
		}
	})
	if err := os.Chmod(s.Path, 0); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		_, err := s.Read()
		wantFault(t, err, fault.NotPermitted, "cannot read "+s.Path+": permission denied", "run it as root")
	})
	if err := os.Chmod(s.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	if readFile(t, s.Path) != before {
		t.Error("the document was changed")
	}
}

// Without the right to keep the owner nothing is replaced.
func TestStoreNotPermittedToKeepOwner(t *testing.T) {
	needRoot(t)
	s := openStore(t)
	for _, path := range []string{filepath.Dir(s.Path), s.lockPath(), filepath.Dir(filepath.Dir(s.Path))} {
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
	}
	before := readFile(t, s.Path)
	asNobody(t, func() {
		_, err := s.Edit(context.Background(), ordered, addSrv3)
		wantFault(t, err, fault.NotPermitted, "cannot write "+s.Path+": operation not permitted", "owner of the file")
	})
	if got := names(t, filepath.Dir(s.Path)); !slices.Equal(got, []string{"cluster.lock", "cluster.yaml"}) {
		t.Errorf("files %v", got)
	}
	if readFile(t, s.Path) != before {
		t.Error("the document was changed")
	}
}

func TestStoreDiskFull(t *testing.T) {
	dir := t.TempDir()
	onTmpfs(t, dir, func() error {
		s := storeIn(dir)
		if err := s.Create(context.Background(), uncreated()); err != nil {
			return err
		}
		before := readFile(t, s.Path)
		if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o644); !errors.Is(err, unix.ENOSPC) {
			return errors.New("the file system is not full")
		}
		_, err := s.Edit(context.Background(), ordered, addSrv3)
		wantFault(t, err, fault.Failed, "no space left on device", "make room on the disk; the document is unchanged")
		if readFile(t, s.Path) != before {
			t.Error("the document was changed")
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			return err
		}
		_, err = s.Edit(context.Background(), ordered, addSrv3)
		return err
	})
}

func TestStoreReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	onTmpfs(t, dir, func() error {
		s := storeIn(dir)
		if err := s.Create(context.Background(), uncreated()); err != nil {
			return err
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
		_, err := s.Edit(context.Background(), ordered, addSrv3)
		wantFault(t, err, fault.Failed, "cannot lock "+s.lockPath()+": read-only file system", "mount it writable")
		_, err = s.Preview(ordered, addSrv3)
		return err
	})
}

func TestStoreFolderInTheWay(t *testing.T) {
	s := newStore(t)
	writeFile(t, filepath.Dir(s.HistoryDir), "")
	_, err := s.Edit(context.Background(), ordered, addSrv3)
	wantFault(t, err, fault.Failed, "cannot make folder "+s.HistoryDir+": not a directory", "")
	if err := errors.Join(os.Remove(filepath.Dir(s.HistoryDir)), os.Mkdir(filepath.Dir(s.HistoryDir), 0o755)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.HistoryDir, "")
	_, err = s.Edit(context.Background(), ordered, addSrv3)
	wantFault(t, err, fault.Failed, s.HistoryDir+" is not a folder", "move it away")
	if mustRead(t, s).Revision != 1 {
		t.Error("the document was changed though the old one could not be kept")
	}
}

func TestStoreBusy(t *testing.T) {
	s := newStore(t)
	unlock, err := lockFile(context.Background(), s.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Edit(ctx, ordered, addSrv3)
	wantFault(t, err, fault.Busy, "the cluster document is being changed by process "+strconv.Itoa(os.Getpid()), "try again")

	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	_, err = s.Edit(ctx, ordered, addSrv3)
	wantFault(t, err, fault.Interrupted, "the cluster document is being changed by", "")

	unlock()
	if _, err := s.Edit(context.Background(), ordered, addSrv3); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
	if got := readFile(t, s.lockPath()); got != "" {
		t.Errorf("a free lock names %q", got)
	}
}

// What killed writers left is swept up, what others put there is not.
func TestStoreSweeps(t *testing.T) {
	s := newStore(t)
	dir := filepath.Dir(s.Path)
	for _, name := range []string{".cluster.yaml123", ".cluster.yaml.swp", ".cluster.yaml", ".cluster.yaml12x"} {
		writeFile(t, filepath.Join(dir, name), "")
	}
	if _, err := s.Edit(context.Background(), ordered, addSrv3); err != nil {
		t.Fatal(err)
	}
	want := []string{".cluster.yaml", ".cluster.yaml.swp", ".cluster.yaml12x", "cluster.lock", "cluster.yaml"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
}
