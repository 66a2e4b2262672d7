package agent

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What a file system must have free for the state, some events and a document.
const (
	roomBytes  = 256 << 10
	roomInodes = 16
)

// roomFor returns why the file system of a folder will take nothing more, as far as this is visible
// without writing. Quotas and broken disks show in the next save.
func roomFor(folder string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return &os.PathError{Op: "looking for room in", Path: folder, Err: err}
	}
	free := fs.Bavail
	if os.Geteuid() == 0 {
		free = fs.Bfree // the reserved blocks are for root
	}
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("the file system of %s is read-only", folder)
	case fs.Blocks > 0 && free*uint64(fs.Bsize) < roomBytes: // a file system without a size has no limit
		return fmt.Errorf("the file system of %s is full", folder)
	case fs.Files > 0 && fs.Ffree < roomInodes:
		return fmt.Errorf("the file system of %s has no inodes left", folder)
	}
	return nil
}
