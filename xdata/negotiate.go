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

// negotiate compares the versions of both sides, chooses the direction, and copies.
func (c *client) negotiate(ctx context.Context) error {
	var theirs wire.Summary
	if err := c.link.ExpectJSON(wire.FrameOpen, &theirs); err != nil {
		return err
	}
	ours, err := c.ours()
	if err := cmp.Or(err, theirs.Valid()); err != nil {
		return err
	}
	c.result.Writing = stillWritten(c.req.Side, ours, theirs)
	c.oldestCompatible = theirs.OldestCompatible
	c.future = newestFuture(c.bySide(ours, theirs))
	if ours.Name == "" && theirs.Name == "" {
		return c.endWithoutData(ours, theirs)
	}
	order, err := c.order(ctx, &ours, &theirs)
	if err != nil {
		return err
	}
	c.common = &ours.Line
	if order == lineage.Older {
		c.common = &theirs.Line
	}
	regular, standby := c.bySide(ours, theirs)
	if c.req.Side == clusterconf.SideStandby {
		order = order.Reverse()
	}
	if c.req.Keep != "" {
		if order != lineage.Apart {
			return noConflictError(regular, standby, order)
		}
		return c.keep(ctx, ours, theirs)
	}
	way, err := decide(regular, standby, order, c.req.Direction)
	if err == nil {
		err = c.checkFuture(way, regular, standby)
	}
	if errors.Is(err, errConflict) {
		err = c.conflict(err, ours, theirs)
	}
	if err != nil {
		return err
	}
	return c.copy(ctx, way, ours, theirs)
}

// checkFuture refuses to overwrite the side with a version from the future that may be newer. Such
// a version is not copied itself.
func (c *client) checkFuture(way Direction, regular, standby wire.Summary) error {
	from, to, side := regular, standby, clusterconf.SideStandby
	if way == DirectionToRegular {
		from, to, side = standby, regular, clusterconf.SideRegular
	}
	if way == DirectionNone || to.Future == nil || superseded(&to.Future.Line, &from.Line) {
		return nil
	}
	c.result.Version = to.Future.Local
	return futureError(to.Future, side, c.store.now())
}

// endWithoutData ends a sync for which no side has a version to copy. That a LIM has no data at all
// is no failure.
func (c *client) endWithoutData(ours, theirs wire.Summary) error {
	regular, standby := c.bySide(ours, theirs)
	switch {
	case c.future.FutureVersion != nil:
		c.result.Version = c.future.Local
		return nil
	case c.req.Keep != "":
		return noConflictError(regular, standby, lineage.Same)
	}
	err := nothingToCopy(regular, standby)
	if err == nil {
		c.result.Result = InSync
	}
	return err
}

// bySide orders what the two ends have into that of the regular side and that of the standby.
func (c *client) bySide(ours, theirs wire.Summary) (regular, standby wire.Summary) {
	if c.req.Side == clusterconf.SideStandby {
		return theirs, ours
	}
	return ours, theirs
}

// copy copies in a direction, and ends the sync.
func (c *client) copy(ctx context.Context, way Direction, ours, theirs wire.Summary) error {
	c.result.Direction = way
	if way == towards(c.req.Side) {
		if err := c.dropPrefetch(); err != nil {
			return err
		}
	}
	switch {
	case way == DirectionNone:
		c.sameContent = &theirs.Line
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

// futureOn is a version with a file from the future, and the side that has it.
type futureOn struct {
	*wire.FutureVersion // nil: there is none
	side                clusterconf.Side
}

// newestFuture returns the newest of the versions with a file from the future.
func newestFuture(regular, standby wire.Summary) futureOn {
	a := futureOn{regular.Future, clusterconf.SideRegular}
	if f := standby.Future; f != nil && (a.FutureVersion == nil || lineage.Compare(&f.Line, &a.Line) == lineage.Newer) {
		a = futureOn{f, clusterconf.SideStandby}
	}
	return a
}

// order compares the newest version here with theirs. Where lineage and times do not decide, or an
// expected equality has to be proven, contents are compared: each side reads what changed since it
// was last read.
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
	if err := c.newest.ReadAll(ctx); err != nil { // the other side reads at the same time
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
	ours.SetContent(ours.Digest)
	theirs.SetContent(theirs.Digest)
	c.newest.version.setContent(ours.Digest, c.store.now())
	if grown != lineage.Unknown && !bytes.Equal(ours.Digest, theirs.Digest) {
		return grown, nil
	}
	return orderOf(*ours, *theirs), nil
}

// conflict records a conflict on both sides, so that neither removes its version.
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

// keep ends a conflict: the side whose version is kept makes a version that follows both, which is
// copied to the other side. The other side's version is set aside at the end of the sync.
func (c *client) keep(ctx context.Context, ours, theirs wire.Summary) error {
	if err := c.dropPrefetch(); err != nil {
		return err
	}
	way := towards(c.req.Keep.Other())
	c.result.Direction = way
	if c.req.DryRun {
		c.wouldCopy(ours, theirs)
		c.common = nil
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
		c.common = &theirs.Line
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
	c.common = &ours.Line
	return c.copy(ctx, way, ours, theirs)
}
