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

// keepBackup makes a version of what was staged and makes it the head. It follows the former head.
// Where the newest version has the same content, that one is returned instead.
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
		s.completeHead(ctx, head, versions)
	}
	v, same, err := s.matchesNewest(ctx, m, head, versions)
	if err != nil {
		return Version{}, err
	}
	if same {
		return v, s.files(g.lim).setHead(&v.line)
	}
	g.names.addVersions(versions)
	if head == nil {
		return s.commitAfter(g, m, nil)
	}
	return s.commitAfter(g, m, nil, head)
}

// matchesNewest returns the newest version if it has the content of the backup that is about to be
// made, and is the head or follows it. A damaged version does not match, nor one with a file from
// the future whose time was corrected since.
func (s *Store) matchesNewest(ctx context.Context, m *manifest.Manifest, head *lineage.Version, versions []observed) (Version, bool, error) {
	i := slices.IndexFunc(versions, func(v observed) bool { return v.Complete || v.Damage != "" })
	mended := func(v *observed) bool {
		return v.future(s.now()) && m.NewestMtime() < manifest.Nanoseconds(v.NewestMtime)
	}
	if i < 0 || !versions[i].Complete || mended(&versions[i]) || !versions[i].manifest.ShapedLike(m) {
		return Version{}, false, nil
	}
	v := versions[i]
	// It stands in for the backup, so it is read as thoroughly.
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

// contentOf returns the hash of a version's content. What is not known is read.
func (s *Store) contentOf(ctx context.Context, v observed) (string, error) {
	snap, err := s.openVersion(observed{Version: v.Version})
	if err != nil {
		return "", err
	}
	defer snap.Close()
	if err := snap.ReadAll(ctx); err != nil {
		return "", err
	}
	return hex.EncodeToString(snap.Digest()), nil
}

// completeHead fills in the content of a head of which only the name is known: a version of another
// program that the LIM was started on. Where that version is gone or has changed, the head stays a
// name alone.
func (s *Store) completeHead(ctx context.Context, head *lineage.Version, versions []observed) {
	i := slices.IndexFunc(versions, func(v observed) bool { return v.line.Node.Name == head.Node.Name })
	if head.Node.Content != "" || i < 0 || versions[i].line.Time != head.Time {
		return
	}
	if content, err := s.contentOf(ctx, versions[i]); err == nil {
		head.Node.Content = content
	}
}

// farAhead bounds how far the time in a version's name may be ahead of the clock to be taken over
// into the names of later versions.
const farAhead = 24 * time.Hour

// commitAfter makes a version of what was staged that follows parents. lost is the version that
// lost a conflict; nil: none. The name is later than those of the parents and all names given here
// before, even after the clock was set back. Where the new version follows the head, it becomes the
// head before it is visible: a backup made after a crash in between still follows all earlier
// versions.
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
		g.names.addLineage(p)
	}
	for _, name := range before {
		if last := nameStamp(name); !last.Before(stamp.Truncate(time.Second)) && last.Sub(now) < farAhead {
			stamp = last.Add(time.Second)
		}
	}
	var keep lineage.Node
	if pair.Common != nil {
		keep = pair.Common.Node
	}
	g.names.add(pair.Given...)
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

// resolve makes a version with the content of kept that follows both kept and lost, which ends
// their conflict. The caller holds the LIM's lock.
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
	if err := s.checkHashes(kept.Root, kept.version, m); err != nil {
		return err
	}
	versions, err := s.list(lim, false)
	if err != nil {
		return err
	}
	g.names.addVersions(versions)
	line := kept.version.line
	line.Node.Content = hex.EncodeToString(m.Digest())
	if _, err = s.commitAfter(g, m, lost, &line, lost); err != nil {
		return noRoom(err, s.Dir)
	}
	s.note(unkept)
	return nil
}
