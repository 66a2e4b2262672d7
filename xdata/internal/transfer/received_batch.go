package transfer

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// receivedBatch is a batch that arrived: the steps that are not taken yet, and the content for
// them.
type receivedBatch struct {
	wire.Unpacked
	link           *wire.Link
	incompressible []byte // incompressible content that was read from the link, and not taken yet
	buffer         []byte // buffer for that
}

// decode decodes a batch's payload. Its incompressible content follows in the next frame.
func (a *receivedBatch) decode(payload []byte, dec *zstd.Decoder, buf []byte) (err error) {
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

// spent checks that all content was used when the steps are done.
func (a *receivedBatch) spent() error {
	if left := len(a.Data) + len(a.incompressible) + a.Dense; left > 0 {
		return manifest.Violation("%d bytes of content that belong nowhere", left)
	}
	return nil
}

// number decodes a number of a step, of at most limit.
func (a *receivedBatch) number(limit uint64) (uint64, error) {
	v, n := binary.Uvarint(a.Steps)
	if n <= 0 || v > limit {
		return 0, manifest.Violation("a step that cannot be read")
	}
	a.Steps = a.Steps[n:]
	return v, nil
}

// unpack takes the next bytes of content that was in the payload.
func (a *receivedBatch) unpack(p []byte) error {
	a.Data = a.Data[copy(p, a.Data):]
	return nil
}

// leastDirect is from how many bytes on content is read from the link directly to its place.
const leastDirect = 512 << 10

// arriving takes the next bytes of incompressible content: many are read from the link to their
// place, few through the buffer.
func (a *receivedBatch) arriving(p []byte) error {
	if len(a.incompressible) == 0 && len(p) >= leastDirect {
		a.Dense -= len(p)
		return a.link.ReadContent(p)
	}
	if len(a.incompressible) == 0 {
		if a.buffer == nil {
			a.buffer = make([]byte, chunk.MaxSize)
		}
		a.incompressible, a.Dense = a.buffer[:a.Dense], 0
		if err := a.link.ReadContent(a.incompressible); err != nil {
			return err
		}
	}
	a.incompressible = a.incompressible[copy(p, a.incompressible):]
	return nil
}
