package wire

// SpanFile is an open file that content is sent from.
type SpanFile interface {
	Fd() int
	ReadAt(p []byte, off int64) (int, error)
	Release()
}

// Span is some content, in memory or in a file.
type Span struct {
	Data []byte
	File SpanFile // nil: in data
	Off  int64
	N    int
}

// Size returns how many bytes it has.
func (p Span) Size() int { return len(p.Data) + p.N }
