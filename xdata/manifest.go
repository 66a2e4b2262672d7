package xdata

import (
	"encoding/binary"
	"slices"
	"strings"
)

// manifest is all of a version but the files' content. Entries are sorted by
// path, each but once, and a folder comes before what is in it.
type manifest struct {
	Top     attributes
	Entries []entry
	Chunks  []chunk // of all files; see chunksOf
	extras  int     // bytes of extras that were read
}

// chunksOf returns the chunks of a file whose content is known.
func (m *manifest) chunksOf(e *entry) []chunk { return m.Chunks[e.first : e.first+e.count] }

func (m *manifest) sort() {
	slices.SortFunc(m.Entries, byPath)
}

// find returns the entry of a path, or nil.
func (m *manifest) find(name string) *entry {
	var f finder
	return f.find(m, name)
}

func (m *manifest) search(name string) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, name, func(e entry, name string) int { return strings.Compare(e.Path, name) })
}

// finder finds one path after the other, mostly where the last one was found.
type finder int

func (f *finder) find(m *manifest, name string) *entry {
	if i := int(*f); i < len(m.Entries) && m.Entries[i].Path == name {
		*f++
		return &m.Entries[i]
	}
	i, ok := m.search(name)
	if !ok {
		return nil
	}
	*f = finder(i + 1)
	return &m.Entries[i]
}

// bytes returns the sum of the files' sizes.
func (m *manifest) bytes() (sum int64) {
	for i := range m.Entries {
		sum += m.Entries[i].Size
	}
	return sum
}

// content returns how many of these bytes are no holes, as far as is known.
func (m *manifest) content() (sum int64) {
	for i := range m.Entries {
		sum += m.Entries[i].content()
	}
	return sum
}

// newestMtime returns the newest modification time of the files, in
// nanoseconds since 1970.
func (m *manifest) newestMtime() (newest int64) {
	newest = noMtime
	for i := range m.Entries {
		if !m.Entries[i].Dir {
			newest = max(newest, m.Entries[i].Attr.Mtime)
		}
	}
	return newest
}

// digest names the content: paths, kinds, sizes and hashes. Owners, modes and
// times are left out: the two sides may differ in them without holding
// different data, as where one of them does not run as root.
func (m *manifest) digest() []byte {
	h := newHasher()
	var b []byte
	for i := range m.Entries {
		e := &m.Entries[i]
		b = binary.AppendUvarint(b[:0], uint64(len(e.Path)))
		b = append(b, e.Path...)
		b = binary.AppendUvarint(b, uint64(e.Size))
		b = append(b, boolByte(e.Dir))
		b = append(b, e.Sum[:]...)
		h.write(b)
	}
	sum := h.sum()
	return sum[:]
}

// inTop returns how many files and folders lie in the version's folder itself.
func (m *manifest) inTop() (n int) {
	for i := range m.Entries {
		if !strings.Contains(m.Entries[i].Path, "/") {
			n++
		}
	}
	return n
}

// recall takes over what was kept of the files that did not change since, and
// returns how many others there are, and whether the index is to be made anew: a
// folder that is not as it was kept costs every look a second one (see surveyAs).
func (m *manifest) recall(kept *manifest) (unknown int, stale bool) {
	if kept == nil {
		kept = &manifest{}
	}
	stale = len(kept.Entries) != len(m.Entries)
	j := 0
	for i := range m.Entries {
		e := &m.Entries[i]
		for j < len(kept.Entries) && kept.Entries[j].Path < e.Path {
			j++
		}
		same := j < len(kept.Entries) && kept.Entries[j].Path == e.Path && kept.Entries[j].Dir == e.Dir && kept.Entries[j].same(e)
		stale = stale || !same
		switch {
		case e.Dir && same:
			e.Attr.Extra, e.known = kept.Entries[j].Attr.Extra, true
		case e.Dir:
		case !same:
			unknown++
		default:
			k := &kept.Entries[j]
			e.Attr.Extra = k.Attr.Extra
			e.Sum, e.known, e.first, e.count = k.Sum, true, len(m.Chunks), k.count
			m.Chunks = append(m.Chunks, kept.chunksOf(k)...)
		}
	}
	return unknown, stale
}
