package transfer

import (
	"context"
	"os"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// Folder is the folder of a version, and what is known and kept of that.
type Folder struct {
	Name     string
	Root     *os.Root
	Manifest *manifest.Manifest  // as it looks now; the content of what changed since is not known
	Mtime    int64               // its newest modification time, as it was seen before
	Kept     *manifest.Manifest  // its index; nil: none
	Foreign  bool                // another program made it, and may have changed it since
	Keeper   Keeper              // nil: nothing is noted of it
	Guide    func() *chunk.Guide // found when it is first asked for; nil: there is none
}

// Keeper is the store that a version lies in.
type Keeper interface {
	// Damaged notes what is wrong with the version, and returns the error of it.
	Damaged(damage []string) error
	// Keep keeps the manifest as the version's index.
	Keep(m *manifest.Manifest) error
}

// Snapshot is a version opened for comparing and sending: its folder, and its
// manifest, in which those files are known that did not change since their
// content was last read.
type Snapshot struct {
	Folder
	from       tree.Opener
	scan       *tree.Scanner
	reading    *reading  // nil: not begun
	prefetched *prefetch // made ready to be sent; nil: not so
	Unread     int       // files whose content is not known
	stale      bool
	sum        []byte // see content; nil: not asked for yet
	Problem    error  // why it can't be copied; nil: nothing that is known
}

// OpenSnapshot opens a version. The snapshot closes its root.
func OpenSnapshot(f Folder) (*Snapshot, error) {
	s := &Snapshot{Folder: f, from: tree.Opener{Root: f.Root}}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) open() (err error) {
	if s.Manifest != s.Kept {
		s.Unread, s.stale = s.Manifest.Recall(s.Kept)
	}
	if err := s.folderXattrs(); err != nil {
		return err
	}
	if s.Problem = s.check(); s.Problem == nil && s.Unread == 0 {
		s.Problem = s.reportDamage(tree.ContentMismatch(s.Root, s.content()))
	}
	s.scan, err = tree.NewScanner(s.Manifest.Bytes())
	return err
}

// folderXattrs reads the extended attributes of folders that are not as they were kept. A failure is
// that of the version.
func (s *Snapshot) folderXattrs() error {
	m := s.Manifest
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
func (s *Snapshot) check() error {
	m := s.Manifest
	if err := m.CheckCopyable(); err != nil {
		return err
	}
	if m.NewestMtime() != s.Mtime {
		return fault.New(fault.Busy, "try again when nothing writes there", "version %s changed while it was read", s.Name)
	}
	return s.reportDamage(manifest.CompareSums(s.Kept, m, s.Foreign))
}

// Close ends what is being read or made ready, keeps what was read, and closes the folder.
func (s *Snapshot) Close() {
	_ = s.DropPrefetch() // there was an error before, or it is not needed
	s.stopReading()
	s.from.Close()
	s.Root.Close()
}

// reportDamage makes an error of damage, and notes it beside the version.
func (s *Snapshot) reportDamage(damage []string) error {
	if len(damage) == 0 {
		return nil
	}
	return s.Keeper.Damaged(damage)
}

// read reads a file whose content is not known yet, and holds it against what
// was kept of it, so that damage does not spread.
func (s *Snapshot) read(ctx context.Context, e *manifest.Entry, each func(p tree.Piece) error) error {
	in, err := s.from.OpenEntry(e)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := s.scan.ReadEntry(ctx, s.Manifest, in, e, each); err != nil {
		return err
	}
	s.Unread--
	if s.Kept == nil {
		return nil
	}
	if k := s.Kept.Find(e.Path); k != nil && !k.Dir && manifest.Rotted(k, e, s.Foreign) {
		return s.reportDamage([]string{manifest.DoesNotMatch(e.Path)})
	}
	return nil
}

// save keeps the manifest, when all of it is known and that is news.
func (s *Snapshot) save() error {
	if !s.stale || s.Unread > 0 {
		return nil
	}
	s.stale = false
	return s.Keeper.Keep(s.Manifest)
}

// Digest names the content; nil while some of it is not known.
func (s *Snapshot) Digest() []byte {
	if s.Unread > 0 || s.Problem != nil {
		return nil
	}
	return s.content()
}

// content is the hash of all content, which is known; it is computed once.
func (s *Snapshot) content() []byte {
	if s.sum == nil {
		s.sum = s.Manifest.Digest()
	}
	return s.sum
}
