package commands

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"mxcluster/internal/fault"
)

// A full disk has its remedy wherever it is met, unless a better one is known.
func TestRemedy(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("backing up: %w", full), "mxcluster: backing up: write /x: no space left on device\nmake room on the disk, and try again\n"},
		{fault.Wrap(full, fault.Failed, "", "backing up"), "mxcluster: backing up: write /x: no space left on device\nmake room on the disk, and try again\n"},
		{fault.Wrap(full, fault.Failed, "do this", "backing up"), "mxcluster: backing up: write /x: no space left on device\ndo this\n"},
		{fmt.Errorf("backing up: %w", syscall.EROFS), "mxcluster: backing up: read-only file system\nthe disk can be read only: see in the kernel's log why, and mount it for writing\n"},
		{syscall.EIO, "mxcluster: input/output error\n"},
	} {
		var told strings.Builder
		report(&told, tc.err, false)
		if told.String() != tc.want {
			t.Errorf("%v: %q, want %q", tc.err, told.String(), tc.want)
		}
	}
}
