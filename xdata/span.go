package xdata

// spanFile is an open file that content is sent from.
type spanFile interface {
	Fd() int
	ReadAt(p []byte, off int64) (int, error)
	Release()
}

// span is some content, in memory or in a file.
type span struct {
	data []byte
	file spanFile // nil: in data
	off  int64
	n    int
}

func (p span) size() int { return len(p.data) + p.n }
