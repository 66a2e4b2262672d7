package xdata

import (
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// sides returns what a side may look like: nothing, or a version of one of a
// few times, each also with another one being written.
func sides(now time.Time) []summary {
	var all []summary
	for _, writing := range []bool{false, true} {
		all = append(all, summary{Writing: writing})
		for _, mtime := range []time.Duration{-time.Hour, -time.Nanosecond, 0, MaxSkew, MaxSkew + 1, time.Hour} {
			all = append(all, summary{Name: "xdata_1_20260301000000", Mtime: nanoseconds(now.Add(mtime)), Writing: writing})
		}
	}
	return all
}

// Whatever the sides hold, and whatever is asked for: a copy goes from a side
// that has a version to one whose version is older, and from nowhere else; what
// is refused says why and with which code.
func TestNothingNewerIsOverwritten(t *testing.T) {
	now := baseTime
	future := func(s summary) bool { return s.Name != "" && s.Mtime > nanoseconds(now.Add(MaxSkew)) }
	for _, regular := range sides(now) {
		for _, standby := range sides(now) {
			for _, want := range []Direction{DirectionAuto, DirectionToStandby, DirectionToRegular} {
				way, err := decide(regular, standby, want, now)
				from, to := regular, standby
				if way == DirectionToRegular {
					from, to = to, from
				}
				var bad string
				switch {
				case err == nil && (future(regular) || future(standby)):
					bad = "took a version from the future"
				case err != nil && way != "":
					bad = "both a direction and an error"
				case err != nil && fault.HintOf(err) == "":
					bad = "no remedy"
				case err != nil:
				case way == DirectionNone && (regular.Name == "" || regular.Mtime != standby.Mtime || standby.Name == ""):
					bad = "compares what is not of one time"
				case way == DirectionNone:
				case from.Name == "":
					bad = "copies nothing"
				case to.Name != "" && to.Mtime >= from.Mtime:
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

// An automatic sync finds a direction whenever there is something to copy.
func TestAutoAlwaysDecides(t *testing.T) {
	now := baseTime
	for _, regular := range sides(now) {
		for _, standby := range sides(now) {
			way, err := decide(regular, standby, DirectionAuto, now)
			mirrored, mirroredErr := decide(standby, regular, DirectionAuto, now)
			if fault.CodeOf(err) != fault.CodeOf(mirroredErr) {
				t.Errorf("regular %+v, standby %+v: %v, the other way round %v", regular, standby, err, mirroredErr)
			}
			opposite := map[Direction]Direction{
				DirectionToStandby: DirectionToRegular, DirectionToRegular: DirectionToStandby, DirectionNone: DirectionNone, "": "",
			}
			if mirrored != opposite[way] {
				t.Errorf("regular %+v, standby %+v: %s, the other way round %s", regular, standby, way, mirrored)
			}
			if err != nil && fault.CodeOf(err) == fault.NotFound && (regular.Name != "" || standby.Name != "") {
				t.Errorf("regular %+v, standby %+v: %v", regular, standby, err)
			}
		}
	}
}
