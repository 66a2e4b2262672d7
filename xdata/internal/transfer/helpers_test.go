package transfer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/datatest"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

var (
	must      = datatest.Must
	noise     = datatest.Noise
	words     = datatest.Words
	wantCode  = datatest.WantCode
	waitUntil = datatest.WaitUntil
)

var baseTime = time.Date(2026, 3, 1, 2, 0, 0, 123456789, time.UTC)

// fileTree is a version's content: path -> content.
type fileTree map[string]string

// store is a folder of versions, and the indexes that are kept of them.
type store struct {
	dir   string
	mu    sync.Mutex
	index map[string][]byte
}

func newStore(t *testing.T) *store {
	return &store{dir: t.TempDir(), index: map[string][]byte{}}
}

// foreign puts a version into the store, and returns its folder.
func foreign(t *testing.T, s *store, name string, files fileTree, mtime time.Time) string {
	t.Helper()
	dir := filepath.Join(s.dir, name)
	for name, content := range files {
		full := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o640))
		must(t, os.Chtimes(full, mtime, mtime))
	}
	return dir
}

// visible returns the names of the versions in a store.
func visible(t *testing.T, s *store) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "xdata_") {
			names = append(names, e.Name())
		}
	}
	return names
}

// kept returns the manifest that is kept of a version; nil: there is none.
func (s *store) kept(name string) *manifest.Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := manifest.DecodeIndex(s.index[name])
	if err != nil {
		return nil
	}
	return m
}

// inStore keeps what a snapshot finds of a version.
type inStore struct {
	*store
	name string
}

func (k inStore) Damaged(damage []string) error {
	return mismatch("version %s is damaged: %s", k.name, manifest.InShort(damage))
}

func (k inStore) Keep(m *manifest.Manifest) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.index[k.name] = manifest.EncodeIndex(m)
	return nil
}

// openedFor opens the newest version of a store.
func openedFor(t *testing.T, s *store) *Snapshot {
	t.Helper()
	names := visible(t, s)
	name := names[len(names)-1]
	root, err := os.OpenRoot(filepath.Join(s.dir, name))
	must(t, err)
	m, totals, err := tree.Survey(root)
	must(t, err)
	f := Folder{Name: name, Root: root, Manifest: m, Mtime: totals.NewestMtime, Kept: s.kept(name), Foreign: true, Keeper: inStore{s, name}}
	f.Guide = func() *chunk.Guide {
		large := false
		for i := range m.Entries {
			large = large || m.Entries[i].Size >= chunk.LargeFile
		}
		if len(names) < 2 || !large {
			return nil
		}
		before := s.kept(names[len(names)-2])
		if before == nil {
			return nil
		}
		return chunk.NewGuide(chunk.WithoutHoles(before.Chunks))
	}
	f.Guide = sync.OnceValue(f.Guide)
	snap, err := OpenSnapshot(f)
	must(t, err)
	t.Cleanup(snap.Close)
	return snap
}

// receive takes a version that a peer sends.
func receive(ctx context.Context, t *testing.T, s *store, l *wire.Link) error {
	var head wire.VersionHead
	if err := l.ExpectJSON(wire.FrameHead, &head); err != nil {
		return err
	}
	own := &Sources{}
	defer own.Close()
	if len(visible(t, s)) > 0 {
		if err := own.Add(ctx, openedFor(t, s)); err != nil {
			return err
		}
	}
	if err := own.Send(l, head.Known); err != nil {
		return err
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		return err
	}
	defer root.Close()
	flush, err := tree.NewFlusher(root)
	if err != nil {
		return err
	}
	defer flush.Close()
	r := &Receiver{Link: l, Head: head, Own: own, Root: root, Flush: flush, CountContent: func(int64) error { return nil }}
	if err := r.Receive(ctx); err != nil {
		return err
	}
	return os.Rename(root.Name(), filepath.Join(s.dir, head.Name))
}

// transfer sends a version to a store, and returns how many bytes were sent, and the
// sender's error.
func transfer(t *testing.T, snap *Snapshot, to *store, counted tree.Counter) (sent int64, err error) {
	t.Helper()
	ours, theirs := datatest.Connected(t)
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer theirs.Close()
		l := wire.NewLink(theirs, theirs)
		if err := receive(context.Background(), t, to, l); err != nil {
			_ = l.Send(wire.FrameError, wire.EncodeError(err))
		}
	}()
	l := wire.NewLink(ours, ours)
	s := &Sender{Snapshot: snap, Link: l, Head: wire.VersionHead{Name: snap.Name}, Abort: func() { ours.Close() }, Counted: counted}
	err = s.Send(t.Context())
	ours.Close()
	<-received
	return l.BytesWritten, err
}

// sentTo sends a version to a store.
func sentTo(t *testing.T, snap *Snapshot, to *store) error {
	t.Helper()
	_, err := transfer(t, snap, to, nil)
	return err
}
