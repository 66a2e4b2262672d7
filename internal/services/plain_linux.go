package services

import (
	"errors"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// StartPlain starts a program without the capabilities that this process may have as another user
// than root.
func StartPlain(cmd *exec.Cmd) error {
	runtime.LockOSThread() // they are inherited from a thread
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) { // before Linux 4.3
		return os.NewSyscallError("prctl", err)
	}
	return cmd.Start()
}
