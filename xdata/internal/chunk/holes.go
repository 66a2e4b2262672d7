package chunk

import (
	"context"
)

// A hole is a part of a file that reads as zeros and takes no room on the disk. It is not read,
// sent or written, but it is hashed: the digest of a file does not depend on where its holes are.
// In a list of chunks, a hole is one or more chunks with holeID.

const (
	// HoleUnit is the alignment of a hole's bounds, except at the end of a file.
	HoleUnit = 4 << 10
	// holeID is the ID of a chunk without content.
	holeID = 0x2d06800538d394c2
	// MaxHole is the size of the largest chunk of a hole, in bytes.
	MaxHole = 1 << 30
	// ZeroBytes is how many zeros are hashed at once.
	ZeroBytes = 64 << 10
)

// Hole returns the first chunk of a hole of size bytes.
func Hole(size int64) Chunk { return Chunk{Size: uint32(min(size, MaxHole)), ID: holeID} } //nolint:gosec // bounded

// IsHole tells whether a chunk belongs to a hole. Other chunks are never empty, so none has holeID.
func (c Chunk) IsHole() bool { return c.ID == holeID }

// HashZeros adds n zeros to a hash.
func HashZeros(ctx context.Context, h Hasher, n int64) error {
	zeros := make([]byte, min(n, ZeroBytes))
	for ; n > 0; n -= int64(len(zeros)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		zeros = zeros[:min(n, ZeroBytes)]
		h.Write(zeros)
	}
	return nil
}

// WithoutHoles returns the chunks that have content.
func WithoutHoles(chunks []Chunk) []Chunk {
	dense := chunks[:0]
	for _, c := range chunks {
		if !c.IsHole() {
			dense = append(dense, c)
		}
	}
	return dense
}
