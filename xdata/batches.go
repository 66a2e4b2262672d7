package xdata

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// batches turns steps into batches, and sends them in order: while one is
// filled, others are compressed and written.
type batches struct {
	link  *link
	cur   *batch
	free  chan *batch
	queue chan *batch
	work  chan *batch
	wg    sync.WaitGroup

	first, count uint64   // chunks in a row that the receiver has
	sizes        []uint32 // of chunks in a row that are sent
	dense        bool     // they are

	made int64 // bytes of the version that cur makes, of what the receiver has
	most int64 // of made, before cur is sent on its way

	mu  sync.Mutex
	err error // of writing
}

const (
	compressors = 2
	inFlight    = 6 // batches, which bounds the memory

	// firstMade is how much of the version the first batch makes, so that the receiver
	// has something to do soon. The next makes twice as much, and so on: large batches
	// shrink better.
	firstMade = 1 << 20
)

func newBatches(l *link) (*batches, error) {
	b := &batches{link: l, most: firstMade, free: make(chan *batch, inFlight), queue: make(chan *batch, inFlight), work: make(chan *batch, inFlight)}
	for range compressors {
		enc, err := newEncoder()
		if err != nil {
			return nil, err
		}
		b.wg.Go(func() { b.compress(enc) })
	}
	b.wg.Go(b.write)
	for range inFlight {
		b.free <- newBatch()
	}
	b.cur = <-b.free
	return b, nil
}

func (b *batches) compress(enc *zstd.Encoder) {
	for next := range b.work {
		next.encode(enc)
		next.ready <- struct{}{}
	}
}

// write sends what is ready, in order. After an error it goes on without
// sending, so that nobody waits for it.
func (b *batches) write() {
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
		next.reset()
		b.free <- next
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
	b.cur, b.made = <-b.free, 0
}

// close sends the rest and waits until all is written.
func (b *batches) close() error {
	b.flush()
	close(b.queue)
	close(b.work)
	b.wg.Wait()
	return b.failed()
}
