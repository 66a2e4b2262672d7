package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"

	"mxcluster/xdata/internal/chunk"
)

// An index is the manifest of a version, as it was made, received or first read, in a file beside
// it. xdata's Store.Verify compares the version with it; a sync does not read files that are
// unchanged since; and a receiver finds its chunks in it.
//
// The file is indexMagic, the manifest, and the BLAKE3 hash of both. A file with a wrong hash
// counts as no index: the version is read and indexed again.

const (
	indexMagic = "mxcluster-index-4\n"
)

// EncodeIndex returns the index file of a manifest; all content must be known.
func EncodeIndex(m *Manifest) []byte {
	b := make([]byte, 0, 128+len(m.Entries)*128+len(m.Chunks)*11)
	b = append(b, indexMagic...)
	b = AppendXattrs(AppendEntry(b, &Entry{Path: ".", Dir: true, Attr: m.Top}), m.Top.Xattrs)
	b = binary.AppendUvarint(b, uint64(len(m.Entries)))
	for i := range m.Entries {
		e := &m.Entries[i]
		b = AppendXattrs(AppendEntry(b, e), e.Attr.Xattrs)
		b = binary.AppendVarint(b, e.Ctime)
		b = binary.AppendUvarint(b, e.Ino)
		if e.Dir {
			continue
		}
		b = append(b, e.Sum[:]...)
		b = binary.AppendUvarint(b, uint64(e.Count))
		for _, c := range m.ChunksOf(e) {
			b = binary.AppendUvarint(b, uint64(c.Size))
			b = binary.LittleEndian.AppendUint64(b, c.ID)
		}
	}
	sum := chunk.Sum(b)
	return append(b, sum[:]...)
}

// chunkBytes is the least size of a chunk in an index.
const chunkBytes = 10

// errIndex is the error for a file that is no valid index.
var errIndex = errors.New("not an index")

// DecodeIndex decodes an index file.
func DecodeIndex(b []byte) (m *Manifest, err error) {
	body := len(b) - len(chunk.Digest{})
	if body < 0 || chunk.Sum(b[:body]) != chunk.Digest(b[body:]) {
		return nil, errIndex
	}
	text, ok := bytes.CutPrefix(b[:body], []byte(indexMagic))
	if !ok {
		return nil, errIndex
	}
	r := &indexReader{b: text}
	top := r.entry()
	count := r.uvarint()
	if count > uint64(len(r.b)) {
		return nil, errIndex // before memory is allocated for them
	}
	m = &Manifest{Top: top.Attr, Entries: make([]Entry, 0, count), Chunks: make([]chunk.Chunk, 0, len(b)/chunkBytes)}
	for range count {
		if r.bad {
			return nil, errIndex
		}
		e := r.entry()
		e.Ctime, e.Ino, e.Known = r.varint(), r.uvarint(), true
		if !e.Dir {
			copy(e.Sum[:], r.take(len(e.Sum)))
			e.First = len(m.Chunks)
			for range r.uvarint() {
				if r.bad {
					break
				}
				m.Chunks = append(m.Chunks, chunk.Chunk{Size: uint32(r.uvarint()), ID: binary.LittleEndian.Uint64(r.take(8))}) //nolint:gosec // written from one
			}
			e.Count = len(m.Chunks) - e.First
		}
		m.Entries = append(m.Entries, e)
	}
	if r.bad || len(r.b) != 0 {
		return nil, errIndex
	}
	return m, nil
}

// indexReader decodes values from the front of b. After an invalid one, all are zero.
type indexReader struct {
	b   []byte
	bad bool
}

func (r *indexReader) advance(n int) {
	if n <= 0 {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[n:]
}

func (r *indexReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.advance(n)
	return v
}

func (r *indexReader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.advance(n)
	return v
}

// take returns n bytes; zeros if there are not as many.
func (r *indexReader) take(n int) []byte {
	if len(r.b) < n {
		r.advance(0)
		return make([]byte, n)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *indexReader) entry() Entry {
	e, rest, err := DecodeEntry(r.b)
	if err != nil {
		r.advance(0)
		return e
	}
	r.b = rest
	size := r.uvarint()
	if size > MaxXattrs {
		r.advance(0)
		return e
	}
	e.Attr.Xattrs = Xattrs(r.take(int(size))) //nolint:gosec // bounded
	if e.Attr.Xattrs.Check(e.Dir) != nil {
		r.advance(0)
	}
	return e
}

// AppendXattrs encodes attributes with their length in front.
func AppendXattrs(b []byte, x Xattrs) []byte {
	return append(binary.AppendUvarint(b, uint64(len(x))), x...)
}
