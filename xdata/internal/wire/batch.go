package wire

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
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
//	stepExtra  a length, and so many bytes: the extended attributes of the folder before, or of the file that ends next
const (
	StepEntry = iota + 1
	StepAgain
	StepData
	StepCopy
	StepEnd
	StepDense
	StepHole
	StepExtra
)

// Whether the content of a batch is compressed.
const (
	ContentPlain = iota
	ContentZstd
)

// MaxSteps is how many bytes of steps a batch may have for another to be added: what is left
// up to MaxPayload has room for an entry, and for what is
// written when a run of chunks ends.
const MaxSteps = MaxPayload - 2*manifest.MaxPath - 64

// DecodeBatch takes a payload apart. What it returns is valid as long as the
// payload and buf, which has room for chunk.MaxSize bytes, are not used again.
func DecodeBatch(payload []byte, dec *zstd.Decoder, buf []byte) (u Unpacked, err error) {
	if len(payload) == 0 {
		return u, manifest.Violation("an empty batch")
	}
	kind, rest := payload[0], payload[1:]
	var size, length, dense uint64
	for _, field := range []*uint64{&size, &length, &dense} {
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return u, manifest.Violation("a batch that is cut off")
		}
		*field, rest = value, rest[n:]
	}
	if size > chunk.MaxSize {
		return u, manifest.Violation("a batch with %d bytes of content", size)
	}
	if dense > chunk.MaxSize-size {
		return u, manifest.Violation("a batch with %d bytes of content, and %d beside it", size, dense)
	}
	if length > uint64(len(rest)) {
		return u, manifest.Violation("a batch that is cut off")
	}
	u.Steps, u.Data, u.Dense = rest[:length], rest[length:], int(dense) //nolint:gosec // chunk.MaxSize at most
	switch kind {
	case ContentPlain:
	case ContentZstd:
		// The decoder refuses what claims, or turns out, to be longer than it may be.
		if u.Data, err = dec.DecodeAll(u.Data, buf[:0]); err != nil {
			return u, manifest.Violation("content that cannot be unpacked: %v", err)
		}
	default:
		return u, manifest.Violation("a batch of kind %d", kind)
	}
	if uint64(len(u.Data)) != size {
		return u, manifest.Violation("a batch with %d bytes of content where %d are announced", len(u.Data), size)
	}
	return u, nil
}

// Unpacked is a batch as the receiver has it.
type Unpacked struct {
	Steps, Data []byte
	Dense       int // bytes of content that follow in a frame
}

// NewDecoder returns one that no peer can make use much memory.
func NewDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(chunk.MaxSize), zstd.WithDecoderMaxWindow(chunk.MaxSize))
}
