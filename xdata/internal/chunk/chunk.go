// Package chunk cuts files into content-defined chunks, and hashes chunks, files and lists of
// chunks.
package chunk

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// Chunk is a content-defined piece of a file: insertions and deletions elsewhere in the file do not
// move its bounds. Its ID finds equal chunks and detects bit rot. The ID is no proof of equality; a
// file is verified by its digest.
type Chunk struct {
	Size uint32
	ID   uint64 // XXH3 of the content, 64 bits
}

// Of returns the chunk with the content data, of at most MaxSize bytes.
func Of(data []byte) Chunk { return Chunk{Size: uint32(len(data)), ID: xxh3.Hash(data)} } //nolint:gosec // MaxSize at most

// ListDigest returns the BLAKE3 hash of the chunks' IDs.
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
	// MaxSize is the size of the largest chunk in bytes, and of the largest read, write and frame
	// of content.
	MaxSize = 1 << 20
	// LargeFile is the size from which files are read and written in parts.
	LargeFile = MaxSize
	// MaxCount is the most chunks of a version that a peer may send.
	MaxCount = 4_000_000
)
