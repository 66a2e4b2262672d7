package transfer

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// batches turns steps into batches and sends them in order: while one is filled, others are
// compressed and written. Batches can be prepared before there is a link to send them over
// (prefetch).
type batches struct {
	link  *wire.Link    // nil until open is closed
	open  chan struct{} // closed when batches may be sent, or are dropped
	cur   *batch
	free  chan *batch
	queue chan *batch
	work  chan *batch
	spare chan []byte // buffers of compressed batches that wait to be sent
	wg    sync.WaitGroup

	first, count   uint64   // pending run: chunks in a row that the receiver has
	sizes          []uint32 // sizes of a pending run of chunks that are sent
	incompressible bool     // whether that run is incompressible

	files atomic.Int32 // files open for sending from them
	limit int32        // of files

	made   int64 // bytes of the version that cur yields, of which the receiver has some
	target int64 // bound of made, at which cur is flushed

	mu         sync.Mutex
	existing   int   // batches in existence
	heavyCount int   // of these, heavy ones prepared so far
	err        error // of writing
}

const (
	compressors = 2
	toCompress  = 12   // waiting for compression: more would only use memory
	inFlight    = 6    // batches, which bounds the memory
	inAdvance   = 100  // heavy batches prepared before open; see full
	listed      = 4000 // batches in all prepared before open

	// heavy is from how many bytes of memory on a batch counts for inAdvance.
	heavy = 16 << 10

	// firstMade is how many bytes of the version the first batch yields: few, so that the receiver
	// starts soon. The limit doubles with each batch, as larger batches compress better.
	firstMade = 1 << 20
)

// newBatches returns batches that are prepared until send or drop is called.
func newBatches() (*batches, error) {
	b := &batches{open: make(chan struct{}), target: firstMade, limit: filesToSend(), free: make(chan *batch, inFlight),
		queue: make(chan *batch, listed), work: make(chan *batch, toCompress), spare: make(chan []byte, toCompress)}
	var encoders [compressors]*zstd.Encoder
	for i := range encoders {
		var err error
		if encoders[i], err = newEncoder(); err != nil {
			return nil, err
		}
	}
	for i, enc := range encoders {
		b.wg.Go(func() {
			if i > 0 {
				<-b.open // leaves the processor to the peer's process, which may start on this machine
			}
			b.compress(enc)
		})
	}
	b.wg.Go(b.write)
	b.cur = b.next()
	return b, nil
}

// filesToSend returns how many files may be open for sending.
func filesToSend() int32 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int32(min(limit.Cur/4, listed)) //nolint:gosec // listed at most
}

// send starts sending over a link.
func (b *batches) send(l *wire.Link) {
	b.link = l
	close(b.open)
}

// errDropped is the error for adding to batches that were dropped.
var errDropped = errors.New("not sent")

// drop ends batches that are not sent; the filling goroutine gets errDropped.
func (b *batches) drop() {
	b.mu.Lock()
	b.err = errDropped
	b.mu.Unlock()
	close(b.open)
}

// next returns an empty batch. It may wait for one.
func (b *batches) next() *batch {
	select {
	case next := <-b.free:
		return next
	default:
	}
	b.mu.Lock()
	more := b.existing < inFlight || !b.isOpen() && b.existing < listed && b.heavyCount < inAdvance
	if more {
		b.existing++
	}
	b.mu.Unlock()
	if !more {
		return <-b.free
	}
	return newBatch()
}

func (b *batches) isOpen() bool {
	select {
	case <-b.open:
		return true
	default:
		return false
	}
}

// full tells whether no more may be prepared in advance. The part of a file that is being added
// still fits.
func (b *batches) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heavyCount > inAdvance-4 || b.existing > listed-4
}

// recycle makes a sent batch available, or frees it if there are enough.
func (b *batches) recycle(used *batch) {
	b.mu.Lock()
	spare := b.existing > inFlight
	if spare {
		b.existing--
	}
	b.mu.Unlock()
	used.reset()
	if !spare {
		b.free <- used
	}
}

func (b *batches) compress(enc *zstd.Encoder) {
	for next := range b.work {
		next.encode(enc)
		if next.shrunk() && !b.isOpen() { // prepared batches use no more memory than needed
			select {
			case b.spare <- next.data[:0]:
				next.data = nil
			default:
			}
		}
		next.ready <- struct{}{}
	}
}

// write sends batches in order. After an error it goes on without sending, so that the filling
// goroutine is not blocked.
func (b *batches) write() {
	<-b.open
	for next := range b.queue {
		<-next.ready
		if b.failed() == nil {
			err := b.link.Put(wire.FrameBatch, next.out[:]...)
			if err == nil && len(next.incompressible) > 0 {
				err = b.link.PutSpans(next.incompressible)
			}
			if err == nil && len(b.queue) == 0 {
				err = b.link.Flush()
			}
			b.mu.Lock()
			b.err = err
			b.mu.Unlock()
		}
		b.recycle(next)
	}
}

