package xdata

import (
	"encoding/hex"
	"math"
	"slices"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
)

// describe fills in what a version says of itself, and when it counts as made where
// that does not tell. A time that has not come yet tells nothing.
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

// is takes the content of a version for what it is. One that is not what the version
// says is another one's lineage.
func (v *Version) is(content []byte, now time.Time) {
	text := hex.EncodeToString(content)
	if v.line.Made && v.line.Node.Content != text {
		v.MadeAt, v.Parent = nil, nil
		v.describe(nil, now)
	}
	v.line.Node.Content = text
}

// future tells whether a version has a file from the future: no clock can tell then what
// is newer, so it is not copied.
func (v *Version) future(now time.Time) bool {
	return v.Files > 0 && manifest.Nanoseconds(v.NewestMtime) > manifest.Nanoseconds(now.Add(MaxSkew))
}

// sortNewest sorts the versions of one LIM, the newest first; head as with lineage.Newest.
func sortNewest(versions []seen, head *lineage.Version) []seen {
	lines := make([]*lineage.Version, len(versions))
	for i := range versions {
		lines[i] = &versions[i].line
	}
	sorted := make([]seen, 0, len(versions))
	for _, i := range lineage.Newest(lines, head) {
		sorted = append(sorted, versions[i])
	}
	return sorted
}
