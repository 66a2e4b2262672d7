package transfer

import (
	"cmp"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// writers write small files, and pieces of large ones, in parallel and in the background: most of
// the cost is in the file system, where it waits.
type writers struct {
	root     *os.Root
	unkept   *tree.Dropped
	flush    *tree.Flusher
	manifest *manifest.Manifest
	queue    chan *piece
	free     chan *piece
	wg       sync.WaitGroup

	mu     sync.Mutex
	placed []manifest.Entry // identities of written files; see close
	places []int
	err    error
}

// piece is the content of a file, or a part of it, that is not written yet.
type piece struct {
	place int // index in the manifest
	e     manifest.Entry
	data  []byte

	out *tree.LargeFile // nil: data is the whole file
	off int64           // of data in the file
}

// grow extends data to n bytes.
func (p *piece) grow(n int) {
	if cap(p.data) < n {
		more := tree.AlignedBytes(max(n, min(4*cap(p.data), maxPiece)))
		p.data = more[:copy(more, p.data)]
	}
	p.data = p.data[:n]
}

const (
	writerCount = 2
	partCount   = 16 // each up to maxPiece, which bounds the memory

	// maxPiece is the most bytes in a piece: a remainder too small for a direct write, and a chunk.
	maxPiece = chunk.MaxSize + tree.DirectUnit
)

func newWriters(r *Receiver) *writers {
	w := &writers{root: r.Root, unkept: &r.Dropped, flush: r.Flush, manifest: &r.Manifest, queue: make(chan *piece, partCount), free: make(chan *piece, partCount)}
	for range partCount {
		w.free <- &piece{}
	}
	for range writerCount {
		w.wg.Go(w.work)
	}
	return w
}

// piece returns an empty piece. It may wait for one.
func (w *writers) piece() *piece {
	p := <-w.free
	p.data, p.out = p.data[:0], nil
	return p
}

// write queues a whole file, and then recycles the piece.
func (w *writers) write(p *piece) { w.queue <- p }

// writePart queues a part of a file, and then recycles the piece.
func (w *writers) writePart(p *piece, out *tree.LargeFile, off int64) {
	out.Parts.Add(1)
	p.out, p.off = out, off
	w.queue <- p
}

func (w *writers) recycle(p *piece) { w.free <- p }

func (w *writers) work() {
	to := &tree.Opener{Root: w.root, Dropped: w.unkept}
	defer to.Close()
	for p := range w.queue {
		switch {
		case p.out != nil:
			w.part(p)
		case w.failed() == nil:
			w.file(p, to)
		}
		w.recycle(p)
	}
}

// file writes a file and records the result.
func (w *writers) file(p *piece, to *tree.Opener) {
	err := p.write(to)
	w.mu.Lock()
	w.err = cmp.Or(w.err, err)
	w.placed, w.places = append(w.placed, p.e), append(w.places, p.place)
	w.mu.Unlock()
	w.flush.Wrote(int64(len(p.data)) + tree.FileCost)
}

// part writes a part of a file.
func (w *writers) part(p *piece) {
	defer p.out.Parts.Done()
	if w.failed() != nil {
		return
	}
	if err := p.out.Write(p.data, p.off); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = cmp.Or(w.err, err)
	}
}

// write writes a whole file.
func (p *piece) write(to *tree.Opener) error {
	out, err := to.Open(p.e.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, p.e.Attr.Mode)
	if err != nil {
		return err
	}
	err = out.Pwrite(p.data, 0)
	if err == nil {
		var now manifest.Entry
		now, err = to.SetAttributes(out, &p.e.Attr)
		p.e.SetPlace(&now)
	}
	return cmp.Or(err, out.Close())
}

func (w *writers) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// close waits until everything is written, and takes the files' identities over into the manifest.
func (w *writers) close() error {
	close(w.queue)
	w.wg.Wait()
	for i, place := range w.places {
		w.manifest.Entries[place].SetPlace(&w.placed[i])
	}
	return w.err
}
