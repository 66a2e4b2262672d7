package xdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// Conn is a connection to a [Serve] on another server. Close ends reads and writes in progress, may
// be called more than once, and from any goroutine.
type Conn interface {
	io.ReadWriteCloser
}

// Request asks for a LIM's newest version to be on two servers.
type Request struct {
	LIM       int
	Side      clusterconf.Side // of the store given to Sync; the peer has the other
	Direction Direction        // "" is DirectionAuto
	DryRun    bool             // compare the two sides, copy and remove nothing
	Rate      int64            // limit in bytes per second; 0: none
	Keep      clusterconf.Side // whose version is kept to end a conflict; "": a conflict is an error
	LastGood  time.Time        // the last successful sync of the LIM; zero: none known

	Idle time.Duration // how long the peer may be silent after its greeting; 0: [wire.DefaultIdle]

	// Active tells whether the LIM is known to run here, so that an arriving version does not
	// become the head. May be nil.
	Active func() bool
	// Progress receives the bytes of content that were copied or sent, and the total once it is
	// known; may be nil.
	Progress func(n, total int64)
}

// Outcome is how a sync ended.
type Outcome string

// The outcomes.
const (
	Copied   Outcome = "copied"
	InSync   Outcome = "in-sync"
	Conflict Outcome = "conflict" // contents differ and neither is newer: nothing was copied
	Refused  Outcome = "refused"  // a rule or precondition does not hold: nothing was copied
	Failed   Outcome = "failed"

	WouldCopy Outcome = "would-copy" // of a dry run
)

// Result is the report of one LIM's sync.
type Result struct {
	LIM       int       `json:"lim"`
	Version   string    `json:"version"`   // the newest, with its name on the target side
	Direction Direction `json:"direction"` // DirectionNone when nothing was to be copied
	Result    Outcome   `json:"result"`
	Bytes     int64     `json:"bytes"`     // size of the version
	SentBytes int64     `json:"sentBytes"` // transferred in its direction
	TookMs    int64     `json:"tookMs"`
	Error     *string   `json:"error"`
	// Writing is a version that another program may still be writing and that will be newer; nil:
	// none.
	Writing *wire.Writing `json:"writing,omitempty"`

	Code fault.Code `json:"code"` // exit code of the error; 0: none

	common *lineage.Version // the version that both sides have now; nil: none, or not known

	// SetAside is the folder of the version that lost a conflict, on its side.
	SetAside string `json:"setAside,omitempty"`
	// Removes are the old versions that a sync would remove, in a dry run.
	Removes []Removal `json:"removes,omitempty"`
}

// Has tells whether both sides have v, or one that follows it, after the sync.
func (r *Result) Has(v *Version) bool {
	if r.common == nil {
		return false
	}
	o := lineage.Compare(&v.line, r.common)
	return o == lineage.Same || o == lineage.Older || v.line.Node == r.common.Node
}

// Removal is an old version that would be removed.
type Removal struct {
	Side    clusterconf.Side `json:"side"`
	Version string           `json:"version"`
}

// Sync brings the newest version of a LIM to both this server and its peer: the newer one, by
// lineage or else by modification time, is copied, verified, made durable and then made visible;
// old versions are pruned. It holds the LIM's lock on both sides, from the peer's greeting on. The
// caller closes peer; Sync closes it when ctx ends, or when the peer was silent for req.Idle.
//
// The Result is always filled in. Errors: fault.Conflict when the contents differ and neither
// follows the other, and for content that does not match its hash; fault.Refused for clocks more
// than MaxSkew apart, a newest version with times in the future, a direction that would overwrite
// newer data, and a request to end a conflict where there is none; fault.NotFound where there is
// nothing to copy in that direction; fault.Busy; fault.Unreachable.
func Sync(ctx context.Context, store *Store, peer Conn, req Request) (Result, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	own := *store
	own.Side, store = req.Side, &own
	started := peer
	peer = limit(peer, req)
	stop := context.AfterFunc(ctx, func() { peer.Close() })
	defer stop()
	if req.Direction == "" {
		req.Direction = DirectionAuto
	}
	c := &client{store: store, started: started, peer: peer, link: wire.NewLink(peer, peer), req: req,
		result: Result{LIM: req.LIM, Direction: DirectionNone}}
	if p := c.printed(); p != nil && req.Rate == 0 { // with a limit the pipe would fill faster than allowed
		wire.WidenPipe(p)
	}
	began := time.Now()
	err := c.run(ctx, end)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	c.result.TookMs = time.Since(began).Milliseconds()
	if err == nil {
		return c.result, nil
	}
	err = fmt.Errorf("synchronise the data of LIM %d: %w", req.LIM, err)
	text := err.Error()
	c.result.Error, c.result.Code = &text, fault.CodeOf(err)
	if c.result.Result == "" {
		c.result.Result = outcomeOf(err)
	}
	return c.result, err
}

