package transfer

import (
	"context"
	"sync"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/tree"
)

// reading is the reading of the files of a snapshot whose content is not known, one
// after the other, beside what else goes on. The chunks of a file can be had as they
// are found, and those of a large file with their content, so that who sends it
// needs not read it once more: the reading waits for him then.
type reading struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	news   *sync.Cond
	known  int           // files and folders before this place are known
	from   int           // the first chunk of the file at that place
	chunks []chunk.Chunk // the manifest's so far
	data   []byte        // content of those from fresh on; nil: a hole, or not at hand any more
	fresh  int
	taken  int  // all chunks before were taken; see follow
	follow bool // somebody takes them
	ended  bool
	err    error // why it ended early
}

// Start begins to read, unless that was done.
func (s *Snapshot) Start(ctx context.Context) {
	if s.reading == nil {
		s.reading = newReading(s.Manifest.Chunks)
		s.reading.begin(ctx, s)
	}
}

func newReading(known []chunk.Chunk) *reading {
	r := &reading{done: make(chan struct{}), chunks: known, from: len(known)} // none of these is of a file that is still to be read
	r.news = sync.NewCond(&r.mu)
	return r
}

// begin begins to read, if there is something to read.
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

// readOn reads to the end.
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

// more tells of more chunks of the large file that is being read, and waits for
// whoever follows to take them.
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

// reachEvery is how many small files are read before those who wait are woken.
const reachEvery = 32

// reach says that all before a place is known, and may tell those who wait.
func (r *reading) reach(place int, chunks []chunk.Chunk, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.from, r.chunks = place, len(chunks), chunks
	if tell {
		r.news.Broadcast()
	}
}

// wake has those who wait look again.
func (r *reading) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news.Broadcast()
}

// end tells that nothing more comes, and why.
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
	data   []byte // their content, until more is asked for; nil: not at hand, or a hole
	whole  bool   // they are the last, and the file is known
}

// take waits for the chunks of the file at a place, from the nth on, and returns some
// of them. Those before were taken.
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

// unfollow has the reading go on alone.
func (r *reading) unfollow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follow = false
	r.news.Broadcast()
}

// ReadAll waits until everything is known, and keeps it.
func (s *Snapshot) ReadAll(ctx context.Context) error {
	s.Start(ctx)
	<-s.reading.done
	s.reading.stop()
	if s.reading.err != nil {
		return s.reading.err
	}
	if err := s.reportDamage(tree.ContentMismatch(s.Root, s.content())); err != nil {
		s.Problem, s.stale = err, false // nothing is kept of it
		return err
	}
	return s.save()
}

// stopReading ends the reading. When it had come to its end, what was read is kept.
func (s *Snapshot) stopReading() {
	if s.reading == nil {
		return
	}
	s.reading.stop()
	<-s.reading.done
	if s.reading.err == nil {
		_ = s.save() // or it is read again the next time
	}
}
