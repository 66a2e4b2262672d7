package manifest

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Attributes are what is kept of a file or folder besides its content.
type Attributes struct {
	Mode   uint32 `json:"mode"` // permission bits; see KeptMode
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Mtime  int64  `json:"mtime"` // see Nanoseconds
	Xattrs Xattrs `json:"extra,omitempty"`
}

// Mode bits that a version keeps. Set-user-ID never: data needs none, and a
// peer must not be able to plant such a program. Folders keep set-group-ID and
// the sticky bit, by which groups share them.
const (
	fileModes   = 0o777
	folderModes = 0o777 | unix.S_ISGID | unix.S_ISVTX
)

// Nanoseconds returns a time as nanoseconds since 1970. Times that do not fit,
// before 1678 and after 2262, become the extreme on their side, so that order
// is kept: file systems do hold such times.
func Nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// KeptMode returns the mode bits that are kept of a folder or a file.
func KeptMode(dir bool) uint32 {
	if dir {
		return folderModes
	}
	return fileModes
}

// Narrow returns the mode without the access list.
func (a *Attributes) Narrow() uint32 {
	for name, value := range a.Xattrs.All {
		if name == AclAccess {
			return narrowed(a.Mode, value)
		}
	}
	return a.Mode
}
