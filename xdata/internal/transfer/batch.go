package transfer

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/wire"
)

// batch is one of them on its way.
type batch struct {
	steps          []byte
	data           []byte        // content that may shrink
	copied         []byte        // content that does not, as far as it is in memory
	incompressible []wire.Span   // all that does not, in order
	head           []byte        // the payload's first bytes
	zstd           []byte        // data, compressed
	out            [3][]byte     // the payload, in pieces that are not copied
	ready          chan struct{} // out is complete
}

// newBatch returns an empty one. It takes memory as it is filled.
func newBatch() *batch { return &batch{ready: make(chan struct{}, 1)} }

// reset empties it, and lets go of the files.
func (b *batch) reset() {
	for _, p := range b.incompressible {
		if p.File != nil {
			p.File.Release()
		}
	}
	b.steps, b.data, b.copied, b.incompressible = b.steps[:0], b.data[:0], b.copied[:0], b.incompressible[:0]
}

// size returns how many bytes of content there are.
func (b *batch) size() int { return len(b.data) + b.incompressibleSize() }

// memory returns how many bytes it takes.
func (b *batch) memory() int { return len(b.steps) + len(b.data) + len(b.copied) }

func (b *batch) incompressibleSize() (n int) {
	for _, p := range b.incompressible {
		n += p.Size()
	}
	return n
}

// addIncompressible adds a chunk that does not shrink.
func (b *batch) addIncompressible(content []byte) {
	if b.copied == nil {
		b.copied = make([]byte, 0, chunk.MaxSize) // it stays where it is
	}
	at := len(b.copied)
	b.copied = append(b.copied, content...)
	if last := len(b.incompressible) - 1; last >= 0 && b.incompressible[last].File == nil {
		b.incompressible[last].Data = b.copied[at-len(b.incompressible[last].Data):]
		return
	}
	b.incompressible = append(b.incompressible, wire.Span{Data: b.copied[at:]})
}

// encode makes the payload, and compresses the content where that pays.
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

// shrunk tells whether the first part is compressed.
func (b *batch) shrunk() bool { return b.head[0] == wire.ContentZstd }

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(chunk.MaxSize))
}
