// Package manifest describes a data version: its files and folders with their attributes, hashes
// and chunks; the encoding in an index and on the wire; the bounds of a version; and how two
// manifests compare. It does not access the disk.
package manifest

import (
	"encoding/binary"
	"slices"
	"strings"

	"mxcluster/xdata/internal/chunk"
)

// Manifest is everything about a version except the content of its files. Entries are sorted by
// path, unique, and a folder comes before its content.
type Manifest struct {
	Top        Attributes
	Entries    []Entry
	Chunks     []chunk.Chunk // of all files; see ChunksOf
	XattrBytes int           // bytes of extended attributes read
}

// ChunksOf returns the chunks of a file whose content is known.
func (m *Manifest) ChunksOf(e *Entry) []chunk.Chunk { return m.Chunks[e.First : e.First+e.Count] }

// Sort sorts the entries by path.
func (m *Manifest) Sort() {
	slices.SortFunc(m.Entries, ByPath)
}

// Find returns the entry of a path; nil: none.
func (m *Manifest) Find(name string) *Entry {
	var f finder
	return f.find(m, name)
}

// Search returns the index of a path's entry; with ok false, where it would be inserted.
func (m *Manifest) Search(name string) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, name, func(e Entry, name string) int { return strings.Compare(e.Path, name) })
}

// finder finds one path after the other, fast if they come in order.
type finder int

func (f *finder) find(m *Manifest, name string) *Entry {
	if i := int(*f); i < len(m.Entries) && m.Entries[i].Path == name {
		*f++
		return &m.Entries[i]
	}
	i, ok := m.Search(name)
	if !ok {
		return nil
	}
	*f = finder(i + 1)
	return &m.Entries[i]
}

// Bytes returns the sum of the files' sizes.
func (m *Manifest) Bytes() (sum int64) {
	for i := range m.Entries {
		sum += m.Entries[i].Size
	}
	return sum
}

// Content returns how many of these bytes are not in holes, by disk usage.
func (m *Manifest) Content() (sum int64) {
	for i := range m.Entries {
		sum += m.Entries[i].Content()
	}
	return sum
}

// NewestMtime returns the newest modification time of the files, in
// nanoseconds since 1970.
func (m *Manifest) NewestMtime() (newest int64) {
	newest = NoMtime
	for i := range m.Entries {
		if !m.Entries[i].Dir {
			newest = max(newest, m.Entries[i].Attr.Mtime)
		}
	}
	return newest
}

// Digest returns the hash of the content: paths, kinds, sizes and digests. Owners, modes and times
// are left out: they may differ between two sides with the same data, for instance where one does
// not run as root.
func (m *Manifest) Digest() []byte {
	h := chunk.NewHasher()
	var b []byte
	for i := range m.Entries {
		e := &m.Entries[i]
		b = binary.AppendUvarint(b[:0], uint64(len(e.Path)))
		b = append(b, e.Path...)
		b = binary.AppendUvarint(b, uint64(e.Size))
		b = append(b, boolByte(e.Dir))
		b = append(b, e.Sum[:]...)
		h.Write(b)
	}
	sum := h.Sum()
	return sum[:]
}

// InTop returns how many entries are in the version's top folder.
func (m *Manifest) InTop() (n int) {
	for i := range m.Entries {
		if !strings.Contains(m.Entries[i].Path, "/") {
			n++
		}
	}
	return n
}

// Recall takes the content of unchanged files over from an index. It returns how many files are
// unknown after that, and whether the index should be written again: a folder that differs from its
// index makes every inspection survey twice (tree.SurveyByIndex).
func (m *Manifest) Recall(kept *Manifest) (unknown int, stale bool) {
	if kept == nil {
		kept = &Manifest{}
	}
	stale = len(kept.Entries) != len(m.Entries)
	j := 0
	for i := range m.Entries {
		e := &m.Entries[i]
		for j < len(kept.Entries) && kept.Entries[j].Path < e.Path {
			j++
		}
		same := j < len(kept.Entries) && kept.Entries[j].Path == e.Path && kept.Entries[j].Dir == e.Dir && kept.Entries[j].SameFile(e)
		stale = stale || !same
		switch {
		case e.Dir && same:
			e.Attr.Xattrs, e.Known = kept.Entries[j].Attr.Xattrs, true
		case e.Dir:
		case !same:
			unknown++
		default:
			k := &kept.Entries[j]
			e.Attr.Xattrs = k.Attr.Xattrs
			e.Sum, e.Known, e.First, e.Count = k.Sum, true, len(m.Chunks), k.Count
			m.Chunks = append(m.Chunks, kept.ChunksOf(k)...)
		}
	}
	return unknown, stale
}
