package xdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mxcluster/internal/fault"
)

// Conn is a connection to a [Serve] on another server. Close ends reads and
// writes that wait, and may be called more than once and from any goroutine.
type Conn interface {
	io.ReadWriteCloser
}

// Request asks for the versions of one LIM to be made the same on two servers.
type Request struct {
	LIM       int
	Side      Side      // of the store given to Sync; the peer is the other
	Direction Direction // "" is DirectionAuto
	DryRun    bool      // compare the two sides, copy and remove nothing
	Rate      int64     // bytes a second at most; 0: no limit

	// Progress is told of bytes that went either way, and, once that is known,
	// of how many there are at most in all; may be nil.
	Progress func(n, total int64)
}

// Outcome is what became of a sync.
type Outcome string

// The outcomes.
const (
	Copied   Outcome = "copied"
	InSync   Outcome = "in-sync"
	Conflict Outcome = "conflict" // equal times, different content: nothing was copied
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

	Code fault.Code `json:"code"` // exit code of the error; 0: none
}

// Sync makes the newest version of a LIM the same on this server and on its
// peer: the newer one, by modification time, is copied, verified, made durable
// and only then made visible; old ones are removed. It holds the LIM's lock on
// both sides. The caller closes peer; Sync closes it when ctx ends.
//
// The Result is filled in whatever happens, and the error carries the code:
// fault.Conflict when times are equal and contents are not or content does not
// match its hash, fault.Refused for clocks more than MaxSkew apart, times in the
// future and directions that would overwrite newer data, fault.NotFound where
// there is nothing to copy, fault.Busy, fault.Unreachable.
func Sync(ctx context.Context, store *Store, peer Conn, req Request) (Result, error) {
	peer = meter(peer, req)
	stop := context.AfterFunc(ctx, func() { peer.Close() })
	defer stop()
	if req.Direction == "" {
		req.Direction = DirectionAuto
	}
	c := &client{store: store, peer: peer, link: newLink(peer, peer), req: req,
		result: Result{LIM: req.LIM, Direction: DirectionNone}}
	began := time.Now()
	err := c.run(ctx)
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
	case errors.Is(err, errSameTime):
		return Conflict
	case code == fault.Refused || code == fault.NotFound || code == fault.NotPermitted:
		return Refused
	}
	return Failed
}

// errSameTime marks the conflict that only a person can resolve.
var errSameTime = errors.New("the newest versions have the same time and different content")

// client is the state of one Sync.
type client struct {
	store  *Store
	peer   Conn
	link   *link
	req    Request
	result Result
	newest *Version // complete one here; nil when there is none
}

// run carries the sync out.
func (c *client) run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if !c.req.DryRun { // it would make a file
		release, err := c.store.lock(c.req.LIM, "sync")
		if err != nil {
			return err
		}
		defer release()
	}
	if err := c.handshake(); err != nil {
		return err
	}
	if err := c.exchange(ctx); err != nil || c.req.DryRun {
		return err // no goodbye after a dry run: old versions go with it
	}
	return c.tidy()
}

// check refuses a request that makes no sense.
func (c *client) check() error {
	switch d := c.req.Direction; {
	case c.req.LIM < 1:
		return fault.New(fault.Usage, "", "no LIM %d", c.req.LIM)
	case c.req.Side != SideRegular && c.req.Side != SideStandby:
		return fault.New(fault.Usage, "", "no side %q", c.req.Side)
	case d != DirectionAuto && d != DirectionToStandby && d != DirectionToRegular:
		return fault.New(fault.Usage, "use auto, to-standby or to-regular", "no direction %q", d)
	}
	return nil
}

