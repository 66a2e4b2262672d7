package tree

import (
	"fmt"
	"strings"
	"sync"

	"mxcluster/xdata/internal/manifest"
)

// Dropped collects what was not kept of a version. nil collects nothing.
type Dropped struct {
	mu    sync.Mutex
	lists fewOf // access lists
	other fewOf
}

// fewOf counts attributes.
type fewOf struct {
	count int
	such  string // the first one, by path
	path  string
}

func (f *fewOf) add(path, name string) {
	if f.count++; f.count == 1 || path < f.path || path == f.path && name < f.such {
		f.path, f.such = path, name
	}
}

// of returns what is to be told of the attributes of one file or folder. Labels that each
// server's policy gives are not told of.
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

// String says in a line what was not kept; "": nothing.
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
