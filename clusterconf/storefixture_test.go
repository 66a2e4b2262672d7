package clusterconf

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newStore returns a store in a folder of its own, with the document of uncreated.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := storeIn(t.TempDir())
	if err := s.Create(context.Background(), uncreated()); err != nil {
		t.Fatal(err)
	}
	return s
}

func storeIn(dir string) *Store {
	return &Store{
		Path:       filepath.Join(dir, "etc", "cluster.yaml"),
		HistoryDir: filepath.Join(dir, "lib", "history"),
		Now:        func() time.Time { return testTime },
	}
}

// openStore is newStore in a folder that every user can reach, as /etc and
// /var/lib are.
func openStore(t *testing.T) *Store {
	t.Helper()
	s := newStore(t)
	root := filepath.Dir(filepath.Dir(s.Path))
	for _, dir := range []string{root, filepath.Dir(root)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func mustRead(t testing.TB, s *Store) *Document {
	t.Helper()
	d, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree describes every file below dir: name, mode, owner, inode, time and content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		text := ""
		if e.Type().IsRegular() {
			text = readFile(t, path)
		}
		files[path] = fmt.Sprint(st.Mtim, st.Ino, st.Mode, st.Uid, st.Gid, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// names lists the files of a folder.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// needRoot ends a test that has to change what the kernel grants. In CI that
// is a failure, for there it must run.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") == "true":
		t.Fatal("this test must run as root")
	default:
		t.Skip("needs root")
	}
}

// onThread runs fn on a thread of its own, which ends with it, so that fn may
// change the thread's rights and namespaces.
func onThread(t *testing.T, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		defer close(done)      // also when a helper calls t.FailNow
		done <- fn()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// asNobody runs fn without root's rights on files.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		fn()
		return
	}
	onThread(t, func() error {
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			return err
		}
		fn()
		return nil
	})
}

// onTmpfs runs fn in a mount namespace in which dir is a small file system of
// its own.
func onTmpfs(t *testing.T, dir string, fn func() error) {
	t.Helper()
	needRoot(t)
	onThread(t, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
			return err
		}
		return fn()
	})
}
