package xdata

import (
	"cmp"
	"mxcluster/internal/fault"
)

// Bounds of a version that a peer may send. They hold for our own side too, so
// that what can be backed up can also be copied.
const (
	maxEntries   = 1_000_000
	maxPath      = 4096      // bytes
	maxName      = 255       // bytes between slashes
	maxPathBytes = 256 << 20 // of all paths together
	maxBytes     = 16 << 40  // of all files together, holes included: all of it is hashed
)

// checkCopyable refuses a version that cannot be copied to another server, as far
// as that is seen without reading it.
func (m *manifest) checkCopyable() error {
	paths := 0
	for i := range m.Entries {
		e := &m.Entries[i]
		if err := cmp.Or(e.checkKind(), e.checkPath()); err != nil {
			return err
		}
		paths += len(e.Path)
	}
	if paths > maxPathBytes {
		return fault.New(fault.Refused, "give folders shorter names, or keep fewer files in the data of a LIM",
			"the paths of all files and folders have %d bytes together; at most %d can be copied", paths, maxPathBytes)
	}
	return checkCounts(len(m.Entries), m.bytes())
}

// checkCounts holds a version to the bounds.
func checkCounts(entries int, size int64) error {
	switch {
	case entries < 0 || entries > maxEntries:
		return fault.New(fault.Refused, "keep fewer files in the data of a LIM",
			"%d files and folders; at most %d can be copied", entries, maxEntries)
	case size < 0 || size > maxBytes:
		return fault.New(fault.Refused, "keep less in the data of a LIM; holes in files count as long as they are",
			"files of %d bytes together; at most %d can be copied", size, int64(maxBytes))
	}
	return nil
}

// checkExtras refuses more attributes than a peer takes.
func checkExtras(bytes int) error {
	if bytes <= maxAllExtras {
		return nil
	}
	return fault.New(fault.Refused, "remove some with setfattr -x", "the extended attributes of all files and folders have more than %d bytes", maxAllExtras)
}

// checkChunks refuses content in more pieces than a peer takes.
func checkChunks(count int) error {
	if count <= maxChunks {
		return nil
	}
	return fault.New(fault.Refused, "keep less in the data of a LIM", "the files are %d pieces of content or more; at most %d can be copied", count, maxChunks)
}
