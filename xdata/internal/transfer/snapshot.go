package transfer

import (
	"context"
	"os"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// Folder is the folder of a version, and what is known of it.
type Folder struct {
	Name     string
	Root     *os.Root
	Manifest *manifest.Manifest  // as listed now; content of changed files is not known
	Mtime    int64               // newest modification time when it was inspected
	Kept     *manifest.Manifest  // its index; nil: none
	Foreign  bool                // made by another program, which may have changed it since
	Keeper   Keeper              // records findings about the version; nil: nothing is recorded
	Guide    func() *chunk.Guide // loads the guide; nil: there is none
}

// Keeper is the store of a version.
type Keeper interface {
	// Damaged records damage of the version, and returns it as an error.
	Damaged(damage []string) error
	// Keep writes the manifest as the version's index.
	Keep(m *manifest.Manifest) error
}

// Snapshot is a version that is open for comparing and sending: its folder, and its manifest, with
// the content of the files that are unchanged since they were last read.
type Snapshot struct {
	Folder
	from       tree.Opener
	scan       *tree.Scanner
	reading    *reading  // nil: not started
	prefetched *prefetch // prepared for sending; nil: not prepared
	Unread     int       // number of files with unknown content
	stale      bool
	sum        []byte // see content; nil: not computed
	Problem    error  // why it cannot be copied; nil: no known reason
}

// OpenSnapshot opens a version. Close closes its root as well.
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

// folderXattrs reads the extended attributes of folders that changed. A failure becomes the
// snapshot's Problem.
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

// check returns why the version cannot be copied, as far as this can be seen without reading it.
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

// Close ends reading and preparing, writes the index if all was read, and closes the folder.
func (s *Snapshot) Close() {
	_ = s.DropPrefetch() // an error was returned before, or does not matter
	s.stopReading()
	s.from.Close()
	s.Root.Close()
}

// reportDamage records damage of the version, and returns it as an error.
func (s *Snapshot) reportDamage(damage []string) error {
	if len(damage) == 0 {
		return nil
	}
	return s.Keeper.Damaged(damage)
}

// read reads a file with unknown content, and compares it with its index, so that damage is not
// copied.
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

// save writes the index, if all content is known and the index is out of date.
func (s *Snapshot) save() error {
	if !s.stale || s.Unread > 0 {
		return nil
	}
	s.stale = false
	return s.Keeper.Keep(s.Manifest)
}

// Digest returns the hash of the content; nil while some is unknown.
func (s *Snapshot) Digest() []byte {
	if s.Unread > 0 || s.Problem != nil {
		return nil
	}
	return s.content()
}

// content returns the hash of the content, which must be known; it is computed once.
func (s *Snapshot) content() []byte {
	if s.sum == nil {
		s.sum = s.Manifest.Digest()
	}
	return s.sum
}
