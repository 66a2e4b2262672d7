package transfer

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/wire"
)

// batch is a batch that is being filled, compressed and sent; see package wire for its format.
type batch struct {
	steps          []byte
	data           []byte        // compressible content
	copied         []byte        // incompressible content that is in memory
	incompressible []wire.Span   // all incompressible content, in order
	head           []byte        // the payload's header
	zstd           []byte        // data, compressed
	out            [3][]byte     // the payload, as pieces that are not copied
	ready          chan struct{} // receives a value when out is complete
}

// newBatch returns an empty batch. Its buffers grow as they are filled.
func newBatch() *batch { return &batch{ready: make(chan struct{}, 1)} }

// reset empties the batch, and releases its files.
func (b *batch) reset() {
	for _, p := range b.incompressible {
		if p.File != nil {
			p.File.Release()
		}
	}
	b.steps, b.data, b.copied, b.incompressible = b.steps[:0], b.data[:0], b.copied[:0], b.incompressible[:0]
}

// size returns the bytes of content.
func (b *batch) size() int { return len(b.data) + b.incompressibleSize() }

// memory returns the bytes of memory in use.
func (b *batch) memory() int { return len(b.steps) + len(b.data) + len(b.copied) }

func (b *batch) incompressibleSize() (n int) {
	for _, p := range b.incompressible {
		n += p.Size()
	}
	return n
}

// addIncompressible adds the content of an incompressible chunk.
func (b *batch) addIncompressible(content []byte) {
	if b.copied == nil {
		b.copied = make([]byte, 0, chunk.MaxSize) // one allocation: spans point into it
	}
	at := len(b.copied)
	b.copied = append(b.copied, content...)
	if last := len(b.incompressible) - 1; last >= 0 && b.incompressible[last].File == nil {
		b.incompressible[last].Data = b.copied[at-len(b.incompressible[last].Data):]
		return
	}
	b.incompressible = append(b.incompressible, wire.Span{Data: b.copied[at:]})
}

// encode makes the payload, with compressed content where that is smaller.
func (b *batch) encode(enc *zstd.Encoder) {
	kind, content := byte(wire.ContentPlain), b.data
	if len(b.data) > 0 {
		if b.zstd == nil {
			b.zstd = make([]byte, 0, chunk.MaxSize)
		}
		if b.zstd = enc.EncodeAll(b.data, b.zstd[:0]); len(b.zstd) < len(b.data) {
			kind, content = wire.ContentZstd, b.zstd
		}
	}
	b.head = append(b.head[:0], kind)
	for _, n := range []int{len(b.data), len(b.steps), b.incompressibleSize()} {
		b.head = binary.AppendUvarint(b.head, uint64(n)) //nolint:gosec // a length
	}
	b.out = [3][]byte{b.head, b.steps, content}
}

// shrunk tells whether the content was compressed.
func (b *batch) shrunk() bool { return b.head[0] == wire.ContentZstd }

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(chunk.MaxSize))
}
