package xdata

import (
	"os"
	"path/filepath"
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
)

// Two servers may have the same folder of versions, such as an NFS share: then there is one copy of
// the data instead of two. To detect this the server of a sync creates a sign file with a unique
// name in its folder, and the client looks for it in its own. New files are visible on all clients
// of a shared file system at once, which locks are not everywhere.
const signPrefix = ".answering-"

// signFiles are the sign files in a folder of versions.
type signFiles struct{ dir string }

// put creates a sign file, and returns its name; "" where it cannot be created, or there is no
// folder yet.
func (s signFiles) put() string {
	name, err := safepath.CreateTemp(s.dir, signPrefix)
	if err != nil {
		return ""
	}
	return name
}

// remove removes it.
func (s signFiles) remove(sign string) {
	if sign != "" {
		_ = safepath.Remove(filepath.Join(s.dir, sign)) // else the next holder of a lock does
	}
}

// check refuses a peer that has the same folder of versions.
func (s signFiles) check(sign string) error {
	if !strings.HasPrefix(sign, signPrefix) || filepath.Base(sign) != sign {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(s.dir, sign)); err != nil {
		return nil //nolint:nilerr // it is not there, or it is not known
	}
	return fault.New(fault.Refused, "give each server a folder of its own, on a disk of its own: xdata_dir in mxcluster.yaml",
		"both servers have the same folder of data versions, %s here: there is one copy of the data, not two", s.dir)
}
