package xdata

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/datatest"
)

const kib, mib = int64(1 << 10), int64(1 << 20)

// checkSparse makes sure that a folder holds these files, and that they take no more room.
func checkSparse(t *testing.T, was, dir string) {
	t.Helper()
	for _, s := range datatest.SparseFiles() {
		f, err := os.Open(filepath.Join(dir, s.Name))
		must(t, err)
		var is, of unix.Stat_t
		must(t, cmp.Or(unix.Fstat(int(f.Fd()), &is), unix.Stat(filepath.Join(was, s.Name), &of)))
		if is.Size != s.Size {
			t.Errorf("%s has %d bytes, not %d", s.Name, is.Size, s.Size)
		}
		if is.Blocks > of.Blocks+16 { // an extent more may take a block more
			t.Errorf("%s takes %d blocks, %d were taken", s.Name, is.Blocks, of.Blocks)
		}
		for _, p := range s.Parts {
			b := make([]byte, len(p.Text))
			if _, err := f.ReadAt(b, p.Off); err != nil || string(b) != p.Text {
				t.Errorf("%s at %d: %.20q, %v", s.Name, p.Off, b, err)
			}
		}
		must(t, f.Close())
	}
}

// What goes over the wire and to the disk is what lies in the files, whichever way.
func TestSparseFiles(t *testing.T) {
	from := filepath.Join(t.TempDir(), "data")
	datatest.Sparse(t, from, baseTime)
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
		datatest.Sparse(t, dir, baseTime)
		r, err := p.syncFrom(t, asks, DirectionAuto)
		if err != nil || r.SentBytes > 6*mib {
			t.Fatalf("%+v, %v", r, err)
		}
		there, _, err := p[clusterconf.SideStandby].Newest(1)
		must(t, err)
		checkSparse(t, dir, there.Path)
	})
}

// Room is counted for what files hold, on file systems that have holes.
func TestRoomForHoles(t *testing.T) {
	from := filepath.Join(t.TempDir(), "data")
	datatest.Sparse(t, from, baseTime)
	s := newStore(t)
	s.Space = func(string) (bytes, files int64, err error) { return spaceMargin + 20*mib, -1, nil }
	v, err := s.Backup(context.Background(), 1, from)
	must(t, err)
	must(t, s.MayRestore(v, filepath.Join(t.TempDir(), "back")))
	s.Space = func(string) (bytes, files int64, err error) { return spaceMargin + 5*mib, -1, nil }
	_, err = s.Backup(context.Background(), 1, from)
	wantCode(t, err, fault.Refused, "MiB free")
}
