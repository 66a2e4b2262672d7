package transfer

import (
	"context"
	"errors"
	"sync"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// prefetch is a version that is made ready to be sent before it is known what the receiver
// has: while the other side starts, which over ssh takes as long as many a transfer.
// The receiver is taken to have what this side had before; where that is wrong, what
// was made ready is dropped.
type prefetch struct {
	Sender
	known bool          // the version was read before
	done  chan struct{} // closed when all is sent, or dropped
	err   error         // what came of it, then

	mu      sync.Mutex
	early   int64 // bytes of content that nobody was told of yet
	sending bool
	tell    tree.Counter // of more, once it is sent; may be nil
}

// Prefetch begins to make a version ready to be sent. Only tells that there is no other
// version here.
func (s *Snapshot) Prefetch(ctx context.Context, only bool) {
	known := s.Unread == 0
	if s.Problem != nil {
		return
	}
	s.Start(ctx)
	g := s.Guide()
	if g == nil && !only {
		return // what is known of the version before is not at hand
	}
	a := &prefetch{known: known, Sender: Sender{Snapshot: s, files: tree.Opener{Root: s.Root}, buf: make([]byte, chunk.MaxSize)}, done: make(chan struct{})}
	a.Counted = a.count
	if g != nil {
		a.haveGuide(g)
	}
	var err error
	if a.out, err = newBatches(); err != nil {
		return // it is not made ready
	}
	s.prefetched = a
	go func() {
		defer a.files.Close()
		a.err = a.entries(ctx)
		close(a.done)
	}()
}

// count counts content that was put into a batch.
func (a *prefetch) count(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.sending {
		a.early += n
		return
	}
	a.tell.Add(n)
}

// fits tells whether the receiver has what was expected.
func (a *prefetch) fits(s *Sender) bool { return a.same == s.same && len(a.have) == len(s.have) }

// send sends what was made ready, and the rest.
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

// DropPrefetch drops what was made ready. What was found wrong with a version that was not
// read before is returned: its reading was stopped by that. Of another one it is noted,
// and nobody needs its content.
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
