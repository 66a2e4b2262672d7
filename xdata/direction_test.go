package xdata

import (
	"fmt"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// sides returns what a side may look like: nothing, or a version of one of a few times
// and contents, with lineage and without, each also with another one being written.
func sides(now time.Time) []wire.Summary {
	var all []wire.Summary
	for _, writing := range []bool{false, true} {
		var w *wire.Writing
		if writing {
			w = &wire.Writing{Version: "xdata_1_20260301000001"}
		}
		all = append(all, wire.Summary{Writing: w})
		for _, mtime := range []time.Duration{-time.Hour, -time.Nanosecond, 0} {
			for _, content := range []string{"a", "b"} {
				line := lineage.Version{Node: lineage.Node{Name: "xdata_1_20260301000000", Content: content}, Time: manifest.Nanoseconds(now.Add(mtime))}
				all = append(all, wire.Summary{Name: line.Node.Name, Mtime: line.Time, Writing: w, Line: line})
				line.Made = true
				line.Ancestors = []lineage.Node{{Name: line.Node.Name, Content: map[string]string{"a": "b", "b": "0"}[content]}}
				all = append(all, wire.Summary{Name: line.Node.Name, Mtime: line.Time, Writing: w, Line: line})
			}
		}
	}
	return all
}

// Whatever the sides hold, and whatever is asked for: a copy goes from a side that has a
// version to one whose version is older, and from nowhere else; what is refused says why
// and with which code.
func TestNothingNewerIsOverwritten(t *testing.T) {
	for _, regular := range sides(baseTime) {
		for _, standby := range sides(baseTime) {
			for _, want := range []Direction{DirectionAuto, DirectionToStandby, DirectionToRegular} {
				order := orderOf(regular, standby)
				way, err := decide(regular, standby, order, want)
				from, to := regular, standby
				if way == DirectionToRegular {
					from, to = to, from
				}
				var bad string
				switch {
				case err != nil && way != "":
					bad = "both a direction and an error"
				case err != nil && fault.HintOf(err) == "":
					bad = "no remedy"
				case fault.CodeOf(err) == fault.Conflict && order != lineage.Apart:
					bad = "a conflict where there is none"
				case err != nil:
				case order == lineage.Apart:
					bad = "a conflict that is not told"
				case way == DirectionNone && order != lineage.Same:
					bad = "takes for the same what is not"
				case way == DirectionNone:
				case from.Name == "":
					bad = "copies nothing"
				case orderOf(from, to) != lineage.Newer:
					bad = "overwrites what is not older"
				case want != DirectionAuto && way != want:
					bad = "goes another way than asked for"
				}
				if bad != "" {
					t.Errorf("%s: regular %+v, standby %+v, %s: %s, %v", bad, regular, standby, want, way, err)
				}
			}
		}
	}
}

// An automatic sync finds a direction whenever there is something to copy, and the same
// from both sides.
func TestAutoAlwaysDecides(t *testing.T) {
	for _, regular := range sides(baseTime) {
		for _, standby := range sides(baseTime) {
			way, err := decide(regular, standby, orderOf(regular, standby), DirectionAuto)
			mirrored, mirroredErr := decide(standby, regular, orderOf(standby, regular), DirectionAuto)
			both := fmt.Sprintf("regular %+v, standby %+v", regular, standby)
			if fault.CodeOf(err) != fault.CodeOf(mirroredErr) {
				t.Errorf("%s: %v, the other way round %v", both, err, mirroredErr)
			}
			opposite := map[Direction]Direction{
				DirectionToStandby: DirectionToRegular, DirectionToRegular: DirectionToStandby, DirectionNone: DirectionNone, "": "",
			}
			if mirrored != opposite[way] {
				t.Errorf("%s: %s, the other way round %s", both, way, mirrored)
			}
			if code := fault.CodeOf(err); err != nil && code != fault.Conflict {
				t.Errorf("%s: %v", both, err)
			}
		}
	}
}

// A standby keeps two versions of a LIM, its regular server three (spec ch. 6).
func TestKeptBy(t *testing.T) {
	if standby, regular := KeptBy(clusterconf.SideStandby), KeptBy(clusterconf.SideRegular); standby != 2 || regular != 3 {
		t.Errorf("%d on the standby, %d on the regular server", standby, regular)
	}
}
