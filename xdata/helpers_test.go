package xdata

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/xdata/internal/datatest"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/transfer"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// baseTime is the modification time of test data; odd nanoseconds show whether
// they are kept.
var baseTime = time.Date(2026, 3, 1, 2, 0, 0, 123456789, time.UTC)

// fileTree is a version's content: path -> content; a path ending in / is a folder.
type fileTree map[string]string

var sample = fileTree{
	"db/dump.sql": "select 1;\n", "db/empty": "", "conf/": "", "conf/deep/er/x.conf": "a=b",
	"latin1-\xe9.txt": "caf\xe9", "db.txt": "sorts between db and db/",
}

// write makes the tree in dir, all files with one modification time.
func (tr fileTree) write(t testing.TB, dir string, mtime time.Time) {
	t.Helper()
	for name, content := range tr {
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o640))
		must(t, os.Chtimes(full, mtime, mtime))
	}
}

// newStore returns an empty store that takes versions of others at once.
func newStore(t testing.TB) *Store {
	return &Store{Dir: filepath.Join(t.TempDir(), "xdata"), Still: AtOnce}
}

// foreign puts a version into the store as another program would.
func foreign(t testing.TB, s *Store, name string, tr fileTree, mtime time.Time) string {
	t.Helper()
	dir := filepath.Join(s.Dir, name)
	must(t, os.MkdirAll(dir, 0o755))
	tr.write(t, dir, mtime)
	return dir
}

// visible returns the names of the store's versions, and leftovers everything
// else that should not stay. What an interrupted transfer leaves may.
func visible(t testing.TB, s *Store) (versions, leftovers []string) {
	t.Helper()
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "xdata_"):
			versions = append(versions, e.Name())
		case e.Name() == asideName, strings.HasPrefix(e.Name(), ".lock-"), strings.HasPrefix(e.Name(), markPrefix), strings.HasPrefix(e.Name(), ".partial-"), strings.HasPrefix(e.Name(), indexPrefix),
			strings.HasPrefix(e.Name(), ".head-"), strings.HasPrefix(e.Name(), ".pair-"):
		default:
			leftovers = append(leftovers, e.Name())
		}
	}
	return versions, leftovers
}

// describe returns all of a version, attributes included, as text.
func describe(t testing.TB, dir string) string {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	var b strings.Builder
	line := func(e *manifest.Entry) error {
		content := ""
		if !e.Dir {
			data, err := root.ReadFile(e.Path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		fmt.Fprintf(&b, "%q %+v %s\n", e.Path, e.Attr, content)
		return nil
	}
	m, _, err := tree.Survey(root)
	must(t, err)
	must(t, line(&manifest.Entry{Path: ".", Dir: true, Attr: m.Top}))
	for i := range m.Entries {
		must(t, line(&m.Entries[i]))
	}
	return b.String()
}

// served is a connection to a Serve in this process.
type served struct {
	Conn
	ended chan struct{} // closed when Serve has returned
}

// peer serves a store at the other end of a pipe, as a process would: what it
// holds is closed when it ends.
func peer(t testing.TB, s *Store, opt ServeOptions) *served {
	ours, theirs := net.Pipe()
	c := &served{Conn: ours, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		defer theirs.Close()
		_ = Serve(context.Background(), s, theirs, theirs, opt)
	}()
	t.Cleanup(func() { c.end(t) })
	return c
}

// end closes the connection and waits for the other side to have cleaned up.
func (c *served) end(t testing.TB) {
	t.Helper()
	c.Close()
	wait(t, c.ended, "serve to end")
}

// wait waits for a channel to be closed.
func wait(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Errorf("waited too long for %s", what)
	}
}

// receive takes what a peer sends, in a store as it is.
func receive(s *Store, l *wire.Link) (Version, error) {
	opened, here, _, err := s.summarise(1)
	if err != nil {
		return Version{}, err
	}
	if opened != nil {
		defer opened.Close()
	}
	return (&incoming{store: s, link: l, lim: 1, here: here, opened: opened}).receive(context.Background())
}

// What the tests of other packages use as well.
var (
	must      = datatest.Must
	noise     = datatest.Noise
	aclOf     = datatest.ACL
	wantCode  = datatest.WantCode
	waitUntil = datatest.WaitUntil
)

// sending is what sends a version; aborted is closed when the receiver gives up, nil is nothing.
func sending(o *opened, l *wire.Link, aborted io.Closer, counted tree.Counter) *transfer.Sender {
	s := o.sender(l)
	s.Counted = counted
	s.Abort = func() {
		if aborted != nil {
			aborted.Close()
		}
	}
	return s
}
