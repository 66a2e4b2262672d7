package chunk

import (
	"context"
)

// A hole is a part of a file that reads as zeros and takes no room. It is neither
// read, sent nor written, but hashed: what a file holds does not depend on where its
// holes are. Among the chunks of a file, a hole is one or more with the ID of nothing.

const (
	// HoleUnit is what the bounds of holes are multiples of, but for the end of a file.
	HoleUnit = 4 << 10
	// holeID is the ID of a chunk without content.
	holeID = 0x2d06800538d394c2
	// MaxHole is the size of the largest chunk that is one.
	MaxHole = 1 << 30
	// ZeroBytes is how many zeros are hashed at once.
	ZeroBytes = 64 << 10
)

// Hole returns the first chunk of a hole.
func Hole(size int64) Chunk { return Chunk{Size: uint32(min(size, MaxHole)), ID: holeID} } //nolint:gosec // bounded

// IsHole tells whether a chunk is one: others are not empty.
func (c Chunk) IsHole() bool { return c.ID == holeID }

// HashZeros hashes so many.
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

// WithoutHoles returns the chunks that are none.
func WithoutHoles(chunks []Chunk) []Chunk {
	dense := chunks[:0]
	for _, c := range chunks {
		if !c.IsHole() {
			dense = append(dense, c)
		}
	}
	return dense
}
