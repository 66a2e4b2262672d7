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

// likeness is what a version is known again by, without reading it: its folder, and the
// paths, sizes and times of what is in it. A copy of the version has another folder, and
// times as its file system keeps them.
type likeness struct {
	Inode uint64   `json:"inode"`
	Born  int64    `json:"born,omitempty"`  // when the folder was made, nanoseconds since 1970; 0: the file system does not tell
	Print string   `json:"print,omitempty"` // of all paths, sizes and times
	Some  []uint64 `json:"some,omitempty"`  // prints of some of the files
}

const (
	// someFiles is how many files a version is known again by when others changed.
	someFiles = 16
)

// printOf tells files of different path, size or time apart. Two seconds are one time, for a
// file system may round to them.
func printOf(e *manifest.Entry) uint64 {
	b := append(make([]byte, 0, 256), e.Path...)
	if !e.Dir {
		b = append(b, 0)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Size))                        //nolint:gosec // bits
		b = binary.LittleEndian.AppendUint64(b, uint64(manifest.Coarse(e.Attr.Mtime))) //nolint:gosec // bits
	}
	return xxh3.Hash(b)
}

// likenessOf describes the version that lies in root and looks like m.
func likenessOf(root *os.Root, m *manifest.Manifest) (l likeness, err error) {
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
		p := printOf(&m.Entries[i])
		all = binary.LittleEndian.AppendUint64(all, p)
		if !m.Entries[i].Dir {
			l.Some = append(l.Some, p)
		}
	}
	sum := chunk.Sum(all)
	l.Print = hex.EncodeToString(sum[:16])
	// The smallest prints are the same ones in every copy that has these files.
	slices.Sort(l.Some)
	l.Some = slices.Clip(l.Some[:min(len(l.Some), someFiles)])
	return l, nil
}

// of tells whether what was noted of one version speaks of another one, which looks like now:
// of the same folder, or of a copy. Changed tells that it is not as it was then.
func (l *likeness) of(is likeness, now *manifest.Manifest) (speaks, changed bool) {
	same := l.Inode == is.Inode && l.Born == is.Born
	if l.Print == is.Print {
		return true, false
	}
	return same || slices.ContainsFunc(now.Entries, func(e manifest.Entry) bool {
		if e.Dir {
			return false
		}
		_, has := slices.BinarySearch(l.Some, printOf(&e))
		return has
	}), true
}
