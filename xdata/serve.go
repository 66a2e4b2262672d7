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

// Access is what the login that started a [Serve] may do.
type Access = wire.Access

// ServeOptions restrict what a peer may ask for.
type ServeOptions struct {
	LIMs []int // the LIMs whose data may be read and written; nil: all
	// Access is told to the peer.
	Access wire.Access
	// Warn is a warning for the peer's user; "": none.
	Warn string
	// Synced is called after a successful sync of a LIM; may be nil.
	Synced func(lim int)
	// Idle is how long the peer may be silent; 0: [wire.DefaultIdle].
	Idle time.Duration
	// Active tells whether a LIM is known to run here; may be nil.
	Active func(lim int) bool
}

// Serve is the server of a [Sync]: it answers one peer on r and w, normally standard input and
// output of `mxcluster xdata serve`, until the peer says goodbye. It holds the lock of the LIM that
// the peer asked for.
//
// When ctx ends, or the peer was silent for opt.Idle, r is closed if that is possible. A read or
// write that cannot be ended by closing, as on the standard input given by sshd, is abandoned after
// serveGrace: the process then ends, and with it the lock.
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
	// Work in progress gets time to clean up.
	select {
	case err := <-served:
		return err
	case <-time.After(serveGrace):
		return fmt.Errorf("serve data versions: %w", context.Cause(ctx))
	}
}

// serveGrace is how long a cancelled serve may take to end.
const serveGrace = 500 * time.Millisecond

func serve(ctx context.Context, end context.CancelCauseFunc, store *Store, r io.Reader, w io.Writer, opt ServeOptions) error {
	if c, ok := r.(io.Closer); ok {
		stop := context.AfterFunc(ctx, func() { c.Close() })
		defer stop()
	}
	s := &server{link: wire.NewLink(r, w), opt: opt}
	s.store = s.storeWithWarnings(store)
	if opt.Warn != "" {
		s.warnings = []string{fault.Plain(opt.Warn)}
	}
	s.sign = signFiles{store.Dir}.put()
	defer func() { signFiles{store.Dir}.remove(s.sign) }()
	in, file := r.(*os.File)
	if file {
		wire.WidenPipe(in)
	}
	defer s.close()
	hello := wire.Spoken.Greeting()
	hello.Sign, hello.Access = s.sign, opt.Access
	err := s.link.Send(wire.FrameGreeting, hello)
	if err == nil {
		defer s.link.Watch(in, opt.Idle, end)()
		err = s.run(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		// Best effort: the connection itself may have failed.
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
	asked   wire.OpenRequest // LIM 0: not asked yet
	release func()           // of the LIM's lock
	opened  *opened          // the newest complete version; nil: none
	here    []observed       // the versions here
	pushed  bool             // a version was received: opened and here are out of date
	newest  *Version         // the newest complete version; nil: none
	sign    string           // name of the sign file, see signFiles

	mu       sync.Mutex
	warnings []string // for the peer
}

// storeWithWarnings is the store, with warnings collected for the peer as well.
func (s *server) storeWithWarnings(store *Store) *Store {
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

// maxWarnings bounds the warnings in a message.
const maxWarnings = 20

func (s *server) close() {
	if s.opened != nil {
		s.opened.Close()
	}
	if s.release != nil {
		s.release()
	}
}

// run answers requests until the peer says goodbye.
func (s *server) run(ctx context.Context) error {
	for {
		s.link.Activity.Due.Store(0)
		t, payload, err := s.link.Next()
		signFiles{s.store.Dir}.remove(s.sign) // the client has compared it by now
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
		s.opened.version.setContent(digest, s.store.now())
		return s.link.Send(wire.FrameDigest, wire.DigestMessage{Digest: digest})
	}
	return manifest.Violation("message %d out of turn", t)
}

// open takes the lock of the requested LIM and describes its newest version.
func (s *server) open(payload []byte) error {
	if err := wire.DecodeJSON(payload, &s.asked); err != nil {
		return err
	}
	if s.asked.Protocol != 0 {
		if err := wire.Spoken.Check(s.asked.Protocol); err != nil {
			return err
		}
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

// describe inspects the versions here, and sends a summary to the peer.
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
	sum.OldestCompatible, s.newest = p.OldestCompatible, nil
	if s.opened != nil {
		s.newest = &s.opened.version
	}
	return s.link.Send(wire.FrameOpen, sum)
}

// conflicting decodes the peer's version of a conflict.
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

// conflict records a conflict that the peer found.
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

// resolve ends a conflict by a version made of the newest one here.
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

// receive receives a version from the peer.
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

// bye ends a successful sync: it prunes, and answers.
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

// superseded tells whether a version with a file from the future is known to be older than another
// one, so that it is no loss not to copy it.
func superseded(future, by *lineage.Version) bool {
	o := lineage.Compare(future, by)
	return (o == lineage.Older || o == lineage.Same) && (future.Made || future.Time != math.MinInt64)
}

// summarise inspects the versions of a LIM, opens the newest complete one, nil: none, and describes
// it for the peer.
func (s *Store) summarise(lim int) (*opened, []observed, wire.Summary, error) {
	versions, err := s.list(lim, true)
	if err != nil {
		return nil, nil, wire.Summary{}, err
	}
	now := s.now()
	sum := wire.Summary{Writing: writing(versions)}
	sum.Damaged = slices.ContainsFunc(versions, func(v observed) bool { return v.Damage != "" })
	i := slices.IndexFunc(versions, func(v observed) bool { return v.Complete && !v.future(now) })
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
		snap.version.setContent(sum.Digest, now)
	}
	sum.Line = snap.version.line
	return snap, versions, sum, nil
}
