package services

import (
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const firstDescriptor = 3 // after standard input, output and error

// keepDescriptors marks inherited descriptors, such as a lock of the shell that started this
// process, close-on-exec, so that started programs do not get them. Descriptors opened by this
// process are so anyway.
func keepDescriptors() {
	if unix.CloseRange(firstDescriptor, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	open, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return
	}
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= firstDescriptor {
			unix.CloseOnExec(fd)
		}
	}
}

// noexec reports whether a file system is mounted noexec.
func noexec(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOEXEC != 0
}
