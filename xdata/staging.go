package xdata

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// staging is a version that is being put together, invisible until committed.
type staging struct {
	store *Store
	lim   int
	root  *os.Root
	flush *tree.Flusher

	// record says what the version says of itself, once its name is known; nil: nothing.
	record func(name string) *manifest.Record
	// announce is told of the record before the version is visible; may be nil.
	announce func(*lineage.Version) error
	// names are those that stand for a version already.
	names names
	// arrives tells that the version has a name already, that of the other side.
	arrives bool
	from    string // see mark
}

// stagingPrefix starts the names of what is not, or no longer, a version.
func stagingPrefix(lim int) string { return fmt.Sprintf(".staging-%d-", lim) }

// partialPrefix starts the names of what has arrived of a version, which the
// next sync uses if this one is interrupted.
func partialPrefix(lim int) string { return fmt.Sprintf(".partial-%d-", lim) }

// stage makes an empty staging folder. The caller holds the LIM's lock.
func (s *Store) stage(lim int, prefix string) (*staging, error) {
	root, err := safepath.MkdirTemp(s.Dir, prefix)
	if err != nil {
		return nil, err
	}
	flush, err := tree.NewFlusher(root)
	if err == nil {
		err = tree.DropInheritedACL(root)
	}
	if err != nil {
		root.Close()
		return nil, errors.Join(err, safepath.Remove(root.Name()))
	}
	return &staging{store: s, lim: lim, root: root, flush: flush}, nil
}

// close leaves what was staged as it is.
func (g *staging) close() {
	g.flush.Close()
	g.root.Close()
}

// discard removes what was staged. After a commit it only closes.
func (g *staging) discard() {
	g.close()
	_ = removeTree(g.root.Name()) // a failure leaves it to the next holder of the lock
}

// commit makes the staged version, its manifest and its mark durable, then
// visible under the first free name from stamp on: two versions of one second
// get stamps that differ.
func (g *staging) commit(stamp time.Time, m *manifest.Manifest, verified *time.Time) (Version, error) {
	name, err := g.freeName(stamp)
	if err == nil && (!g.arrives || name != versionName(g.lim, stamp)) {
		err = g.store.files(g.lim).give(name)
	}
	if err != nil {
		return Version{}, err
	}
	var says *manifest.Record
	if g.record != nil {
		says = g.record(name)
	}
	if says != nil {
		err := tree.WriteRecord(g.root, says, m.Top)
		if err == nil && g.announce != nil {
			err = g.announce(&says.Version)
		}
		if err != nil {
			return Version{}, err
		}
	}
	own := mark{Verified: verified, From: g.from, Reason: g.store.Reason, Noted: g.store.now().UTC()}
	if own.likeness, err = likenessOf(g.root, m); err != nil {
		return Version{}, err
	}
	if err := g.publish(name, m, own); err != nil {
		_ = g.store.forget(name)
		return Version{}, err
	}
	if err := safepath.SyncDir(g.store.Dir); err != nil {
		return Version{}, err
	}
	v := Version{LIM: g.lim, Name: name, Path: filepath.Join(g.store.Dir, name), Verified: verified, Reason: own.Reason}
	v.from = own.From
	v.Stamp, v.Bytes, v.content = nameStamp(name), m.Bytes(), m.Content()
	for i := range m.Entries {
		if !m.Entries[i].Dir {
			v.Files++
		}
	}
	if v.Complete = v.Files > 0; v.Complete {
		v.NewestMtime = time.Unix(0, m.NewestMtime()).UTC()
	}
	v.describe(says, g.store.now())
	v.line.Node.Content = hex.EncodeToString(m.Digest())
	return v, nil
}

func nameStamp(name string) time.Time {
	_, stamp, _ := parseName(name)
	return stamp
}

// publish renames once everything is on the disk. What describes the version
// comes first: one that is seen without could not be verified.
func (g *staging) publish(name string, m *manifest.Manifest, own mark) error {
	data, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if err := g.store.indexes().write(name, m); err != nil {
		return err
	}
	if err := safepath.Replace(g.store.marks().path(name), data, 0o644); err != nil {
		return err
	}
	if err := g.flush.Durable(g.root); err != nil {
		return fmt.Errorf("make the version durable: %w", err)
	}
	return safepath.Move(g.root, filepath.Join(g.store.Dir, name))
}
