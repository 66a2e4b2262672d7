package xdata

import (
	"context"
	"os"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// folder is the folder of a version, and what is known and kept of that.
type folder struct {
	name     string
	root     *os.Root
	manifest *manifest.Manifest  // as it looks now; the content of what changed since is not known
	mtime    int64               // its newest modification time, as it was seen before
	kept     *manifest.Manifest  // its index; nil: none
	foreign  bool                // another program made it, and may have changed it since
	keeper   keeper              // nil: nothing is noted of it
	guide    func() *chunk.Guide // found when it is first asked for; nil: there is none
}

// keeper is the store that a version lies in.
type keeper interface {
	// damaged notes what is wrong with the version, and returns the error of it.
	damaged(damage []string) error
	// keep keeps the manifest as the version's index.
	keep(m *manifest.Manifest) error
}

// snapshot is a version opened for comparing and sending: its folder, and its
// manifest, in which those files are known that did not change since their
// content was last read.
type snapshot struct {
	folder
	from    tree.Opener
	scan    *tree.Scanner
	reading *reading // nil: not begun
	ahead   *ahead   // made ready to be sent; nil: not so
	unread  int      // files whose content is not known
	stale   bool
	sum     []byte // see content; nil: not asked for yet
	problem error  // why it can't be copied; nil: nothing that is known
}

// openSnapshot opens a version. The snapshot closes its root.
func openSnapshot(f folder) (*snapshot, error) {
	s := &snapshot{folder: f, from: tree.Opener{Root: f.root}}
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *snapshot) open() (err error) {
	if s.manifest != s.kept {
		s.unread, s.stale = s.manifest.Recall(s.kept)
	}
	if err := s.folderXattrs(); err != nil {
		return err
	}
	if s.problem = s.check(); s.problem == nil && s.unread == 0 {
		s.problem = s.hold(tree.ContentMismatch(s.root, s.content()))
	}
	s.scan, err = tree.NewScanner(s.manifest.Bytes())
	return err
}

// folderXattrs reads the extras of folders that are not as they were kept. A failure is
// that of the version.
func (s *snapshot) folderXattrs() error {
	m := s.manifest
	top := manifest.Entry{Path: ".", Attr: m.Top}
	if err := s.from.ReadXattrs(&top); err != nil {
		return err
	}
	m.Top = top.Attr
	for i := range m.Entries {
		e := &m.Entries[i]
		if !e.Dir || e.Known {
			continue
		}
		if err := s.from.ReadXattrs(e); err != nil {
			return err
		}
		m.XattrBytes += len(e.Attr.Xattrs)
		e.Known = true
	}
	return nil
}

// check tells why the version can't be copied, as far as that is seen without
// reading it.
func (s *snapshot) check() error {
	m := s.manifest
	if err := m.CheckCopyable(); err != nil {
		return err
	}
	if m.NewestMtime() != s.mtime {
		return fault.New(fault.Busy, "try again when nothing writes there", "version %s changed while it was read", s.name)
	}
	return s.hold(manifest.CompareSums(s.kept, m, s.foreign))
}

func (s *snapshot) close() {
	_ = s.dropAhead() // there was an error before, or it is not needed
	s.stopReading()
	s.from.Close()
	s.root.Close()
}

// hold makes an error of damage, and notes it beside the version.
func (s *snapshot) hold(damage []string) error {
	if len(damage) == 0 {
		return nil
	}
	return s.keeper.damaged(damage)
}

// read reads a file whose content is not known yet, and holds it against what
// was kept of it, so that damage does not spread.
func (s *snapshot) read(ctx context.Context, e *manifest.Entry, each func(p tree.Piece) error) error {
	in, err := s.from.OpenEntry(e)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := s.scan.ReadEntry(ctx, s.manifest, in, e, each); err != nil {
		return err
	}
	s.unread--
	if s.kept == nil {
		return nil
	}
	if k := s.kept.Find(e.Path); k != nil && !k.Dir && manifest.Rotted(k, e, s.foreign) {
		return s.hold([]string{manifest.DoesNotMatch(e.Path)})
	}
	return nil
}

// save keeps the manifest, when all of it is known and that is news.
func (s *snapshot) save() error {
	if !s.stale || s.unread > 0 {
		return nil
	}
	s.stale = false
	return s.keeper.keep(s.manifest)
}

// digest names the content; nil while some of it is not known.
func (s *snapshot) digest() []byte {
	if s.unread > 0 || s.problem != nil {
		return nil
	}
	return s.content()
}

// content is the hash of all content, which is known; it is computed once.
func (s *snapshot) content() []byte {
	if s.sum == nil {
		s.sum = s.manifest.Digest()
	}
	return s.sum
}
