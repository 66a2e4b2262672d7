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

// NewCutter returns one for versions of a size: small chunks find more that is
// the same, and large versions would have too many of them. A chunk is a quarter
// larger than NormalSize on average. That is one below a power of two, for which jc
// looks for bounds twice as often; as it looks only behind MinSize, this large one
// makes it look at a fifth of the content in all.
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

// Next returns the length of the chunk that data begins with. data holds
// MaxSize bytes at least, or the rest of the file.
func (c *Cutter) Next(data []byte) int { return c.jc.Algorithm(&c.Opt, data, len(data)) }
