package chunk

import (
	"math/bits"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/cpu"
	"lukechampine.com/blake3/guts"
)

// Digest is the BLAKE3 hash of a file's content, or of a version.
type Digest [32]byte

// Sum returns the digest of b.
func Sum(b []byte) Digest {
	h := NewHasher()
	h.Write(b)
	return h.Sum()
}

// Hasher computes the BLAKE3 hash of what is written to it. Nothing may be written
// after sum before the next reset.
type Hasher interface {
	Reset()
	Write(p []byte)
	Sum() Digest
}

// NewHasher returns the one that is faster on this processor, of those that were measured
// (decision 0038).
func NewHasher() Hasher {
	if cpu.X86.HasAVX512F {
		return &wideHasher{}
	}
	return narrowHasher{blake3.New()}
}

// narrowHasher hashes up to eight chunks of BLAKE3's at once, where there is AVX2.
type narrowHasher struct{ blake3 *blake3.Hasher }

func (h narrowHasher) Reset()         { h.blake3.Reset() }
func (h narrowHasher) Write(p []byte) { _, _ = h.blake3.Write(p) }

func (h narrowHasher) Sum() (sum Digest) {
	h.blake3.Sum(sum[:0])
	return sum
}

// wideHasher hashes sixteen at once, with AVX-512, and without copying them. The zero
// value is ready.
type wideHasher struct {
	// BLAKE3 joins trees of one size, two and two. Of those with 1<<i times treeBytes
	// there is one in joined[i] where bit i of trees is set.
	joined [54][8]uint32
	trees  uint64
	last   guts.Node // the newest tree, not joined yet: the root is hashed in another way
	begun  bool      // there is one
	buf    [treeBytes]byte
	held   int // bytes in buf
}

// treeBytes is what is hashed at once.
const treeBytes = guts.MaxSIMD * guts.ChunkSize

func (h *wideHasher) Reset() { h.trees, h.begun, h.held = 0, false, 0 }

func (h *wideHasher) Write(p []byte) {
	if h.held > 0 {
		n := copy(h.buf[h.held:], p)
		h.held, p = h.held+n, p[n:]
		if h.held < treeBytes {
			return
		}
		h.tree(&h.buf, treeBytes)
	}
	for ; len(p) >= treeBytes; p = p[treeBytes:] {
		h.tree((*[treeBytes]byte)(p), treeBytes)
	}
	h.held = copy(h.buf[:], p)
}

// tree hashes the next bytes, n of them.
func (h *wideHasher) tree(b *[treeBytes]byte, n int) {
	if h.begun {
		h.join(guts.ChainingValue(h.last))
	}
	h.last, h.begun = guts.CompressBuffer(b, n, &guts.IV, h.trees*guts.MaxSIMD, 0), true
}

// join adds a tree of treeBytes.
func (h *wideHasher) join(tree [8]uint32) {
	i := 0
	for ; h.trees&(1<<i) != 0; i++ {
		tree = guts.ChainingValue(guts.ParentNode(h.joined[i], tree, &guts.IV, 0))
	}
	h.joined[i] = tree
	h.trees++
}

func (h *wideHasher) Sum() (sum Digest) {
	if h.held > 0 || !h.begun {
		h.tree(&h.buf, h.held)
	}
	root := h.last
	for left := h.trees; left != 0; left &= left - 1 {
		root = guts.ParentNode(h.joined[bits.TrailingZeros64(left)], guts.ChainingValue(root), &guts.IV, 0)
	}
	root.Flags |= guts.FlagRoot
	words := guts.WordsToBytes(guts.CompressNode(root))
	copy(sum[:], words[:])
	return sum
}
