package xdata

import (
	"encoding/binary"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// entry is one file or folder of a version.
type entry struct {
	Path string // relative, clean, as bytes
	Size int64  // bytes; 0 for folders
	Attr attributes
	Sum  digest // of the content; zero for folders

	// The file on this server: while none of these change, nor size and mtime,
	// its content has not.
	Ctime int64 // see nanoseconds
	Ino   uint64
	taken int64 // bytes on the disk; not kept

	first, count int    // its chunks in manifest.Chunks
	kind         uint32 // S_IFMT bits; not kept
	Dir          bool
	known        bool // the content is; the last three in a row, as there may be a million entries
}

// same tells whether two entries of a path are of one unchanged file.
func (e *entry) same(o *entry) bool {
	return e.Ino == o.Ino && e.Size == o.Size && e.Attr.Mtime == o.Attr.Mtime && e.Ctime == o.Ctime
}

// place notes where the file is now, and what the file system keeps of its time.
func (e *entry) place(now *entry) {
	e.Attr.Mtime, e.Ctime, e.Ino, e.taken = now.Attr.Mtime, now.Ctime, now.Ino, now.taken
}

// content returns how many bytes of the file are no holes, as far as its room on the disk
// tells.
func (e *entry) content() int64 { return min(e.Size, e.taken) }

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

func byPath(a, b entry) int { return strings.Compare(a.Path, b.Path) }

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

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// appendEntry encodes what an entry says before its content is known.
func appendEntry(b []byte, e *entry) []byte {
	b = append(b, boolByte(e.Dir))
	b = binary.AppendUvarint(b, uint64(e.Attr.Mode))
	b = binary.AppendUvarint(b, uint64(e.Attr.UID))
	b = binary.AppendUvarint(b, uint64(e.Attr.GID))
	b = binary.AppendVarint(b, e.Attr.Mtime)
	b = binary.AppendUvarint(b, uint64(len(e.Path)))
	b = append(b, e.Path...)
	if e.Dir {
		return b
	}
	return binary.AppendUvarint(b, uint64(e.Size))
}

// decodeEntry takes an entry off the front of b. It checks the encoding only;
// what the entry says is checked by admission.
func decodeEntry(b []byte) (e entry, rest []byte, err error) {
	bad := len(b) == 0
	number := func(limit uint64) uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > limit {
			b, bad = nil, true
			return 0
		}
		b = b[n:]
		return v
	}
	if !bad {
		bad, e.Dir, b = b[0] > 1, b[0] == 1, b[1:]
	}
	const maxUint32, maxInt64 = 1<<32 - 1, 1<<63 - 1
	e.Attr = attributes{Mode: uint32(number(maxUint32)), UID: uint32(number(maxUint32)), GID: uint32(number(maxUint32))} //nolint:gosec // bounded
	mtime, n := binary.Varint(b)
	e.Attr.Mtime = mtime
	bad = bad || n <= 0
	b = b[max(n, 0):]
	length := number(maxPath)
	if length > uint64(len(b)) {
		bad, length = true, 0
	}
	e.Path, b = string(b[:length]), b[length:]
	if !e.Dir {
		e.Size = int64(number(maxInt64)) //nolint:gosec // bounded
	}
	if bad {
		return entry{}, nil, violation("a file list that cannot be read")
	}
	return e, b, nil
}

// admission checks the entries that a peer sends, one by one, against what it
// announced and against each other.
type admission struct {
	head    versionHead
	folders map[string]struct{}
	last    string // path of the entry before
	entries int
	paths   int   // bytes of all paths
	extras  int   // bytes of all attributes
	bytes   int64 // sum of sizes
	files   int
	newest  int64
}

// noMtime is older than every modification time.
const noMtime = -1 << 63

func newAdmission(head versionHead) *admission {
	return &admission{head: head, folders: map[string]struct{}{".": {}}, newest: noMtime}
}

// admit returns an error unless the entry may be the next one.
func (a *admission) admit(e *entry) error {
	a.entries++
	a.paths += len(e.Path)
	_, parent := a.folders[path.Dir(e.Path)]
	switch {
	case a.entries > a.head.Entries || a.paths > maxPathBytes:
		return violation("more files than announced")
	case e.Path == "" || e.Path == "." || strings.ContainsRune(e.Path, 0), len(path.Base(e.Path)) > maxName,
		!filepath.IsLocal(e.Path), path.Clean(e.Path) != e.Path:
		return violation("the path %q", e.Path)
	case a.entries > 1 && e.Path <= a.last:
		return violation("the path %q after %q", e.Path, a.last)
	case !parent:
		return violation("the path %q outside of any folder", e.Path)
	case e.Attr.Mode&^keptMode(e.Dir) != 0:
		return violation("the mode %o of %q", e.Attr.Mode, e.Path)
	case e.Size > a.head.Bytes-a.bytes:
		return violation("more bytes than announced")
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

// extra counts bytes of attributes.
func (a *admission) extra(n int) error {
	if a.extras += n; a.extras > 2*maxAllExtras { // a file may come twice
		return violation("more than %d bytes of attributes", maxAllExtras)
	}
	return nil
}

// finish checks the whole list.
func (a *admission) finish() error {
	if a.entries != a.head.Entries || a.bytes != a.head.Bytes || a.newest != a.head.Mtime || a.files == 0 {
		return violation("a file list other than announced")
	}
	return nil
}

// String describes the version announced, for messages.
func (h versionHead) String() string {
	return fmt.Sprintf("%s (%d files and folders, %d bytes)", h.Name, h.Entries, h.Bytes)
}
