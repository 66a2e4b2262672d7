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

// batches turns steps into batches, and sends them in order: while one is
// filled, others are compressed and written. They can be made ready before
// there is anybody to send them to.
type batches struct {
	link  *wire.Link    // once it is open
	open  chan struct{} // closed when what is ready is to be sent, or dropped
	cur   *batch
	free  chan *batch
	queue chan *batch
	work  chan *batch
	spare chan []byte // of batches that are compressed, and not sent yet
	wg    sync.WaitGroup

	first, count   uint64   // chunks in a row that the receiver has
	sizes          []uint32 // of chunks in a row that are sent
	incompressible bool     // they are

	files atomic.Int32 // that are open to be sent from
	limit int32        // of files

	made int64 // bytes of the version that cur makes, of what the receiver has
	most int64 // of made, before cur is sent on its way

	mu   sync.Mutex
	some int   // batches that there are
	held int   // those that were made so far and are heavy
	err  error // of writing
}

const (
	compressors = 2
	toCompress  = 12   // batches that wait for that: more would only take memory
	inFlight    = 6    // batches, which bounds the memory
	inAdvance   = 100  // heavy batches, before it is open; see full
	listed      = 4000 // batches in all, before it is open

	// heavy is how many bytes of memory a batch takes that counts as one of inAdvance.
	heavy = 16 << 10

	// firstMade is how much of the version the first batch makes, so that the receiver
	// has something to do soon. The next makes twice as much, and so on: large batches
	// shrink better.
	firstMade = 1 << 20
)

// newBatches returns some that are made ready until they are sent, or dropped.
func newBatches() (*batches, error) {
	b := &batches{open: make(chan struct{}), most: firstMade, limit: filesToSend(), free: make(chan *batch, inFlight),
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
				<-b.open // the other side, which starts meanwhile, may need this processor
			}
			b.compress(enc)
		})
	}
	b.wg.Go(b.write)
	b.cur = b.next()
	return b, nil
}

// filesToSend is how many files may be open to be sent from.
func filesToSend() int32 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int32(min(limit.Cur/4, listed)) //nolint:gosec // listed at most
}

// send has them sent from now on.
func (b *batches) send(l *wire.Link) {
	b.link = l
	close(b.open)
}

// errDropped says that nobody wants what was made ready.
var errDropped = errors.New("not sent")

// drop ends those that are not to be sent: who fills them is told.
func (b *batches) drop() {
	b.mu.Lock()
	b.err = errDropped
	b.mu.Unlock()
	close(b.open)
}

// next returns an empty batch.
func (b *batches) next() *batch {
	select {
	case next := <-b.free:
		return next
	default:
	}
	b.mu.Lock()
	more := b.some < inFlight || !b.isOpen() && b.some < listed && b.held < inAdvance
	if more {
		b.some++
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

// full tells whether what may be made ready in advance is, but for what a part of a
// file can take.
func (b *batches) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held > inAdvance-4 || b.some > listed-4
}

// recycle takes a batch back, unless there are more than are needed now.
func (b *batches) recycle(used *batch) {
	b.mu.Lock()
	spare := b.some > inFlight
	if spare {
		b.some--
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
		if next.shrunk() && !b.isOpen() { // what is ready takes no more memory than it must
			select {
			case b.spare <- next.data[:0]:
				next.data = nil
			default:
			}
		}
		next.ready <- struct{}{}
	}
}

// write sends what is ready, in order. After an error it goes on without
// sending, so that nobody waits for it.
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

// entry starts a file or folder.
func (b *batches) entry(e *manifest.Entry) {
	b.makeRoom()
	b.cur.steps = manifest.AppendEntry(append(b.cur.steps, wire.StepEntry), e)
}

// repeat starts a file that was sent before.
func (b *batches) repeat(place int) {
	b.makeRoom()
	b.cur.steps = binary.AppendUvarint(append(b.cur.steps, wire.StepAgain), uint64(place)) //nolint:gosec // not negative
}

// copyChunk adds a chunk that the receiver has.
func (b *batches) copyChunk(place uint64, size int64) {
	if b.made >= b.most {
		b.flush()
		b.most *= 2
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

// hole adds a hole.
func (b *batches) hole(size int64) {
	b.flushRuns()
	b.makeRoom()
	b.cur.steps = binary.AppendUvarint(append(b.cur.steps, wire.StepHole), uint64(size)) //nolint:gosec // not negative
}

// data adds a chunk that is sent, and that shrinks or is dense.
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

// zeroCopy adds chunks that are dense and are sent from where they lie one after the other
// in a file. They are of chunk.MaxSize bytes at most.
func (b *batches) zeroCopy(f *sharedFile, off int64, chunks []chunk.Chunk, size int) {
	b.content(true, size, len(chunks))
	for _, c := range chunks {
		b.sizes = append(b.sizes, c.Size)
	}
	f.users.Add(1)
	b.cur.incompressible = append(b.cur.incompressible, wire.Span{File: f, Off: off, N: size})
}

// content makes room for chunks.
func (b *batches) content(dense bool, size, count int) {
	if b.count > 0 || dense != b.incompressible {
		b.flushRuns()
	}
	if b.cur.size()+size > chunk.MaxSize || len(b.cur.steps)+5*(len(b.sizes)+count) > wire.MaxSteps {
		b.flush()
	}
	b.incompressible = dense
}

// memory returns some for content that is compressed.
func (b *batches) memory() []byte {
	select {
	case data := <-b.spare:
		return data
	default:
		return make([]byte, 0, chunk.MaxSize)
	}
}

// extra adds what the file or folder has besides, if anything.
func (b *batches) extra(x manifest.Xattrs) {
	if x == "" {
		return
	}
	b.flushRuns()
	b.makeRoom()
	b.cur.steps = manifest.AppendXattrs(append(b.cur.steps, wire.StepExtra), x)
}

// end ends a file.
func (b *batches) end(sum chunk.Digest) {
	b.flushRuns()
	b.makeRoom()
	b.cur.steps = append(append(b.cur.steps, wire.StepEnd), sum[:]...)
}

// flushRuns writes down the chunks collected so far.
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

// makeRoom makes sure that a step has room.
func (b *batches) makeRoom() {
	if len(b.cur.steps)+5*len(b.sizes) > wire.MaxSteps {
		b.flush()
	}
}

// flush sends the batch on its way.
func (b *batches) flush() {
	b.flushRuns()
	if len(b.cur.steps) == 0 {
		return
	}
	b.mu.Lock()
	if b.cur.memory() > heavy {
		b.held++
	}
	b.mu.Unlock()
	b.queue <- b.cur
	b.work <- b.cur
	b.cur, b.made = b.next(), 0
}

// close sends the rest and waits until all is written.
func (b *batches) close() error {
	b.flush()
	close(b.queue)
	close(b.work)
	b.wg.Wait()
	return b.failed()
}
