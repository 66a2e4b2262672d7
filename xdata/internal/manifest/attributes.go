package manifest

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Attributes is the metadata that is kept of a file or folder.
type Attributes struct {
	Mode   uint32 `json:"mode"` // permission bits; see KeptMode
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Mtime  int64  `json:"mtime"` // see Nanoseconds
	Xattrs Xattrs `json:"extra,omitempty"`
}

// Mode bits that a version keeps. Set-user-ID is never kept: data do not need it, and a peer must
// not be able to install a set-user-ID program. Folders keep set-group-ID and the sticky bit, which
// are for sharing in groups.
const (
	fileModes   = 0o777
	folderModes = 0o777 | unix.S_ISGID | unix.S_ISVTX
)

// Nanoseconds returns a time as nanoseconds since 1970. Times out of its range, before 1678 and
// after 2262, which file systems can hold, become its bounds, so that the order is kept.
func Nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// KeptMode returns the mode bits that are kept of a folder, or of a file.
func KeptMode(dir bool) uint32 {
	if dir {
		return folderModes
	}
	return fileModes
}

// Narrow returns the mode for the file without its access list; see narrowed.
func (a *Attributes) Narrow() uint32 {
	for name, value := range a.Xattrs.All {
		if name == AclAccess {
			return narrowed(a.Mode, value)
		}
	}
	return a.Mode
}
