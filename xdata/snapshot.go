package xdata

import (
	"context"
	"os"
	"sync"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// snapshot is a version opened for comparing and sending: its folder, and its
// manifest, in which those files are known that did not change since their
// content was last read.
type snapshot struct {
	store    *Store
	root     *os.Root
	from     tree.Opener
	version  Version
	manifest *manifest.Manifest
	kept     *manifest.Manifest // its index; nil: none
	mark     mark               // as it would be written anew
	scan     *tree.Scanner
	guide    func() *chunk.Guide // found when it is first asked for
	reading  *reading            // nil: not begun
	ahead    *ahead              // made ready to be sent; nil: not so
	unread   int                 // files whose content is not known
	stale    bool
	sum      []byte // see content; nil: not asked for yet
	problem  error  // why it can't be copied; nil: nothing that is known
}

// openSnapshot looks a version over, as far as that was not done. The caller closes the
// snapshot.
func (s *Store) openSnapshot(v seen) (snap *snapshot, err error) {
	root, err := safepath.Folder(v.Path)
	if err != nil {
		return nil, err
	}
	snap = &snapshot{store: s, root: root, from: tree.Opener{Root: root}, version: v.Version, manifest: v.manifest, kept: v.kept}
	snap.guide = sync.OnceValue(snap.findGuide)
	if err := snap.open(); err != nil {
		snap.close()
		return nil, err
	}
	return snap, nil
}

func (s *snapshot) open() (err error) {
	if s.manifest == nil {
		if s.manifest, _, err = tree.Survey(s.root); err != nil {
			return err
		}
	}
	own, err := s.store.readMark(s.root, s.version.Name, s.manifest)
	if err != nil {
		return err
	}
	s.mark = nextMark(own)
	if s.kept == nil {
		if s.kept, err = s.store.readIndex(s.version.Name, s.manifest, own); err != nil {
			return err
		}
	}
	if s.manifest != s.kept {
		s.unread, s.stale = s.manifest.Recall(s.kept)
	}
	if err := s.folderExtras(); err != nil {
		return err
	}
	if s.problem = s.check(); s.problem == nil && s.unread == 0 {
		s.problem = s.hold(tree.ContentMismatch(s.root, s.content()))
	}
	s.scan, err = tree.NewScanner(s.manifest.Bytes())
	return err
}

// folderExtras reads the extras of folders that are not as they were kept. A failure is
// that of the version.
func (s *snapshot) folderExtras() error {
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
	if m.NewestMtime() != manifest.Nanoseconds(s.version.NewestMtime) {
		return fault.New(fault.Busy, "try again when nothing writes there", "version %s changed while it was read", s.version.Name)
	}
	return s.hold(manifest.CompareSums(s.kept, m, s.mark.Foreign))
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
	s.mark.Verified, s.mark.Damage = s.version.Verified, manifest.InShort(damage)
	s.store.keepNote(s.root, s.version.Name, s.mark, s.manifest)
	return damaged(s.version.Name, s.mark.Damage)
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
	if k := s.kept.Find(e.Path); k != nil && !k.Dir && manifest.Rotted(k, e, s.mark.Foreign) {
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
	return s.store.writeIndex(s.version.Name, s.manifest)
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
