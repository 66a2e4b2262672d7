package xdata

import (
	"encoding/hex"
	"math"
	"slices"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
)

// describe fills in a version's lineage from its record, or from times where there is none. A
// record's time that lies in the future is not used.
func (v *Version) describe(r *manifest.Record, now time.Time) {
	v.line = lineage.Version{Node: lineage.Node{Name: v.Name}}
	if r != nil {
		v.line = r.Version
	}
	if r != nil && r.Made {
		made := r.MadeAt.UTC()
		v.MadeAt = &made
	}
	if r != nil && r.Parents > 0 {
		v.Parent = &r.Ancestors[0].Name
	}
	v.record = r
	limit := manifest.Nanoseconds(now.Add(MaxSkew))
	times := []int64{manifest.Nanoseconds(v.NewestMtime), manifest.Nanoseconds(v.Stamp)}
	if v.line.Made {
		times = append([]int64{v.line.Time}, times...)
	}
	v.line.Time = math.MinInt64
	if i := slices.IndexFunc(times, func(t int64) bool { return t <= limit }); i >= 0 {
		v.line.Time = times[i]
	}
}

// setContent completes the lineage by the content, once that was read. Content other than recorded
// discards the lineage: the version was changed, or is another one.
func (v *Version) setContent(content []byte, now time.Time) {
	text := hex.EncodeToString(content)
	if v.line.Made && v.line.Node.Content != text {
		v.MadeAt, v.Parent = nil, nil
		v.describe(nil, now)
	}
	v.line.Node.Content = text
}

// future tells whether a version has a file with a time in the future. Such a version is not
// copied, as times do not tell then which one is newer.
func (v *Version) future(now time.Time) bool {
	return v.Files > 0 && manifest.Nanoseconds(v.NewestMtime) > manifest.Nanoseconds(now.Add(MaxSkew))
}

// sortNewest sorts the versions of one LIM, newest first. head is that of lineage.Newest.
func sortNewest(versions []observed, head *lineage.Version) []observed {
	lines := make([]*lineage.Version, len(versions))
	for i := range versions {
		lines[i] = &versions[i].line
	}
	sorted := make([]observed, 0, len(versions))
	for _, i := range lineage.Newest(lines, head) {
		sorted = append(sorted, versions[i])
	}
	return sorted
}
