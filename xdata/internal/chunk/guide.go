package chunk

import (
	"github.com/zeebo/xxh3"
)

// Guide foretells the bounds of chunks by those of another version: most of a
// version is what it was in the one before. To hash the bytes of the chunk that
// is expected tells whether it is there, and is cheaper than looking for its bound
// (BenchmarkScan).
type Guide struct {
	Chunks []Chunk
	Places map[uint64]uint32 // of the chunks, by ID; not written to any more
	Next   int               // the place of the chunk that is expected
}

// NewGuide returns the guide by the chunks of another version, none of which is a hole.
func NewGuide(chunks []Chunk) *Guide {
	g := &Guide{Chunks: chunks, Places: make(map[uint64]uint32, len(chunks))}
	for i, c := range chunks {
		g.Places[c.ID] = uint32(i) //nolint:gosec // maxHave at most
	}
	return g
}

// Expect returns the chunk that data begins with if it is the one that is expected
// and its size is one that is allowed.
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

// Found tells which chunk was there in place of the one that was expected. After
// one that is new, the one after the one that was expected is.
func (g *Guide) Found(c Chunk) {
	if g == nil {
		return
	}
	g.Next++
	if place, ok := g.Places[c.ID]; ok {
		g.Next = int(place) + 1
	}
}
