package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const anyEdit = "server add new1 --base 10.1.5.1/16 --interface eth0"

// misfortune is something wrong with the files of a server: what an edit then
// answers, and what makes it good again.
type misfortune struct {
	name   string
	spoil  func(s *site) error
	nobody bool // the edit is made by a user without rights
	code   int
	says   string // pattern
	mend   func(s *site) error
}

// Whatever is wrong with the files, an edit says so with the contract's code, the
// document and all else stays as it was, and once that is mended edits work.
func TestEditMeetsMisfortune(t *testing.T) {
	for _, m := range []misfortune{
		{"configuration on a full disk", fill("etc"), false, 1,
			`cannot write .*/cluster.yaml: no space left on device\n.*make room on the disk; the document is unchanged`, empty("etc")},
		{"history on a full disk", fill("var"), false, 1,
			`cannot write .*/var/history/00000007.yaml: no space left on device\n.*make room`, empty("var")},
		{"configuration on a read-only disk", readOnly("etc"), false, 1,
			`cannot lock .*/cluster.lock: read-only file system\n.*mount it writable`, writable("etc")},
		{"history on a read-only disk", readOnly("var"), false, 1,
			`read-only file system\n.*mount it writable`, writable("var")},
		{"folder that may only be read", mode("etc", 0o555), true, 77,
			`cannot lock .*/cluster.lock: permission denied\n.*run it as root`, mode("etc", 0o755)},
		{"document that may not be read", inTurn(mode("etc/cluster.yaml", 0), owner("etc", 65534)), true, 77,
			`cannot read .*/cluster.yaml: permission denied\n.*run it as root`, inTurn(mode("etc/cluster.yaml", 0o644), owner("etc", 0))},
		{"document of another user", inTurn(owner("etc", 65534), owner("var", 65534)), true, 77,
			`cannot write .*/cluster.yaml: operation not permitted\n.*owner of the file`, inTurn(owner("etc", 0), owner("var", 0))},
		{"symbolic link in the place of the document", link("etc/cluster.yaml"), false, 78,
			`/cluster.yaml is a symbolic link\n.*put the file itself there`, unlink("etc/cluster.yaml")},
		{"symbolic link in the place of the lock", link("etc/cluster.lock"), false, 1,
			`cannot lock .*/cluster.lock: too many levels of symbolic links`, unlink("etc/cluster.lock")},
	} {
		t.Run(m.name, func(t *testing.T) { m.test(t) })
	}
}

func (m misfortune) test(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("needs root: it mounts disks and becomes another user")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	onDisks(t, []string{filepath.Join(dir, "etc"), filepath.Join(dir, "var")}, func() error {
		s := newSite(t, dir, system(2, 2))
		write(t, s.path("etc/cluster.lock"), "")
		if err := m.spoil(s); err != nil {
			return err
		}
		before := s.files(t)
		edit := s.command(anyEdit)
		if m.nobody {
			edit.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		code, out := finish(t, edit)
		if code != m.code || !regexp.MustCompile(m.says).MatchString(out) {
			t.Errorf("exit code %d, want %d, and %q\n%s", code, m.code, m.says, out)
		}
		if after := s.files(t); after != before {
			t.Errorf("the files were\n%s\nand are\n%s", before, after)
		}
		if m.mend != nil {
			if err := m.mend(s); err != nil {
				return err
			}
		}
		s.mustRun(t, anyEdit)
		s.wholeHistory(t, 7)
		if found := s.leftovers(t); found != nil {
			t.Errorf("left behind: %v", found)
		}
		return nil
	})
}

// files describes all that a failed edit must leave alone. A copy in history of the
// document that is still the stored one does no harm.
func (s *site) files(t *testing.T) (text string) {
	t.Helper()
	for _, name := range names(t, s.path("etc")) {
		var st unix.Stat_t
		path := s.path("etc/" + name)
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintln(name, st.Ino, st.Mode, st.Uid, st.Gid)
		if st.Mode&unix.S_IFMT == unix.S_IFREG && name != "filler" {
			text += read(t, path)
		}
	}
	return text
}

// onDisks runs fn in a mount namespace in which each folder is a small disk of its own.
func onDisks(t *testing.T, folders []string, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its mounts with it
		defer close(done)      // also when a helper calls t.FailNow
		if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
			done <- err
			return
		}
		for _, folder := range folders {
			if err := errors.Join(os.Mkdir(folder, 0o755), unix.Mount("tmpfs", folder, "tmpfs", 0, "size=128k,mode=755")); err != nil {
				done <- err
				return
			}
		}
		done <- fn()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func inTurn(parts ...func(*site) error) func(*site) error {
	return func(s *site) error {
		for _, part := range parts {
			if err := part(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func fill(folder string) func(*site) error {
	return func(s *site) error {
		if err := os.WriteFile(s.path(folder+"/filler"), make([]byte, 1<<20), 0o644); !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("the disk is not full: %w", err)
		}
		return nil
	}
}

func empty(folder string) func(*site) error {
	return func(s *site) error { return os.Remove(s.path(folder + "/filler")) }
}

func readOnly(folder string) func(*site) error {
	return func(s *site) error { return unix.Mount("", s.path(folder), "", unix.MS_REMOUNT|unix.MS_RDONLY, "") }
}

func writable(folder string) func(*site) error {
	return func(s *site) error { return unix.Mount("", s.path(folder), "", unix.MS_REMOUNT, "") }
}

func mode(name string, m os.FileMode) func(*site) error {
	return func(s *site) error { return os.Chmod(s.path(name), m) }
}

// owner gives a folder to a user, and the lock in it, but not the document.
func owner(folder string, uid int) func(*site) error {
	return func(s *site) error {
		if folder == "etc" {
			if err := os.Chown(s.path("etc/cluster.lock"), uid, -1); err != nil {
				return err
			}
		}
		return os.Chown(s.path(folder), uid, -1)
	}
}

func link(name string) func(*site) error {
	return func(s *site) error {
		return errors.Join(os.Rename(s.path(name), s.path(name)+".real"), os.Symlink(filepath.Base(name)+".real", s.path(name)))
	}
}

func unlink(name string) func(*site) error {
	return func(s *site) error { return os.Rename(s.path(name)+".real", s.path(name)) }
}
