package xdata

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// A batch is some steps that a receiver takes to put a version together, and
// the content that they ask for and that it does not have, in two parts: what
// looks as if it shrinks, which is then compressed as a whole, and what does not,
// which would only be in the way. Its frame is a byte that tells whether the first
// part is compressed, the lengths of that part, of the steps and of the second
// part, the steps, and the first part. The second part, unless it is empty, follows
// in a frame of its own.
//
// A step is a byte and what belongs to it:
//
//	stepEntry  an entry; if it is a file, its content follows
//	stepAgain  the place of a file in the list, whose content follows once more
//	stepData   a number, and the sizes of as many chunks of this batch's first part
//	stepCopy   the place in the receiver's list of chunks, and how many from there on
//	stepEnd    the digest of the file
//	stepDense  as stepData, of the second part
//	stepHole   how many bytes are a hole
//	stepExtra  a length, and so many bytes: the extras of the folder before, or of the file that ends next
const (
	stepEntry = iota + 1
	stepAgain
	stepData
	stepCopy
	stepEnd
	stepDense
	stepHole
	stepExtra
)

const (
	contentPlain = iota
	contentZstd
)

// Room that is left in the steps of a batch: for an entry, and for what is
// written when a run of chunks ends.
const maxSteps = maxPayload - 2*maxPath - 64

// batch is one of them on its way.
type batch struct {
	steps []byte
	data  []byte        // content that may shrink
	noise []byte        // content that does not, as far as it is in memory
	dense []span        // all that does not, in order
	head  []byte        // the payload's first bytes
	zstd  []byte        // data, compressed
	out   [3][]byte     // the payload, in pieces that are not copied
	ready chan struct{} // out is complete
}

// newBatch returns an empty one. It takes memory as it is filled.
func newBatch() *batch { return &batch{ready: make(chan struct{}, 1)} }

// reset empties it, and lets go of the files.
func (b *batch) reset() {
	for _, p := range b.dense {
		if p.file != nil {
			p.file.release()
		}
	}
	b.steps, b.data, b.noise, b.dense = b.steps[:0], b.data[:0], b.noise[:0], b.dense[:0]
}

// size returns how many bytes of content there are.
func (b *batch) size() int { return len(b.data) + b.denseSize() }

// memory returns how many bytes it takes.
func (b *batch) memory() int { return len(b.steps) + len(b.data) + len(b.noise) }

func (b *batch) denseSize() (n int) {
	for _, p := range b.dense {
		n += p.size()
	}
	return n
}

// add adds a chunk that does not shrink.
func (b *batch) add(chunk []byte) {
	if b.noise == nil {
		b.noise = make([]byte, 0, maxChunk) // it stays where it is
	}
	at := len(b.noise)
	b.noise = append(b.noise, chunk...)
	if last := len(b.dense) - 1; last >= 0 && b.dense[last].file == nil {
		b.dense[last].data = b.noise[at-len(b.dense[last].data):]
		return
	}
	b.dense = append(b.dense, span{data: b.noise[at:]})
}

// span is some content, in memory or in a file.
type span struct {
	data []byte
	file *sharedFile // nil: in data
	off  int64
	n    int
}

func (p span) size() int { return len(p.data) + p.n }

// sharedFile is an open file that is closed by the last one who uses it.
type sharedFile struct {
	handle
	users  atomic.Int32
	opened *atomic.Int32 // counts those that are open
}

// share makes one of an open file, with one user.
func share(h handle, opened *atomic.Int32) *sharedFile {
	f := &sharedFile{handle: h, opened: opened}
	f.users.Store(1)
	opened.Add(1)
	return f
}

func (f *sharedFile) release() {
	if f.users.Add(-1) == 0 {
		_ = f.close()
		f.opened.Add(-1)
	}
}

