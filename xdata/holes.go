package xdata

import (
	"context"
)

// A hole is a part of a file that reads as zeros and takes no room. It is neither
// read, sent nor written, but hashed: what a file holds does not depend on where its
// holes are. Among the chunks of a file, a hole is one or more with the ID of nothing.

const (
	// holeUnit is what the bounds of holes are multiples of, but for the end of a file.
	holeUnit = 4 << 10
	// holeID is the ID of a chunk without content.
	holeID = 0x2d06800538d394c2
	// maxHole is the size of the largest chunk that is one.
	maxHole = 1 << 30
	// zeroBytes is how many zeros are hashed at once.
	zeroBytes = 64 << 10
)

// holeOf returns the first chunk of a hole.
func holeOf(size int64) chunk { return chunk{Size: uint32(min(size, maxHole)), ID: holeID} } //nolint:gosec // bounded

// isHole tells whether a chunk is one: others are not empty.
func (c chunk) isHole() bool { return c.ID == holeID }

// hashZeros hashes so many.
func hashZeros(ctx context.Context, h hasher, n int64) error {
	zeros := make([]byte, min(n, zeroBytes))
	for ; n > 0; n -= int64(len(zeros)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		zeros = zeros[:min(n, zeroBytes)]
		h.write(zeros)
	}
	return nil
}

// withoutHoles returns the chunks that are none.
func withoutHoles(chunks []chunk) []chunk {
	dense := chunks[:0]
	for _, c := range chunks {
		if !c.isHole() {
			dense = append(dense, c)
		}
	}
	return dense
}
