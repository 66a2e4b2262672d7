package xdata

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"

	"github.com/zeebo/xxh3"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// fingerprint identifies a version without reading its files: by its folder, and by paths, sizes
// and times. A copy of a version has another folder, and times as precise as its file system keeps
// them.
type fingerprint struct {
	Inode uint64   `json:"inode"`
	Born  int64    `json:"born,omitempty"`  // birth time of the folder, nanoseconds since 1970; 0: the file system keeps none
	Print string   `json:"print,omitempty"` // hash of all paths, sizes and times
	Some  []uint64 `json:"some,omitempty"`  // hashes of path, size and time of some files
}

const (
	// someFiles is by how many files a version is recognised when others in it changed.
	someFiles = 16
)

// entryPrint hashes path, size and time of a file. Times are rounded to two seconds, as some file
// systems do.
func entryPrint(e *manifest.Entry) uint64 {
	b := append(make([]byte, 0, 256), e.Path...)
	if !e.Dir {
		b = append(b, 0)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Size))                        //nolint:gosec // bits
		b = binary.LittleEndian.AppendUint64(b, uint64(manifest.Coarse(e.Attr.Mtime))) //nolint:gosec // bits
	}
	return xxh3.Hash(b)
}

// fingerprintOf returns the fingerprint of the version in root, whose manifest is m.
func fingerprintOf(root *os.Root, m *manifest.Manifest) (l fingerprint, err error) {
	f, err := root.Open(".")
	if err != nil {
		return l, err
	}
	defer f.Close()
	if l.Inode, l.Born, err = tree.Identify(int(f.Fd())); err != nil {
		return l, err
	}
	all := make([]byte, 0, len(m.Entries)*8)
	for i := range m.Entries {
		p := entryPrint(&m.Entries[i])
		all = binary.LittleEndian.AppendUint64(all, p)
		if !m.Entries[i].Dir {
			l.Some = append(l.Some, p)
		}
	}
	sum := chunk.Sum(all)
	l.Print = hex.EncodeToString(sum[:16])
	// The smallest hashes: a copy with the same files has the same ones.
	slices.Sort(l.Some)
	l.Some = slices.Clip(l.Some[:min(len(l.Some), someFiles)])
	return l, nil
}

// matches tells whether a recorded fingerprint is that of a version with the fingerprint is and the
// manifest now: of the same folder, or of a copy. changed tells that files differ since it was
// recorded.
func (l *fingerprint) matches(is fingerprint, now *manifest.Manifest) (speaks, changed bool) {
	same := l.Inode == is.Inode && l.Born == is.Born
	if l.Print == is.Print {
		return true, false
	}
	return same || slices.ContainsFunc(now.Entries, func(e manifest.Entry) bool {
		if e.Dir {
			return false
		}
		_, has := slices.BinarySearch(l.Some, entryPrint(&e))
		return has
	}), true
}
