package postgres

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes are those of a program that is run: it has a session of its own, and is killed with the
// thread that starts it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
}
