package wire

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
)

// A batch is a list of steps by which the receiver assembles a version, with the content that
// they need. The content has two parts: compressible content, compressed as a whole, and
// incompressible (dense) content, sent as it is. The frame is: a byte that tells whether the
// first part is compressed; the lengths of the first part, of the steps and of the second part;
// the steps; and the first part. The second part, unless empty, follows in a frame of its own.
//
// A step is a byte and its parameters:
//
//	StepEntry  an entry; if it is a file, its content follows
//	StepAgain  the index of a file in the list, whose content follows once more
//	StepData   a number, and the sizes of as many chunks of the first part
//	StepCopy   an index in the receiver's list of chunks, and a number of chunks from there on
//	StepEnd    the digest of the file
//	StepDense  as StepData, of the second part
//	StepHole   the size of a hole in bytes
//	StepExtra  a length, and as many bytes: extended attributes of the previous folder, or of the file that ends next
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

// Values of a batch's first byte.
const (
	ContentPlain = iota
	ContentZstd
)

// MaxSteps is the most bytes of steps in a batch to which another step may be added: the rest of
// MaxPayload has room for an entry and for the end of a run of chunks.
const MaxSteps = MaxPayload - 2*manifest.MaxPath - 64

// DecodeBatch decodes a payload. The result refers to payload and buf, which needs a capacity of
// chunk.MaxSize bytes.
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
		// The decoder refuses content that is longer than allowed, or claims to be.
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

// Unpacked is a decoded batch.
type Unpacked struct {
	Steps, Data []byte
	Dense       int // bytes of content in the next frame
}

// NewDecoder returns a decoder with bounded memory.
func NewDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(chunk.MaxSize), zstd.WithDecoderMaxWindow(chunk.MaxSize))
}