// handshake makes sure that a peer is there that can be understood, and that
// its clock and ours agree.
func (c *client) handshake() error {
	var g greeting
	err := c.link.expectJSON(frameGreeting, &g)
	if errors.Is(err, errProtocol) {
		return fault.Wrap(err, fault.Failed,
			"make sure that a login there prints nothing of its own, and that mxcluster is of the same version",
			"the answer is not that of 'mxcluster xdata serve'")
	}
	if err != nil {
		return err
	}
	if g.Magic != protocolMagic || g.Version != protocolVersion {
		return violation("protocol %.20q version %d; this is version %d", g.Magic, g.Version, protocolVersion)
	}
	// Asked only now, when the other side is up and answers at once: a login
	// may take seconds.
	asked := c.store.now()
	if err := c.link.send(frameClock, nil); err != nil {
		return c.lost(err)
	}
	var theirs clock
	if err := c.link.expectJSON(frameClock, &theirs); err != nil {
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
	if _, reason := c.link.expect(frameError); reason != nil {
		return reason
	}
	return err
}

// exchange finds the direction and copies.
func (c *client) exchange(ctx context.Context) error {
	if err := c.link.send(frameOpen, openRequest{LIM: c.req.LIM, Side: c.req.Side.other()}); err != nil {
		return c.lost(err)
	}
	var theirs summary
	if err := c.link.expectJSON(frameOpen, &theirs); err != nil {
		return err
	}
	newest, ours, err := c.store.summarise(c.req.LIM)
	if err != nil {
		return err
	}
	c.newest = newest
	regular, standby := ours, theirs
	if c.req.Side == SideStandby {
		regular, standby = theirs, ours
	}
	way, err := decide(regular, standby, c.req.Direction, c.store.now())
	if err != nil {
		return err
	}
	c.result.Direction = way
	switch {
	case way == DirectionNone:
		return c.compare(ctx, ours)
	case c.req.DryRun:
		c.wouldCopy(ours, theirs)
		return nil
	case way == towards(c.req.Side):
		c.expect(theirs.Bytes)
		return c.pull(ctx)
	}
	c.expect(ours.Bytes)
	return c.push(ctx)
}

// expect tells how much is to be copied.
func (c *client) expect(total int64) {
	if c.req.Progress != nil {
		c.req.Progress(0, total)
	}
}

// wouldCopy reports what a dry run leaves undone.
func (c *client) wouldCopy(ours, theirs summary) {
	from := ours
	if c.result.Direction == towards(c.req.Side) {
		from = theirs
	}
	c.result.Version, c.result.Bytes, c.result.Result = from.Name, from.Bytes, WouldCopy
}

// compare tells versions of one time apart by their content.
func (c *client) compare(ctx context.Context, ours summary) error {
	c.result.Version, c.result.Bytes = ours.Name, ours.Bytes
	if err := c.link.send(frameDigest, nil); err != nil {
		return c.lost(err)
	}
	// Both sides read and hash meanwhile.
	s, err := openSnapshot(ctx, *c.newest)
	if err != nil {
		return err
	}
	defer s.root.Close()
	if err := c.store.vouch(s); err != nil {
		return err
	}
	var theirs digestMessage
	if err := c.link.expectJSON(frameDigest, &theirs); err != nil {
		return err
	}
	if !bytes.Equal(theirs.Digest, s.manifest.digest()) {
		return fault.Wrap(errSameTime, fault.Conflict,
			"find out which side is right, and give a file there a newer time, as with touch",
			"version %s", ours.Name)
	}
	c.result.Result = InSync
	return nil
}

// pull copies from the peer.
func (c *client) pull(ctx context.Context) error {
	if err := c.link.send(framePull, nil); err != nil {
		return c.lost(err)
	}
	before := c.link.read
	v, err := c.store.receive(ctx, c.link, c.req.LIM)
	c.result.SentBytes = c.link.read - before
	if err != nil {
		return err
	}
	c.result.Version, c.result.Bytes, c.result.Result = v.Name, v.Bytes, Copied
	return nil
}

// push copies to the peer.
func (c *client) push(ctx context.Context) error {
	s, err := openSnapshot(ctx, *c.newest)
	if err != nil {
		return err
	}
	defer s.root.Close()
	if err := c.store.vouch(s); err != nil {
		return err
	}
	if err := c.link.send(framePush, nil); err != nil {
		return c.lost(err)
	}
	if _, err := c.link.expect(framePush); err != nil {
		return err
	}
	before := c.link.written
	answer := c.await()
	err = s.send(ctx, c.link)
	c.result.SentBytes = c.link.written - before
	if err != nil {
		return c.sendFailed(err, answer)
	}
	a := <-answer
	if a.err != nil {
		return a.err
	}
	c.result.Version, c.result.Bytes, c.result.Result = a.done.Name, c.newest.Bytes, Copied
	return nil
}

// reply is what the receiver says of a version.
type reply struct {
	done done
	err  error
}

// await reads the receiver's answer while the version is still being sent: a
// receiver that refuses it says so and reads no further, and sending to it
// would then never end. Closing the connection ends it.
func (c *client) await() <-chan reply {
	answer := make(chan reply, 1)
	go func() {
		var a reply
		if a.err = c.link.expectJSON(frameDone, &a.done); a.err != nil {
			c.peer.Close()
		}
		answer <- a
	}()
	return answer
}

// sendFailed finds out why sending failed. A receiver that gave up has said
// why, and that is worth more than "broken pipe".
func (c *client) sendFailed(err error, answer <-chan reply) error {
	var wire wireError
	if !errors.As(err, &wire) {
		_ = c.link.send(frameError, encodeError(err))
		c.peer.Close()
		<-answer
		return err
	}
	if a := <-answer; a.err != nil {
		return a.err
	}
	return err
}

// tidy ends a sync that went well, here and on the peer.
func (c *client) tidy() error {
	if err := c.link.send(frameBye, nil); err != nil {
		return c.lost(err)
	}
	var d done
	if err := c.link.expectJSON(frameDone, &d); err != nil {
		return fmt.Errorf("data is in place, but old versions were not removed there: %w", err)
	}
	if _, err := c.store.prune(c.req.LIM, c.req.Side.Keep()); err != nil {
		return fmt.Errorf("data is in place, but old versions were not removed here: %w", err)
	}
	return nil
}
