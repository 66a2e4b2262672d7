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

// Conn is a connection to a [Serve] on another server. Close ends reads and
// writes that wait, and may be called more than once and from any goroutine.
type Conn interface {
	io.ReadWriteCloser
}

// Request asks for the versions of one LIM to be made the same on two servers.
type Request struct {
	LIM       int
	Side      clusterconf.Side // of the store given to Sync; the peer is the other
	Direction Direction        // "" is DirectionAuto
	DryRun    bool             // compare the two sides, copy and remove nothing
	Rate      int64            // bytes a second at most; 0: no limit
	Keep      clusterconf.Side // whose version is kept on both sides of a conflict; "": none, and a conflict stays
	LastGood  time.Time        // when a sync of the LIM last went well; zero: never, as far as is known

	Idle time.Duration // how long nothing may be heard of the peer once it has answered; 0: DefaultIdle

	// Active tells whether the LIM is known to run here: its data do not come from what
	// arrives then. May be nil.
	Active func() bool
	// Progress is told of bytes of content that were put in their place, copied or
	// sent, and, once that is known, of how many there are in all; may be nil.
	Progress func(n, total int64)
}

// Outcome is what became of a sync.
type Outcome string

// The outcomes.
const (
	Copied   Outcome = "copied"
	InSync   Outcome = "in-sync"
	Conflict Outcome = "conflict" // different content, and none is newer: nothing was copied
	Refused  Outcome = "refused"  // a rule or precondition does not hold: nothing was copied
	Failed   Outcome = "failed"

	WouldCopy Outcome = "would-copy" // of a dry run
)

// Result is the report of one LIM's sync.
type Result struct {
	LIM       int       `json:"lim"`
	Version   string    `json:"version"`   // newest one, under its name on the side it was copied to
	Direction Direction `json:"direction"` // DirectionNone when nothing was to be copied
	Result    Outcome   `json:"result"`
	Bytes     int64     `json:"bytes"`     // of the version
	SentBytes int64     `json:"sentBytes"` // that crossed the wire in its direction
	TookMs    int64     `json:"tookMs"`
	Error     *string   `json:"error"`
	// Writing is a version that another program may still be writing, which will be newer;
	// nil: none is.
	Writing *wire.Writing `json:"writing,omitempty"`

	Code fault.Code `json:"code"` // exit code of the error; 0: none

	whole *lineage.Version // that both sides have now; nil: none, or it is not known

	// SetAside is where the version lies that lost a conflict, on the side that had it.
	SetAside string `json:"setAside,omitempty"`
	// Removes are the old versions that a dry run found to be no longer needed then.
	Removes []Removal `json:"removes,omitempty"`
}

// Has tells whether both sides have a version after the sync, or one that follows it.
func (r *Result) Has(v *Version) bool {
	if r.whole == nil {
		return false
	}
	o := lineage.Compare(&v.line, r.whole)
	return o == lineage.Same || o == lineage.Older || v.line.Node == r.whole.Node
}

// Removal is an old version that would be removed.
type Removal struct {
	Side    clusterconf.Side `json:"side"`
	Version string           `json:"version"`
}

// Sync makes the newest version of a LIM the same on this server and on its
// peer: the newer one, by lineage or else by modification time, is copied, verified,
// made durable and only then made visible; old ones are removed. It holds the LIM's
// lock on both sides, from when the peer has answered. The caller closes peer; Sync
// closes it when ctx ends, or when nothing was heard of the peer for req.Idle.
//
// The Result is filled in whatever happens, and the error carries the code:
// fault.Conflict when the contents differ and none follows the other, or content does
// not match its hash, fault.Refused for clocks more than MaxSkew apart, a newest version
// with times in the future, directions that would overwrite newer data, and where there
// is no conflict to end, fault.NotFound where there is nothing to copy that way,
// fault.Busy, fault.Unreachable.
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
	if p := c.printed(); p != nil && req.Rate == 0 { // or the pipe fills faster than that
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

// outcomeOf classes an error.
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
	started Conn // the peer
	peer    Conn // the same, held to the rate
	link    *wire.Link
	req     Request
	result  Result
	looked  chan looked // nil once it was read
	newest  *opened     // of the newest complete version here; nil when there is none
	here    []seen      // the versions there are here

	own   *Version         // that was received; nil: the newest is still it
	whole *lineage.Version // that both sides have in the end; nil: none
	twin  *lineage.Version // what theirs says of itself, of the same content; nil: it was copied
	fits  *lineage.Version // what is older does not fit the cluster document, they say; nil: nothing
	ahead futureOn
}

