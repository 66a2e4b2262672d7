package xdata

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// receiver puts a version together from what a sender sends, which is not trusted: it is held
// against what was announced, and nothing is written outside of root.
type receiver struct {
	link     *wire.Link
	head     wire.VersionHead    // what was announced
	own      *sources            // what is here already
	root     *os.Root            // an empty folder
	flush    *tree.Flusher       // of root
	counted  tree.Counter        // of content put together; may be nil
	filled   func(n int64) error // is asked about content that takes room
	manifest manifest.Manifest   // of what was put together
	dropped  tree.Dropped
}

// receive takes the files and folders of a version. They are not durable when it returns.
func (r *receiver) receive(ctx context.Context) error {
	r.manifest.Top = r.head.Top
	b := r.builder(ctx, r.own, manifest.Admit(r.head.Announced()), nil)
	if err := b.take(); err != nil {
		return err
	}
	if err := r.settle(ctx, b); err != nil {
		return err
	}
	return tree.SetAllDirAttributes(&tree.Opener{Root: r.root, Dropped: &r.dropped}, &r.manifest)
}

// builder returns one that takes files, again those that are still to come once more.
func (r *receiver) builder(ctx context.Context, own *sources, a *manifest.Admission, again []int) *builder {
	return &builder{ctx: ctx, r: r, own: own, root: r.root, to: tree.Opener{Root: r.root, Dropped: &r.dropped},
		writers: newWriters(r), admission: a, again: again}
}

// settle asks again, once, for files that did not come out as they should.
func (r *receiver) settle(ctx context.Context, b *builder) error {
	if len(b.bad) > maxWant {
		return mismatch("%d files do not match their hashes", len(b.bad))
	}
	again := b.bad
	if err := r.link.Send(wire.FrameWant, wire.Want{Files: again}); err != nil || len(again) == 0 {
		return err
	}
	b = r.builder(ctx, &sources{}, b.admission, again)
	if err := b.take(); err != nil {
		return err
	}
	if len(b.bad) > 0 || len(b.again) > 0 {
		return mismatch("the content of %q does not match its hash", r.manifest.Entries[again[0]].Path)
	}
	return r.link.Send(wire.FrameWant, wire.Want{})
}

// maxWant keeps the list of files within a message.
const maxWant = 5000

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
