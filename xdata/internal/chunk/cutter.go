package chunk

import (
	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	"github.com/PlakarKorp/go-cdc-chunkers/chunkers/jc"
)

// Cutter finds the bounds of chunks.
type Cutter struct {
	jc  jc.JC
	Opt chunkers.ChunkerOpts
}

// NewCutter returns a Cutter for versions of version bytes: small chunks find more duplicates, but
// a large version would have too many of them. Chunks are a quarter larger than NormalSize on
// average. NormalSize is one below a power of two, for which jc finds bounds twice as often as for
// the power itself; as jc skips MinSize bytes of each chunk, a large MinSize makes it look at a
// fifth of the content only.
func NewCutter(version int64) (*Cutter, error) {
	c := &Cutter{Opt: chunkers.ChunkerOpts{MinSize: 3 << 10, NormalSize: 4<<10 - 1, MaxSize: 32 << 10}}
	switch {
	case version > 64<<30:
		c.Opt = chunkers.ChunkerOpts{MinSize: 192 << 10, NormalSize: 256<<10 - 1, MaxSize: MaxSize}
	case version > 4<<30:
		c.Opt = chunkers.ChunkerOpts{MinSize: 48 << 10, NormalSize: 64<<10 - 1, MaxSize: 256 << 10}
	}
	return c, c.jc.Setup(&c.Opt)
}

// Next returns the length of the first chunk of data. data holds at least MaxSize bytes, or the
// rest of the file.
func (c *Cutter) Next(data []byte) int { return c.jc.Algorithm(&c.Opt, data, len(data)) }
