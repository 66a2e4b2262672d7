package xdata

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

func TestHoleIsTheChunkOfNothing(t *testing.T) {
	if id := chunkOf(nil).ID; id != holeID {
		t.Errorf("%x", id)
	}
}

// written is some content of a file with holes.
type written struct {
	off  int64
	text string
}

func writtenIn(parts []written) (n int64) {
	for _, p := range parts {
		n += int64(len(p.text))
	}
	return n
}

const kib, mib = int64(1 << 10), int64(1 << 20)

// sparseFiles are files with holes, by name, and sizes.
var sparseFiles = []struct {
	name  string
	size  int64
	parts []written
}{
	{"a/only-a-hole", 9*mib + 5, nil},
	{"a/hole-first", 8 * mib, []written{{8*mib - 3, "end"}}},
	{"a/hole-last", 7*mib + 1, []written{{0, "begin"}}},
	{"a/hole-inside", 150 * mib, []written{{0, "begin"}, {100_000_000, "x"}, {150*mib - 4, "last"}}},
	{"a/large-parts", 64 * mib, []written{{3 * mib, noise(1, 2_500_000)}, {30*mib + 77, strings.Repeat("text ", 500_000)}}},
	{"a/small", 40 * kib, []written{{20 * kib, "x"}}},
	{"a/every-other", 256 * kib, []written{{0, "0"}, {8 * kib, "8"}, {16 * kib, "16"}, {128 * kib, noise(2, 4096)}, {200 * kib, "end"}}},
	{"a/shorter-than-a-block", 100, nil},
	{"a/dense", 2_000_000, []written{{0, noise(3, 2_000_000)}}},
	{"a/zeros", 100_000, []written{{0, strings.Repeat("\x00", 100_000)}}},
	{"a/empty", 0, nil},
}

// sparse makes files with holes in a folder.
func sparse(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	for _, s := range sparseFiles {
		f, err := os.Create(filepath.Join(dir, s.name))
		must(t, err)
		must(t, f.Truncate(s.size))
		for _, p := range s.parts {
			_, err := f.WriteAt([]byte(p.text), p.off)
			must(t, err)
		}
		must(t, f.Sync())
		must(t, f.Close())
		must(t, os.Chtimes(f.Name(), baseTime, baseTime))
	}
}

// checkSparse makes sure that a folder holds these files, and that they take no more room.
func checkSparse(t *testing.T, was, dir string) {
	t.Helper()
	for _, s := range sparseFiles {
		f, err := os.Open(filepath.Join(dir, s.name))
		must(t, err)
		var is, of unix.Stat_t
		must(t, first(unix.Fstat(int(f.Fd()), &is), unix.Stat(filepath.Join(was, s.name), &of)))
		if is.Size != s.size {
			t.Errorf("%s has %d bytes, not %d", s.name, is.Size, s.size)
		}
		if is.Blocks > of.Blocks+16 { // an extent more may take a block more
			t.Errorf("%s takes %d blocks, %d were taken", s.name, is.Blocks, of.Blocks)
		}
		for _, p := range s.parts {
			b := make([]byte, len(p.text))
			if _, err := f.ReadAt(b, p.off); err != nil || string(b) != p.text {
				t.Errorf("%s at %d: %.20q, %v", s.name, p.off, b, err)
			}
		}
		must(t, f.Close())
	}
}

