package chunk

import (
	"github.com/zeebo/xxh3"
)

// Guide predicts the bounds of chunks from those of another version, since most content is the same
// as in the version before. Hashing the bytes of the expected chunk and comparing the ID is cheaper
// than searching for its bound (BenchmarkScan).
type Guide struct {
	Chunks []Chunk
	Places map[uint64]uint32 // position of each chunk by ID; read-only
	Next   int               // position of the expected chunk
}

// NewGuide returns a Guide made of the chunks of another version, without holes.
func NewGuide(chunks []Chunk) *Guide {
	g := &Guide{Chunks: chunks, Places: make(map[uint64]uint32, len(chunks))}
	for i, c := range chunks {
		g.Places[c.ID] = uint32(i) //nolint:gosec // MaxHave at most
	}
	return g
}

// Expect returns the first chunk of data if it is the expected one, and its size is between least
// and most bytes.
func (g *Guide) Expect(data []byte, least, most int) (Chunk, bool) {
	if g == nil || g.Next >= len(g.Chunks) {
		return Chunk{}, false
	}
	c := g.Chunks[g.Next]
	size := int(c.Size)
	if size < least || size > min(most, len(data)) || xxh3.Hash(data[:size]) != c.ID {
		return Chunk{}, false
	}
	g.Next++
	return c, true
}

// Found records the chunk that was found at the current position. Behind a chunk that the guide
// does not have, the successor of the expected one is expected.
func (g *Guide) Found(c Chunk) {
	if g == nil {
		return
	}
	g.Next++
	if place, ok := g.Places[c.ID]; ok {
		g.Next = int(place) + 1
	}
}
