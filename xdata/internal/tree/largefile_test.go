package tree

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// Bytes for direct writes begin where the kernel takes them.
func TestDirectBytes(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 70_001, 1<<20 + DirectUnit} {
		if b := AlignedBytes(n); len(b) != n || cap(b) != n || reflect.ValueOf(b).Pointer()%DirectUnit != 0 {
			t.Errorf("%d bytes at %#x, room for %d", len(b), reflect.ValueOf(b).Pointer(), cap(b))
		}
	}
}

// Whatever the file system takes past the page cache, the file holds what was written:
// the last part with an odd length, the first one last, and one from a place in memory that
// the kernel refuses for a direct write.
func TestLargeFile(t *testing.T) {
	for _, odd := range []int{0, 1} {
		for _, tail := range []int{0, 1, DirectUnit - 1} {
			to := Opener{Root: openRoot(t)}
			defer to.Close()
			h, err := to.Open("large", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
			must(t, err)
			const part = 64 << 10
			want := []byte(noise(1, 3*part+tail))
			f := NewLargeFile(h, int64(len(want)))
			for _, from := range []int{2 * part, part, 0} {
				p := want[from:min(from+part, len(want))]
				if from == 2*part {
					p = want[from:]
				}
				b := AlignedBytes(len(p) + odd)[odd:]
				copy(b, p)
				f.Reserve(int64(from + len(p)))
				must(t, f.Write(b, int64(from)))
			}
			must(t, f.Close())
			got, err := to.Root.ReadFile("large")
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("memory at %d, %d bytes more: %d bytes of %d, or others", odd, tail, len(got), len(want))
			}
		}
	}
}

// openRoot opens a folder of the test's own.
func openRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}
