package xdata

import (
	"github.com/zeebo/xxh3"
)

// guide foretells the bounds of chunks by those of another version: most of a
// version is what it was in the one before. To hash the bytes of the chunk that
// is expected tells whether it is there, and is cheaper than looking for its bound
// (BenchmarkScan).
type guide struct {
	chunks []chunk
	places map[uint64]uint32 // of the chunks, by ID; not written to any more
	next   int               // the place of the chunk that is expected
}

func newGuide(chunks []chunk) *guide {
	g := &guide{chunks: chunks, places: make(map[uint64]uint32, len(chunks))}
	for i, c := range chunks {
		g.places[c.ID] = uint32(i) //nolint:gosec // maxHave at most
	}
	return g
}

// expect returns the chunk that data begins with if it is the one that is expected
// and its size is one that is allowed.
func (g *guide) expect(data []byte, least, most int) (chunk, bool) {
	if g == nil || g.next >= len(g.chunks) {
		return chunk{}, false
	}
	c := g.chunks[g.next]
	size := int(c.Size)
	if size < least || size > min(most, len(data)) || xxh3.Hash(data[:size]) != c.ID {
		return chunk{}, false
	}
	g.next++
	return c, true
}

// found tells which chunk was there in place of the one that was expected. After
// one that is new, the one after the one that was expected is.
func (g *guide) found(c chunk) {
	if g == nil {
		return
	}
	g.next++
	if place, ok := g.places[c.ID]; ok {
		g.next = int(place) + 1
	}
}