// printed is what the peer prints into, if it is a program that we started.
func (c *client) printed() *os.File {
	if started, ok := c.started.(interface{ Output() *os.File }); ok {
		return started.Output()
	}
	return nil
}

// run carries the sync out. A login may take long, so nothing is locked before the peer
// has answered.
func (c *client) run(ctx context.Context, gone func(error)) error {
	if err := c.check(); err != nil {
		return err
	}
	before := c.store.standing(c.req.LIM)
	// Looking over what is here takes no longer than the other side's start.
	c.looked = make(chan looked, 1)
	go c.look(ctx)
	defer c.close()
	g, err := c.link.Meet(c.started)
	if err == nil {
		err = signs{c.store.Dir}.check(g.Sign)
	}
	if err != nil {
		return err
	}
	defer c.link.Watch(c.printed(), c.req.Idle, gone)()
	if !c.req.DryRun { // it would make a file
		release, err := c.store.lock(c.req.LIM, "sync")
		if err != nil {
			return err
		}
		defer release()
	}
	if !slices.Equal(before, c.store.standing(c.req.LIM)) {
		c.close() // another process was at the data during the login
		c.looked, c.newest = make(chan looked, 1), nil
		go c.look(ctx)
	}
	if err := c.agree(); err != nil {
		return err
	}
	if err := c.exchange(ctx); err != nil {
		return err
	}
	if err := c.tidy(); err != nil {
		return err
	}
	return c.leftBehind()
}

// standing tells the versions of a LIM from what they are after another process made,
// replaced or removed some. It is empty where there are none.
func (s *Store) standing(lim int) []string {
	entries, _ := os.ReadDir(s.Dir) // what is wrong is told by who looks at them
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

// looked is what there is here.
type looked struct {
	newest *opened
	here   []seen
	wire.Summary
	err error
}

// look looks over what is here, and begins to read what is not known of it: whichever
// way it goes, the other side's start leaves the time for it.
func (c *client) look(ctx context.Context) {
	var l looked
	l.newest, l.here, l.Summary, l.err = c.store.summarise(c.req.LIM)
	if l.newest != nil && !c.req.DryRun {
		if c.req.Rate == 0 {
			l.newest.prefetch(ctx, len(l.here) == 1, c.req.LastGood)
		}
		l.newest.Start(ctx)
	}
	c.looked <- l
}

// ours waits for what look finds.
func (c *client) ours() (wire.Summary, error) {
	l := <-c.looked
	c.looked, c.newest, c.here = nil, l.newest, l.here
	return l.Summary, l.err
}

// close closes what look opened.
func (c *client) close() {
	if c.looked != nil {
		_, _ = c.ours() // there was an error before
	}
	if c.newest != nil {
		c.newest.Close()
	}
}

// check refuses a request that makes no sense.
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

// agree makes sure that the peer's clock and ours agree. It asks for the LIM as well,
// for exchange.
func (c *client) agree() error {
	// Asked only now, when the other side is up and answers at once: a login
	// may take seconds. What is asked next, which takes longer, goes with it.
	asked := c.store.now()
	if err := cmp.Or(c.link.Put(wire.FrameClock), c.link.Send(wire.FrameOpen, wire.OpenRequest{LIM: c.req.LIM, Side: c.req.Side.Other()})); err != nil {
		return c.lost(err)
	}
	var theirs wire.Clock
	if err := c.link.ExpectJSON(wire.FrameClock, &theirs); err != nil {
		return err
	}
	ours := asked.Add(c.store.now().Sub(asked) / 2)
	if skew := theirs.Now.Sub(ours); skew.Abs() > MaxSkew {
		return fault.New(fault.Refused, clockHint, "the clocks are %s apart", skew.Abs().Round(time.Millisecond))
	}
	return nil
}

// lost finds out why a request could not be written: a peer that gave up has
// said why before it went.
func (c *client) lost(err error) error {
	if _, reason := c.link.Expect(wire.FrameError); reason != nil {
		return reason
	}
	return err
}

// expect tells how much is to be copied.
func (c *client) expect(total int64) {
	if c.req.Progress != nil {
		c.req.Progress(0, total)
	}
}

// wouldCopy reports what a dry run leaves undone.
func (c *client) wouldCopy(ours, theirs wire.Summary) {
	from := ours
	if c.result.Direction == towards(c.req.Side) {
		from = theirs
	}
	c.result.Version, c.result.Bytes, c.result.Result = from.Name, from.Bytes, WouldCopy
}

// pull copies from the peer.
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
	c.own, c.whole = &v, &v.line
	c.result.Version, c.result.Bytes, c.result.Result = v.Name, v.Bytes, Copied
	return nil
}

