package transfer

import (
	"context"
	"sync"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/tree"
)

// reading reads the files of a snapshot whose content is not known, in order, in the background. A
// file's chunks are available as they are found. The chunks of a large file are available with
// their content, so that the sender does not read it again: the reading waits for the sender then.
type reading struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	news   *sync.Cond
	known  int           // entries before this index are known
	from   int           // index of the first chunk of the entry at known
	chunks []chunk.Chunk // of the manifest, as far as read
	data   []byte        // content of the chunks from fresh on; nil: a hole, or no longer available
	fresh  int
	taken  int  // chunks before this index were taken; see follow
	follow bool // a sender takes the chunks
	ended  bool
	err    error // why it ended early; nil: it did not
}

// Start begins the reading, if that was not done.
func (s *Snapshot) Start(ctx context.Context) {
	if s.reading == nil {
		s.reading = newReading(s.Manifest.Chunks)
		s.reading.begin(ctx, s)
	}
}

func newReading(known []chunk.Chunk) *reading {
	r := &reading{done: make(chan struct{}), chunks: known, from: len(known)} // all known chunks belong to files that are not read
	r.news = sync.NewCond(&r.mu)
	return r
}

// begin starts the goroutine, if anything is unknown.
func (r *reading) begin(ctx context.Context, s *Snapshot) {
	if s.Problem != nil || s.Unread == 0 {
		r.stop = func() {}
		r.reach(len(s.Manifest.Entries), r.chunks, true)
		r.end(s.Problem)
		return
	}
	ctx, r.stop = context.WithCancel(ctx)
	go func() {
		defer context.AfterFunc(ctx, r.wake)()
		r.end(s.readOn(ctx, r))
	}()
}

// readOn reads all unknown files.
func (s *Snapshot) readOn(ctx context.Context, r *reading) error {
	m := s.Manifest
	s.scan.Guide = s.Guide()
	for i := range m.Entries {
		e := &m.Entries[i]
		if !e.Dir && !e.Known {
			err := s.read(ctx, e, func(p tree.Piece) error {
				if e.Size < chunk.LargeFile {
					return nil
				}
				return r.more(ctx, m.Chunks, p.Data)
			})
			if err != nil {
				return err
			}
		}
		r.reach(i+1, m.Chunks, e.Size >= chunk.LargeFile || i%reachEvery == 0)
	}
	return nil
}

// more makes chunks of a large file available, and waits until the sender has taken them.
func (r *reading) more(ctx context.Context, chunks []chunk.Chunk, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh, r.chunks, r.data = len(r.chunks), chunks, data
	r.news.Broadcast()
	for r.follow && r.taken < len(chunks) && ctx.Err() == nil {
		r.news.Wait()
	}
	r.data = nil
	return context.Cause(ctx)
}

// reachEvery is after how many small files waiting goroutines are woken.
const reachEvery = 32

// reach records that all entries before place are known; tell: waiting goroutines are woken.
func (r *reading) reach(place int, chunks []chunk.Chunk, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.from, r.chunks = place, len(chunks), chunks
	if tell {
		r.news.Broadcast()
	}
}

// wake wakes the waiting goroutines.
func (r *reading) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news.Broadcast()
}

// end ends the reading, with its error.
func (r *reading) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.err = true, err
	r.news.Broadcast()
	close(r.done)
}

// found is some chunks of a file.
type found struct {
	chunks []chunk.Chunk
	data   []byte // content of the chunks, valid until the next take; nil: not available, or a hole
	whole  bool   // the file has no more chunks, and is known
}

// take returns some chunks of the file at place, from the nth on; it waits for them. Chunks must be
// taken in order.
func (s *Snapshot) take(place, n int) (found, error) {
	r := s.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follow = true
	for {
		switch {
		case place < r.known:
			e := &s.Manifest.Entries[place]
			return found{chunks: r.chunks[e.First+n : e.First+e.Count], whole: true}, nil
		case place == r.known && len(r.chunks)-r.from > n:
			f := found{chunks: r.chunks[r.from+n:]}
			if r.from+n == r.fresh {
				f.data = r.data
			}
			return f, nil
		case r.ended:
			return found{}, r.err
		case place == r.known:
			r.taken = r.from + n
			r.news.Broadcast()
		}
		r.news.Wait()
	}
}

// unfollow lets the reading go on without a sender.
func (r *reading) unfollow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follow = false
	r.news.Broadcast()
}

// ReadAll waits until all content is known, and writes the index.
func (s *Snapshot) ReadAll(ctx context.Context) error {
	s.Start(ctx)
	<-s.reading.done
	s.reading.stop()
	if s.reading.err != nil {
		return s.reading.err
	}
	if err := s.reportDamage(tree.ContentMismatch(s.Root, s.content())); err != nil {
		s.Problem, s.stale = err, false // the index is not written
		return err
	}
	return s.save()
}

// stopReading ends the reading. If it was complete, the index is written.
func (s *Snapshot) stopReading() {
	if s.reading == nil {
		return
	}
	s.reading.stop()
	<-s.reading.done
	if s.reading.err == nil {
		_ = s.save() // else it is read again the next time
	}
}