// outcomeOf classifies an error.
func outcomeOf(err error) Outcome {
	switch code := fault.CodeOf(err); {
	case errors.Is(err, errConflict):
		return Conflict
	case code == fault.Refused || code == fault.NotFound || code == fault.NotPermitted:
		return Refused
	}
	return Failed
}

// client is the state of one Sync.
type client struct {
	store   *Store
	started Conn // the connection as given
	peer    Conn // the same, with the rate limit
	link    *wire.Link
	req     Request
	result  Result
	local   chan localVersions // receives the inspection's result; nil once it was read
	newest  *opened            // the newest complete version here; nil: none
	here    []observed         // the versions here

	own              *Version         // the version that was received; nil: none was
	common           *lineage.Version // the version that both sides have at the end; nil: none
	sameContent      *lineage.Version // the peer's version where it has the same content as ours; nil: a version was copied
	oldestCompatible *lineage.Version // the oldest compatible version according to the peer; nil: all are
	future           futureOn
}

// printed is the pipe that the peer prints into, if it is a program that this process started.
func (c *client) printed() *os.File {
	if started, ok := c.started.(interface{ Output() *os.File }); ok {
		return started.Output()
	}
	return nil
}

// run carries the sync out. A login may take long, so the lock is taken after the peer's greeting.
func (c *client) run(ctx context.Context, gone func(error)) error {
	if err := c.check(); err != nil {
		return err
	}
	before := c.store.folderIDs(c.req.LIM)
	// The inspection runs while the other side starts.
	c.local = make(chan localVersions, 1)
	go c.inspectLocal(ctx)
	defer c.close()
	g, protocol, err := c.link.Meet(c.started)
	if err == nil {
		err = signFiles{c.store.Dir}.check(g.Sign)
	}
	if err != nil {
		return err
	}
	defer c.link.Watch(c.printed(), c.req.Idle, gone)()
	if !c.req.DryRun { // a dry run creates no files
		release, err := c.store.lock(c.req.LIM, "sync")
		if err != nil {
			return err
		}
		defer release()
	}
	if !slices.Equal(before, c.store.folderIDs(c.req.LIM)) {
		c.close() // another process changed the versions during the login
		c.local, c.newest = make(chan localVersions, 1), nil
		go c.inspectLocal(ctx)
	}
	if err := c.agree(protocol); err != nil {
		return err
	}
	if err := c.negotiate(ctx); err != nil {
		return err
	}
	if err := c.tidy(); err != nil {
		return err
	}
	return c.leftBehind()
}

// folderIDs identifies the folders of a LIM's versions, by name, inode and change time, so that a
// change by another process is noticed. It is empty where there are none.
func (s *Store) folderIDs(lim int) []string {
	entries, _ := os.ReadDir(s.Dir) // errors show when the versions are inspected
	var all []string
	for _, e := range entries {
		of, _, ok := parseName(e.Name())
		if !ok || of != lim {
			continue
		}
		var st unix.Stat_t
		var folder manifest.Entry
		if unix.Lstat(filepath.Join(s.Dir, e.Name()), &st) == nil {
			tree.Describe(&folder, &st)
			all = append(all, fmt.Sprintf("%s %d %d", e.Name(), folder.Ino, folder.Ctime))
		}
	}
	return all
}

// localVersions is the result of inspecting the versions here.
type localVersions struct {
	newest *opened
	here   []observed
	wire.Summary
	err error
}

