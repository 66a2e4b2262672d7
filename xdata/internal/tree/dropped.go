package tree

import (
	"fmt"
	"strings"
	"sync"

	"mxcluster/xdata/internal/manifest"
)

// Dropped collects the attributes that could not be kept of a version. A nil Dropped collects
// nothing.
type Dropped struct {
	mu    sync.Mutex
	lists attributeTally // access lists
	other attributeTally
}

// attributeTally counts attributes.
type attributeTally struct {
	count int
	such  string // name of the first one, by path
	path  string
}

func (f *attributeTally) add(path, name string) {
	if f.count++; f.count == 1 || path < f.path || path == f.path && name < f.such {
		f.path, f.such = path, name
	}
}

// of returns the function that records an attribute of one file or folder. Security labels, which
// each server's policy sets, are not recorded.
func (u *Dropped) of(path string) func(name string) {
	return func(name string) {
		if u == nil || strings.HasPrefix(name, "security.") && name != "security.capability" {
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if name == manifest.AclAccess || name == manifest.AclDefault {
			u.lists.add(path, name)
		} else {
			u.other.add(path, name)
		}
	}
}

// String returns a line about what could not be kept; "": everything was.
func (u *Dropped) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var said []string
	if f := &u.lists; f.count > 0 {
		said = append(said, fmt.Sprintf("%d access lists (ACL) could not be kept, such as that of %q; the owning groups have the rights that the lists gave to them alone", f.count, manifest.Shortened(f.path)))
	}
	if f := &u.other; f.count > 0 {
		said = append(said, fmt.Sprintf("%d extended attributes were not kept, such as %.64q of %q", f.count, f.such, manifest.Shortened(f.path)))
	}
	return strings.Join(said, "; ")
}
