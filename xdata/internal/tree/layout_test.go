package tree

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/datatest"
)

// The content of a file does not depend on where its holes are, nor on how they are found.
func TestHolesDoNotCount(t *testing.T) {
	dir := t.TempDir()
	datatest.Sparse(t, dir, time.Unix(1_750_000_000, 0))
	for _, s := range datatest.SparseFiles() {
		if s.Size > 70<<20 {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, s.Name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "filled"), data, 0o600))
		for _, name := range []string{s.Name, "filled"} {
			for _, byZeros := range []bool{false, true} {
				sum, content := scanLayout(t, filepath.Join(dir, name), byZeros)
				if sum != chunk.Sum(data) {
					t.Errorf("%s (%s, by zeros: %t) has another hash", s.Name, name, byZeros)
				}
				if most := s.Content() + 3*chunk.HoleUnit*int64(len(s.Parts)+1); (name != "filled" || byZeros) && content > most && s.Name != "a/zeros" {
					t.Errorf("%s (by zeros: %t) has %d bytes of content, %d at most were written", s.Name, byZeros, content, most)
				}
			}
		}
	}
}

// scanLayout reads a file, and returns its hash and how much of it is no hole.
func scanLayout(t *testing.T, name string, byZeros bool) (sum chunk.Digest, bytes int64) {
	t.Helper()
	root, err := os.OpenRoot(filepath.Dir(name))
	must(t, err)
	defer root.Close()
	in := Opener{Root: root}
	defer in.Close()
	e, err := in.stat(filepath.Base(name))
	must(t, err)
	e.Path = filepath.Base(name)
	h, err := in.OpenEntry(&e)
	must(t, err)
	defer func() { must(t, h.Close()) }()
	s, err := NewScanner(e.Size)
	must(t, err)
	l := layoutOf(h, &e, chunk.HoleUnit)
	if byZeros {
		l.dense, l.byZeros = false, true
	}
	off := int64(0)
	sum, err = s.scanAs(context.Background(), l, func(p Piece) error {
		if p.off != off {
			t.Errorf("%s: a piece at %d, due was %d", name, p.off, off)
		}
		off += p.size
		if p.Data != nil {
			bytes += p.size
		}
		return nil
	})
	must(t, err)
	if off != e.Size {
		t.Errorf("%s: %d of %d bytes", name, off, e.Size)
	}
	return sum, bytes
}