// inspectLocal inspects the versions here and starts to read what is not known of the newest:
// whatever the direction, there is time for it while the other side starts.
func (c *client) inspectLocal(ctx context.Context) {
	var l localVersions
	l.newest, l.here, l.Summary, l.err = c.store.summarise(c.req.LIM)
	if l.newest != nil && !c.req.DryRun {
		if c.req.Rate == 0 {
			l.newest.prefetch(ctx, len(l.here) == 1, c.req.LastGood)
		}
		l.newest.Start(ctx)
	}
	c.local <- l
}

// ours waits for the result of inspectLocal.
func (c *client) ours() (wire.Summary, error) {
	l := <-c.local
	c.local, c.newest, c.here = nil, l.newest, l.here
	return l.Summary, l.err
}

// close closes what inspectLocal opened.
func (c *client) close() {
	if c.local != nil {
		_, _ = c.ours() // an error was returned before
	}
	if c.newest != nil {
		c.newest.Close()
	}
}

// check refuses an inconsistent request.
func (c *client) check() error {
	switch d := c.req.Direction; {
	case c.req.LIM < 1:
		return fault.New(fault.Usage, "", "no LIM %d", c.req.LIM)
	case c.req.Side != clusterconf.SideRegular && c.req.Side != clusterconf.SideStandby:
		return fault.New(fault.Usage, "", "no side %q", c.req.Side)
	case c.req.Keep != "" && c.req.Keep != clusterconf.SideRegular && c.req.Keep != clusterconf.SideStandby:
		return fault.New(fault.Usage, "use regular or standby", "no side %q", c.req.Keep)
	case d != DirectionAuto && d != DirectionToStandby && d != DirectionToRegular:
		return fault.New(fault.Usage, "use auto, to-standby or to-regular", "no direction %q", d)
	}
	return nil
}

// agree checks that the two clocks agree. The request for the LIM goes out with the question, for
// negotiate, and says the version of the protocol.
func (c *client) agree(protocol int) error {
	// The clock is asked only now, when the other side answers at once: a login may take seconds.
	// The next request, which takes longer, is sent along.
	asked := c.store.now()
	if err := cmp.Or(c.link.Put(wire.FrameClock), c.link.Send(wire.FrameOpen, wire.OpenRequest{LIM: c.req.LIM, Side: c.req.Side.Other(), Protocol: protocol})); err != nil {
		return c.lost(err)
	}
	var theirs wire.Clock
	if err := c.link.ExpectJSON(wire.FrameClock, &theirs); err != nil {
		return err
	}
	if apart := clocksApart(asked, theirs.Now, c.store.now()); apart > MaxSkew {
		return fault.New(fault.Refused, clockHint, "the clocks are %s apart", apart.Round(time.Millisecond))
	}
	return nil
}

// clocksApart returns by how much two clocks differ at least, when one was asked and had answered
// at these times of the other. A server that is slow to answer may have been so before it read its
// clock as well as after, so that its slowness is no difference.
func clocksApart(asked, theirs, answered time.Time) time.Duration {
	return max(asked.Sub(theirs), theirs.Sub(answered), 0)
}

// lost returns why a request could not be written: a peer that gave up has sent its reason before
// it closed the connection.
func (c *client) lost(err error) error {
	if _, reason := c.link.Expect(wire.FrameError); reason != nil {
		return reason
	}
	return err
}

// expect sets the total amount to copy.
func (c *client) expect(total int64) {
	if c.req.Progress != nil {
		c.req.Progress(0, total)
	}
}

// wouldCopy reports what a dry run does not do.
func (c *client) wouldCopy(ours, theirs wire.Summary) {
	from := ours
	if c.result.Direction == towards(c.req.Side) {
		from = theirs
	}
	c.result.Version, c.result.Bytes, c.result.Result = from.Name, from.Bytes, WouldCopy
}

// pull receives the peer's version.
func (c *client) pull(ctx context.Context) error {
	if err := c.link.Send(wire.FramePull, nil); err != nil {
		return c.lost(err)
	}
	before := c.link.BytesRead
	v, err := (&incoming{store: c.store, link: c.link, lim: c.req.LIM, here: c.here, opened: c.newest, counted: c.counted(), active: c.req.Active}).receive(ctx)
	c.result.SentBytes = c.link.BytesRead - before
	if err != nil {
		return err
	}
	c.own, c.common = &v, &v.line
	c.result.Version, c.result.Bytes, c.result.Result = v.Name, v.Bytes, Copied
	return nil
}

