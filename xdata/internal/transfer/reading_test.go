package transfer

import (
	"bytes"
	"context"
	"os"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/tree"
)

// large is content of some pieces.
func large() fileTree {
	return fileTree{"a": "first", "b/empty": "", "big": noise(1, 3*chunk.LargeFile+77), "z": noise(2, 100)}
}

// taken puts together what take gives of a file.
func taken(t *testing.T, snap *Snapshot, place int) (content []byte) {
	t.Helper()
	e := &snap.Manifest.Entries[place]
	files := tree.Opener{Root: snap.Root}
	defer files.Close()
	in, err := files.OpenEntry(e)
	must(t, err)
	defer in.Close()
	for n, whole := 0, false; !whole; {
		f, err := snap.take(place, n)
		must(t, err)
		size := 0
		for _, c := range f.chunks {
			size += int(c.Size)
		}
		if f.data == nil {
			f.data = make([]byte, size)
			_, err := in.Pread(f.data, int64(len(content)))
			must(t, err)
		}
		if len(f.data) != size {
			t.Fatalf("%d bytes for chunks of %d", len(f.data), size)
		}
		content = append(content, f.data...)
		n, whole = n+len(f.chunks), f.whole
	}
	if chunk.Sum(content) != e.Sum || !e.Known {
		t.Errorf("%q: another digest than of what was taken", e.Path)
	}
	return content
}

// Whoever follows the reading gets every file, whether he comes when it was read,
// or before.
func TestReadingIsTaken(t *testing.T) {
	for name, late := range map[string]bool{"from the start": false, "after it was read": true} {
		t.Run(name, func(t *testing.T) {
			s, tr := newStore(t), large()
			foreign(t, s, "xdata_1_20260301020000", tr, baseTime)
			snap := openedFor(t, s)
			snap.Start(t.Context())
			if late {
				<-snap.reading.done
			}
			for i := range snap.Manifest.Entries {
				if e := &snap.Manifest.Entries[i]; !e.Dir {
					if got := taken(t, snap, i); !bytes.Equal(got, []byte(tr[e.Path])) {
						t.Errorf("%q: other content", e.Path)
					}
				}
			}
			must(t, snap.ReadAll(t.Context()))
			if kept := s.kept(snap.Name); kept == nil || !bytes.Equal(kept.Digest(), snap.Digest()) {
				t.Error("what was read is not kept")
			}
		})
	}
}

// What was read while the other side did not answer is kept: the next sync needs
// not read it again.
func TestReadingIsKept(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301020000", large(), baseTime)
	snap := openedFor(t, s)
	snap.Start(t.Context())
	<-snap.reading.done
	snap.stopReading()
	if again := openedFor(t, s); again.Unread != 0 {
		t.Errorf("%d files would be read again", again.Unread)
	}
}

// A reading that waits for its content to be taken ends when it is stopped, and
// keeps nothing.
func TestReadingIsStopped(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301020000", large(), baseTime)
	snap := openedFor(t, s)
	big, ok := snap.Manifest.Search("big")
	if !ok {
		t.Fatal("no such file")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	snap.reading = newReading(snap.Manifest.Chunks)
	snap.reading.follow = true
	snap.reading.begin(ctx, snap)
	_, err := snap.take(big, 0)
	must(t, err)
	snap.stopReading()
	if again := openedFor(t, s); again.Unread == 0 {
		t.Error("files that were not read count as read")
	}
}

// A file that changes while it is read ends the reading, and whoever waits for it hears why.
func TestReadingOfWhatChanges(t *testing.T) {
	s := newStore(t)
	dir := foreign(t, s, "xdata_1_20260301020000", large(), baseTime)
	snap := openedFor(t, s)
	must(t, os.WriteFile(dir+"/big", []byte("now something else"), 0o640))
	big, _ := snap.Manifest.Search("big")
	snap.Start(t.Context())
	_, err := snap.take(big, 0)
	wantCode(t, err, fault.Busy, "changed while it was read")
	wantCode(t, snap.ReadAll(t.Context()), fault.Busy, "changed while it was read")
}
