package tree

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
)

// layout finds the holes of an open file.
type layout struct {
	h       Handle
	size    int64
	least   int64 // shorter holes count as content
	dense   bool  // the file has no holes
	byZeros bool  // the file system does not tell where holes are
	buf     []byte
}

// layoutOf returns the layout of the file with entry e. Files with as many bytes on the disk as
// their size, which most are, have no holes.
func layoutOf(h Handle, e *manifest.Entry, least int64) *layout {
	l := &layout{h: h, size: e.Size, least: (least + chunk.HoleUnit - 1) &^ (chunk.HoleUnit - 1)}
	if l.dense = e.Size-e.OnDisk < l.least; l.dense {
		return l
	}
	at, err := seek(h.Fd, 0, seekHole)
	l.byZeros = err != nil || at >= e.Size
	return l
}

// next returns the bounds of the first hole at or after off; both are the size if there is none.
func (l *layout) next(off int64) (start, end int64, err error) {
	for !l.dense && off < l.size {
		if l.byZeros {
			start, end = l.zeros(off)
		} else {
			start, end, err = l.asked(off)
		}
		if err != nil {
			return 0, 0, err
		}
		off = end
		start = min((start+chunk.HoleUnit-1)&^(chunk.HoleUnit-1), l.size)
		if end < l.size {
			end &^= chunk.HoleUnit - 1
		}
		if end-start >= l.least {
			return start, end, nil
		}
	}
	return l.size, l.size, nil
}

// asked asks the file system for the next hole.
func (l *layout) asked(off int64) (start, end int64, err error) {
	if start, err = seek(l.h.Fd, off, seekHole); err == nil && start < l.size {
		end, err = seek(l.h.Fd, start, seekData)
		if errors.Is(err, unix.ENXIO) { // only holes follow
			return start, l.size, nil
		}
		return start, min(end, l.size), l.h.wrap("seek", err)
	}
	if errors.Is(err, unix.ENXIO) { // the file became shorter, which is noticed when it is read
		err = nil
	}
	return l.size, l.size, l.h.wrap("seek", err)
}

// zeros finds the next hole by reading.
func (l *layout) zeros(off int64) (start, end int64) {
	if l.buf == nil {
		l.buf = make([]byte, chunk.ZeroBytes)
	}
	nothing := make([]byte, chunk.HoleUnit)
	start = -1
	for off = (off + chunk.HoleUnit - 1) &^ (chunk.HoleUnit - 1); off < l.size; {
		p := l.buf[:min(chunk.ZeroBytes, l.size-off)]
		if _, err := l.h.Pread(p, off); err != nil {
			return l.size, l.size // the reader of the content gets the error
		}
		for ; len(p) > 0; p = p[min(chunk.HoleUnit, len(p)):] {
			unit := p[:min(chunk.HoleUnit, len(p))]
			empty := bytes.Equal(unit, nothing[:len(unit)])
			switch {
			case empty && start < 0:
				start = off
			case !empty && start >= 0:
				return start, off
			}
			off += int64(len(unit))
		}
	}
	if start < 0 {
		start = l.size
	}
	return start, l.size
}

// seek is lseek. Other users of the file do not rely on its offset.
func seek(fd int, off int64, whence int) (int64, error) {
	at, err := unix.Seek(fd, off, whence)
	if at < 0 && err == nil {
		err = unix.EINVAL
	}
	return at, err
}
