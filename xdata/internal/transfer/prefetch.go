package transfer

import (
	"context"
	"errors"
	"sync"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// prefetch is a version that is prepared for sending before the receiver's chunks are known: while
// the other side starts, which over ssh takes as long as many a transfer. It assumes that the
// receiver has the version before; where that is wrong, what was prepared is dropped.
type prefetch struct {
	Sender
	known bool          // the version's content was known before
	done  chan struct{} // closed when everything was sent, or dropped
	err   error         // the result, valid after done

	mu      sync.Mutex
	early   int64 // bytes of content not reported yet
	sending bool
	tell    tree.Counter // receives progress once sending has begun; may be nil
}

// Prefetch begins to prepare a version for sending. only: there is no other version here.
func (s *Snapshot) Prefetch(ctx context.Context, only bool) {
	known := s.Unread == 0
	if s.Problem != nil {
		return
	}
	s.Start(ctx)
	g := s.Guide()
	if g == nil && !only {
		return // the version before has no index
	}
	a := &prefetch{known: known, Sender: Sender{Snapshot: s, files: tree.Opener{Root: s.Root}, buf: make([]byte, chunk.MaxSize)}, done: make(chan struct{})}
	a.Counted = a.count
	if g != nil {
		a.haveGuide(g)
	}
	var err error
	if a.out, err = newBatches(); err != nil {
		return // nothing is prepared
	}
	s.prefetched = a
	go func() {
		defer a.files.Close()
		a.err = a.entries(ctx)
		close(a.done)
	}()
}

// count counts content that was added to a batch.
func (a *prefetch) count(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.sending {
		a.early += n
		return
	}
	a.tell.Add(n)
}

// fits tells whether the receiver has what was assumed.
func (a *prefetch) fits(s *Sender) bool { return a.same == s.same && len(a.have) == len(s.have) }

// send sends what was prepared, and the rest.
func (a *prefetch) send(l *wire.Link, counted tree.Counter) error {
	a.mu.Lock()
	a.tell, a.sending = counted, true
	a.tell.Add(a.early)
	a.mu.Unlock()
	a.prefetched = nil
	a.out.send(l)
	<-a.done
	return a.err
}

// DropPrefetch drops what was prepared. If the version had to be read for it, that reading ends,
// and its error is returned. Otherwise damage is recorded only: the content is not needed.
func (s *Snapshot) DropPrefetch() error {
	a := s.prefetched
	if a == nil {
		return nil
	}
	s.prefetched = nil
	a.out.drop()
	<-a.done
	s.reading.unfollow()
	if a.known || errors.Is(a.err, errDropped) {
		return nil
	}
	return a.err
}
