package tree

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"mxcluster/xdata/internal/chunk"
)

// scanned is what a scanner makes of content.
type scanned struct {
	chunks []chunk.Chunk
	sum    chunk.Digest
}

func scanWith(t *testing.T, g *chunk.Guide, data []byte) scanned {
	t.Helper()
	s, err := NewScanner(int64(len(data)))
	must(t, err)
	s.Guide = g
	var out scanned
	s.hash.Reset()
	must(t, s.scan(context.Background(), bytes.NewReader(data), func(_ []byte, chunks []chunk.Chunk) error {
		out.chunks = append(out.chunks, chunks...)
		return nil
	}))
	out.sum = s.hash.Sum()
	return out
}

// holds makes sure that chunks are those of data, and of sizes that are allowed.
func (s scanned) holds(t *testing.T, data []byte) {
	t.Helper()
	if s.sum != chunk.Sum(data) {
		t.Fatal("another digest than the content's")
	}
	cut, err := chunk.NewCutter(int64(len(data)))
	must(t, err)
	for i, c := range s.chunks {
		size := int(c.Size)
		if size > len(data) || size > cut.Opt.MaxSize || size < cut.Opt.MinSize && i+1 < len(s.chunks) {
			t.Fatalf("chunk %d of %d has %d bytes, of %d that are left", i, len(s.chunks), size, len(data))
		}
		if chunk.Of(data[:size]) != c {
			t.Fatalf("chunk %d of %d is not what it says", i, len(s.chunks))
		}
		data = data[size:]
	}
	if len(data) > 0 {
		t.Fatalf("no chunks of the last %d bytes", len(data))
	}
}

// fresh returns how many bytes are in chunks that are not among others.
func (s scanned) fresh(others []chunk.Chunk) (n int) {
	known := map[uint64]bool{}
	for _, c := range others {
		known[c.ID] = true
	}
	for _, c := range s.chunks {
		if !known[c.ID] {
			n += int(c.Size)
		}
	}
	return n
}

// edit changes, removes and inserts some bytes at random places.
func edit(r *rand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	for range r.IntN(6) {
		at, n := r.IntN(len(out)+1), 1+r.IntN(9000)
		end := min(at+n, len(out))
		switch r.IntN(4) {
		case 0:
			for i := at; i < end; i++ {
				out[i] = byte(r.Uint32())
			}
		case 1:
			out = append(out[:at], out[end:]...)
		case 2:
			out = bytes.Join([][]byte{out[:at], []byte(noise(byte(n), n)), out[at:]}, nil)
		case 3:
			out = append(out, noise(byte(n), n)...)
		}
	}
	return out
}

// A guide spares the looking for bounds, and changes nothing else: content is told
// by its hashes, and what another version shares with it is found as well as without.
func TestGuide(t *testing.T) {
	const slack = 32 << 10 // the largest chunk: where the end of the other version lay
	r := rand.New(rand.NewPCG(6, 1))
	before := []byte(noise(1, 600<<10))
	old := scanWith(t, nil, before)
	for range 1000 {
		after := edit(r, before)
		free, guided := scanWith(t, nil, after), scanWith(t, chunk.NewGuide(old.chunks), after)
		guided.holds(t, after)
		if got, want := guided.fresh(old.chunks), free.fresh(old.chunks); got > want+slack {
			t.Fatalf("%d bytes are new with a guide, %d without", got, want)
		}
	}
}

// The one of the same content is followed from one end to the other.
func TestGuideIsFollowed(t *testing.T) {
	data := []byte(noise(2, 3<<20))
	old := scanWith(t, nil, data)
	g := chunk.NewGuide(old.chunks)
	scanWith(t, g, data).holds(t, data)
	if g.Next != len(old.chunks) {
		t.Errorf("followed to chunk %d of %d", g.Next, len(old.chunks))
	}
	s, err := NewScanner(int64(len(data)))
	must(t, err)
	rest, next := data, chunk.NewGuide(old.chunks)
	for range old.chunks[1:] {
		c, ok := next.Expect(rest, s.cut.Opt.MinSize, s.cut.Opt.MaxSize)
		if !ok {
			t.Fatalf("chunk %d is not the one that is expected", next.Next)
		}
		rest = rest[c.Size:]
	}
}

// Chunks of sizes that ours never have lead nowhere, even where their hashes are right.
func TestGuideOfOddSizes(t *testing.T) {
	data := []byte(noise(3, 500<<10))
	want := scanWith(t, nil, data)
	for name, size := range map[string]int{"nothing": 0, "one byte": 1, "below the least": 3<<10 - 1, "above the most": 32<<10 + 1, "all of it": len(data)} {
		t.Run(name, func(t *testing.T) {
			var chunks []chunk.Chunk
			for rest := data; len(rest) > 0 && len(chunks) < 1000; rest = rest[min(size, len(rest)):] {
				chunks = append(chunks, chunk.Of(rest[:min(size, len(rest))]))
			}
			chunks[len(chunks)-1].ID++ // the last one may be of any size
			got := scanWith(t, chunk.NewGuide(chunks), data)
			got.holds(t, data)
			if got.fresh(want.chunks) > 0 {
				t.Error("other chunks than without")
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	data := []byte(noise(4, 64<<20))
	old, err := NewScanner(int64(len(data)))
	if err != nil {
		b.Fatal(err)
	}
	var chunks []chunk.Chunk
	keep := func(_ []byte, c []chunk.Chunk) error { chunks = append(chunks, c...); return nil }
	if err := old.scan(b.Context(), bytes.NewReader(data), keep); err != nil {
		b.Fatal(err)
	}
	for name, guided := range map[string]bool{"free": false, "guided": true} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			s, err := NewScanner(int64(len(data)))
			if err != nil {
				b.Fatal(err)
			}
			g := chunk.NewGuide(chunks)
			for b.Loop() {
				if g.Next = 0; guided {
					s.Guide = g
				}
				s.hash.Reset()
				if err := s.scan(b.Context(), bytes.NewReader(data), func([]byte, []chunk.Chunk) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