func (b *batches) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// entry adds the step for a file or folder.
func (b *batches) entry(e *manifest.Entry) {
	b.makeRoom()
	b.cur.steps = manifest.AppendEntry(append(b.cur.steps, wire.StepEntry), e)
}

// repeat adds the step for a file that is sent again.
func (b *batches) repeat(place int) {
	b.makeRoom()
	b.cur.steps = binary.AppendUvarint(append(b.cur.steps, wire.StepAgain), uint64(place)) //nolint:gosec // not negative
}

// copyChunk adds a chunk that the receiver has at a place of its list.
func (b *batches) copyChunk(place uint64, size int64) {
	if b.made >= b.target {
		b.flush()
		b.target *= 2
	}
	b.made += size
	if b.count > 0 && place == b.first+b.count {
		b.count++
		return
	}
	b.flushRuns()
	b.makeRoom()
	b.first, b.count = place, 1
}

// hole adds a hole of size bytes.
func (b *batches) hole(size int64) {
	b.flushRuns()
	b.makeRoom()
	b.cur.steps = binary.AppendUvarint(append(b.cur.steps, wire.StepHole), uint64(size)) //nolint:gosec // not negative
}

// data adds a chunk's content; dense: it is incompressible.
func (b *batches) data(chunk []byte, dense bool) {
	b.content(dense, len(chunk), 1)
	b.sizes = append(b.sizes, uint32(len(chunk))) //nolint:gosec // a chunk's
	switch {
	case dense:
		b.cur.addIncompressible(chunk)
		return
	case b.cur.data == nil:
		b.cur.data = b.memory()
	}
	b.cur.data = append(b.cur.data, chunk...)
}

// zeroCopy adds incompressible chunks, adjacent in a file, which are sent from there without a
// copy. They have at most chunk.MaxSize bytes together.
func (b *batches) zeroCopy(f *sharedFile, off int64, chunks []chunk.Chunk, size int) {
	b.content(true, size, len(chunks))
	for _, c := range chunks {
		b.sizes = append(b.sizes, c.Size)
	}
	f.users.Add(1)
	b.cur.incompressible = append(b.cur.incompressible, wire.Span{File: f, Off: off, N: size})
}

// content makes room for size bytes in count chunks.
func (b *batches) content(dense bool, size, count int) {
	if b.count > 0 || dense != b.incompressible {
		b.flushRuns()
	}
	if b.cur.size()+size > chunk.MaxSize || len(b.cur.steps)+5*(len(b.sizes)+count) > wire.MaxSteps {
		b.flush()
	}
	b.incompressible = dense
}

// memory returns a buffer for compressed content.
func (b *batches) memory() []byte {
	select {
	case data := <-b.spare:
		return data
	default:
		return make([]byte, 0, chunk.MaxSize)
	}
}

// extra adds extended attributes, if there are any.
func (b *batches) extra(x manifest.Xattrs) {
	if x == "" {
		return
	}
	b.flushRuns()
	b.makeRoom()
	b.cur.steps = manifest.AppendXattrs(append(b.cur.steps, wire.StepExtra), x)
}

// end adds the end of a file, with its digest.
func (b *batches) end(sum chunk.Digest) {
	b.flushRuns()
	b.makeRoom()
	b.cur.steps = append(append(b.cur.steps, wire.StepEnd), sum[:]...)
}

// flushRuns writes the steps of pending runs of chunks.
func (b *batches) flushRuns() {
	if b.count > 0 {
		b.cur.steps = binary.AppendUvarint(append(b.cur.steps, wire.StepCopy), b.first)
		b.cur.steps = binary.AppendUvarint(b.cur.steps, b.count)
		b.count = 0
	}
	if len(b.sizes) > 0 {
		step := byte(wire.StepData)
		if b.incompressible {
			step = wire.StepDense
		}
		b.cur.steps = binary.AppendUvarint(append(b.cur.steps, step), uint64(len(b.sizes)))
		for _, n := range b.sizes {
			b.cur.steps = binary.AppendUvarint(b.cur.steps, uint64(n))
		}
		b.sizes = b.sizes[:0]
	}
}

// makeRoom flushes the batch if there is no room for a step.
func (b *batches) makeRoom() {
	if len(b.cur.steps)+5*len(b.sizes) > wire.MaxSteps {
		b.flush()
	}
}

// flush hands the batch on to be compressed and sent.
func (b *batches) flush() {
	b.flushRuns()
	if len(b.cur.steps) == 0 {
		return
	}
	b.mu.Lock()
	if b.cur.memory() > heavy {
		b.heavyCount++
	}
	b.mu.Unlock()
	b.queue <- b.cur
	b.work <- b.cur
	b.cur, b.made = b.next(), 0
}

// close flushes the rest, and waits until all is written.
func (b *batches) close() error {
	b.flush()
	close(b.queue)
	close(b.work)
	b.wg.Wait()
	return b.failed()
}
