//go:build !linux

package safepath

import (
	"io/fs"
	"os"
	"syscall"
)

// find is of use where root runs this for others: on Linux. It tells nothing here.
func find(string) (fs.FileInfo, error) { return nil, nil }

// mine tells whether a file belongs to who runs this.
func mine(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
