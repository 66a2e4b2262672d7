package transfer

import (
	"cmp"
	"context"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// builder carries out the steps that a sender asks for.
type builder struct {
	ctx       context.Context //nolint:containedctx // of one call
	r         *Receiver
	own       *Sources
	root      *os.Root
	to        tree.Opener
	writers   *writers
	admission *manifest.Admission
	again     []int // positions of the files that are still to come again, in order
	bad       []int // positions of files with wrong content
	ended     bool

	batch receivedBatch // the current one
	sizes []int         // of chunks
	file                // being assembled
}

// file is a file that is being assembled.
type file struct {
	place  int             // in the manifest; -1: no file is being assembled
	part   *piece          // the piece that is not written yet
	out    *tree.LargeFile // nil while the file fits into one piece
	off    int64           // bytes assembled so far
	hash   chunk.Hasher
	from   []localFile // local files that chunks were copied from
	failed bool        // its content cannot become right
	first  int         // index of its first chunk in the manifest
}

// take carries out all steps, and waits until everything is written.
func (b *builder) take() error {
	err := b.build()
	b.to.Close()
	return cmp.Or(err, b.writers.close())
}

// build reads batches up to the end of the version.
func (b *builder) build() error {
	dec, err := wire.NewDecoder()
	if err != nil {
		return err
	}
	defer dec.Close()
	buf := make([]byte, 0, chunk.MaxSize)
	b.place, b.hash, b.batch.link = -1, chunk.NewHasher(), b.r.Link
	defer b.drop()
	for !b.ended {
		if err := context.Cause(b.ctx); err != nil {
			return err
		}
		if err := b.next(dec, buf); err != nil {
			return err
		}
	}
	return nil
}

// drop closes what is open after an error.
func (b *builder) drop() {
	if b.out != nil {
		_ = b.out.Close()
		b.out = nil
	}
}

// next carries out the steps of one batch, or reads the end.
func (b *builder) next(dec *zstd.Decoder, buf []byte) error {
	kind, payload, err := b.r.Link.ExpectEither(wire.FrameBatch, wire.FrameEnd)
	if err != nil {
		return err
	}
	if kind == wire.FrameEnd {
		return b.end(payload)
	}
	if err := b.batch.decode(payload, dec, buf); err != nil {
		return err
	}
	for len(b.batch.Steps) > 0 {
		if err := b.step(); err != nil {
			return err
		}
	}
	return cmp.Or(b.batch.spent(), b.writers.failed())
}

// end checks that the list is complete, and its hash.
func (b *builder) end(payload []byte) error {
	if b.place >= 0 {
		return manifest.Violation("an end in the middle of a file")
	}
	b.ended = true
	if err := b.admission.Finish(); err != nil {
		return err
	}
	return b.r.checkEnd(payload)
}

// step carries out one step.
func (b *builder) step() error {
	kind := b.batch.Steps[0]
	b.batch.Steps = b.batch.Steps[1:]
	inFile := b.place >= 0
	switch {
	case kind == wire.StepEntry && !inFile && b.again == nil:
		return b.entry()
	case kind == wire.StepAgain && !inFile && len(b.again) > 0:
		return b.repeat()
	case kind == wire.StepData && inFile:
		return b.literal(len(b.batch.Data), b.batch.unpack)
	case kind == wire.StepDense && inFile:
		return b.literal(len(b.batch.incompressible)+b.batch.Dense, b.batch.arriving)
	case kind == wire.StepCopy && inFile:
		return b.copied()
	case kind == wire.StepHole && inFile:
		return b.hole()
	case kind == wire.StepExtra:
		return b.extra()
	case kind == wire.StepEnd && inFile:
		return b.finish()
	}
	return manifest.Violation("step %d out of turn", kind)
}

// entry begins a file, or creates a folder.
func (b *builder) entry() error {
	e, rest, err := manifest.DecodeEntry(b.batch.Steps)
	if err != nil {
		return err
	}
	b.batch.Steps = rest
	if err := b.admission.Admit(&e); err != nil {
		return err
	}
	m := &b.r.Manifest
	m.Entries = append(m.Entries, e)
	if e.Dir {
		return b.root.Mkdir(e.Path, 0o700)
	}
	return b.begin(len(m.Entries) - 1)
}

// extra sets the extended attributes of the file that is being assembled, or of the previous
// folder.
func (b *builder) extra() error {
	place := b.place
	if entries := b.r.Manifest.Entries; place < 0 && b.again == nil && len(entries) > 0 && entries[len(entries)-1].Dir {
		place = len(entries) - 1
	}
	size, err := b.batch.number(manifest.MaxXattrs)
	if err != nil {
		return err
	}
	if place < 0 || size == 0 || size > uint64(len(b.batch.Steps)) || b.r.Manifest.Entries[place].Attr.Xattrs != "" {
		return manifest.Violation("%d bytes of attributes that belong nowhere", size)
	}
	x := manifest.Xattrs(b.batch.Steps[:size])
	b.batch.Steps = b.batch.Steps[size:]
	e := &b.r.Manifest.Entries[place]
	if err := cmp.Or(x.Check(e.Dir), b.admission.AddXattrs(len(x))); err != nil {
		return err
	}
	e.Attr.Xattrs = x
	return nil
}

// repeat begins a file that had wrong content the first time.
func (b *builder) repeat() error {
	place, err := b.batch.number(manifest.MaxEntries)
	if err != nil {
		return err
	}
	if int(place) != b.again[0] { //nolint:gosec // bounded
		return manifest.Violation("file %d where %d is due", place, b.again[0])
	}
	b.again = b.again[1:]
	if err := b.root.Remove(b.r.Manifest.Entries[place].Path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return b.begin(int(place)) //nolint:gosec // bounded
}

func (b *builder) begin(place int) error {
	b.place, b.off, b.failed, b.first = place, 0, false, len(b.r.Manifest.Chunks)
	b.r.Manifest.Entries[place].Attr.Xattrs = ""
	b.hash.Reset()
	b.from = b.from[:0]
	b.part = b.writers.piece()
	b.part.place = place
	return nil
}

// current is the entry of the file that is being assembled.
func (b *builder) current() *manifest.Entry { return &b.r.Manifest.Entries[b.place] }

// literal takes chunks from the batch's content, of which left bytes remain.
func (b *builder) literal(left int, from func(p []byte) error) error {
	count, err := b.batch.number(chunk.MaxSize)
	if err != nil {
		return err
	}
	for b.sizes = b.sizes[:0]; count > 0; count-- {
		size, err := b.batch.number(chunk.MaxSize)
		if err != nil {
			return err
		}
		if size == 0 || size > uint64(left) { //nolint:gosec // not negative
			return manifest.Violation("a chunk of %d bytes where %d are left", size, left)
		}
		left -= int(size)                    //nolint:gosec // bounded
		b.sizes = append(b.sizes, int(size)) //nolint:gosec // bounded
	}
	for sizes := b.sizes; len(sizes) > 0; {
		n, err := b.chunks(sizes, from)
		if err != nil {
			return err
		}
		sizes = sizes[n:]
	}
	return nil
}

// chunks takes as many chunks as the piece has room for.
func (b *builder) chunks(sizes []int, from func(p []byte) error) (n int, err error) {
	size, limit := sizes[0], b.limit()
	for n = 1; n < len(sizes) && size+sizes[n] <= limit; n++ {
		size += sizes[n]
	}
	room, err := b.makeRoom(size)
	if err != nil {
		return 0, err
	}
	if err := from(room); err != nil {
		return 0, err
	}
	for _, size := range sizes[:n] {
		if err := b.took(chunk.Of(room[:size])); err != nil {
			return 0, err
		}
		room = room[size:]
	}
	return n, nil
}

// limit is how many bytes can be added at once.
func (b *builder) limit() int {
	if limit := maxPiece - len(b.part.data); limit >= chunk.MaxSize/16 {
		return limit
	}
	return chunk.MaxSize // into the next piece
}

// copied takes chunks from local files.
func (b *builder) copied() error {
	from, err := b.batch.number(MaxHave)
	if err != nil {
		return err
	}
	count, err := b.batch.number(MaxHave)
	if err != nil {
		return err
	}
	if count == 0 || from+count > uint64(b.own.count) { //nolint:gosec // not negative
		return manifest.Violation("chunks %d to %d of %d", from, from+count, b.own.count)
	}
	for at, end := int(from), int(from+count); at < end; { //nolint:gosec // bounded
		n, err := b.run(at, end)
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// run takes chunks that are adjacent in one local file with one read, as many as there is room for.
// If they cannot be read, the file is requested again.
func (b *builder) run(at, end int) (n int, err error) {
	run := b.own.run(at, end, b.limit())
	room, err := b.makeRoom(run.size)
	if err != nil {
		return 0, err
	}
	if n := len(b.from); n == 0 || b.from[n-1] != run.localFile {
		b.from = append(b.from, run.localFile)
	}
	b.failed = run.read(room) != nil || b.failed
	for _, c := range run.chunks {
		if err := b.took(c); err != nil {
			return 0, err
		}
	}
	return len(run.chunks), nil
}

// makeRoom returns the buffer for the next n bytes of the file. A full piece is written in the
// background.
func (b *builder) makeRoom(n int) ([]byte, error) {
	if int64(n) > b.current().Size-b.off {
		return nil, manifest.Violation("%q is longer than announced", b.current().Path)
	}
	if len(b.part.data)+n > maxPiece {
		if err := b.writeBuffered(); err != nil {
			return nil, err
		}
	}
	p := b.part
	have := len(p.data)
	p.grow(have + n)
	return p.data[have:], nil
}

// took counts a chunk whose content is in its place.
func (b *builder) took(c chunk.Chunk) error {
	m := &b.r.Manifest
	if len(m.Chunks) >= chunk.MaxCount {
		return manifest.Violation("more than %d chunks", chunk.MaxCount)
	}
	m.Chunks = append(m.Chunks, c)
	b.off += int64(c.Size)
	b.r.Counted.Add(int64(c.Size))
	if c.IsHole() {
		return nil
	}
	return b.r.CountContent(int64(c.Size))
}

// hole skips a part of the file.
func (b *builder) hole() error {
	n, err := b.batch.number(chunk.MaxHole)
	if err != nil {
		return err
	}
	e, size := b.current(), int64(n) //nolint:gosec // bounded
	if size == 0 || size > e.Size-b.off || b.off%chunk.HoleUnit != 0 || size%chunk.HoleUnit != 0 && b.off+size != e.Size {
		return manifest.Violation("a hole of %d bytes at %d of %d", size, b.off, e.Size)
	}
	if err := b.open(); err != nil {
		return err
	}
	if len(b.part.data) > 0 {
		if err := b.writeBuffered(); err != nil {
			return err
		}
	}
	b.out.Skip(b.off)
	return cmp.Or(b.took(chunk.Hole(size)), chunk.HashZeros(b.ctx, b.hash, size))
}

// open creates the file, if that was not done.
func (b *builder) open() error {
	if b.out != nil {
		return nil
	}
	e := b.current()
	h, err := b.to.Open(e.Path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, e.Attr.Mode)
	if err == nil {
		b.out = tree.NewLargeFile(h, e.Size)
	}
	return err
}

// writeBuffered writes the buffered content of a file that is larger than a piece. Except at the
// end of the file, a remainder too small for a direct write is moved to the next piece.
func (b *builder) writeBuffered() error {
	if err := b.open(); err != nil {
		return err
	}
	p, e := b.part, b.current()
	off, n := b.off-int64(len(p.data)), len(p.data)
	if b.off < e.Size {
		n &^= tree.DirectUnit - 1
	}
	b.part = b.writers.piece()
	b.part.grow(len(p.data) - n)
	copy(b.part.data, p.data[n:])
	p.data = p.data[:n]
	b.hash.Write(p.data)
	b.out.Reserve(off + int64(n))
	b.writers.writePart(p, b.out, off)
	return b.writers.failed()
}

// finish ends a file and checks its content.
func (b *builder) finish() error {
	e := b.current()
	if len(b.batch.Steps) < len(e.Sum) {
		return manifest.Violation("a step that cannot be read")
	}
	copy(e.Sum[:], b.batch.Steps)
	b.batch.Steps = b.batch.Steps[len(e.Sum):]
	if b.off != e.Size {
		return manifest.Violation("%q has %d bytes, announced were %d", e.Path, b.off, e.Size)
	}
	e.First, e.Count, e.Known = b.first, len(b.r.Manifest.Chunks)-b.first, true
	if b.out != nil {
		if err := b.writeBuffered(); err != nil {
			return err
		}
	} else {
		b.hash.Write(b.part.data)
	}
	if sum := b.hash.Sum(); b.failed || sum != e.Sum {
		b.bad = append(b.bad, b.place)
		if err := b.inspect(); err != nil {
			return err
		}
	}
	return b.finishFile(e)
}

// inspect checks the local files that a file with wrong content was copied from.
func (b *builder) inspect() error {
	for _, o := range b.from {
		if err := o.source.inspect(b.ctx, o.e); err != nil {
			return err
		}
	}
	return nil
}

// finishFile writes the rest of the file, and its attributes.
func (b *builder) finishFile(e *manifest.Entry) error {
	b.place = -1
	if b.out == nil {
		b.part.e = *e
		b.writers.write(b.part)
		return nil
	}
	b.writers.recycle(b.part)
	b.out.Parts.Wait()
	err := b.writers.failed()
	if err == nil && b.out.Sparse {
		err = b.out.Truncate(e.Size)
	}
	if err == nil {
		var now manifest.Entry
		now, err = b.to.SetAttributes(b.out.Handle, &e.Attr)
		e.SetPlace(&now)
	}
	err = cmp.Or(err, b.out.Close())
	b.out = nil
	return err
}
