package manifest

import (
	"path"
	"path/filepath"
	"strings"
)

// Admission checks the entries that a peer sends, in order, against each other and against what it
// announced.
type Admission struct {
	announced Announced
	folders   map[string]struct{}
	last      string // path of the previous entry
	entries   int
	paths     int   // bytes of all paths
	extras    int   // bytes of all attributes
	bytes     int64 // sum of sizes
	files     int
	newest    int64
}

// Announced is what a peer announces about a version before it sends it.
type Announced struct {
	Entries int   // files and folders
	Bytes   int64 // sum of the files' sizes
	Mtime   int64 // newest modification time of the files, nanoseconds since 1970
}

// NoMtime is a modification time older than all others.
const NoMtime = -1 << 63

// Admit returns an Admission for a version that was announced.
func Admit(of Announced) *Admission {
	return &Admission{announced: of, folders: map[string]struct{}{".": {}}, newest: NoMtime}
}

// Admit returns an error unless e may be the next entry.
func (a *Admission) Admit(e *Entry) error {
	a.entries++
	a.paths += len(e.Path)
	_, parent := a.folders[path.Dir(e.Path)]
	switch {
	case a.entries > a.announced.Entries || a.paths > maxPathBytes:
		return Violation("more files than announced")
	case e.Path == "" || e.Path == "." || strings.ContainsRune(e.Path, 0), len(path.Base(e.Path)) > MaxName,
		!filepath.IsLocal(e.Path), path.Clean(e.Path) != e.Path:
		return Violation("the path %q", e.Path)
	case a.entries > 1 && e.Path <= a.last:
		return Violation("the path %q after %q", e.Path, a.last)
	case !parent:
		return Violation("the path %q outside of any folder", e.Path)
	case e.Attr.Mode&^KeptMode(e.Dir) != 0:
		return Violation("the mode %o of %q", e.Attr.Mode, e.Path)
	case e.Size > a.announced.Bytes-a.bytes:
		return Violation("more bytes than announced")
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

// AddXattrs counts n bytes of attributes.
func (a *Admission) AddXattrs(n int) error {
	if a.extras += n; a.extras > 2*maxAllXattrs { // a file may be sent twice
		return Violation("more than %d bytes of attributes", maxAllXattrs)
	}
	return nil
}

// Finish checks the complete list against the announcement.
func (a *Admission) Finish() error {
	if a.entries != a.announced.Entries || a.bytes != a.announced.Bytes || a.newest != a.announced.Mtime || a.files == 0 {
		return Violation("a file list other than announced")
	}
	return nil
}
