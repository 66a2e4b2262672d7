package xdata

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// DefaultStill is how long nothing may have changed in a version that another
// program makes before it counts as complete.
const DefaultStill = 30 * time.Second

// AtOnce is the [Store.Still] of a store that takes what other programs write at once.
const AtOnce time.Duration = -1

// StillOf returns the [Store.Still] of the setting xdata.still, of which 0 is at once.
func StillOf(setting time.Duration) time.Duration {
	if setting == 0 {
		return AtOnce
	}
	return setting
}

const (
	// earlierVersions is how many versions before tell how long the program pauses.
	earlierVersions = 3
	// longestPause bounds that: a file that somebody adds to an old version is no pause.
	longestPause = 6 * time.Hour
)

// Writing is a version that another program may still be writing.
type Writing = wire.Writing

// CompleteMarker is the file in a version's own folder by which another program says that
// the version is complete, with nothing to wait for. It is neither counted, copied nor restored.
const CompleteMarker = tree.CompleteMarker

// judgeAll tells of versions of one LIM which of them are complete. Another program's is
// once nothing has changed in it for as long as l.still says, or as the program took from
// the first file to the last of any of the last versions before: it pauses so long.
func (l looker) judgeAll(versions []seen) {
	for i := range versions {
		v := &versions[i]
		if v.own || v.Damage != "" {
			continue
		}
		if l.still == AtOnce {
			v.Complete = v.Files > 0
			continue
		}
		now := l.now()
		since := now.Sub(time.Unix(0, v.changed))
		need := l.still
		if since < longestPause {
			need = max(need, l.pauseBefore(versions, v, max(need, since)))
		}
		if v.Complete = v.Files > 0 && since >= need; since < need {
			until := time.Unix(0, v.changed).Add(need).UTC()
			v.WritingUntil = &until
		}
	}
}

// byLIM returns the versions of each LIM, of versions that are sorted by it.
func byLIM(versions []seen) (each [][]seen) {
	slices.SortStableFunc(versions, func(a, b seen) int { return a.LIM - b.LIM })
	for len(versions) > 0 {
		n := 1
		for n < len(versions) && versions[n].LIM == versions[0].LIM {
			n++
		}
		each, versions = append(each, versions[:n]), versions[n:]
	}
	return each
}

// pauseBefore returns the longest time from the first file to the last of the versions
// before v that are other programs', as far as it is longer than least.
func (l looker) pauseBefore(versions []seen, v *seen, least time.Duration) (longest time.Duration) {
	var before []*seen
	for i := range versions {
		if o := &versions[i]; !o.own && o.manifest != nil && o.Name < v.Name {
			before = append(before, o)
		}
	}
	slices.SortFunc(before, func(a, b *seen) int { return strings.Compare(b.Name, a.Name) })
	for _, o := range before[:min(len(before), earlierVersions)] {
		longest = max(longest, o.took(least))
	}
	return min(longest, longestPause)
}

// took returns the time from the first file of a version to the last, as far as it is
// longer than least. Modification times do not tell: programs set them. So it is when the
// files came about, or last changed where the file system does not keep that.
func (v *seen) took(least time.Duration) time.Duration {
	root, err := safepath.Folder(v.Path)
	if err != nil {
		return 0 // it is gone
	}
	defer root.Close()
	in := tree.Opener{Root: root}
	defer in.Close()
	if born, ok := in.Born("."); ok && time.Duration(v.changed-born) <= least {
		return 0
	}
	earliest, latest := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range v.manifest.Entries {
		if e := &v.manifest.Entries[i]; !e.Dir {
			born, ok := in.Born(e.Path)
			if !ok {
				born = e.Ctime
			}
			earliest, latest = min(earliest, born), max(latest, born)
		}
	}
	return time.Duration(max(latest-earliest, 0))
}

// isMarked tells whether another program says that a version is complete.
func isMarked(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, tree.CompleteMarker))
	return err == nil && info.Mode().IsRegular()
}

// stillWritten returns the version on both sides that will be waited for longest, with its
// side.
func stillWritten(side clusterconf.Side, ours, theirs wire.Summary) *wire.Writing {
	w := func(s wire.Summary, of clusterconf.Side) *wire.Writing {
		if s.Writing == nil {
			return nil
		}
		return &wire.Writing{Version: fault.Plain(s.Writing.Version), Side: of, Until: s.Writing.Until}
	}
	last, other := w(ours, side), w(theirs, side.Other())
	if last == nil || other != nil && other.Until.After(last.Until) {
		return other
	}
	return last
}

// writing returns the version that will be waited for longest; nil: none is being written.
func writing(versions []seen) *wire.Writing {
	var last *wire.Writing
	for i := range versions {
		if v := &versions[i]; v.WritingUntil != nil && (last == nil || v.WritingUntil.After(last.Until)) {
			last = &wire.Writing{Version: v.Name, Until: *v.WritingUntil}
		}
	}
	return last
}
