package xdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// Opened is what the login by which a [Serve] was started opens there.
type Opened = wire.Opened

// DefaultIdle is how long nothing may be heard of a peer, where nothing else is said.
const DefaultIdle = wire.DefaultIdle

// ServeOptions restrict what a peer may ask for.
type ServeOptions struct {
	LIMs []int // the LIMs whose data may be read and written; nil: all
	// Opened is told to the peer.
	Opened wire.Opened
	// Warn is told to the peer, who may do something about it; "": nothing.
	Warn string
	// Synced is told of a LIM whose sync has ended well; may be nil.
	Synced func(lim int)
	// Idle is how long nothing may be heard of the peer; 0: DefaultIdle.
	Idle time.Duration
	// Active tells whether a LIM is known to run here; may be nil.
	Active func(lim int) bool
}

// Serve is the other end of [Sync]: it answers one peer on r and w, normally
// standard input and output of `mxcluster xdata serve`, until the peer says
// goodbye. It holds the lock of the LIM that the peer asks for meanwhile.
//
// When ctx ends, or nothing was heard of the peer for opt.Idle, r is closed if it can
// be. What stands in a read or write that no close ends, as on the standard input of
// sshd's making, is left behind after a moment: the process ends then, and with it the lock.
func Serve(ctx context.Context, store *Store, r io.Reader, w io.Writer, opt ServeOptions) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, end, store, r, w, opt) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Whoever is in the middle of something else gets the time to put it away.
	select {
	case err := <-served:
		return err
	case <-time.After(serveGrace):
		return fmt.Errorf("serve data versions: %w", context.Cause(ctx))
	}
}

// serveGrace is how long a serve that is over may take to end by itself.
const serveGrace = 500 * time.Millisecond

func serve(ctx context.Context, end context.CancelCauseFunc, store *Store, r io.Reader, w io.Writer, opt ServeOptions) error {
	if c, ok := r.(io.Closer); ok {
		stop := context.AfterFunc(ctx, func() { c.Close() })
		defer stop()
	}
	s := &server{link: wire.NewLink(r, w), opt: opt}
	s.store = s.listening(store)
	if opt.Warn != "" {
		s.warnings = []string{fault.Plain(opt.Warn)}
	}
	s.sign = signs{store.Dir}.put()
	defer func() { signs{store.Dir}.take(s.sign) }()
	in, file := r.(*os.File)
	if file {
		wire.WidenPipe(in)
	}
	defer s.close()
	err := s.link.Send(wire.FrameGreeting, wire.Greeting{Magic: wire.ProtocolMagic, Version: wire.ProtocolVersion, Sign: s.sign, Opened: opt.Opened})
	if err == nil {
		defer s.link.Watch(in, opt.Idle, end)()
		err = s.run(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		// Best effort: the peer may be the very thing that failed.
		_ = s.link.Send(wire.FrameError, wire.EncodeError(err))
		return fmt.Errorf("serve data versions: %w", err)
	}
	return nil
}

// server is the state of one connection.
type server struct {
	store   *Store
	link    *wire.Link
	opt     ServeOptions
	asked   wire.OpenRequest // LIM 0 until the peer has named one
	release func()           // of the LIM's lock
	opened  *opened          // of the newest complete version; nil when there is none
	here    []seen           // the versions there are
	pushed  bool             // a version was taken: opened and here are not true any more
	newest  *Version         // the newest complete one; nil: there is none
	sign    string           // see signs

	mu       sync.Mutex
	warnings []string // for the peer
}

// listening is a store whose warnings the peer hears as well.
func (s *server) listening(store *Store) *Store {
	listening := *store
	listening.Warn = func(err error) {
		store.warn(err)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.warnings) < maxWarnings {
			s.warnings = append(s.warnings, fault.Plain(Advice(err)))
		}
	}
	return &listening
}

// maxWarnings keeps what a peer is told within a message.
const maxWarnings = 20

func (s *server) close() {
	if s.opened != nil {
		s.opened.Close()
	}
	if s.release != nil {
		s.release()
	}
}

