package xdata

import (
	"bytes"
	"cmp"
	"context"
	"errors"

	"mxcluster/clusterconf"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/wire"
)

// exchange finds the direction and copies.
func (c *client) exchange(ctx context.Context) error {
	var theirs wire.Summary
	if err := c.link.ExpectJSON(wire.FrameOpen, &theirs); err != nil {
		return err
	}
	ours, err := c.ours()
	if err := cmp.Or(err, theirs.Valid()); err != nil {
		return err
	}
	c.result.Writing = stillWritten(c.req.Side, ours, theirs)
	c.fits = theirs.Fits
	c.ahead = newestFuture(c.pair(ours, theirs))
	if ours.Name == "" && theirs.Name == "" {
		return c.nothing(ours, theirs)
	}
	order, err := c.order(ctx, &ours, &theirs)
	if err != nil {
		return err
	}
	c.whole = &ours.Line
	if order == lineage.Older {
		c.whole = &theirs.Line
	}
	regular, standby := c.pair(ours, theirs)
	if c.req.Side == clusterconf.SideStandby {
		order = order.Reverse()
	}
	if c.req.Keep != "" {
		if order != lineage.Apart {
			return noConflict(regular, standby, order)
		}
		return c.keep(ctx, ours, theirs)
	}
	way, err := decide(regular, standby, order, c.req.Direction)
	if err == nil {
		err = c.over(way, regular, standby)
	}
	if errors.Is(err, errConflict) {
		err = c.conflict(err, ours, theirs)
	}
	if err != nil {
		return err
	}
	return c.copy(ctx, way, ours, theirs)
}

// over refuses to copy over a version with a file from the future that may be newer.
func (c *client) over(way Direction, regular, standby wire.Summary) error {
	from, to, side := regular, standby, clusterconf.SideStandby
	if way == DirectionToRegular {
		from, to, side = standby, regular, clusterconf.SideRegular
	}
	if way == DirectionNone || to.Future == nil || superseded(&to.Future.Line, &from.Line) {
		return nil
	}
	c.result.Version = to.Future.Local
	return fromFuture(to.Future, side, c.store.now())
}

// nothing ends a sync of a LIM that has no version to copy. To have no data is no failure.
func (c *client) nothing(ours, theirs wire.Summary) error {
	regular, standby := c.pair(ours, theirs)
	switch {
	case c.ahead.FutureVersion != nil:
		c.result.Version = c.ahead.Local
		return nil
	case c.req.Keep != "":
		return noConflict(regular, standby, lineage.Same)
	}
	err := nothingToCopy(regular, standby)
	if err == nil {
		c.result.Result = InSync
	}
	return err
}

// pair returns what the regular side and the standby have.
func (c *client) pair(ours, theirs wire.Summary) (regular, standby wire.Summary) {
	if c.req.Side == clusterconf.SideStandby {
		return theirs, ours
	}
	return ours, theirs
}

// copy copies, if there is anything to copy.
func (c *client) copy(ctx context.Context, way Direction, ours, theirs wire.Summary) error {
	c.result.Direction = way
	if way == towards(c.req.Side) {
		if err := c.dropPrefetch(); err != nil {
			return err
		}
	}
	switch {
	case way == DirectionNone:
		c.twin = &theirs.Line
		c.result.Version, c.result.Bytes, c.result.Result = ours.Name, ours.Bytes, InSync
		return nil
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

func (c *client) dropPrefetch() error {
	if c.newest == nil {
		return nil
	}
	return c.newest.DropPrefetch()
}

// futureOn is a version from the future, and where it is.
type futureOn struct {
	*wire.FutureVersion // nil: there is none
	side                clusterconf.Side
}

// newestFuture returns the newest version that is not copied because of its times.
func newestFuture(regular, standby wire.Summary) futureOn {
	a := futureOn{regular.Future, clusterconf.SideRegular}
	if f := standby.Future; f != nil && (a.FutureVersion == nil || lineage.Compare(&f.Line, &a.Line) == lineage.Newer) {
		a = futureOn{f, clusterconf.SideStandby}
	}
	return a
}

// order tells how our newest version stands to theirs. Contents are compared where that
// does not show, or where one is not known that is said to be the same; they are read
// only as far as they changed since they were last read.
func (c *client) order(ctx context.Context, ours, theirs *wire.Summary) (lineage.Order, error) {
	order, grown := orderOf(*ours, *theirs), grownSince(*ours, *theirs)
	if grown != lineage.Unknown {
		order = lineage.Unknown
	}
	if order == lineage.Newer || order == lineage.Older || order == lineage.Apart {
		return order, nil
	}
	if err := c.dropPrefetch(); err != nil {
		return order, err
	}
	if theirs.Digest == nil {
		if err := c.link.Send(wire.FrameDigest, nil); err != nil {
			return order, c.lost(err)
		}
	}
	if err := c.newest.ReadAll(ctx); err != nil { // both sides read meanwhile
		return order, err
	}
	if ours.Digest == nil {
		ours.Digest = c.newest.Digest()
	}
	if theirs.Digest == nil {
		var d wire.DigestMessage
		if err := c.link.ExpectJSON(wire.FrameDigest, &d); err != nil {
			return order, err
		}
		theirs.Digest = d.Digest
	}
	ours.Is(ours.Digest)
	theirs.Is(theirs.Digest)
	c.newest.version.is(ours.Digest, c.store.now())
	if grown != lineage.Unknown && !bytes.Equal(ours.Digest, theirs.Digest) {
		return grown, nil
	}
	return orderOf(*ours, *theirs), nil
}

// conflict remembers a conflict on both sides, so that neither removes its version.
func (c *client) conflict(found error, ours, theirs wire.Summary) error {
	c.result.Version, c.result.Bytes = ours.Name, ours.Bytes
	if c.req.DryRun {
		return found
	}
	if err := c.store.files(c.req.LIM).noteConflict(c.store.now().UTC(), &ours.Line, &theirs.Line); err != nil {
		return err
	}
	if err := c.link.Send(wire.FrameConflict, wire.Line{Line: ours.Line}); err != nil {
		return c.lost(err)
	}
	var d wire.Done
	if err := c.link.ExpectJSON(wire.FrameDone, &d); err != nil {
		return err
	}
	return found
}

// keep ends a conflict: the side that is kept makes a version that follows both, which is
// copied to the other. What that one had is set aside with the goodbye.
func (c *client) keep(ctx context.Context, ours, theirs wire.Summary) error {
	if err := c.dropPrefetch(); err != nil {
		return err
	}
	way := towards(c.req.Keep.Other())
	c.result.Direction = way
	if c.req.DryRun {
		c.wouldCopy(ours, theirs)
		c.whole = nil
		return nil
	}
	if c.req.Keep != c.req.Side {
		if err := c.link.Send(wire.FrameKeep, wire.Line{Line: ours.Line}); err != nil {
			return c.lost(err)
		}
		if err := c.link.ExpectJSON(wire.FrameOpen, &theirs); err != nil {
			return err
		}
		if err := theirs.Valid(); err != nil {
			return err
		}
		c.whole = &theirs.Line
		return c.copy(ctx, way, ours, theirs)
	}
	if err := c.store.resolve(ctx, c.newest, &theirs.Line); err != nil {
		return err
	}
	c.newest.Close()
	var err error
	if c.newest, c.here, ours, err = c.store.summarise(c.req.LIM); err != nil {
		return err
	}
	c.whole = &ours.Line
	return c.copy(ctx, way, ours, theirs)
}
