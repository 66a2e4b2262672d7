package tree

import (
	"os"

	"golang.org/x/sys/unix"
)

func Identify(fd int) (inode uint64, born int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, 0, os.NewSyscallError("fstat", err)
	}
	return st.Ino, st.Btim.Nano(), nil
}

func MountedAt(string) string { return "" }