// run answers messages until the peer says goodbye.
func (s *server) run(ctx context.Context) error {
	for {
		s.link.Activity.Due.Store(0)
		t, payload, err := s.link.Next()
		signs{s.store.Dir}.take(s.sign) // whoever asks has looked for it
		s.sign = ""
		switch {
		case errors.Is(err, io.EOF):
			return fault.Wrap(io.ErrUnexpectedEOF, fault.Unreachable, "", "the other side went away")
		case err != nil:
			return err
		case t == wire.FrameError:
			return wire.DecodeError(payload)
		case t == wire.FrameBye:
			return s.bye(payload)
		}
		if err := s.answer(ctx, t, payload); err != nil {
			return err
		}
	}
}

// answer handles one request.
func (s *server) answer(ctx context.Context, t wire.FrameType, payload []byte) error {
	switch {
	case t == wire.FrameClock:
		return s.link.Send(wire.FrameClock, wire.Clock{Now: s.store.now().UTC()})
	case t == wire.FrameOpen && s.asked.LIM == 0:
		return s.open(payload)
	case t == wire.FramePush && s.asked.LIM != 0 && !s.pushed:
		return s.receive(ctx)
	case t == wire.FrameConflict && s.opened != nil:
		return s.conflict(payload)
	case t == wire.FrameKeep && s.opened != nil:
		return s.resolve(ctx, payload)
	case t == wire.FramePull && s.opened != nil:
		return s.opened.sender(s.link).Send(ctx)
	case t == wire.FrameDigest && s.opened != nil:
		if err := s.opened.ReadAll(ctx); err != nil {
			return err
		}
		digest := s.opened.Digest()
		s.opened.version.is(digest, s.store.now())
		return s.link.Send(wire.FrameDigest, wire.DigestMessage{Digest: digest})
	}
	return manifest.Violation("message %d out of turn", t)
}

// open takes the lock of the LIM asked for and describes its newest version.
func (s *server) open(payload []byte) error {
	if err := wire.DecodeJSON(payload, &s.asked); err != nil {
		return err
	}
	lim, side := s.asked.LIM, s.asked.Side
	if lim < 1 || side != clusterconf.SideRegular && side != clusterconf.SideStandby {
		return manifest.Violation("LIM %d on the side %q", lim, side)
	}
	if s.opt.LIMs != nil && !slices.Contains(s.opt.LIMs, lim) {
		return fault.New(fault.NotPermitted, "", "the data of LIM %d may not be asked for here", lim)
	}
	if s.store.Side == "" {
		s.store.Side = side
	}
	if s.store.Side != side {
		return fault.New(fault.Refused, "make sure that both servers have the same document: 'mxcluster config show'",
			"this server is the %s side of LIM %d, not the %s side", s.store.Side, lim, side)
	}
	var err error
	if s.release, err = s.store.lock(lim, "sync with another server"); err != nil {
		return err
	}
	return s.describe()
}

// describe looks at what there is, and tells the peer.
func (s *server) describe() error {
	if s.opened != nil {
		s.opened.Close()
	}
	var err error
	var sum wire.Summary
	if s.opened, s.here, sum, err = s.store.summarise(s.asked.LIM); err != nil {
		return err
	}
	p, err := s.store.files(s.asked.LIM).pair()
	if err != nil {
		return err
	}
	sum.Fits, s.newest = p.Fits, nil
	if s.opened != nil {
		s.newest = &s.opened.version
	}
	return s.link.Send(wire.FrameOpen, sum)
}

// conflicting reads a peer's version, of which and ours neither follows the other.
func (s *server) conflicting(payload []byte) (*lineage.Version, error) {
	var theirs wire.Line
	if err := wire.DecodeJSON(payload, &theirs); err != nil {
		return nil, err
	}
	if err := theirs.Line.Valid(); err != nil {
		return nil, manifest.Violation("%v", err)
	}
	if o := lineage.Compare(&s.newest.line, &theirs.Line); o != lineage.Apart {
		return nil, manifest.Violation("a conflict of versions of which one is %s", o)
	}
	return &theirs.Line, nil
}

// conflict remembers a conflict that the peer found.
func (s *server) conflict(payload []byte) error {
	theirs, err := s.conflicting(payload)
	if err != nil {
		return err
	}
	if err := s.store.files(s.asked.LIM).noteConflict(s.store.now().UTC(), &s.newest.line, theirs); err != nil {
		return err
	}
	return s.link.Send(wire.FrameDone, wire.Done{})
}

