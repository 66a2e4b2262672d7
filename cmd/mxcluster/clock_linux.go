package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// clockKept asks the kernel whether a service keeps its clock. Where none does, that is a fault
// only if this system is the one whose services would: in a container it is the host.
func clockKept() (kept *bool, why string) {
	state, err := unix.Adjtimex(&unix.Timex{})
	if err != nil {
		return nil, ""
	}
	is := state != unix.TIME_ERROR
	switch {
	case is:
		return &is, ""
	case exists("/run/chrony/chronyd.pid"), exists("/run/chronyd.pid"), exists("/run/ntpd.pid"), exists("/run/systemd/timesync"):
		return &is, "a time service runs, and the clock is not in step yet"
	case exists("/run/systemd/system") && !exists("/run/systemd/container"):
		return &is, "no time service runs"
	}
	return &is, ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
