package xdata

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// batches turns steps into batches, and sends them in order: while one is
// filled, others are compressed and written. They can be made ready before
// there is anybody to send them to.
type batches struct {
	link  *link         // once it is open
	open  chan struct{} // closed when what is ready is to be sent, or dropped
	cur   *batch
	free  chan *batch
	queue chan *batch
	work  chan *batch
	spare chan []byte // of batches that are compressed, and not sent yet
	wg    sync.WaitGroup

	first, count uint64   // chunks in a row that the receiver has
	sizes        []uint32 // of chunks in a row that are sent
	dense        bool     // they are

	made int64 // bytes of the version that cur makes, of what the receiver has
	most int64 // of made, before cur is sent on its way

	mu   sync.Mutex
	some int   // batches that there are
	err  error // of writing
}

const (
	compressors = 2
	inFlight    = 6   // batches, which bounds the memory
	inAdvance   = 100 // batches, before it is open; see crowded

	// firstMade is how much of the version the first batch makes, so that the receiver
	// has something to do soon. The next makes twice as much, and so on: large batches
	// shrink better.
	firstMade = 1 << 20
)

// newBatches returns some that are made ready until they are sent, or dropped.
func newBatches() (*batches, error) {
	b := &batches{open: make(chan struct{}), most: firstMade, free: make(chan *batch, inFlight),
		queue: make(chan *batch, inAdvance), work: make(chan *batch, inAdvance), spare: make(chan []byte, compressors)}
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

// send has them sent from now on.
func (b *batches) send(l *link) {
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
	limit := inAdvance
	if b.isOpen() {
		limit = inFlight
	}
	b.mu.Lock()
	more := b.some < limit
	if more {
		b.some++
	}
	b.mu.Unlock()
	if !more {
		return <-b.free
	}
	select {
	case data := <-b.spare:
		return newBatch(data)
	default:
		return newBatch(make([]byte, 0, maxChunk))
	}
}

func (b *batches) isOpen() bool {
	select {
	case <-b.open:
		return true
	default:
		return false
	}
}

// crowded tells whether what may be made ready in advance is, but for what a part of a
// file can take.
func (b *batches) crowded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.some > inAdvance-4
}

// recycle takes a batch back, unless there are more than are needed now.
func (b *batches) recycle(used *batch) {
	b.mu.Lock()
	spare := b.some > inFlight
	if spare {
		b.some--
	}
	b.mu.Unlock()
	if !spare {
		used.reset()
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
			err := b.link.put(frameBatch, next.out[:]...)
			if err == nil && len(b.queue) == 0 {
				err = b.link.flush()
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
func (b *batches) entry(e *entry) {
	b.room()
	b.cur.steps = appendEntry(append(b.cur.steps, stepEntry), e)
}

// again starts a file that was sent before.
func (b *batches) again(place int) {
	b.room()
	b.cur.steps = binary.AppendUvarint(append(b.cur.steps, stepAgain), uint64(place)) //nolint:gosec // not negative
}

// have adds a chunk that the receiver has.
func (b *batches) have(place uint64, size int64) {
	if b.made >= b.most {
		b.flush()
		b.most *= 2
	}
	b.made += size
	if b.count > 0 && place == b.first+b.count {
		b.count++
		return
	}
	b.settle()
	b.room()
	b.first, b.count = place, 1
}

// data adds a chunk that is sent.
func (b *batches) data(chunk []byte) {
	dense := isDense(chunk)
	if b.count > 0 || dense != b.dense {
		b.settle()
	}
	if len(b.cur.data)+len(b.cur.dense)+len(chunk) > maxChunk || len(b.cur.steps)+5*len(b.sizes) > maxSteps {
		b.flush()
	}
	b.dense = dense
	b.sizes = append(b.sizes, uint32(len(chunk))) //nolint:gosec // a chunk's
	if dense {
		b.cur.dense = append(b.cur.dense, chunk...)
	} else {
		b.cur.data = append(b.cur.data, chunk...)
	}
}

// end ends a file.
func (b *batches) end(sum digest) {
	b.settle()
	b.room()
	b.cur.steps = append(append(b.cur.steps, stepEnd), sum[:]...)
}

// settle writes down the chunks collected so far.
func (b *batches) settle() {
	if b.count > 0 {
		b.cur.steps = binary.AppendUvarint(append(b.cur.steps, stepCopy), b.first)
		b.cur.steps = binary.AppendUvarint(b.cur.steps, b.count)
		b.count = 0
	}
	if len(b.sizes) > 0 {
		step := byte(stepData)
		if b.dense {
			step = stepDense
		}
		b.cur.steps = binary.AppendUvarint(append(b.cur.steps, step), uint64(len(b.sizes)))
		for _, n := range b.sizes {
			b.cur.steps = binary.AppendUvarint(b.cur.steps, uint64(n))
		}
		b.sizes = b.sizes[:0]
	}
}

// room makes sure that a step has room.
func (b *batches) room() {
	if len(b.cur.steps)+5*len(b.sizes) > maxSteps {
		b.flush()
	}
}

// flush sends the batch on its way.
func (b *batches) flush() {
	b.settle()
	if len(b.cur.steps) == 0 {
		return
	}
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
