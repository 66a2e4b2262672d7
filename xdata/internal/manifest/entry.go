package manifest

import (
	"encoding/binary"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
)

// Entry is one file or folder of a version.
type Entry struct {
	Path string // relative, clean, as bytes
	Size int64  // bytes; 0 for folders
	Attr Attributes
	Sum  chunk.Digest // BLAKE3 of the content; zero for folders

	// The file's identity on this server: while these, size and mtime are unchanged, so is its
	// content.
	Ctime  int64 // see Nanoseconds
	Ino    uint64
	OnDisk int64 // bytes used on the disk; not in an index

	First, Count int    // its chunks in manifest.Chunks
	Kind         uint32 // S_IFMT bits; not in an index
	Dir          bool
	Known        bool // Sum and chunks are known. Small fields are last, to keep an Entry small: there may be a million
}

// SameFile tells whether two entries of one path are of the same, unchanged file.
func (e *Entry) SameFile(o *Entry) bool {
	return e.Ino == o.Ino && e.Size == o.Size && e.Attr.Mtime == o.Attr.Mtime && e.Ctime == o.Ctime
}

// SetPlace takes over now's identity of the file on this server.
func (e *Entry) SetPlace(now *Entry) {
	e.Attr.Mtime, e.Ctime, e.Ino, e.OnDisk = now.Attr.Mtime, now.Ctime, now.Ino, now.OnDisk
}

// Content returns how many bytes of the file are not in holes, estimated by its disk usage.
func (e *Entry) Content() int64 { return min(e.Size, e.OnDisk) }

// ByPath compares two entries by path, for sorting.
func ByPath(a, b Entry) int { return strings.Compare(a.Path, b.Path) }

// AppendEntry encodes an entry without what is known of its content.
func AppendEntry(b []byte, e *Entry) []byte {
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

// DecodeEntry decodes an entry at the front of b. It checks the encoding only; see Admission for
// the rest.
func DecodeEntry(b []byte) (e Entry, rest []byte, err error) {
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
	e.Attr = Attributes{Mode: uint32(number(maxUint32)), UID: uint32(number(maxUint32)), GID: uint32(number(maxUint32))} //nolint:gosec // bounded
	mtime, n := binary.Varint(b)
	e.Attr.Mtime = mtime
	bad = bad || n <= 0
	b = b[max(n, 0):]
	length := number(MaxPath)
	if length > uint64(len(b)) {
		bad, length = true, 0
	}
	e.Path, b = string(b[:length]), b[length:]
	if !e.Dir {
		e.Size = int64(number(maxInt64)) //nolint:gosec // bounded
	}
	if bad {
		return Entry{}, nil, Violation("a file list that cannot be read")
	}
	return e, b, nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// CheckKind refuses everything but files and folders: a link would point elsewhere on the other
// server, and devices and sockets are no data.
func (e *Entry) CheckKind() error {
	what := "a special file"
	switch e.Kind {
	case unix.S_IFREG, unix.S_IFDIR:
		return nil
	case unix.S_IFLNK:
		what = "a symbolic link"
	}
	return fault.New(fault.Refused, "keep files and folders only in what is backed up; remove it or copy what it points to",
		"%q is %s", e.Path, what)
}

// checkPath refuses a path that is too long.
func (e *Entry) checkPath() error {
	const hint = "give the folders that it lies in shorter names, or move it up"
	if len(e.Path) > MaxPath {
		return fault.New(fault.Refused, hint, "the path %q has %d bytes; at most %d can be copied", Shortened(e.Path), len(e.Path), MaxPath)
	}
	if name := path.Base(e.Path); len(name) > MaxName {
		return fault.New(fault.Refused, "give it a shorter name", "the name %q has %d bytes; at most %d can be copied",
			Shortened(name), len(name), MaxName)
	}
	return nil
}

// Coarse rounds a time down to timeGrain, also before 1970.
func Coarse(mtime int64) int64 {
	n := mtime / timeGrain
	if mtime%timeGrain < 0 {
		n--
	}
	return n
}

// timeGrain is the coarsest resolution of a file system's times (FAT), in nanoseconds.
const timeGrain = 2e9