// push copies to the peer.
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
	c.newest.version.is(c.newest.Digest(), c.store.now()) // all of it was read to send it
	c.whole = &c.newest.version.line
	if d.Note != "" && c.store.Note != nil {
		c.store.Note("on the other side " + fault.Plain(d.Note))
	}
	c.result.Version, c.result.Bytes, c.result.Result = d.Name, c.newest.version.Bytes, Copied
	return nil
}

// sendFailed tells the peer why nothing more comes. A peer that gave up has
// said why, and that is worth more than "broken pipe".
func (c *client) sendFailed(err error) error {
	var lost wire.WriteError
	if errors.As(err, &lost) {
		return c.lost(err)
	}
	_ = c.link.Send(wire.FrameError, wire.EncodeError(err))
	return err
}

// counted tells of the content that was put in its place.
func (c *client) counted() tree.Counter {
	if c.req.Progress == nil {
		return nil
	}
	return func(n int64) { c.req.Progress(n, 0) }
}

// tidy ends a sync that went well, here and on the peer.
func (c *client) tidy() error {
	p, err := c.store.files(c.req.LIM).pair()
	if err != nil {
		return err
	}
	end := wire.Bye{Whole: c.whole, Fits: p.Fits, Dry: c.req.DryRun}
	if c.fits != nil && (p.Fits == nil || lineage.Compare(c.fits, p.Fits) == lineage.Newer) {
		end.Fits = c.fits
	}
	if err := c.link.Send(wire.FrameBye, end); err != nil {
		return c.lost(err)
	}
	a := afterSync{Bye: end, lim: c.req.LIM, side: c.req.Side, own: c.own, active: c.req.Active}
	if a.own == nil && c.newest != nil {
		a.own = &c.newest.version
	}
	if c.twin != nil {
		a.Whole = c.twin
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
	c.result.whole = c.whole
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

// wouldRemove adds to what a dry run says.
func (c *client) wouldRemove(side clusterconf.Side, names []string) {
	for _, name := range names {
		c.result.Removes = append(c.result.Removes, Removal{Side: side, Version: fault.Plain(name)})
	}
}

// leftBehind is the error of a version that is newer than all that were copied, and stays
// where it is because of its times.
func (c *client) leftBehind() error {
	f := c.ahead
	if f.FutureVersion == nil || c.whole != nil && superseded(&f.Line, c.whole) {
		return nil
	}
	c.result.Result = Refused
	return fromFuture(f.FutureVersion, f.side, c.store.now())
}