// push sends the version here to the peer.
func (c *client) push(ctx context.Context) error {
	if err := c.link.Send(wire.FramePush, nil); err != nil {
		return c.lost(err)
	}
	before := c.link.BytesWritten
	s := c.newest.sender(c.link)
	s.Abort, s.Counted = func() { c.peer.Close() }, c.counted()
	err := s.Send(ctx)
	c.result.SentBytes = c.link.BytesWritten - before
	if err != nil {
		return c.sendFailed(err)
	}
	var d wire.Done
	if err := c.link.ExpectJSON(wire.FrameDone, &d); err != nil {
		return err
	}
	c.newest.version.setContent(c.newest.Digest(), c.store.now()) // all of it was read to send it
	c.common = &c.newest.version.line
	if d.Note != "" && c.store.Note != nil {
		c.store.Note("on the other side " + fault.Plain(d.Note))
	}
	c.result.Version, c.result.Bytes, c.result.Result = d.Name, c.newest.version.Bytes, Copied
	return nil
}

// sendFailed tells the peer why nothing more comes, and returns the reason that a peer which gave
// up has sent; that says more than "broken pipe".
func (c *client) sendFailed(err error) error {
	var lost wire.WriteError
	if errors.As(err, &lost) {
		return c.lost(err)
	}
	_ = c.link.Send(wire.FrameError, wire.EncodeError(err))
	return err
}

// counted reports the progress of copying.
func (c *client) counted() tree.Counter {
	if c.req.Progress == nil {
		return nil
	}
	return func(n int64) { c.req.Progress(n, 0) }
}

// tidy ends a successful sync here and on the peer.
func (c *client) tidy() error {
	p, err := c.store.files(c.req.LIM).pair()
	if err != nil {
		return err
	}
	end := wire.Bye{Common: c.common, OldestCompatible: p.OldestCompatible, Dry: c.req.DryRun}
	if c.oldestCompatible != nil && (p.OldestCompatible == nil || lineage.Compare(c.oldestCompatible, p.OldestCompatible) == lineage.Newer) {
		end.OldestCompatible = c.oldestCompatible
	}
	if err := c.link.Send(wire.FrameBye, end); err != nil {
		return c.lost(err)
	}
	a := afterSync{Bye: end, lim: c.req.LIM, side: c.req.Side, own: c.own, active: c.req.Active}
	if a.own == nil && c.newest != nil {
		a.own = &c.newest.version
	}
	if c.sameContent != nil {
		a.Common = c.sameContent
	}
	var removes []string
	var bad error
	if c.req.DryRun {
		removes, bad = c.store.wouldTidy(a, c.here)
	} else {
		c.result.SetAside, bad = c.store.tidy(a) // while the peer does the same
	}
	var d wire.Done
	if err := c.link.ExpectJSON(wire.FrameDone, &d); err != nil {
		return fmt.Errorf("data is in place, but old versions were not removed there: %w", err)
	}
	if bad != nil {
		return fmt.Errorf("data is in place, but old versions were not removed here: %w", bad)
	}
	c.result.common = c.common
	if d.Aside != "" {
		c.result.SetAside = fault.Plain(d.Aside)
	}
	c.wouldRemove(c.req.Side, removes)
	c.wouldRemove(c.req.Side.Other(), d.Removes)
	for _, text := range d.Warnings[:min(len(d.Warnings), maxWarnings)] {
		c.store.warn(fmt.Errorf("on the other side: %s", fault.Plain(text)))
	}
	return nil
}

// wouldRemove adds versions to the report of a dry run.
func (c *client) wouldRemove(side clusterconf.Side, names []string) {
	for _, name := range names {
		c.result.Removes = append(c.result.Removes, Removal{Side: side, Version: fault.Plain(name)})
	}
}

// leftBehind is the error for a version that is newer than all that were copied, and is not copied
// because of its times.
func (c *client) leftBehind() error {
	f := c.future
	if f.FutureVersion == nil || c.common != nil && superseded(&f.Line, c.common) {
		return nil
	}
	c.result.Result = Refused
	return futureError(f.FutureVersion, f.side, c.store.now())
}
