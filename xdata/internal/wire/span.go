package wire

// spanFile is an open file that content is sent from.
type spanFile interface {
	Fd() int
	ReadAt(p []byte, off int64) (int, error)
	Release()
}

// Span is content in memory or in a file.
type Span struct {
	Data []byte
	File spanFile // nil: the content is in Data
	Off  int64
	N    int
}

// Size returns the number of bytes.
func (p Span) Size() int { return len(p.Data) + p.N }
