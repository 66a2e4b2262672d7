package xdata

import (
	"context"
	"errors"
	"slices"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/transfer"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// incoming is the receiving side of a version's transfer into the store. The peer is not trusted:
// what it announces is checked against bounds and against the versions here.
type incoming struct {
	store   *Store
	link    *wire.Link
	lim     int
	here    []observed   // the versions on this side, inspected under the lock
	active  func() bool  // whether the LIM runs here, so that the arriving version does not become the head; may be nil
	opened  *opened      // the newest complete one of here; nil: none
	counted tree.Counter // of content written; may be nil
	head    wire.VersionHead
	content int64              // bytes written, without holes
	got     *transfer.Receiver // assembles the version
}

// receive takes a version and makes it visible. It must be newer than the newest one here. The
// caller holds the LIM's lock.
//
// After an interrupted transfer, what arrived stays, invisible, for the next transfer to use; what
// was refused is removed.
func (r *incoming) receive(ctx context.Context) (Version, error) {
	if err := r.readHead(); err != nil {
		return Version{}, err
	}
	own, err := r.findSources(ctx)
	if err != nil {
		return Version{}, err
	}
	defer own.Close()
	if err := own.Send(r.link, r.head.Known); err != nil {
		return Version{}, err
	}
	g, err := r.store.stage(r.lim, partialPrefix(r.lim))
	if err != nil {
		return Version{}, err
	}
	v, err := r.assemble(ctx, g, own)
	switch {
	case err == nil:
		g.close()
		r.store.note(&r.got.Dropped)
		r.store.partials(r.lim).remove()
		err = r.removeReplaced()
	case interrupted(err) && len(r.got.Manifest.Entries) > 0:
		g.close()
		err = noRoom(err, r.store.Dir)
	default:
		g.discard()
	}
	return v, err
}

// interrupted tells whether an error, such as a lost connection, leaves what arrived usable. After
// a violation of the protocol or a wrong hash it is not.
func interrupted(err error) bool {
	return !errors.Is(err, manifest.ErrProtocol) && fault.CodeOf(err) != fault.Conflict && fault.CodeOf(err) != fault.Refused
}

// assemble receives the files and makes the version visible.
func (r *incoming) assemble(ctx context.Context, g *staging, own *transfer.Sources) (Version, error) {
	r.got = &transfer.Receiver{Link: r.link, Head: r.head, Own: own, Root: g.root, Flush: g.flush, Counted: r.counted, CountContent: r.countContent}
	if err := r.got.Receive(ctx); err != nil {
		return Version{}, err
	}
	if r.head.Foreign && r.head.Record == nil {
		g.from = r.head.Name
	}
	_, stamp, _ := parseName(r.head.Name)
	now := r.store.now().UTC()
	g.record, g.arrives = r.record, true
	g.names.addVersions(r.here)
	p, err := r.store.files(r.lim).pair()
	if err != nil {
		return Version{}, err
	}
	g.names.add(p.Given...)
	v, err := g.commit(stamp, &r.got.Manifest, &now)
	if err != nil || r.active != nil && r.active() {
		return v, err
	}
	return v, r.store.files(r.lim).setHead(&v.line)
}

// record returns what the version says of itself under its name here. For a version of another
// program that got a new name it includes the original one.
func (r *incoming) record(name string) *manifest.Record {
	if r.head.Record == nil && name != r.head.Name {
		return &manifest.Record{Version: lineage.Version{Node: lineage.Node{Name: r.head.Name}}}
	}
	return r.head.Record
}

// line is the lineage that the announced version states, with its time.
func (r *incoming) line() *lineage.Version {
	v := Version{Name: r.head.Name, Stamp: nameStamp(r.head.Name), NewestMtime: time.Unix(0, r.head.Mtime)}
	v.describe(r.head.Record, r.store.now())
	return &v.line
}

// readHead reads the announcement and decides whether the version is accepted.
func (r *incoming) readHead() error {
	if err := r.link.ExpectJSON(wire.FrameHead, &r.head); err != nil {
		return err
	}
	h := &r.head
	if lim, _, ok := parseName(h.Name); !ok || lim != r.lim {
		return manifest.Violation("a version named %q for LIM %d", h.Name, r.lim)
	}
	if h.Top.Mode&^manifest.KeptMode(true) != 0 {
		return manifest.Violation("the mode %o of the version", h.Top.Mode)
	}
	if err := h.Top.Xattrs.Check(true); err != nil {
		return err
	}
	if err := manifest.CheckCounts(h.Entries, h.Bytes); err != nil {
		return err
	}
	if h.Content < 0 || h.Content > h.Bytes {
		return manifest.Violation("%d of %d bytes", h.Content, h.Bytes)
	}
	if h.Record != nil {
		if err := h.Record.Valid(); err != nil {
			return err
		}
	}
	if err := r.checkNewer(); err != nil {
		return err
	}
	return r.checkSpace()
}

// checkSpace refuses a version that does not fit on the disk. Leftovers of interrupted transfers
// are removed where that makes it fit.
func (r *incoming) checkSpace() error {
	v := volume{bytes: r.head.Bytes, content: r.head.Content, files: r.head.Entries}
	left := r.store.partials(r.lim)
	err := r.store.checkSpace(v)
	if err == nil || len(left.folders()) == 0 {
		return err
	}
	left.remove()
	return r.store.checkSpace(v)
}

// countContent counts content. The announced amount is an estimate from the sender's disk usage;
// when it is exceeded, there must be room for the full size.
func (r *incoming) countContent(n int64) error {
	was := r.content
	r.content += n
	if was > r.head.Content || r.content <= r.head.Content {
		return nil
	}
	return r.store.checkSpace(volume{bytes: r.head.Bytes, content: r.head.Bytes - was, files: r.head.Entries})
}

// checkNewer refuses to overwrite newer data. The peer may have chosen the direction, so its choice
// is not relied on.
func (r *incoming) checkNewer() error {
	now := r.store.now()
	if r.head.Mtime > manifest.Nanoseconds(now.Add(MaxSkew)) {
		return fault.New(fault.Refused, clockHint, "version %s has a file from the future: %s",
			r.head.Name, stampOf(r.head.Mtime))
	}
	if r.opened == nil {
		return nil
	}
	v, theirs := r.opened.version, r.line()
	if r.replaces(&v) {
		return nil
	}
	switch lineage.Compare(theirs, &v.line) {
	case lineage.Newer:
		return nil
	case lineage.Unknown:
		if theirs.Time > v.line.Time { // content was compared before
			return nil
		}
	}
	return fault.New(fault.Refused, "synchronise again", "version %s of %s is not newer than %s of %s",
		r.head.Name, stampOf(r.head.Mtime), v.Name, stampOf(manifest.Nanoseconds(v.NewestMtime)))
}

// findSources opens the local versions and leftovers that chunks can be copied from. The caller
// closes them.
func (r *incoming) findSources(ctx context.Context) (*transfer.Sources, error) {
	own := &transfer.Sources{}
	// A damaged version is good enough: each file is verified after it was assembled.
	i := slices.IndexFunc(r.here, func(v observed) bool { return v.Complete || v.Damage != "" })
	if i >= 0 {
		if err := own.Add(ctx, r.open(r.here[i])); err != nil {
			own.Close()
			return nil, err
		}
	}
	for _, dir := range r.store.partials(r.lim).folders() {
		err := own.AddPartial(ctx, dir, r.head.Bytes)
		if err != nil && (context.Cause(ctx) != nil || !tree.IsOfFile(err)) {
			own.Close()
			return nil, err
		} // a leftover that cannot be read is not used
	}
	return own, nil
}

// open opens a version as a source; nil where it cannot be used.
func (r *incoming) open(v observed) *transfer.Snapshot {
	if r.opened != nil && r.opened.version.Name == v.Name {
		return r.opened.Snapshot
	}
	o, err := r.store.openVersion(v)
	if err != nil {
		return nil
	}
	return o.Snapshot
}
