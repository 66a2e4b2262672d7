package chunk

import "github.com/zeebo/blake3"

// Digest is the BLAKE3 hash of a file's content, or of a version.
type Digest [32]byte

// Sum returns the digest of b.
func Sum(b []byte) Digest { return blake3.Sum256(b) }

// Hasher computes the BLAKE3 hash of what is written to it.
type Hasher struct{ blake3 *blake3.Hasher }

// NewHasher returns an empty Hasher.
func NewHasher() Hasher { return Hasher{blake3.New()} }

// Reset makes the hasher empty.
func (h Hasher) Reset() { h.blake3.Reset() }

// Write adds p to the hashed content.
func (h Hasher) Write(p []byte) { _, _ = h.blake3.Write(p) }

// Sum returns the hash of the content since the last Reset.
func (h Hasher) Sum() (sum Digest) {
	h.blake3.Sum(sum[:0])
	return sum
}
