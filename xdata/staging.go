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

// staging is a version that is being assembled, invisible until it is committed.
type staging struct {
	store *Store
	lim   int
	root  *os.Root
	flush *tree.Flusher

	// record returns the version's record for a name; nil: it has none.
	record func(name string) *manifest.Record
	// announce is called with the lineage before the version becomes visible; may be nil.
	announce func(*lineage.Version) error
	// names are those in use already.
	names names
	// arrives: the version has a name already, given by the other side.
	arrives bool
	from    string // see mark.From
}

// stagingPrefix starts the names of folders that are not, or no longer, versions.
func stagingPrefix(lim int) string { return fmt.Sprintf(".staging-%d-", lim) }

// partialPrefix starts the names of folders with what arrived of a version, which the next sync
// uses after an interruption.
func partialPrefix(lim int) string { return fmt.Sprintf(".partial-%d-", lim) }

// stage creates an empty staging folder. The caller holds the LIM's lock.
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

// close closes the folder, and leaves what was staged.
func (g *staging) close() {
	g.flush.Close()
	g.root.Close()
}

// discard removes what was staged. After a commit it only closes.
func (g *staging) discard() {
	g.close()
	_ = removeTree(g.root.Name()) // else the next holder of the lock does
}

// commit makes the staged version, its index and its mark durable, then visible under the first
// free name at or after stamp.
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
	if own.fingerprint, err = fingerprintOf(g.root, m); err != nil {
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

// publish makes all durable and renames the folder. Mark and index come first: a version that is
// visible without them could not be verified.
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
