package xdata

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// sums are the hashes of a version's files as they were when it was made,
// received or first read, kept beside the version. They are what [Store.Verify]
// holds it against: what the disk says today can't vouch for itself.
type sums struct {
	Inode uint64    `json:"inode"` // of the version's folder, as in a mark
	Files []fileSum `json:"files"`
}

// fileSum is one file of a version. Paths are bytes: names need not be UTF-8.
type fileSum struct {
	Path  []byte `json:"path"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // see nanoseconds
	Sum   []byte `json:"sha256"`
}

// sumOf notes the hash of a file.
func sumOf(name string, info fs.FileInfo, sum []byte) fileSum {
	return fileSum{Path: []byte(name), Size: info.Size(), Mtime: nanoseconds(info.ModTime()), Sum: sum}
}

const sumsPrefix = ".sums-"

func (s *Store) sumsPath(name string) string { return filepath.Join(s.Dir, sumsPrefix+name+".json") }

// seal keeps the hashes of a version that is about to be committed under stamp.
// They come first: a version that is seen without them could not be verified.
func (g *staging) seal(stamp time.Time, files []fileSum) error {
	name, err := g.store.freeName(g.lim, stamp)
	if err != nil {
		return err
	}
	return g.store.writeSums(g.root, name, files)
}

// manifestSums are the hashes that a manifest holds.
func manifestSums(m *manifest) []fileSum {
	var files []fileSum
	for i := range m.Entries {
		if e := &m.Entries[i]; !e.Dir {
			files = append(files, fileSum{Path: []byte(e.Path), Size: e.Size, Mtime: e.Attr.Mtime, Sum: e.Sum[:]})
		}
	}
	return files
}

func (s *Store) writeSums(root *os.Root, name string, files []fileSum) error {
	inode, err := inodeOf(root)
	if err != nil {
		return err
	}
	data, err := json.Marshal(sums{Inode: inode, Files: files})
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.sumsPath(name), data, 0o644)
}

// readSums returns the hashes kept of a version; nil when there are none of it.
// Unreadable ones count as none: the next look makes them anew.
func (s *Store) readSums(root *os.Root, name string) ([]fileSum, error) {
	data, err := os.ReadFile(s.sumsPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	inode, err := inodeOf(root)
	if err != nil {
		return nil, err
	}
	var kept sums
	if json.Unmarshal(data, &kept) != nil || kept.Inode != inode {
		return nil, nil
	}
	return kept.Files, nil
}

// cleanSums removes the hashes of versions that are gone. The caller holds the
// LIM's lock.
func (s *Store) cleanSums(lim int) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), sumsPrefix)
		if of, _, valid := parseName(name); !ok || !valid || of != lim {
			continue
		}
		if _, gone := os.Lstat(filepath.Join(s.Dir, name)); errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, os.Remove(filepath.Join(s.Dir, e.Name())))
		}
	}
	return err
}

// noRoom gives the error of a full file system its remedy.
func noRoom(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.Wrap(err, fault.Failed, "make room there, or remove old versions with 'mxcluster xdata prune'",
			"%s is full; nothing was changed", dir)
	}
	return err
}
