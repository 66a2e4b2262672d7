package chunk

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Hashes of bytes 0, 1, ... 250, 0, 1, ... from the test vectors of BLAKE3's authors.
func TestHashVectors(t *testing.T) {
	for size, want := range map[int]string{
		0:      "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:      "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		1023:   "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
		1024:   "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
		1025:   "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
		102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
	} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i % 251)
		}
		if got := Sum(data); hex.EncodeToString(got[:]) != want {
			t.Errorf("%d bytes: %x, want %s", size, got, want)
		}
	}
}

// Whatever pieces it comes in, and whatever was hashed before, the hash is the same.
func TestHashInPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	h := NewHasher()
	for range 1000 {
		size, most := rng.IntN(1<<(1+rng.IntN(20))), 1<<(1+rng.IntN(18))
		h.Reset()
		for rest := data[:size]; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(most))
			h.Write(rest[:n])
			rest = rest[n:]
		}
		if got, want := h.Sum(), Sum(data[:size]); got != want {
			t.Fatalf("%d bytes in pieces of %d at most: %x and %x", size, most, got, want)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	data := make([]byte, 1<<20)
	for _, size := range []int{100, 2 << 10, 5000, 40 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			h := NewHasher()
			b.SetBytes(int64(size))
			for b.Loop() {
				h.Reset()
				h.Write(data[:size])
				h.Sum()
			}
		})
	}
}
