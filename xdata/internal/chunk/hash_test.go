package chunk

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
)

var hashers = map[string]func() Hasher{
	"narrow": func() Hasher { return narrowHasher{blake3.New()} },
	"wide":   func() Hasher { return &wideHasher{} },
}

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
		for name, make := range hashers {
			h := make()
			h.Write(data)
			if got := h.Sum(); hex.EncodeToString(got[:]) != want {
				t.Errorf("%s, %d bytes: %x, want %s", name, size, got, want)
			}
		}
	}
}

// Whatever pieces it comes in, whatever was hashed before, and by whichever of the
// two implementations, the hash is the same.
func TestHashInPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	narrow, wide := hashers["narrow"](), hashers["wide"]()
	for range 5000 {
		size, most := rng.IntN(1<<(1+rng.IntN(20))), 1<<(1+rng.IntN(18))
		if rng.IntN(4) == 0 {
			size &^= treeBytes - 1
		}
		narrow.Reset()
		wide.Reset()
		for rest := data[:size]; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(most))
			narrow.Write(rest[:n])
			wide.Write(rest[:n])
			rest = rest[n:]
		}
		if n, w := narrow.Sum(), wide.Sum(); n != w {
			t.Fatalf("%d bytes in pieces of %d at most: %x and %x", size, most, n, w)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	data := make([]byte, 1<<20)
	for _, size := range []int{100, 2 << 10, 5000, 40 << 10, 1 << 20} {
		for name, make := range hashers {
			b.Run(fmt.Sprint(name, "/", size), func(b *testing.B) {
				h := make()
				b.SetBytes(int64(size))
				for b.Loop() {
					h.Reset()
					h.Write(data[:size])
					h.Sum()
				}
			})
		}
	}
}
