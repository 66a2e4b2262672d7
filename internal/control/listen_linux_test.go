package control

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Where the runtime folder has no room for a socket, the agent listens beside its state;
// commands find it there, and no second agent comes up when there is room again.
func TestListenWhereRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("mounting a full file system needs root")
	}
	runtime.LockOSThread() // the mount is this thread's alone, which ends with the test
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	run, state := t.TempDir(), t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", run, "tmpfs", 0, "nr_inodes=2"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(run, unix.MNT_DETACH) }()
	filler := filepath.Join(run, "filler")
	if err := os.WriteFile(filler, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path, spare := SocketPath(run), SocketPath(state)
	l, err := ListenWhereRoom(path, spare)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Spare(path) {
		t.Error("it says that it listens at its usual place")
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, &fake{}, slog.New(slog.DiscardHandler)) }()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c := &Client{Path: path, Spare: spare}
	if _, err := c.Agent(t.Context()); err != nil || !c.Running(t.Context()) {
		t.Errorf("the agent is not found: %v", err)
	}
	if _, err := ListenWhereRoom(path, spare); fault.CodeOf(err) != fault.Busy {
		t.Errorf("a second agent came up: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
