package xdata

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/transfer"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// opened is a version of a store that is open for comparing and sending.
type opened struct {
	*transfer.Snapshot
	store   *Store
	version Version
	mark    mark             // its next mark, without the outcome of reading it
	in      *transfer.Folder // its folder and what is known of it
}

// openVersion opens a version, examining what was not examined yet. The caller closes it.
func (s *Store) openVersion(v observed) (*opened, error) {
	root, err := safepath.Folder(v.Path)
	if err != nil {
		return nil, err
	}
	o := &opened{store: s, version: v.Version}
	if o.Snapshot, err = o.open(root, v); err != nil {
		return nil, err
	}
	return o, nil
}

// open opens the version in root, which it closes when it fails.
func (o *opened) open(root *os.Root, v observed) (*transfer.Snapshot, error) {
	in, err := o.lookOver(root, v)
	if err != nil {
		root.Close()
		return nil, err
	}
	o.in = &in
	return transfer.OpenSnapshot(in)
}

// lookOver loads what is kept of the version: its mark and index.
func (o *opened) lookOver(root *os.Root, v observed) (in transfer.Folder, err error) {
	in = transfer.Folder{Name: v.Name, Root: root, Mtime: manifest.Nanoseconds(v.NewestMtime), Manifest: v.manifest, Kept: v.kept, Keeper: o}
	if in.Manifest == nil {
		if in.Manifest, _, err = tree.Survey(root); err != nil {
			return in, err
		}
	}
	own, err := o.store.marks().read(root, v.Name, in.Manifest)
	if err != nil {
		return in, err
	}
	o.mark = nextMark(own)
	in.Foreign = o.mark.Foreign
	if in.Kept == nil {
		if in.Kept, err = o.store.indexes().read(root, v.Name, in.Manifest, own); err != nil {
			return in, err
		}
	}
	in.Guide = sync.OnceValue(func() *chunk.Guide { return o.store.indexes().guide(v.LIM, v.Name, in.Manifest) })
	return in, nil
}

// Damaged records damage in the version's mark, and returns it as an error.
func (o *opened) Damaged(damage []string) error {
	o.mark.Verified, o.mark.Damage = o.version.Verified, manifest.InShort(damage)
	o.store.marks().keep(o.in.Root, o.version.Name, o.mark, o.in.Manifest)
	return damaged(o.version.Name, o.mark.Damage)
}

// Keep stores the manifest as the version's index. A failure is only a warning: the version is
// read again the next time.
func (o *opened) Keep(m *manifest.Manifest) error {
	if err := o.store.indexes().write(o.version.Name, m); err != nil {
		o.store.warn(fmt.Errorf("the hashes of %s cannot be kept: %w", o.version.Name, bare(err)))
	}
	return nil
}

// sender returns what sends the version over a link.
func (o *opened) sender(l *wire.Link) *transfer.Sender {
	return &transfer.Sender{Snapshot: o.Snapshot, Link: l, Head: wire.VersionHead{Name: o.version.Name, Record: o.version.record, Foreign: o.version.foreign}}
}

// prefetch starts to prepare the version for sending if it is likely to be sent: if it was not read
// before the last good sync. only: there is no other version here.
func (o *opened) prefetch(ctx context.Context, only bool, lastGood time.Time) {
	if o.Unread > 0 || o.readSince(lastGood) {
		o.Prefetch(ctx, only)
	}
}

// readSince tells whether the version was read in full after t; making it by 'xdata backup' counts.
func (o *opened) readSince(t time.Time) bool {
	index, err := os.Stat(o.store.indexes().path(o.version.Name))
	return err == nil && index.ModTime().After(t)
}
