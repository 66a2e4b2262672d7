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

// DefaultStill is the quiet period: a version of another program is complete when nothing in it has
// changed for that long.
const DefaultStill = 30 * time.Second

// AtOnce is the [Store.Still] of a store without a quiet period.
const AtOnce time.Duration = -1

// StillOf returns the [Store.Still] for the setting xdata.still, where 0 means no quiet period.
func StillOf(setting time.Duration) time.Duration {
	if setting == 0 {
		return AtOnce
	}
	return setting
}

const (
	// earlierVersions is how many earlier versions are used to estimate how long the other program
	// pauses.
	earlierVersions = 3
	// longestPause bounds the estimate: a file added to an old version much later is no pause.
	longestPause = 6 * time.Hour
)

// Writing is a version that another program may still be writing to.
type Writing = wire.Writing

// judgeAll decides which versions of one LIM are complete. A version of another program is complete
// after a quiet period: Store.Still, or, if longer, the longest time that one of the program's last
// versions took from its first file to its last.
func (l inspector) judgeAll(versions []observed) {
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

// byLIM splits versions, which are sorted by LIM, into those of each LIM.
func byLIM(versions []observed) (each [][]observed) {
	slices.SortStableFunc(versions, func(a, b observed) int { return a.LIM - b.LIM })
	for len(versions) > 0 {
		n := 1
		for n < len(versions) && versions[n].LIM == versions[0].LIM {
			n++
		}
		each, versions = append(each, versions[:n]), versions[n:]
	}
	return each
}

// pauseBefore returns the longest time from first to last file among the versions of other programs
// before v. Times not longer than least may count as 0.
func (l inspector) pauseBefore(versions []observed, v *observed, least time.Duration) (longest time.Duration) {
	var before []*observed
	for i := range versions {
		if o := &versions[i]; !o.own && o.manifest != nil && o.Name < v.Name {
			before = append(before, o)
		}
	}
	slices.SortFunc(before, func(a, b *observed) int { return strings.Compare(b.Name, a.Name) })
	for _, o := range before[:min(len(before), earlierVersions)] {
		longest = max(longest, o.took(least))
	}
	return min(longest, longestPause)
}

// took returns the time from a version's first file to its last; where that is not longer than
// least it may return 0. It uses birth times, or change times where the file system keeps no birth
// times: modification times are set by programs.
func (v *observed) took(least time.Duration) time.Duration {
	root, err := safepath.Folder(v.Path)
	if err != nil {
		return 0 // removed meanwhile
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

// isMarked tells whether another program declared a version complete.
func isMarked(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, tree.CompleteMarker))
	return err == nil && info.Mode().IsRegular()
}

// stillWritten returns, of the versions that are being written on both sides, the one that takes
// longest to become complete; nil: none.
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

// writing returns, of versions here that are being written, the one that takes longest to become
// complete; nil: none.
func writing(versions []observed) *wire.Writing {
	var last *wire.Writing
	for i := range versions {
		if v := &versions[i]; v.WritingUntil != nil && (last == nil || v.WritingUntil.After(last.Until)) {
			last = &wire.Writing{Version: v.Name, Until: *v.WritingUntil}
		}
	}
	return last
}
