package commands

import (
	"errors"
	"io"
	"syscall"
)

// sink is standard output. It remembers the first error of writing, so that no command succeeds
// whose answer was not written.
type sink struct {
	to   io.Writer
	last bool // no other command writes to it
	err  error
}

func (w *sink) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.to.Write(p)
	w.note(err)
	return n, err
}

// end returns the result of a command that ended with err: a write error, unless there is another
// error. After the last command it closes the file, since some file systems report a full disk only
// then.
func (w *sink) end(err error) error {
	if c, ok := w.to.(io.Closer); ok && w.last {
		w.note(c.Close())
	}
	if w.err != nil && (err == nil || errors.Is(err, w.err)) {
		return writeError{w.err}
	}
	return err
}

func (w *sink) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

// writeError is the error for an answer that could not be written.
type writeError struct{ why error }

func (e writeError) Error() string { return "writing the answer: " + e.why.Error() }

func (e writeError) Unwrap() error { return e.why }

// readerGone reports whether the reader has closed the pipe, as head(1) does.
func readerGone(err error) bool {
	var e writeError
	return errors.As(err, &e) && errors.Is(e.why, syscall.EPIPE)
}
