package manifest

import (
	"cmp"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
)

// Bounds of versions that a peer may send. Local versions are held to them as well, so that every
// backup can be copied.
const (
	MaxEntries   = 1_000_000
	MaxPath      = 4096      // bytes
	MaxName      = 255       // bytes between slashes
	maxPathBytes = 256 << 20 // of all paths together
	MaxBytes     = 16 << 40  // of all files together, holes included, which are hashed
)

// CheckCopyable refuses a version that cannot be copied to another server, as far as this can be
// seen without reading it.
func (m *Manifest) CheckCopyable() error {
	paths := 0
	for i := range m.Entries {
		e := &m.Entries[i]
		if err := cmp.Or(e.CheckKind(), e.checkPath()); err != nil {
			return err
		}
		paths += len(e.Path)
	}
	if paths > maxPathBytes {
		return fault.New(fault.Refused, "give folders shorter names, or keep fewer files in the data of a LIM",
			"the paths of all files and folders have %d bytes together; at most %d can be copied", paths, maxPathBytes)
	}
	return CheckCounts(len(m.Entries), m.Bytes())
}

// CheckCounts checks the numbers of entries and bytes against the bounds.
func CheckCounts(entries int, size int64) error {
	switch {
	case entries < 0 || entries > MaxEntries:
		return fault.New(fault.Refused, "keep fewer files in the data of a LIM",
			"%d files and folders; at most %d can be copied", entries, MaxEntries)
	case size < 0 || size > MaxBytes:
		return fault.New(fault.Refused, "keep less in the data of a LIM; holes in files count as long as they are",
			"files of %d bytes together; at most %d can be copied", size, int64(MaxBytes))
	}
	return nil
}

// CheckXattrs checks the bytes of all attributes of a version.
func CheckXattrs(bytes int) error {
	if bytes <= maxAllXattrs {
		return nil
	}
	return fault.New(fault.Refused, "remove some with setfattr -x", "the extended attributes of all files and folders have more than %d bytes", maxAllXattrs)
}

// CheckChunks checks the number of chunks of a version.
func CheckChunks(count int) error {
	if count <= chunk.MaxCount {
		return nil
	}
	return fault.New(fault.Refused, "keep less in the data of a LIM", "the files are %d pieces of content or more; at most %d can be copied", count, chunk.MaxCount)
}

// Shortened cuts the middle out of a long text.
func Shortened(text string) string {
	const ends = 100
	if len(text) <= 2*ends {
		return text
	}
	return text[:ends] + "…" + text[len(text)-ends:]
}
