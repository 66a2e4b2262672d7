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
	"slices"
	"strconv"
	"sync"
)

const (
	maxFile = 2 << 20 // bytes, after which a new file is begun
	keep    = 4       // earlier files that are kept
	maxLine = 64 << 10

	maxWaiting = 1024 // events that are kept in memory while the disk takes none
)

// Log is a server's events on disk: the file at Path, and Path.1 to Path.4 with
// earlier ones, 10 MiB in all at most. Its methods may be called by several
// goroutines at once. Lines are only appended, one write for each batch: what
// kill -9 can leave is a last line that is not whole, and it is skipped. What the
// disk does not take waits in memory, and is read from there.
type Log struct {
	Path string

	mu      sync.Mutex
	started bool
	seq     uint64
	waiting []Event // for the disk, oldest first
	lost    int     // that waited too long, since the disk took the last one
}

// Append numbers events and makes them durable, those first that wait from before.
// With an error they wait in memory for the next call, which may bring none; of more
// than some hundred the oldest are lost, and an event tells how many.
func (l *Log) Append(batch []Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, batch...)
	over := max(len(l.waiting)-maxWaiting, 0)
	l.lost += over
	l.waiting = slices.Delete(l.waiting, 0, over)
	if len(l.waiting) == 0 {
		return nil
	}
	if err := l.start(); err != nil {
		return err
	}
	l.number()
	size, err := l.flush()
	if err != nil {
		return fmt.Errorf("writing the events: %w", err)
	}
	l.waiting, l.lost = nil, 0
	if size < maxFile {
		return nil
	}
	return l.rotate()
}

// number gives those numbers that have none yet, and adds that some were lost.
func (l *Log) number() {
	for i := range l.waiting {
		if e := &l.waiting[i]; e.Seq == 0 {
			l.seq++
			e.Seq = l.seq
		}
	}
}

// flush writes what waits to the present file and returns its size then.
func (l *Log) flush() (int64, error) {
	f, err := os.OpenFile(l.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	size, err := l.write(f, l.told())
	return size, errors.Join(err, f.Close())
}

// told is what waits, with an event in front that says how much did so in vain.
func (l *Log) told() []Event {
	if l.lost == 0 {
		return l.waiting
	}
	first := l.waiting[0]
	gap := Event{Seq: first.Seq, Time: first.Time, Server: first.Server, Kind: Agent, Subject: first.Server, Is: "events-lost",
		Text: fmt.Sprintf("%d events of %s before this one are lost: the disk took none, and memory no more", l.lost, first.Server)}
	return append([]Event{gap}, l.waiting...)
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
		raw, err := json.Marshal(batch[i])
		if err != nil {
			return 0, err
		}
		if len(raw) < maxLine {
			buf.Write(append(raw, '\n'))
		}
	}
	if _, err = f.Write(buf.Bytes()); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return 0, errors.Join(err, f.Truncate(info.Size())) // all of it is written again
	}
	return info.Size() + int64(buf.Len()), nil
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
// the limit of an answer; truncated says that earlier ones were left out.
func (l *Log) Read(q Query) (found []Event, truncated bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	take := func(e *Event) {
		if !q.wants(e) {
			return
		}
		found = append(found, *e)
		size += e.size()
		for size > MaxBytes {
			size -= found[0].size()
			found, truncated = found[1:], true
		}
	}
	for i := keep; i >= 0; i-- {
		if err := scanFile(l.file(i), take); err != nil {
			return nil, false, err
		}
	}
	for _, e := range l.told() {
		take(&e)
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
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of ours
			continue
		case err == nil:
			if e, ok := parseLine(line); ok {
				f(&e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the events: %w", err)
		}
	}
}

// parseLine reads one event. One of a later version, in which a field has another form, is read
// without that field: what it says in words stays.
func parseLine(line []byte) (Event, bool) {
	var e Event
	err := json.Unmarshal(line, &e)
	var form *json.UnmarshalTypeError
	return e, err == nil || errors.As(err, &form) && e.Seq > 0 && !e.Time.IsZero() && e.Server != "" && e.Text != ""
}
