package xdata

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// combinations are what a side may hold. since is the newest time of its files
// in steps of a nanosecond.
var combinations = []struct {
	name                               string
	since                              time.Duration
	content                            string
	absent, writing, damaged, tomorrow bool
}{
	{name: "none", absent: true},
	{name: "older", content: "o"},
	{name: "same time", since: 10, content: "s"},
	{name: "same time other content", since: 10, content: "t"},
	{name: "newer by a nanosecond", since: 11, content: "n"},
	{name: "newer by half a second", since: time.Second / 2, content: "h"},
	{name: "future", content: "f", tomorrow: true},
	{name: "still being written", since: time.Hour, content: "w", writing: true},
	{name: "damaged", since: time.Hour, content: "d", damaged: true},
}

// Every combination of what two sides may hold, with the command given on each:
// who is newer wins, equal times with other content are a conflict, what is from the
// future is refused, and what is damaged or still being written is neither copied nor
// counts.
func TestEveryCombination(t *testing.T) {
	t.Parallel()
	for _, regular := range combinations {
		for _, standby := range combinations {
			for _, asks := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
				t.Run(fmt.Sprintf("%s,%s,from %s", regular.name, standby.name, asks), func(t *testing.T) {
					p := newPair(t)
					for side, c := range map[clusterconf.Side]int{clusterconf.SideRegular: index(regular.name), clusterconf.SideStandby: index(standby.name)} {
						makeCombination(t, p[side], c)
					}
					counts := func(i int) bool { c := combinations[i]; return !c.absent && !c.writing && !c.damaged && !c.tomorrow }
					r, s := counts(index(regular.name)), counts(index(standby.name))
					want, way, code := Copied, DirectionToStandby, fault.OK
					switch {
					case !r && !s && (regular.writing || standby.writing) && !regular.tomorrow && !standby.tomorrow:
						want, way, code = Failed, DirectionNone, fault.Busy
					case !r && !s && regular.absent && standby.absent:
						want, way = InSync, DirectionNone
					case !r && !s && !regular.tomorrow && !standby.tomorrow:
						want, way, code = Refused, DirectionNone, fault.NotFound
					case regular.tomorrow || standby.tomorrow: // it is not copied, nor anything over it
						want, way, code = Refused, DirectionNone, fault.Refused
					case !r || s && standby.since > regular.since:
						way = DirectionToRegular
					case r && s && standby.since == regular.since && standby.content == regular.content:
						want, way = InSync, DirectionNone
					case r && s && standby.since == regular.since:
						want, way, code = Conflict, DirectionNone, fault.Conflict
					}
					res, err := p.syncFrom(t, asks, DirectionAuto)
					if res.Result != want || res.Direction != way || fault.CodeOf(err) != code {
						t.Errorf("%+v, %v; want %s %s, code %d", res, err, want, way, code)
					}
				})
			}
		}
	}
}

func index(name string) int {
	for i := range combinations {
		if combinations[i].name == name {
			return i
		}
	}
	return -1
}

// makeCombination puts the version into a store.
func makeCombination(t *testing.T, s *Store, i int) {
	t.Helper()
	c := combinations[i]
	if c.absent {
		return
	}
	at := baseTime.Add(c.since)
	if c.tomorrow {
		at = time.Now().Add(24 * time.Hour)
	}
	files := fileTree{"f": c.content, "g": "all alike"}
	if !c.damaged {
		name := "xdata_1_20260301000000"
		if c.tomorrow {
			name = "xdata_1_20260310000000" // made after the others
		}
		dir := foreign(t, s, name, files, baseTime)
		fileTree{"f": c.content}.write(t, dir, at)
		if c.writing {
			s.Still = time.Hour
		}
		return
	}
	from := t.TempDir()
	files.write(t, from, at)
	v, err := s.Backup(t.Context(), 1, from)
	must(t, err)
	rot(t, filepath.Join(v.Path, "g"))
	verified(t, s, v.Name)
}
