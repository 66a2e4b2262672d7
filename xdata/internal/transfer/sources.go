package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// Sources is what a receiver can copy chunks from: its newest version, and what arrived in
// interrupted transfers.
type Sources struct {
	list  []*source
	count int // number of chunks in all
}

// source is one folder with chunks.
type source struct {
	*Snapshot
	partial bool
	first   int // index of its first chunk in the whole list
	chunks  []chunk.Chunk
	offsets []int64 // of the chunks, in their files
	files   []int   // indexes of entries with chunks, in the order of chunks
	open    tree.Handle
	opened  *manifest.Entry

	inspected map[*manifest.Entry]struct{} // files that were checked; see inspect
}

const (
	// MaxHave is the most chunks that a receiver lists: those of some 10 GB, or 50 MB of memory at
	// the sender.
	MaxHave = 2_000_000
)

// Add adds the chunks of a version.
func (o *Sources) Add(ctx context.Context, snap *Snapshot) error {
	if snap == nil {
		return nil
	}
	_ = snap.ReadAll(ctx) // as far as it can be read
	o.append(&source{Snapshot: snap})
	return context.Cause(ctx)
}

// AddPartial reads what arrived in an interrupted transfer, and adds its chunks.
func (o *Sources) AddPartial(ctx context.Context, dir string, bytes int64) error {
	root, err := safepath.Folder(dir)
	if err != nil {
		return err
	}
	snap := &Snapshot{Folder: Folder{Root: root}, from: tree.Opener{Root: root}}
	if snap.scan, err = tree.NewScanner(bytes); err == nil {
		snap.Manifest, _, err = tree.Survey(root)
	}
	if err != nil {
		snap.Close()
		return err
	}
	for i := range snap.Manifest.Entries {
		e := &snap.Manifest.Entries[i]
		if e.Dir || e.CheckKind() != nil {
			continue
		}
		if err := snap.read(ctx, e, func(tree.Piece) error { return nil }); err != nil {
			snap.Close()
			return err
		}
	}
	o.append(&source{Snapshot: snap, partial: true})
	return nil
}

// append adds a source, as far as the list has room.
func (o *Sources) append(s *source) {
	s.first, s.inspected = o.count, map[*manifest.Entry]struct{}{}
	m := s.Manifest
	for i := range m.Entries {
		e := &m.Entries[i]
		if !e.Known {
			continue
		}
		count := 0
		for _, c := range m.ChunksOf(e) {
			if !c.IsHole() {
				count++
			}
		}
		if count == 0 || o.count+count > MaxHave {
			continue
		}
		e.First, e.Count = s.rebase(m.ChunksOf(e)), count
		s.files = append(s.files, i)
		o.count += count
	}
	m.Chunks = nil
	o.list = append(o.list, s)
}

// rebase appends the chunks of one file without its holes, and returns the index of the first.
func (s *source) rebase(chunks []chunk.Chunk) (first int) {
	first = len(s.offsets)
	off := int64(0)
	for _, c := range chunks {
		if !c.IsHole() {
			s.chunks = append(s.chunks, c)
			s.offsets = append(s.offsets, off)
		}
		off += int64(c.Size)
	}
	return first
}

// Send sends the list of chunks. known is the digest of a list that the sender has, mostly that of
// the first source, as both sides have the version before; that list is not sent.
func (o *Sources) Send(l *wire.Link, known []byte) error {
	b := make([]byte, 0, wire.MaxPayload)
	for i, s := range o.list {
		if i == 0 && len(known) > 0 && bytes.Equal(known, chunk.ListDigest(s.chunks)) {
			if err := l.Put(wire.FrameSame); err != nil {
				return err
			}
			continue
		}
		for _, c := range s.chunks {
			b = binary.LittleEndian.AppendUint64(b, c.ID)
			if len(b) < wire.MaxPayload {
				continue
			}
			if err := l.Put(wire.FrameHave, b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	if len(b) > 0 {
		if err := l.Put(wire.FrameHave, b); err != nil {
			return err
		}
	}
	return l.Send(wire.FrameHave, nil)
}

// localFile is a local file to copy chunks from.
type localFile struct {
	source *source
	e      *manifest.Entry
}

// run is chunks that are adjacent in one local file.
type run struct {
	localFile
	off    int64
	size   int
	chunks []chunk.Chunk
}

// run returns the chunks between at and end that are adjacent in one file, of at most limit bytes,
// but at least one.
func (o *Sources) run(at, end, limit int) run {
	i, _ := slices.BinarySearchFunc(o.list, at, func(s *source, at int) int {
		if s.first+len(s.offsets) <= at {
			return -1
		}
		return 1
	})
	s := o.list[i]
	at, end = at-s.first, end-s.first
	f, _ := slices.BinarySearchFunc(s.files, at, func(place, at int) int {
		if e := &s.Manifest.Entries[place]; e.First+e.Count <= at {
			return -1
		}
		return 1
	})
	e := &s.Manifest.Entries[s.files[f]]
	r := run{localFile: localFile{s, e}, off: s.offsets[at]}
	last := at
	for ; last < min(end, e.First+e.Count); last++ {
		size := int(s.chunks[last].Size)
		if last > at && (r.size+size > limit || s.offsets[last] != r.off+int64(r.size)) {
			break
		}
		r.size += size
	}
	r.chunks = s.chunks[at:last]
	return r
}

// read reads the chunks into p. They are not verified: the digest of the assembled file is, and
// inspect then finds the wrong ones.
func (r run) read(p []byte) error {
	if err := r.source.openFile(r.e); err != nil {
		return err
	}
	_, err := r.source.open.Pread(p, r.off)
	return err
}

// inspect verifies the chunks of a local file, once, and records bit rot in its version's mark.
func (s *source) inspect(ctx context.Context, e *manifest.Entry) error {
	if _, done := s.inspected[e]; done || s.partial {
		return nil
	}
	s.inspected[e] = struct{}{}
	if s.openFile(e) != nil {
		return nil // what is missing is requested again
	}
	buf := make([]byte, chunk.MaxSize)
	for i, c := range s.chunks[e.First : e.First+e.Count] {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		p := buf[:c.Size]
		if _, err := s.open.Pread(p, s.offsets[e.First+i]); err != nil || xxh3.Hash(p) != c.ID {
			s.reportRot(e)
			return nil
		}
	}
	return nil
}

// reportRot records damage found in a version.
func (s *source) reportRot(e *manifest.Entry) {
	if s.open.CheckUnchanged(e) != nil {
		return
	}
	_ = s.reportDamage([]string{manifest.DoesNotMatch(e.Path)}) // recorded in its mark
}

func (s *source) openFile(e *manifest.Entry) (err error) {
	if s.opened == e {
		return nil
	}
	s.closeFile()
	if s.open, err = s.from.Open(e.Path, unix.O_RDONLY, 0); err == nil {
		s.opened = e
	}
	return err
}

func (s *source) closeFile() {
	if s.opened != nil {
		_ = s.open.Close()
		s.opened = nil
	}
}

// Close closes the snapshots.
func (o *Sources) Close() {
	for _, s := range o.list {
		s.closeFile()
		s.Close()
	}
}