// encode makes the payload, and compresses the content where that pays.
func (b *batch) encode(enc *zstd.Encoder) {
	kind, content := byte(contentPlain), b.data
	if len(b.data) > 0 {
		if b.zstd == nil {
			b.zstd = make([]byte, 0, maxChunk)
		}
		if b.zstd = enc.EncodeAll(b.data, b.zstd[:0]); len(b.zstd) < len(b.data) {
			kind, content = contentZstd, b.zstd
		}
	}
	b.head = append(b.head[:0], kind)
	for _, n := range []int{len(b.data), len(b.steps), b.denseSize()} {
		b.head = binary.AppendUvarint(b.head, uint64(n)) //nolint:gosec // a length
	}
	b.out = [3][]byte{b.head, b.steps, content}
}

// shrunk tells whether the first part is compressed.
func (b *batch) shrunk() bool { return b.head[0] == contentZstd }

const (
	denseSample = 256 // bytes in a row, of which a chunk shows two
	denseLeast  = 64  // of less, nothing can be told
)

// isDense tells from how often each byte comes in samples of a chunk whether it
// looks like noise, as compressed or encrypted content does, which shrinks no
// more. Trying takes a hundred times as long.
func isDense(chunk []byte) bool {
	var counts [256]uint8
	n, same := tally(&counts, chunk[:min(len(chunk), denseSample)])
	if len(chunk) > 2*denseSample {
		more, pairs := tally(&counts, chunk[len(chunk)/2:len(chunk)/2+denseSample])
		n, same = n+more, same+pairs
	}
	if n < denseLeast {
		return false
	}
	return same < n*(n-1)/2/256*5/4 // noise has one in 256, and by chance some more
}

// staysDense tells it of a chunk behind one that looks like noise, from a quarter of what
// isDense looks at.
func staysDense(chunk []byte) bool {
	var counts [256]uint8
	n, same := tally(&counts, chunk[:min(len(chunk), denseSample/2)])
	return n >= denseLeast && same < n*(n-1)/2/256*2
}

// tally counts bytes, and the pairs of equal ones. 256 equal ones start from 0
// again, and are pairs enough by then.
func tally(counts *[256]uint8, p []byte) (n, same int) {
	for _, c := range p {
		same += int(counts[c])
		counts[c]++
	}
	return len(p), same
}

// decodeBatch takes a payload apart. What it returns is valid as long as the
// payload and buf, which has room for maxChunk bytes, are not used again.
func decodeBatch(payload []byte, dec *zstd.Decoder, buf []byte) (u unpacked, err error) {
	if len(payload) == 0 {
		return u, violation("an empty batch")
	}
	kind, rest := payload[0], payload[1:]
	var size, length, dense uint64
	for _, field := range []*uint64{&size, &length, &dense} {
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return u, violation("a batch that is cut off")
		}
		*field, rest = value, rest[n:]
	}
	if size > maxChunk {
		return u, violation("a batch with %d bytes of content", size)
	}
	if dense > maxChunk-size {
		return u, violation("a batch with %d bytes of content, and %d beside it", size, dense)
	}
	if length > uint64(len(rest)) {
		return u, violation("a batch that is cut off")
	}
	u.steps, u.data, u.dense = rest[:length], rest[length:], int(dense) //nolint:gosec // maxChunk at most
	switch kind {
	case contentPlain:
	case contentZstd:
		// The decoder refuses what claims, or turns out, to be longer than it may be.
		if u.data, err = dec.DecodeAll(u.data, buf[:0]); err != nil {
			return u, violation("content that cannot be unpacked: %v", err)
		}
	default:
		return u, violation("a batch of kind %d", kind)
	}
	if uint64(len(u.data)) != size {
		return u, violation("a batch with %d bytes of content where %d are announced", len(u.data), size)
	}
	return u, nil
}

// unpacked is a batch as the receiver has it.
type unpacked struct {
	steps, data []byte
	dense       int // bytes of content that follow in a frame
}

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(maxChunk))
}

// newDecoder returns one that no peer can make use much memory.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunk), zstd.WithDecoderMaxWindow(maxChunk))
}
