package transfer

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// arrived is what is left of a batch that arrived: steps, and the content that they take.
type arrived struct {
	wire.Unpacked
	link  *wire.Link
	noise []byte // of the dense content, what was read
	held  []byte // the memory of that
}

// decode takes in what a message holds. The dense content comes behind it.
func (a *arrived) decode(payload []byte, dec *zstd.Decoder, buf []byte) (err error) {
	if a.Unpacked, err = wire.DecodeBatch(payload, dec, buf); err != nil {
		return err
	}
	if len(a.Steps) == 0 {
		return manifest.Violation("a batch without steps")
	}
	if a.Dense > 0 {
		return a.link.ExpectContent(a.Dense)
	}
	return nil
}

// spent checks that no content is left when the steps are taken.
func (a *arrived) spent() error {
	if left := len(a.Data) + len(a.noise) + a.Dense; left > 0 {
		return manifest.Violation("%d bytes of content that belong nowhere", left)
	}
	return nil
}

// number reads one of a step's numbers.
func (a *arrived) number(limit uint64) (uint64, error) {
	v, n := binary.Uvarint(a.Steps)
	if n <= 0 || v > limit {
		return 0, manifest.Violation("a step that cannot be read")
	}
	a.Steps = a.Steps[n:]
	return v, nil
}

// unpack takes content that was compressed.
func (a *arrived) unpack(p []byte) error {
	a.Data = a.Data[copy(p, a.Data):]
	return nil
}

// leastDirect is how much content is worth reading by itself.
const leastDirect = 512 << 10

// arriving takes content that was not: what is much goes from the link to its place, and
// the rest is read at once.
func (a *arrived) arriving(p []byte) error {
	if len(a.noise) == 0 && len(p) >= leastDirect {
		a.Dense -= len(p)
		return a.link.ReadContent(p)
	}
	if len(a.noise) == 0 {
		if a.held == nil {
			a.held = make([]byte, chunk.MaxSize)
		}
		a.noise, a.Dense = a.held[:a.Dense], 0
		if err := a.link.ReadContent(a.noise); err != nil {
			return err
		}
	}
	a.noise = a.noise[copy(p, a.noise):]
	return nil
}
