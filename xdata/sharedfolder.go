package xdata

import (
	"os"
	"path/filepath"
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
)

// Both sides may have been given one folder, such as an NFS share: then there is one copy of
// the data where two are counted on. The side that answers therefore makes a file of a name
// that nobody else has, in its folder, for as long as it answers; the side that asks looks
// for it in its own. A file is seen on all servers as soon as it is made, a lock not
// everywhere.
const signPrefix = ".answering-"

// signs are the files of that kind in a folder of versions.
type signs struct{ dir string }

// put makes such a file, and returns its name; "" where none can be made, or there is no
// folder yet.
func (s signs) put() string {
	name, err := safepath.CreateTemp(s.dir, signPrefix)
	if err != nil {
		return ""
	}
	return name
}

// take removes it.
func (s signs) take(sign string) {
	if sign != "" {
		_ = safepath.Remove(filepath.Join(s.dir, sign)) // the next holder of a lock tries again
	}
}

// check refuses a peer that has the same folder of versions.
func (s signs) check(sign string) error {
	if !strings.HasPrefix(sign, signPrefix) || filepath.Base(sign) != sign {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(s.dir, sign)); err != nil {
		return nil //nolint:nilerr // it is not there, or it is not known
	}
	return fault.New(fault.Refused, "give each server a folder of its own, on a disk of its own: xdata_dir in mxcluster.yaml",
		"both servers have the same folder of data versions, %s here: there is one copy of the data, not two", s.dir)
}
