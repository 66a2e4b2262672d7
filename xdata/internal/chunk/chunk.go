// Package chunk cuts files into chunks whose bounds their content sets, and hashes
// chunks, files and lists of chunks.
package chunk

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// Chunk is a piece of a file that its content bounds: what is inserted or
// removed elsewhere does not move its bounds. The ID finds it again and shows
// when it rotted; that a file is what it should be, its digest decides.
type Chunk struct {
	Size uint32
	ID   uint64 // XXH3 of the content, 64 bits
}

// Of returns the chunk that data is, which has MaxSize bytes at most.
func Of(data []byte) Chunk { return Chunk{Size: uint32(len(data)), ID: xxh3.Hash(data)} } //nolint:gosec // MaxSize at most

// ListDigest names a list of chunks.
func ListDigest(chunks []Chunk) []byte {
	h := NewHasher()
	var id [8]byte
	for _, c := range chunks {
		binary.LittleEndian.PutUint64(id[:], c.ID)
		h.Write(id[:])
	}
	sum := h.Sum()
	return sum[:]
}

const (
	// MaxSize is the size of the largest chunk, and of what is read, written
	// and sent at once.
	MaxSize = 1 << 20
	// LargeFile is how large a file is that is read and written in parts.
	LargeFile = MaxSize
	// MaxCount bounds the chunks of a version that a peer sends.
	MaxCount = 4_000_000
)
