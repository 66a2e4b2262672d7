package xdata

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// keepBackup makes a version of what was staged, which follows the head of the LIM's
// data, and is the head then; or returns the newest one if that is the same.
func (s *Store) keepBackup(ctx context.Context, g *staging, m *manifest.Manifest) (Version, error) {
	versions, err := s.list(g.lim, true)
	if err != nil {
		return Version{}, err
	}
	head, err := s.head(g.lim, versions)
	if err != nil {
		return Version{}, err
	}
	if head != nil {
		s.complete(ctx, head, versions)
	}
	v, same, err := s.already(ctx, m, head, versions)
	if err != nil {
		return Version{}, err
	}
	if same {
		return v, s.files(g.lim).setHead(&v.line)
	}
	g.names.add(versions)
	if head == nil {
		return s.commitAfter(g, m, nil)
	}
	return s.commitAfter(g, m, nil, head)
}

// already tells whether the newest version is the backup that is about to be made. One
// that cannot be relied on is not, nor one with a file from the future that has the right
// time now.
func (s *Store) already(ctx context.Context, m *manifest.Manifest, head *lineage.Version, versions []seen) (Version, bool, error) {
	i := slices.IndexFunc(versions, func(v seen) bool { return v.Complete || v.Damage != "" })
	mended := func(v *seen) bool { return v.future(s.now()) && m.NewestMtime() < manifest.Nanoseconds(v.NewestMtime) }
	if i < 0 || !versions[i].Complete || mended(&versions[i]) || !versions[i].manifest.ShapedLike(m) {
		return Version{}, false, nil
	}
	v := versions[i]
	// It is relied on in the place of what was just read: so it is read, too.
	if f, err := s.Verify(ctx, v.Version, nil); err != nil || f.Result == Damaged {
		return Version{}, false, context.Cause(ctx)
	}
	content, err := s.contentOf(ctx, v)
	if err != nil || content != hex.EncodeToString(m.Digest()) {
		return Version{}, false, context.Cause(ctx)
	}
	v.line.Node.Content = content
	if head != nil {
		if o := lineage.Compare(&v.line, head); o != lineage.Same && o != lineage.Newer {
			return Version{}, false, nil
		}
	}
	v.Reused = true
	return v.Version, true, nil
}

// contentOf returns the hash of a version's content, which is read as far as it is not known.
func (s *Store) contentOf(ctx context.Context, v seen) (string, error) {
	snap, err := s.openVersion(seen{Version: v.Version})
	if err != nil {
		return "", err
	}
	defer snap.Close()
	if err := snap.ReadAll(ctx); err != nil {
		return "", err
	}
	return hex.EncodeToString(snap.Digest()), nil
}

// complete finds out what a head held of which only the name is known: another program's
// version, on which the LIM was started. One that is gone, or has changed since, keeps
// its name alone.
func (s *Store) complete(ctx context.Context, head *lineage.Version, versions []seen) {
	i := slices.IndexFunc(versions, func(v seen) bool { return v.line.Node.Name == head.Node.Name })
	if head.Node.Content != "" || i < 0 || versions[i].line.Time != head.Time {
		return
	}
	if content, err := s.contentOf(ctx, versions[i]); err == nil {
		head.Node.Content = content
	}
}

// farAhead is how far the name of a version may be ahead of the clock for the names of
// those that follow it to go on from there.
const farAhead = 24 * time.Hour

// commitAfter makes a version of what was staged that follows its parents, of which lost
// lost a conflict; nil: none did. Its name comes after theirs, and after all that were
// given here, also when the clock was set back. Where the head leads to it, the version is the head from before it is seen: a
// backup that follows one which a crash took away still follows all that was before.
func (s *Store) commitAfter(g *staging, m *manifest.Manifest, lost *lineage.Version, parents ...*lineage.Version) (Version, error) {
	pair, err := s.files(g.lim).pair()
	if err != nil {
		return Version{}, err
	}
	now := s.now()
	stamp := now
	before := slices.Clone(pair.Given)
	for _, p := range parents {
		before = append(before, p.Node.Name)
		g.names.known(p)
	}
	for _, name := range before {
		if last := nameStamp(name); !last.Before(stamp.Truncate(time.Second)) && last.Sub(now) < farAhead {
			stamp = last.Add(time.Second)
		}
	}
	var keep lineage.Node
	if pair.Whole != nil {
		keep = pair.Whole.Node
	}
	g.names.taken(pair.Given...)
	g.record = func(name string) *manifest.Record {
		node := lineage.Node{Name: name, Content: hex.EncodeToString(m.Digest())}
		r := &manifest.Record{MadeAt: now.UTC(), Parents: len(parents)}
		if lost != nil {
			r.Version = lineage.Resolve(node, manifest.Nanoseconds(now), parents[0], lost)
		} else {
			r.Version = lineage.Child(node, manifest.Nanoseconds(now), keep, parents...)
		}
		return r
	}
	g.announce = func(v *lineage.Version) error {
		head, err := s.head(g.lim, nil)
		if err != nil || head != nil && lineage.Compare(v, head) != lineage.Newer {
			return err
		}
		return s.files(g.lim).setHead(v)
	}
	return g.commit(stamp, m, nil)
}

// resolve makes a version with the content of one, which ends its conflict with another:
// it follows both. The caller holds the LIM's lock.
func (s *Store) resolve(ctx context.Context, kept *opened, lost *lineage.Version) error {
	if kept.Problem != nil {
		return kept.Problem
	}
	if err := s.checkSpace(volume{bytes: kept.version.Bytes, content: kept.version.content, files: len(kept.Manifest.Entries)}); err != nil {
		return err
	}
	lim := kept.version.LIM
	g, err := s.stage(lim, stagingPrefix(lim))
	if err != nil {
		return err
	}
	defer g.discard()
	m, unkept, err := tree.Copy(ctx, kept.Root, g.root, nil)
	if err != nil {
		return noRoom(err, s.Dir)
	}
	if err := s.holdAgainst(kept.Root, kept.version, m); err != nil {
		return err
	}
	versions, err := s.list(lim, false)
	if err != nil {
		return err
	}
	g.names.add(versions)
	line := kept.version.line
	line.Node.Content = hex.EncodeToString(m.Digest())
	if _, err = s.commitAfter(g, m, lost, &line, lost); err != nil {
		return noRoom(err, s.Dir)
	}
	s.note(unkept)
	return nil
}
