package xdata

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// clocked has both sides go by one clock, which it returns.
func (p pair) clocked(now time.Time) *time.Time {
	for _, s := range p {
		s.Now = func() time.Time { return now }
	}
	return &now
}

// A good copy that arrives beside the damaged version of its name gets one that the other
// side never gives: not even with a clock that was set back, which has names count on from
// the last one.
func TestCopyBesideADamagedVersion(t *testing.T) {
	for _, damaged := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		bothSides(t, func(t *testing.T, asks clusterconf.Side) {
			p := newSides(t)
			clock := p.clocked(baseTime.Add(time.Hour))
			v := backUp(t, p[clusterconf.SideRegular], fileTree{"f": "1"}, baseTime)
			p.wantSync(t, asks, Copied, DirectionToStandby)
			*clock = clock.Add(-time.Minute)
			rotUnseen(t, p[damaged], v.Name, "f")
			_, err := p[damaged].Verify(t.Context(), newest(t, p[damaged]), nil)
			must(t, err)
			copied := p.wantSync(t, asks, Copied, towards(damaged)).Version
			if odd := nameStamp(copied).Unix()%2 != 0; copied == v.Name || odd != (damaged == clusterconf.SideStandby) {
				t.Errorf("%s, beside %s on the %s side", copied, v.Name, damaged)
			}
			given := map[string]bool{v.Name: true, copied: true}
			for i, side := range []clusterconf.Side{damaged.Other(), damaged, damaged.Other(), damaged} {
				next := backUp(t, p[side], fileTree{"f": string(rune('2' + i))}, baseTime)
				if given[next.Name] {
					t.Errorf("%s stands for two contents", next.Name)
				}
				given[next.Name] = true
				must(t, p[side].Started(1, next.Name))
			}
		})
	}
}

// A name is not given again when its version is gone, however the clock is set: a line that
// was left may still lie on the other side, or in somebody's notes.
func TestNameIsGivenOnce(t *testing.T) {
	for name, later := range map[string][]time.Duration{
		"the same second":         {time.Hour, time.Hour},
		"set back a little":       {time.Hour, -time.Hour},
		"far back, to one before": {72 * time.Hour, 144 * time.Hour, 72 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			p := newSides(t)
			clock, s := p.clocked(baseTime), p[clusterconf.SideRegular]
			first := backUp(t, s, fileTree{"f": "1"}, baseTime)
			given := map[string]bool{first.Name: true}
			for i, by := range later {
				*clock = baseTime.Add(by)
				must(t, s.Started(1, first.Name))
				v := backUp(t, s, fileTree{"f": string(rune('2' + i))}, baseTime)
				if given[v.Name] {
					t.Errorf("%s is given again", v.Name)
				}
				given[v.Name] = true
				_, err := s.Remove(1, v.Name)
				must(t, err)
			}
		})
	}
}

// Nor does anything get the name of a version that lies aside, whoever made that.
func TestNameOfWhatIsSetAside(t *testing.T) {
	p := newSides(t)
	p.clocked(baseTime)
	aside := versionName(1, baseTime)
	for _, s := range p {
		must(t, os.MkdirAll(filepath.Join(s.Dir, asideName, aside), 0o755))
	}
	made := backUp(t, p[clusterconf.SideRegular], fileTree{"f": "made"}, baseTime)
	foreign(t, p[clusterconf.SideRegular], aside, fileTree{"f": "another program's"}, baseTime.Add(time.Second))
	copied := p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToStandby)
	for _, name := range []string{made.Name, copied.Version} {
		if name == aside {
			t.Errorf("%s stands for two contents", name)
		}
	}
}

// A backup that a crash took away does not hide the line of the LIM's data from a sync: what
// came from the other side while the LIM ran here is in conflict with it, whatever is newer
// by its times.
func TestCrashedBackupHidesNoConflict(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newSides(t)
		clock := p.clocked(baseTime.Add(100 * time.Hour))
		shared := backUp(t, p[clusterconf.SideRegular], fileTree{"f": "shared"}, baseTime)
		p.wantSync(t, asks, Copied, DirectionToStandby)
		must(t, p[clusterconf.SideStandby].Started(1, shared.Name))
		backUp(t, p[clusterconf.SideRegular], fileTree{"f": "left"}, baseTime.Add(80*time.Hour))
		conn := peer(t, p[clusterconf.SideStandby], ServeOptions{Active: func(int) bool { return true }})
		_, err := Sync(t.Context(), p[clusterconf.SideRegular], conn, Request{LIM: 1, Side: clusterconf.SideRegular})
		must(t, err)
		conn.end(t)
		*clock = clock.Add(-time.Minute)
		mine := backUp(t, p[clusterconf.SideStandby], fileTree{"f": "mine"}, baseTime)
		crashed := backUp(t, p[clusterconf.SideStandby], fileTree{"f": "crashed"}, baseTime)
		must(t, os.RemoveAll(crashed.Path))
		if got := newest(t, p[clusterconf.SideStandby]); got.Name != mine.Name {
			t.Errorf("the newest is %s, not %s", got.Name, mine.Name)
		}
		_, err = p.syncFrom(t, asks, DirectionAuto)
		wantCode(t, err, fault.Conflict, mine.Name)
	})
}