// What goes over the wire and to the disk is what lies in the files, whichever way.
func TestSparseFiles(t *testing.T) {
	from := filepath.Join(t.TempDir(), "data")
	sparse(t, from)
	p := newPair(t)
	var told int64
	p[clusterconf.SideRegular].Progress = func(n int64) { told += n }
	v, err := p[clusterconf.SideRegular].Backup(context.Background(), 1, from)
	must(t, err)
	if told != v.Bytes || v.content > 12*mib {
		t.Errorf("told of %d of %d bytes, of which %d are content", told, v.Bytes, v.content)
	}
	checkSparse(t, from, v.Path)
	r, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	if r.Result != Copied || r.SentBytes > 6*mib {
		t.Errorf("%+v", r)
	}
	there, ok, err := p[clusterconf.SideStandby].Newest(1)
	if !ok || err != nil || there.Bytes != v.Bytes {
		t.Fatalf("%+v, %v", there, err)
	}
	checkSparse(t, from, there.Path)
	for side, v := range map[clusterconf.Side]Version{clusterconf.SideRegular: v, clusterconf.SideStandby: there} {
		if f, err := p[side].Verify(context.Background(), v, nil); err != nil || f.Result != Intact {
			t.Errorf("verified on the %s side: %+v, %v", side, f, err)
		}
	}
	to := filepath.Join(t.TempDir(), "back")
	must(t, p[clusterconf.SideStandby].Restore(context.Background(), there, to, nil))
	checkSparse(t, from, to)

	// The next version is made of what there is, holes included.
	must(t, os.WriteFile(filepath.Join(from, "new"), []byte("new"), 0o600))
	_, err = p[clusterconf.SideRegular].Backup(context.Background(), 1, from)
	must(t, err)
	if r, err = p.syncFrom(t, clusterconf.SideStandby, DirectionAuto); err != nil || r.Result != Copied || r.SentBytes > 100*kib {
		t.Errorf("%+v, %v", r, err)
	}
	again, _, err := p[clusterconf.SideStandby].Newest(1)
	must(t, err)
	checkSparse(t, from, again.Path)
}

// Another program's version, which is read while it is sent.
func TestSparseForeignVersion(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		dir := filepath.Join(p[clusterconf.SideRegular].Dir, "xdata_1_20260301020000")
		sparse(t, dir)
		r, err := p.syncFrom(t, asks, DirectionAuto)
		if err != nil || r.SentBytes > 6*mib {
			t.Fatalf("%+v, %v", r, err)
		}
		there, _, err := p[clusterconf.SideStandby].Newest(1)
		must(t, err)
		checkSparse(t, dir, there.Path)
	})
}

// The content of a file does not depend on where its holes are, nor on how they are found.
func TestHolesDoNotCount(t *testing.T) {
	dir := t.TempDir()
	sparse(t, dir)
	for _, s := range sparseFiles {
		if s.size > 70*mib {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, s.name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "filled"), data, 0o600))
		for _, name := range []string{s.name, "filled"} {
			for _, byZeros := range []bool{false, true} {
				sum, content := scanLayout(t, filepath.Join(dir, name), byZeros)
				if sum != sumOf(data) {
					t.Errorf("%s (%s, by zeros: %t) has another hash", s.name, name, byZeros)
				}
				if most := writtenIn(s.parts) + 3*holeUnit*int64(len(s.parts)+1); (name != "filled" || byZeros) && content > most && s.name != "a/zeros" {
					t.Errorf("%s (by zeros: %t) has %d bytes of content, %d at most were written", s.name, byZeros, content, most)
				}
			}
		}
	}
}

// scanLayout reads a file, and returns its hash and how much of it is no hole.
func scanLayout(t *testing.T, name string, byZeros bool) (sum digest, bytes int64) {
	t.Helper()
	root, err := os.OpenRoot(filepath.Dir(name))
	must(t, err)
	defer root.Close()
	in := folders{root: root}
	defer in.close()
	e, err := in.stat(filepath.Base(name))
	must(t, err)
	e.Path = filepath.Base(name)
	h, err := in.openEntry(&e)
	must(t, err)
	defer func() { must(t, h.close()) }()
	s, err := newScanner(e.Size)
	must(t, err)
	l := layoutOf(h, &e, holeUnit)
	if byZeros {
		l.dense, l.byZeros = false, true
	}
	off := int64(0)
	sum, err = s.scanAs(context.Background(), l, func(p content) error {
		if p.off != off {
			t.Errorf("%s: a piece at %d, due was %d", name, p.off, off)
		}
		off += p.size
		if p.data != nil {
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

// Room is counted for what files hold, on file systems that have holes.
func TestRoomForHoles(t *testing.T) {
	from := filepath.Join(t.TempDir(), "data")
	sparse(t, from)
	s := newStore(t)
	s.Space = func(string) (bytes, files int64, err error) { return spaceMargin + 20*mib, -1, nil }
	v, err := s.Backup(context.Background(), 1, from)
	must(t, err)
	must(t, s.MayRestore(v, filepath.Join(t.TempDir(), "back")))
	s.Space = func(string) (bytes, files int64, err error) { return spaceMargin + 5*mib, -1, nil }
	_, err = s.Backup(context.Background(), 1, from)
	wantCode(t, err, fault.Refused, "MiB free")
}
