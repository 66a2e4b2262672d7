package main

import (
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/settings"
)

// keptCapabilities are what root keeps as the agent's own user: addresses and packets, and
// data of LIMs, whose owners are others.
var keptCapabilities = [...]uintptr{
	unix.CAP_NET_ADMIN, unix.CAP_NET_RAW,
	unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH,
}

// actAs starts this program anew as another user, with what root keeps, in this process's
// place; it returns only where that failed. Programs that it starts get nothing of it.
func actAs(uid int) error {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	// All this is of this thread alone, which becomes the process.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	for _, call := range [...]struct {
		name    string
		nr      uintptr
		a, b, c uintptr
	}{
		{"setgroups", unix.SYS_SETGROUPS, 0, 0, 0},
		{"setresgid", unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{"setresuid", unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(call.nr, call.a, call.b, call.c); errno != 0 {
			return os.NewSyscallError(call.name, errno)
		}
	}
	if err := keepCapabilities(); err != nil {
		return err
	}
	return os.NewSyscallError("execve", unix.Exec("/proc/self/exe", os.Args, environOf(u)))
}

// keepCapabilities makes what root keeps survive the start of the program.
func keepCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	for _, c := range keptCapabilities {
		bit := uint32(1) << (c % 32)
		s := &sets[c/32]
		s.Effective, s.Permitted, s.Inheritable = s.Effective|bit, s.Permitted|bit, s.Inheritable|bit
	}
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	for _, c := range keptCapabilities {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return os.NewSyscallError("prctl", err)
		}
	}
	return nil
}

// environOf is this process's environment as a user has it. Who asked for the change is
// remembered as sudo has it.
func environOf(u *user.User) []string {
	by := os.Getenv("SUDO_USER")
	if by == "" {
		by = "root"
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"HOME", "USER", "LOGNAME", "SUDO_USER"}, name)
	})
	return append(env, "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username, "SUDO_USER="+by)
}

// ownUser is the name of this process's user, where that is the agent's own in place of
// root; else "".
func ownUser() string {
	if os.Geteuid() == 0 {
		return ""
	}
	if u, err := user.Current(); err == nil && u.Username == settings.OwnUser {
		return u.Username
	}
	return ""
}
