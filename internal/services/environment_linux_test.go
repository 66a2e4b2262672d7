package services

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inheritable opens a file as a shell leaves one to what it starts.
func inheritable(t *testing.T) {
	t.Helper()
	fd, err := unix.Open(filepath.Join(t.TempDir(), "inherited"), unix.O_CREAT|unix.O_RDWR, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
}

// A program on a file system from which none may be run is seen as one.
func TestProgramOnANoexecMount(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("needs root: it mounts a file system")
	}
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its mount with it
		defer close(done)
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""), os.WriteFile(dir+"/service", []byte("#!/bin/sh\n"), 0o755))
		if err != nil {
			done <- err
			return
		}
		if err := checkProgram(dir + "/service"); err == nil || !strings.Contains(err.Error(), "mounted noexec") {
			t.Errorf("a program on such a mount: %v", err)
		}
	}()
	must(t, <-done)
}