// resolve ends a conflict with what is here.
func (s *server) resolve(ctx context.Context, payload []byte) error {
	theirs, err := s.conflicting(payload)
	if err != nil {
		return err
	}
	if err := s.store.resolve(ctx, s.opened, theirs); err != nil {
		return err
	}
	return s.describe()
}

// receive takes a version from the peer.
func (s *server) receive(ctx context.Context) error {
	opened := s.opened
	s.opened, s.pushed = nil, true
	if opened != nil {
		defer opened.Close()
	}
	var note string
	store := *s.store
	store.Note = func(text string) { note = text }
	v, err := (&incoming{store: &store, link: s.link, lim: s.asked.LIM, here: s.here, opened: opened, active: s.active}).receive(ctx)
	if err != nil {
		return err
	}
	s.newest = &v
	return s.link.Send(wire.FrameDone, wire.Done{Name: v.Name, Note: note})
}

func (s *server) active() bool { return s.opt.Active != nil && s.opt.Active(s.asked.LIM) }

// bye ends a sync that went well: old versions are no longer needed.
func (s *server) bye(payload []byte) error {
	var end wire.Done
	if s.asked.LIM == 0 {
		return s.link.Send(wire.FrameDone, end)
	}
	var said wire.Bye
	if err := wire.DecodeJSON(payload, &said); err != nil {
		return err
	}
	a := afterSync{lim: s.asked.LIM, side: s.asked.Side, Bye: said, own: s.newest, active: s.active}
	var err error
	if said.Dry {
		end.Removes, err = s.store.wouldTidy(a, s.here)
	} else {
		end.Aside, err = s.store.tidy(a)
	}
	if err != nil {
		return err
	}
	if s.opt.Synced != nil && !said.Dry {
		s.opt.Synced(s.asked.LIM)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end.Warnings = s.warnings
	return s.link.Send(wire.FrameDone, end)
}

// superseded tells whether a version with a file from the future is no loss beside another
// one: that is newer. Of one that nothing tells the age of, nobody knows.
func superseded(future, by *lineage.Version) bool {
	o := lineage.Compare(future, by)
	return (o == lineage.Older || o == lineage.Same) && (future.Made || future.Time != math.MinInt64)
}

// summarise looks at the versions of a LIM, opens the newest complete one, nil
// when there is none, and describes it.
func (s *Store) summarise(lim int) (*opened, []seen, wire.Summary, error) {
	versions, err := s.list(lim, true)
	if err != nil {
		return nil, nil, wire.Summary{}, err
	}
	now := s.now()
	sum := wire.Summary{Writing: writing(versions)}
	sum.Damaged = slices.ContainsFunc(versions, func(v seen) bool { return v.Damage != "" })
	i := slices.IndexFunc(versions, func(v seen) bool { return v.Complete && !v.future(now) })
	for j := range versions {
		v := &versions[j]
		if v.Complete && v.future(now) && (i < 0 || !superseded(&v.line, &versions[i].line)) {
			sum.Future = &wire.FutureVersion{Line: v.line, Local: v.Name, File: fault.Plain(v.newestFile), Mtime: manifest.Nanoseconds(v.NewestMtime)}
			break
		}
	}
	if i < 0 {
		return nil, versions, sum, nil
	}
	for _, bad := range versions[:i] {
		if bad.Damage != "" {
			s.warn(fmt.Errorf("version %s is passed over, for it is damaged: %s", bad.Name, bad.Damage))
		}
	}
	v := versions[i]
	snap, err := s.openVersion(v)
	if err != nil {
		return nil, nil, wire.Summary{}, err
	}
	sum.Foreign, sum.From = v.foreign, v.from
	sum.Name, sum.Mtime, sum.Files, sum.Bytes = v.Name, manifest.Nanoseconds(v.NewestMtime), v.Files, v.Bytes
	if sum.Digest = snap.Digest(); sum.Digest != nil {
		snap.version.is(sum.Digest, now)
	}
	sum.Line = snap.version.line
	return snap, versions, sum, nil
}
