package events

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
)

const (
	maxFile = 2 << 20 // bytes, after which a new file is begun
	keep    = 4       // earlier files that are kept
	maxLine = 64 << 10
)

// Log is a server's events on disk: the file at Path, and Path.1 to Path.4 with
// earlier ones, 10 MiB in all at most. Its methods may be called by several
// goroutines at once. Lines are only appended, one write for each batch: what
// kill -9 can leave is a last line that is not whole, and it is skipped.
type Log struct {
	Path string

	mu      sync.Mutex
	started bool
	seq     uint64
}

// Append numbers events and makes them durable. A full disk is an error and
// nothing else: what could not be written is lost.
func (l *Log) Append(batch []Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.start(); err != nil {
		return err
	}
	f, err := os.OpenFile(l.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening the events: %w", err)
	}
	size, err := l.write(f, batch)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the events: %w", err)
	}
	if size < maxFile {
		return nil
	}
	return l.rotate()
}

// start finds out where the numbers go on.
func (l *Log) start() error {
	if l.started {
		return nil
	}
	for i := 0; i <= keep && l.seq == 0; i++ {
		if err := scanFile(l.file(i), func(e *Event) { l.seq = max(l.seq, e.Seq) }); err != nil {
			return err
		}
	}
	l.started = true
	return nil
}

// write appends the batch at once and returns the file's size then.
func (l *Log) write(f *os.File, batch []Event) (int64, error) {
	var buf bytes.Buffer
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return 0, err
		}
		if last[0] != '\n' { // what an earlier write, cut short, left
			buf.WriteByte('\n')
		}
	}
	for i := range batch {
		l.seq++
		batch[i].Seq = l.seq
		raw, err := json.Marshal(batch[i])
		if err != nil {
			return 0, err
		}
		if len(raw) < maxLine {
			buf.Write(append(raw, '\n'))
		}
	}
	if _, err := f.Write(buf.Bytes()); err != nil {
		return 0, err
	}
	return info.Size() + int64(buf.Len()), f.Sync()
}

// rotate begins a new file.
func (l *Log) rotate() error {
	for i := keep; i > 0; i-- {
		if err := os.Rename(l.file(i-1), l.file(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotating the events: %w", err)
		}
	}
	return nil
}

// file names the i-th file, 0 the present one.
func (l *Log) file(i int) string {
	if i == 0 {
		return l.Path
	}
	return l.Path + "." + strconv.Itoa(i)
}

// Read returns the newest events that a query asks for, oldest first, within
// the limits of an answer; truncated says that earlier ones were left out.
func (l *Log) Read(q Query) (found []Event, truncated bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for i := keep; i >= 0; i-- {
		err := scanFile(l.file(i), func(e *Event) {
			if !q.wants(e) {
				return
			}
			found = append(found, *e)
			size += e.size()
			for len(found) > MaxEvents || size > MaxBytes {
				size -= found[0].size()
				found, truncated = found[1:], true
			}
		})
		if err != nil {
			return nil, false, err
		}
	}
	return found, truncated, nil
}

// size is about how long the event is as JSON.
func (e *Event) size() int {
	return 200 + len(e.Text) + len(e.Reason) + len(e.Subject) + len(e.Is) + len(e.Was) + len(e.By)
}

// scanFile calls f for each event of a file that can be read, in order. A file
// that is not there has none.
func scanFile(path string, f func(*Event)) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		var e Event
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of ours
			continue
		case err == nil && json.Unmarshal(line, &e) == nil && e.Seq > 0:
			f(&e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the events: %w", err)
		}
	}
}
