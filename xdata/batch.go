package xdata

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"
)

// A batch is some steps that a receiver takes to put a version together, and
// the content that they ask for and that it does not have. Its frame is a byte
// that tells whether the content is compressed, the lengths of the content and
// of the steps, the steps, and the content.
//
// A step is a byte and what belongs to it:
//
//	stepEntry  an entry; if it is a file, its content follows
//	stepAgain  the place of a file in the list, whose content follows once more
//	stepData   a number, and the sizes of as many chunks of this batch's content
//	stepCopy   the place in the receiver's list of chunks, and how many from there on
//	stepEnd    the digest of the file
const (
	stepEntry = iota + 1
	stepAgain
	stepData
	stepCopy
	stepEnd
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
	data  []byte
	out   []byte        // the frame's payload
	ready chan struct{} // out is complete
}

func newBatch() *batch {
	return &batch{
		steps: make([]byte, 0, maxPayload), data: make([]byte, 0, maxChunk),
		out: make([]byte, 0, maxBatch), ready: make(chan struct{}, 1),
	}
}

func (b *batch) reset() { b.steps, b.data = b.steps[:0], b.data[:0] }

const (
	sampleBytes = 16 << 10
	samples     = 4
)

// encode makes the payload, and compresses the content where that pays.
func (b *batch) encode(enc *zstd.Encoder) {
	head := func(kind byte) {
		b.out = append(b.out[:0], kind)
		b.out = binary.AppendUvarint(b.out, uint64(len(b.data)))
		b.out = binary.AppendUvarint(b.out, uint64(len(b.steps)))
		b.out = append(b.out, b.steps...)
	}
	head(contentZstd)
	before := len(b.out)
	if b.compressible(enc) {
		b.out = enc.EncodeAll(b.data, b.out)
		if len(b.out)-before < len(b.data) {
			return
		}
	}
	head(contentPlain)
	b.out = append(b.out, b.data...)
}

// compressible looks at samples of much content: what does not shrink is then
// not tried as a whole.
func (b *batch) compressible(enc *zstd.Encoder) bool {
	if len(b.data) < samples*sampleBytes {
		return len(b.data) > 0
	}
	taken, small := b.out[len(b.out):len(b.out):cap(b.out)], 0
	stride := (len(b.data) - sampleBytes) / (samples - 1)
	for i := range samples {
		small += len(enc.EncodeAll(b.data[i*stride:i*stride+sampleBytes], taken))
	}
	return small < samples*sampleBytes*95/100
}

// decodeBatch takes a payload apart. What it returns is valid as long as the
// payload and buf, which has room for maxChunk bytes, are not used again.
func decodeBatch(payload []byte, dec *zstd.Decoder, buf []byte) (steps, data []byte, err error) {
	if len(payload) == 0 {
		return nil, nil, violation("an empty batch")
	}
	kind, rest := payload[0], payload[1:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > maxChunk {
		return nil, nil, violation("a batch with %d bytes of content", size)
	}
	rest = rest[n:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return nil, nil, violation("a batch that is cut off")
	}
	rest = rest[n:]
	steps, data = rest[:length], rest[length:]
	switch kind {
	case contentPlain:
	case contentZstd:
		// The decoder refuses what claims, or turns out, to be longer than it may be.
		if data, err = dec.DecodeAll(data, buf[:0]); err != nil {
			return nil, nil, violation("content that cannot be unpacked: %v", err)
		}
	default:
		return nil, nil, violation("a batch of kind %d", kind)
	}
	if uint64(len(data)) != size {
		return nil, nil, violation("a batch with %d bytes of content where %d are announced", len(data), size)
	}
	return steps, data, nil
}

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(maxChunk))
}

// newDecoder returns one that no peer can make use much memory.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunk), zstd.WithDecoderMaxWindow(maxChunk))
}
