package datatest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Written is a piece of content in a file with holes.
type Written struct {
	Off  int64
	Text string
}

const kib, mib = int64(1 << 10), int64(1 << 20)

// SparseFile is a file with holes.
type SparseFile struct {
	Name  string
	Size  int64
	Parts []Written
}

// Content returns the number of bytes that are not in holes.
func (f SparseFile) Content() (n int64) {
	for _, p := range f.Parts {
		n += int64(len(p.Text))
	}
	return n
}

// SparseFiles returns files with holes of various sizes.
func SparseFiles() []SparseFile {
	return []SparseFile{
		{"a/only-a-hole", 9*mib + 5, nil},
		{"a/hole-first", 8 * mib, []Written{{8*mib - 3, "end"}}},
		{"a/hole-last", 7*mib + 1, []Written{{0, "begin"}}},
		{"a/hole-inside", 150 * mib, []Written{{0, "begin"}, {100_000_000, "x"}, {150*mib - 4, "last"}}},
		{"a/large-parts", 64 * mib, []Written{{3 * mib, Noise(1, 2_500_000)}, {30*mib + 77, strings.Repeat("text ", 500_000)}}},
		{"a/small", 40 * kib, []Written{{20 * kib, "x"}}},
		{"a/every-other", 256 * kib, []Written{{0, "0"}, {8 * kib, "8"}, {16 * kib, "16"}, {128 * kib, Noise(2, 4096)}, {200 * kib, "end"}}},
		{"a/shorter-than-a-block", 100, nil},
		{"a/dense", 2_000_000, []Written{{0, Noise(3, 2_000_000)}}},
		{"a/zeros", 100_000, []Written{{0, strings.Repeat("\x00", 100_000)}}},
		{"a/empty", 0, nil},
	}
}

// Sparse creates SparseFiles in a folder, all with one modification time.
func Sparse(t *testing.T, dir string, mtime time.Time) {
	t.Helper()
	Must(t, os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	for _, s := range SparseFiles() {
		f, err := os.Create(filepath.Join(dir, s.Name))
		Must(t, err)
		Must(t, f.Truncate(s.Size))
		for _, p := range s.Parts {
			_, err := f.WriteAt([]byte(p.Text), p.Off)
			Must(t, err)
		}
		Must(t, f.Sync())
		Must(t, f.Close())
		Must(t, os.Chtimes(f.Name(), mtime, mtime))
	}
}
