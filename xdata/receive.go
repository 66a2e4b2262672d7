package xdata

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// receiver takes a version from a peer that is not trusted: what it announces
// is held against bounds, what it sends against what it announced, and nothing
// is written outside of the staging folder.
type receiver struct {
	store    *Store
	link     *wire.Link
	lim      int
	here     []seen       // the versions that this side has, as they were seen under the lock
	active   func() bool  // whether the LIM runs here: its data do not come from what arrives then; may be nil
	opened   *snapshot    // the newest complete one of them; nil: none
	counted  tree.Counter // of content put together; may be nil
	head     wire.VersionHead
	manifest manifest.Manifest
	content  int64 // bytes put together that are no holes
	unkept   tree.Dropped
}

// receive takes a version and makes it visible. It must be newer than the
// newest one here. The caller holds the LIM's lock.
//
// What has arrived of a version whose transfer is interrupted stays, invisible,
// for the next one to use; of one that is refused nothing does.
func (r *receiver) receive(ctx context.Context) (Version, error) {
	if err := r.readHead(); err != nil {
		return Version{}, err
	}
	r.manifest.Top = r.head.Top
	own, err := r.findSources(ctx)
	if err != nil {
		return Version{}, err
	}
	defer own.close()
	if err := own.send(r.link, r.head.Known); err != nil {
		return Version{}, err
	}
	g, err := r.store.stage(r.lim, partialPrefix(r.lim))
	if err != nil {
		return Version{}, err
	}
	v, err := r.fill(ctx, g, own)
	switch {
	case err == nil:
		g.close()
		r.store.note(&r.unkept)
		r.store.removePartials(r.lim)
		err = r.removeReplaced()
	case interrupted(err) && len(r.manifest.Entries) > 0:
		g.close()
		err = noRoom(err, r.store.Dir)
	default:
		g.discard()
	}
	return v, err
}

// interrupted tells whether an error says nothing about what has arrived. A
// peer that lied, or content that differs, is no start for another time.
func interrupted(err error) bool {
	return !errors.Is(err, manifest.ErrProtocol) && fault.CodeOf(err) != fault.Conflict && fault.CodeOf(err) != fault.Refused
}

// fill puts the version together and makes it visible.
func (r *receiver) fill(ctx context.Context, g *staging, own *sources) (Version, error) {
	w := newWriters(g, &r.manifest, &r.unkept)
	b := &builder{ctx: ctx, r: r, own: own, root: g.root, to: tree.Opener{Root: g.root, Dropped: &r.unkept}, writers: w, admission: manifest.Admit(r.head.Announced())}
	err := b.build()
	b.to.Close()
	if err := cmp.Or(err, w.close()); err != nil {
		return Version{}, err
	}
	if err := r.settle(ctx, g, b); err != nil {
		return Version{}, err
	}
	if err := tree.SetAllDirAttributes(&tree.Opener{Root: g.root, Dropped: &r.unkept}, &r.manifest); err != nil {
		return Version{}, err
	}
	if r.head.Foreign && r.head.Record == nil {
		g.from = r.head.Name
	}
	_, stamp, _ := parseName(r.head.Name)
	now := r.store.now().UTC()
	g.record, g.arrives = r.says, true
	g.names.add(r.here)
	if err := r.store.givenNames(r.lim, &g.names); err != nil {
		return Version{}, err
	}
	v, err := g.commit(stamp, &r.manifest, &now)
	if err != nil || r.active != nil && r.active() {
		return v, err
	}
	return v, r.store.setHead(r.lim, &v.line)
}

// says returns what a version says of itself under its name here: another program's, when
// the name was taken, which one it had.
func (r *receiver) says(name string) *manifest.Record {
	if r.head.Record == nil && name != r.head.Name {
		return &manifest.Record{Version: lineage.Version{Node: lineage.Node{Name: r.head.Name}}}
	}
	return r.head.Record
}

// line is what the version that is announced says of itself, and how old it is.
func (r *receiver) line() *lineage.Version {
	v := Version{Name: r.head.Name, Stamp: nameStamp(r.head.Name), NewestMtime: time.Unix(0, r.head.Mtime)}
	v.describe(r.head.Record, r.store.now())
	return &v.line
}

// settle asks again, once, for files that did not come out as they should.
func (r *receiver) settle(ctx context.Context, g *staging, b *builder) error {
	if len(b.bad) > maxWant {
		return mismatch("%d files do not match their hashes", len(b.bad))
	}
	again := b.bad
	if err := r.link.Send(wire.FrameWant, wire.Want{Files: again}); err != nil || len(again) == 0 {
		return err
	}
	w := newWriters(g, &r.manifest, &r.unkept)
	b = &builder{ctx: ctx, r: r, own: &sources{}, root: g.root, to: tree.Opener{Root: g.root, Dropped: &r.unkept}, writers: w, admission: b.admission, again: again}
	err := b.build()
	b.to.Close()
	if err := cmp.Or(err, w.close()); err != nil {
		return err
	}
	if len(b.bad) > 0 || len(b.again) > 0 {
		return mismatch("the content of %q does not match its hash", r.manifest.Entries[again[0]].Path)
	}
	return r.link.Send(wire.FrameWant, wire.Want{})
}

// maxWant keeps the list of files within a message.
const maxWant = 5000

// readHead reads the announcement and decides whether to take the version.
func (r *receiver) readHead() error {
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
	return r.store.checkSpaceAfterPartials(r.lim, h)
}

// filled counts content. A peer can only tell by the room that its files take there how much
// there is; when it turns out to be more, there must be room for all.
func (r *receiver) filled(n int64) error {
	was := r.content
	r.content += n
	if was > r.head.Content || r.content <= r.head.Content {
		return nil
	}
	return r.store.checkSpace(volume{bytes: r.head.Bytes, content: r.head.Bytes - was, files: r.head.Entries})
}

// checkNewer holds the rule that nothing newer is overwritten against the
// peer's word too, who may have chosen the direction.
func (r *receiver) checkNewer() error {
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

// checkEnd checks the hash of the whole.
func (r *receiver) checkEnd(payload []byte) error {
	var end wire.DigestMessage
	if err := wire.DecodeJSON(payload, &end); err != nil {
		return err
	}
	digest := r.manifest.Digest()
	if !bytes.Equal(end.Digest, digest) {
		return mismatch("the version does not match its hash")
	}
	if says := r.head.Record; says != nil && says.Made && says.Node.Content != hex.EncodeToString(digest) {
		return mismatch("the version is not what it says it was when it was made")
	}
	return nil
}

// mismatch is the error of content that is not what it should be.
func mismatch(format string, args ...any) error {
	return fault.New(fault.Conflict, "synchronise again; if it stays, check the disks and memory of both servers", format, args...)
}

// mkdir makes a folder of the version.
func mkdir(root *os.Root, e *manifest.Entry) error { return root.Mkdir(e.Path, 0o700) }
