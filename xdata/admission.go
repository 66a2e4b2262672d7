package xdata

import (
	"path"
	"path/filepath"
	"strings"
)

// admission checks the entries that a peer sends, one by one, against what it
// announced and against each other.
type admission struct {
	announced announced
	folders   map[string]struct{}
	last      string // path of the entry before
	entries   int
	paths     int   // bytes of all paths
	extras    int   // bytes of all attributes
	bytes     int64 // sum of sizes
	files     int
	newest    int64
}

// announced is what a peer says of a version before it sends it.
type announced struct {
	entries int   // files and folders
	bytes   int64 // sum of the files' sizes
	mtime   int64 // newest modification time of the files, nanoseconds since 1970
}

// noMtime is older than every modification time.
const noMtime = -1 << 63

func newAdmission(of announced) *admission {
	return &admission{announced: of, folders: map[string]struct{}{".": {}}, newest: noMtime}
}

// admit returns an error unless the entry may be the next one.
func (a *admission) admit(e *entry) error {
	a.entries++
	a.paths += len(e.Path)
	_, parent := a.folders[path.Dir(e.Path)]
	switch {
	case a.entries > a.announced.entries || a.paths > maxPathBytes:
		return violation("more files than announced")
	case e.Path == "" || e.Path == "." || strings.ContainsRune(e.Path, 0), len(path.Base(e.Path)) > maxName,
		!filepath.IsLocal(e.Path), path.Clean(e.Path) != e.Path:
		return violation("the path %q", e.Path)
	case a.entries > 1 && e.Path <= a.last:
		return violation("the path %q after %q", e.Path, a.last)
	case !parent:
		return violation("the path %q outside of any folder", e.Path)
	case e.Attr.Mode&^keptMode(e.Dir) != 0:
		return violation("the mode %o of %q", e.Attr.Mode, e.Path)
	case e.Size > a.announced.bytes-a.bytes:
		return violation("more bytes than announced")
	}
	a.last = e.Path
	if e.Dir {
		a.folders[e.Path] = struct{}{}
		return nil
	}
	a.files++
	a.bytes += e.Size
	a.newest = max(a.newest, e.Attr.Mtime)
	return nil
}

// extra counts bytes of attributes.
func (a *admission) extra(n int) error {
	if a.extras += n; a.extras > 2*maxAllExtras { // a file may come twice
		return violation("more than %d bytes of attributes", maxAllExtras)
	}
	return nil
}

// finish checks the whole list.
func (a *admission) finish() error {
	if a.entries != a.announced.entries || a.bytes != a.announced.bytes || a.newest != a.announced.mtime || a.files == 0 {
		return violation("a file list other than announced")
	}
	return nil
}
