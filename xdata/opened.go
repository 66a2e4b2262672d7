package xdata

import (
	"context"
	"os"
	"sync"
	"time"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// opened is a version of a store, opened for comparing and sending.
type opened struct {
	*snapshot
	store   *Store
	version Version
	mark    mark    // as it would be written anew
	in      *folder // where it lies, and as it looks
}

// openVersion looks a version over, as far as that was not done, and opens it. The caller
// closes it.
func (s *Store) openVersion(v seen) (*opened, error) {
	root, err := safepath.Folder(v.Path)
	if err != nil {
		return nil, err
	}
	o := &opened{store: s, version: v.Version}
	if o.snapshot, err = o.open(root, v); err != nil {
		return nil, err
	}
	return o, nil
}

// open opens what lies in root, which it closes when it fails.
func (o *opened) open(root *os.Root, v seen) (*snapshot, error) {
	in, err := o.lookOver(root, v)
	if err != nil {
		root.Close()
		return nil, err
	}
	o.in = &in
	return openSnapshot(in)
}

// lookOver finds out what is kept of the version.
func (o *opened) lookOver(root *os.Root, v seen) (in folder, err error) {
	in = folder{name: v.Name, root: root, mtime: manifest.Nanoseconds(v.NewestMtime), manifest: v.manifest, kept: v.kept, keeper: o}
	if in.manifest == nil {
		if in.manifest, _, err = tree.Survey(root); err != nil {
			return in, err
		}
	}
	own, err := o.store.readMark(root, v.Name, in.manifest)
	if err != nil {
		return in, err
	}
	o.mark = nextMark(own)
	in.foreign = o.mark.Foreign
	if in.kept == nil {
		if in.kept, err = o.store.readIndex(v.Name, in.manifest, own); err != nil {
			return in, err
		}
	}
	in.guide = sync.OnceValue(func() *chunk.Guide { return o.store.findGuide(v.LIM, v.Name, in.manifest) })
	return in, nil
}

// damaged notes what is wrong with the version, and returns the error of it.
func (o *opened) damaged(damage []string) error {
	o.mark.Verified, o.mark.Damage = o.version.Verified, manifest.InShort(damage)
	o.store.keepNote(o.in.root, o.version.Name, o.mark, o.in.manifest)
	return damaged(o.version.Name, o.mark.Damage)
}

// keep keeps the manifest as the version's index.
func (o *opened) keep(m *manifest.Manifest) error { return o.store.writeIndex(o.version.Name, m) }

// sender sends the version over a link.
func (o *opened) sender(l *wire.Link) *sender {
	return &sender{snapshot: o.snapshot, link: l, head: wire.VersionHead{Name: o.version.Name, Record: o.version.record, Foreign: o.version.foreign}}
}

// makeReady begins to make the version ready to be sent if that is most likely: if it was
// not read before the last good sync. Only tells that there is no other version here.
func (o *opened) makeReady(ctx context.Context, only bool, lastGood time.Time) {
	if o.unread > 0 || o.readSince(lastGood) {
		o.snapshot.makeReady(ctx, only)
	}
}

// readSince tells whether the version was read after some time, as 'xdata backup' reads
// those that it makes.
func (o *opened) readSince(t time.Time) bool {
	index, err := os.Stat(o.store.indexPath(o.version.Name))
	return err == nil && index.ModTime().After(t)
}
