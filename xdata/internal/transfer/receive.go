package transfer

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

// Receiver assembles a version from what a sender sends. The sender is not trusted: everything is
// checked against its announcement, and nothing is written outside of Root.
type Receiver struct {
	Link         *wire.Link
	Head         wire.VersionHead    // the announcement
	Own          *Sources            // local sources of chunks
	Root         *os.Root            // an empty folder
	Flush        *tree.Flusher       // of root
	Counted      tree.Counter        // of content written; may be nil
	CountContent func(n int64) error // is called for content that uses room on the disk; its error ends the transfer
	Manifest     manifest.Manifest   // of the assembled version
	Dropped      tree.Dropped
}

// Receive receives the files and folders of a version. They are not durable when it returns.
func (r *Receiver) Receive(ctx context.Context) error {
	r.Manifest.Top = r.Head.Top
	b := r.builder(ctx, r.Own, manifest.Admit(r.Head.Announced()), nil)
	if err := b.take(); err != nil {
		return err
	}
	if err := r.requestAgain(ctx, b); err != nil {
		return err
	}
	return tree.SetAllDirAttributes(&tree.Opener{Root: r.Root, Dropped: &r.Dropped}, &r.Manifest)
}

// builder returns a builder; again is the files that are still to come again.
func (r *Receiver) builder(ctx context.Context, own *Sources, a *manifest.Admission, again []int) *builder {
	return &builder{ctx: ctx, r: r, own: own, root: r.Root, to: tree.Opener{Root: r.Root, Dropped: &r.Dropped},
		writers: newWriters(r), admission: a, again: again}
}

// requestAgain asks, once, for the files that have wrong content.
func (r *Receiver) requestAgain(ctx context.Context, b *builder) error {
	if len(b.bad) > maxWant {
		return mismatch("%d files do not match their hashes", len(b.bad))
	}
	again := b.bad
	if err := r.Link.Send(wire.FrameWant, wire.Want{Files: again}); err != nil || len(again) == 0 {
		return err
	}
	b = r.builder(ctx, &Sources{}, b.admission, again)
	if err := b.take(); err != nil {
		return err
	}
	if len(b.bad) > 0 || len(b.again) > 0 {
		return mismatch("the content of %q does not match its hash", r.Manifest.Entries[again[0]].Path)
	}
	return r.Link.Send(wire.FrameWant, wire.Want{})
}

// maxWant bounds the number of files in a request.
const maxWant = 5000

// checkEnd checks the digest of the version.
func (r *Receiver) checkEnd(payload []byte) error {
	var end wire.DigestMessage
	if err := wire.DecodeJSON(payload, &end); err != nil {
		return err
	}
	digest := r.Manifest.Digest()
	if !bytes.Equal(end.Digest, digest) {
		return mismatch("the version does not match its hash")
	}
	if says := r.Head.Record; says != nil && says.Made && says.Node.Content != hex.EncodeToString(digest) {
		return mismatch("the version is not what it says it was when it was made")
	}
	return nil
}

// mismatch is the error for content that does not match its hash.
func mismatch(format string, args ...any) error {
	return fault.New(fault.Conflict, "synchronise again; if it stays, check the disks and memory of both servers", format, args...)
}
