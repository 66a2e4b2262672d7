package xdata

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/tree"
)

// backUp makes a version of a tree in a store.
func backUp(t testing.TB, s *Store, tr fileTree, mtime time.Time) Version {
	t.Helper()
	from := t.TempDir()
	tr.write(t, from, mtime)
	v, err := s.Backup(t.Context(), 1, from)
	must(t, err)
	return v
}

// newest returns the newest version of LIM 1.
func newest(t testing.TB, s *Store) Version {
	t.Helper()
	v, ok, err := s.Newest(1)
	must(t, err)
	if !ok {
		t.Fatal("there is no version")
	}
	return v
}

// newSides returns two stores that know which side they are, and that LIM 1 has both.
func newSides(t testing.TB) pair {
	p := newPair(t)
	for side, s := range p {
		s.Side, s.Paired = side, func(int) bool { return true }
	}
	return p
}

func (p pair) wantSync(t *testing.T, asks clusterconf.Side, want Outcome, way Direction) Result {
	t.Helper()
	res, err := p.syncFrom(t, asks, DirectionAuto)
	if res.Result != want || res.Direction != way {
		t.Fatalf("from %s: %+v, %v; want %s %s", asks, res, err, want, way)
	}
	return res
}

// What was backed up last is the newest, whatever its times are, and goes to the other side.
func TestBackupIsNewestWhateverItsTimes(t *testing.T) {
	day := 24 * time.Hour
	for name, tt := range map[string]struct {
		content fileTree
		mtime   time.Time
		clock   time.Time
	}{
		"put back to an older state": {fileTree{"db": "gen 1, mended"}, baseTime.Add(-100 * day), time.Time{}},
		"a file deleted":             {fileTree{"b": "b"}, baseTime, time.Time{}},
		"the same time":              {fileTree{"b": "c"}, baseTime, time.Time{}},
		"whole seconds":              {fileTree{"b": "c"}, baseTime.Truncate(time.Second), time.Time{}},
		"a clock set back":           {fileTree{"b": "d"}, baseTime.Add(-day), baseTime.Add(-day / 2)},
		"a clock of 1960":            {fileTree{"b": "e"}, time.Unix(-5e8, 0), time.Unix(-3e8, 0)},
		"a clock of 2100":            {fileTree{"b": "f"}, time.Unix(41e8, 0), time.Unix(41e8, 5)},
		"what is oldest":             {fileTree{"b": "g"}, time.Unix(0, -1<<63), time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, func(t *testing.T, asks clusterconf.Side) {
				p, clock := newSides(t), baseTime.Add(time.Hour)
				for _, s := range p {
					s.Now = func() time.Time { return clock }
				}
				first := backUp(t, p[clusterconf.SideRegular], fileTree{"a": "a", "b": "b"}, baseTime)
				p.wantSync(t, asks, Copied, DirectionToStandby)
				if !tt.clock.IsZero() {
					clock = tt.clock
				}
				v := backUp(t, p[clusterconf.SideRegular], tt.content, tt.mtime)
				if v.Parent == nil || *v.Parent != first.Name || v.MadeAt == nil || !v.MadeAt.Equal(clock) || v.Name == first.Name {
					t.Errorf("made %+v", v)
				}
				if got := p.wantSync(t, asks, Copied, DirectionToStandby); !got.Has(&v) || got.Has(&Version{known: known{line: lineage.Version{Node: lineage.Node{Name: "x"}, Made: true}}}) {
					t.Errorf("%+v", got)
				}
				checkAlike(t, p)
				if got := newest(t, p[clusterconf.SideStandby]); got.Name != v.Name || *got.Parent != first.Name {
					t.Errorf("the standby's newest is %+v, want %s", got, v.Name)
				}
				p.wantSync(t, asks, InSync, DirectionNone)
			})
		})
	}
}

// Content that is there already makes no version; where it is worse, another one.
func TestSameContentMakesNoVersion(t *testing.T) {
	s := newStore(t)
	v := backUp(t, s, sample, baseTime)
	again := backUp(t, s, sample, baseTime.Add(time.Hour))
	if again.Name != v.Name || !again.Reused {
		t.Errorf("%+v, want %s again", again, v.Name)
	}
	rotUnseen(t, s, v.Name, "db/dump.sql")
	mended := backUp(t, s, sample, baseTime)
	if mended.Reused || *mended.Parent != v.Name {
		t.Errorf("over what had rotted: %+v", mended)
	}
	other := backUp(t, s, fileTree{"f": "f"}, baseTime)
	back := backUp(t, s, sample, baseTime)
	if back.Reused || *back.Parent != other.Name {
		t.Errorf("over another one: %+v", back)
	}
	future := backUp(t, s, fileTree{"f": "g"}, time.Now().Add(time.Hour))
	touched := backUp(t, s, fileTree{"f": "g"}, baseTime)
	if touched.Reused || *touched.Parent != future.Name {
		t.Errorf("with the right times: %+v", touched)
	}
	foreign(t, s, "xdata_1_20990101000000", fileTree{"f": "h"}, time.Now())
	must(t, s.Started(1, "xdata_1_20990101000000"))
	if native := backUp(t, s, fileTree{"f": "h"}, baseTime); !native.Reused {
		t.Errorf("of another program's: %+v", native)
	}
}

// A backup follows what the LIM was last started on, not the newest there is.
func TestBackupFollowsWhatTheLIMRunsOn(t *testing.T) {
	s := newStore(t)
	first := backUp(t, s, fileTree{"f": "1"}, baseTime)
	second := backUp(t, s, fileTree{"f": "2"}, baseTime)
	must(t, s.Started(1, first.Name))
	third := backUp(t, s, fileTree{"f": "3"}, baseTime)
	if *third.Parent != first.Name || lineage.Compare(&third.line, &second.line) != lineage.Apart {
		t.Errorf("%+v", third)
	}
	foreign(t, s, "xdata_1_20260301000000", fileTree{"f": "4"}, baseTime)
	must(t, s.Started(1, "xdata_1_20260301000000"))
	fourth := backUp(t, s, fileTree{"f": "5"}, baseTime)
	if *fourth.Parent != "xdata_1_20260301000000" || fourth.line.Ancestors[0].Content == "" {
		t.Errorf("%+v", fourth)
	}
	wantCode(t, s.Started(1, "xdata_1_20260302000000"), fault.NotFound, "no version")
}

// The lineage withstands every way of copying a version.
func TestLineageIsCopied(t *testing.T) {
	for _, whole := range []bool{false, true} {
		from := newStore(t)
		backUp(t, from, fileTree{"f": "1"}, baseTime.Add(time.Hour))
		v := backUp(t, from, fileTree{"f": "2"}, baseTime)
		to := newStore(t)
		args := []string{"-a", from.Dir, to.Dir}
		if !whole {
			must(t, os.MkdirAll(to.Dir, 0o755))
			args = append([]string{"-a"}, filepath.Join(from.Dir, v.Name), filepath.Join(from.Dir, *v.Parent), to.Dir)
		}
		if out, err := exec.Command("cp", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got := newest(t, to)
		if got.Name != v.Name || got.Files != 1 || !sameVersion(&got.line, &v.line) {
			t.Errorf("copied %+v, want %+v", got, v)
		}
		next := backUp(t, to, fileTree{"f": "3"}, baseTime)
		if next.Parent == nil || *next.Parent != v.Name {
			t.Errorf("what follows there: %+v", next)
		}
		restored := filepath.Join(t.TempDir(), "back")
		must(t, to.Restore(t.Context(), got, restored, nil))
		if entries, err := os.ReadDir(restored); err != nil || len(entries) != 1 {
			t.Errorf("restored %v, %v", entries, err)
		}
		// In another store it goes by what it says, too.
		res, err := between(t, to, from, clusterconf.SideStandby)
		if err != nil || res.Result != Copied || res.Direction != DirectionToRegular || res.Version != next.Name {
			t.Errorf("%+v, %v", res, err)
		}
	}
}

// What says something else than it is goes by its times.
func TestLineageOfOtherContent(t *testing.T) {
	p := newSides(t)
	v := backUp(t, p[clusterconf.SideRegular], fileTree{"f": "1"}, baseTime)
	p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToStandby)
	forged := foreign(t, p[clusterconf.SideStandby], "xdata_1_20260401000000", fileTree{"f": "forged"}, baseTime)
	data, err := os.ReadFile(filepath.Join(v.Path, tree.LineageName))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(forged, tree.LineageName), data, 0o644))
	must(t, os.WriteFile(filepath.Join(v.Path, tree.LineageName), data[:len(data)/2], 0o644)) // and one that is broken
	if got := newest(t, p[clusterconf.SideRegular]); got.line.Made {
		t.Errorf("%+v", got)
	}
	res, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	if err == nil && res.Result == InSync {
		checkAlike(t, p)
	}
}

// parted has both sides back up while they do not see each other, in one second.
func parted(t *testing.T) (p pair, regular, standby Version) {
	t.Helper()
	p = newSides(t)
	now := time.Now().Truncate(time.Second)
	for _, s := range p {
		s.Now = func() time.Time { return now }
	}
	backUp(t, p[clusterconf.SideRegular], fileTree{"f": "before"}, baseTime)
	p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToStandby)
	return p, backUp(t, p[clusterconf.SideRegular], fileTree{"f": "regular"}, baseTime), backUp(t, p[clusterconf.SideStandby], fileTree{"f": "standby"}, baseTime.Add(time.Hour))
}

// A conflict is told, copies nothing, and removes nothing on either side while it lasts.
func TestConflict(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p, regular, standby := parted(t)
		if regular.Name == standby.Name {
			t.Errorf("%s stands for two contents", regular.Name)
		}
		before := p.versions(t)
		for range 2 {
			res, err := p.syncFrom(t, asks, DirectionAuto)
			wantCode(t, err, fault.Conflict, standby.Name)
			if res.Result != Conflict || !strings.Contains(fault.HintOf(err), "sync --lim 1 --keep regular") {
				t.Errorf("%+v: %s", res, fault.HintOf(err))
			}
		}
		for side, s := range p {
			if st, err := s.Status(1); err != nil || !st.Conflict {
				t.Errorf("%s: %+v, %v", side, st, err)
			}
			_, err := s.Prune(1, 1)
			must(t, err)
			_, err = s.KeepNewest(t.Context(), 1)
			must(t, err)
		}
		if after := p.versions(t); after != before {
			t.Errorf("from %s to %s", before, after)
		}
	})
}

// Ended, what was kept is on both sides and what lost is set aside; both follow what comes.
func TestKeepEndsAConflict(t *testing.T) {
	for _, keep := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		bothSides(t, func(t *testing.T, asks clusterconf.Side) {
			p, regular, standby := parted(t)
			_, err := p.syncFrom(t, asks, DirectionAuto)
			wantCode(t, err, fault.Conflict, "")
			kept, lost := regular, standby
			if keep == clusterconf.SideStandby {
				kept, lost = lost, kept
			}
			conn := peer(t, p[asks.Other()], ServeOptions{})
			req := Request{LIM: 1, Side: asks, Keep: keep, DryRun: true}
			res, err := Sync(t.Context(), p[asks], conn, req)
			if err != nil || res.Result != WouldCopy || res.Version != kept.Name {
				t.Errorf("dry: %+v, %v", res, err)
			}
			conn.end(t)
			req.DryRun = false
			conn = peer(t, p[asks.Other()], ServeOptions{})
			res, err = Sync(t.Context(), p[asks], conn, req)
			must(t, err)
			conn.end(t)
			aside := filepath.Join(p[keep.Other()].Dir, asideName, lost.Name)
			if res.Result != Copied || res.SetAside != aside || res.Direction != towards(keep.Other()) {
				t.Errorf("%+v", res)
			}
			if data, err := os.ReadFile(filepath.Join(aside, "f")); err != nil || string(data) != string(keep.Other()) {
				t.Errorf("set aside: %q, %v", data, err)
			}
			checkAlike(t, p)
			for side, s := range p {
				v := newest(t, s)
				data, err := os.ReadFile(filepath.Join(v.Path, "f"))
				if err != nil || string(data) != string(keep) || v.Name != res.Version {
					t.Errorf("%s has %+v: %q, %v", side, v, data, err)
				}
				list, err := s.List(1)
				must(t, err)
				if slices.ContainsFunc(list, func(v Version) bool { return v.Name == lost.Name }) {
					t.Errorf("%s is listed on the %s side", lost.Name, side)
				}
				if st, err := s.Status(1); err != nil || st.Conflict {
					t.Errorf("%s: %+v, %v", side, st, err)
				}
			}
			p.wantSync(t, asks, InSync, DirectionNone)
			conn = peer(t, p[asks.Other()], ServeOptions{})
			_, err = Sync(t.Context(), p[asks], conn, req)
			wantCode(t, err, fault.Refused, "there is no conflict")
			conn.end(t)
			backUp(t, p[keep.Other()], fileTree{"f": "after"}, baseTime)
			p.wantSync(t, asks, Copied, towards(keep))
		})
	}
}

// Equal content is in sync whatever the times: of a file system that keeps less of them,
// and of backups of one content on both sides, which later ones follow.
func TestEqualContentIsInSync(t *testing.T) {
	for _, coarse := range []time.Duration{100 * time.Nanosecond, time.Second, 2 * time.Second} {
		bothSides(t, func(t *testing.T, asks clusterconf.Side) {
			p := newSides(t)
			foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", sample, baseTime)
			foreign(t, p[clusterconf.SideStandby], "xdata_1_20260301000000", sample, baseTime.Truncate(coarse))
			res := p.wantSync(t, asks, InSync, DirectionNone)
			if res.SentBytes != 0 {
				t.Errorf("%+v", res)
			}
		})
	}
	p := newSides(t)
	backUp(t, p[clusterconf.SideRegular], sample, baseTime)
	backUp(t, p[clusterconf.SideStandby], sample, baseTime.Add(time.Hour))
	p.wantSync(t, clusterconf.SideRegular, InSync, DirectionNone)
	// Neither side's next backup is a conflict.
	backUp(t, p[clusterconf.SideStandby], fileTree{"f": "after"}, baseTime)
	p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToRegular)
	checkAlike(t, p)
	for _, changed := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		p := newSides(t)
		first := backUp(t, p[clusterconf.SideRegular], sample, baseTime)
		backUp(t, p[clusterconf.SideStandby], fileTree{"f": "other"}, baseTime)
		must(t, os.RemoveAll(newest(t, p[clusterconf.SideStandby]).Path))
		backUp(t, p[clusterconf.SideStandby], sample, baseTime) // it follows what the other side never had
		p.wantSync(t, changed, InSync, DirectionNone)
		next := backUp(t, p[changed], fileTree{"f": "after"}, baseTime)
		if got := p.wantSync(t, changed, Copied, towards(changed.Other())); !got.Has(&first) || !got.Has(&next) {
			t.Errorf("%+v", got)
		}
	}
}

// A file from the future keeps its version from being copied, with its name and a remedy,
// and no other.
func TestOneFileFromTheFuture(t *testing.T) {
	p := newSides(t)
	for _, s := range p {
		s.Now = func() time.Time { return baseTime.Add(time.Hour) }
	}
	good := backUp(t, p[clusterconf.SideRegular], fileTree{"a": "1"}, baseTime)
	from := t.TempDir()
	fileTree{"a": "2", "sub/late": "l"}.write(t, from, baseTime)
	must(t, os.Chtimes(filepath.Join(from, "sub/late"), baseTime, baseTime.AddDate(12, 0, 0)))
	bad, err := p[clusterconf.SideRegular].Backup(t.Context(), 1, from)
	must(t, err)
	res, err := p.syncFrom(t, clusterconf.SideStandby, DirectionAuto)
	wantCode(t, err, fault.Refused, `"sub/late" of 2038-03-01`)
	if want := fmt.Sprintf("mxcluster xdata remove --lim 1 %s", bad.Name); !strings.Contains(fault.HintOf(err), want) {
		t.Errorf("hint %q", fault.HintOf(err))
	}
	if res.Result != Refused || newest(t, p[clusterconf.SideStandby]).Name != good.Name || newest(t, p[clusterconf.SideRegular]).Name != bad.Name {
		t.Errorf("%+v", res)
	}
	_, err = p[clusterconf.SideRegular].Prune(1, 1)
	must(t, err)
	if list, err := p[clusterconf.SideRegular].List(1); err != nil || len(list) != 2 {
		t.Errorf("left: %+v, %v", list, err)
	}
	backUp(t, p[clusterconf.SideRegular], fileTree{"a": "3"}, baseTime)
	p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToStandby)
	checkAlike(t, p)
	_, err = p[clusterconf.SideRegular].Prune(1, 1)
	must(t, err)
	if list, err := p[clusterconf.SideRegular].List(1); err != nil || len(list) != 1 {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// Nothing that was made goes before something newer is on both sides, and with the next
// sync goes what the actions made incompatible.
func TestPruneWaitsForTheOtherSide(t *testing.T) {
	p := newSides(t)
	s := p[clusterconf.SideRegular]
	for i := range 4 {
		backUp(t, s, fileTree{"f": fmt.Sprint(i)}, baseTime)
	}
	removed, err := s.KeepNewest(t.Context(), 1)
	if err != nil || len(removed) != 0 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if n, err := s.Retained(1, 1); err != nil || n != 3 {
		t.Errorf("%d wait, %v", n, err)
	}
	backUp(t, s, fileTree{"f": "after"}, baseTime)
	conn := peer(t, p[clusterconf.SideStandby], ServeOptions{})
	res, err := Sync(t.Context(), s, conn, Request{LIM: 1, Side: clusterconf.SideRegular, DryRun: true})
	if err != nil || res.Result != WouldCopy || len(res.Removes) != 3 {
		t.Errorf("%+v, %v", res, err)
	}
	conn.end(t)
	p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToStandby)
	list, err := s.List(1)
	if err != nil || len(list) != 2 {
		t.Errorf("left: %+v, %v", list, err)
	}
	s.Paired = nil // as of a LIM in no cluster
	backUp(t, s, fileTree{"f": "alone"}, baseTime)
	if removed, err := s.Prune(1, 1); err != nil || len(removed) != 1 { // the other was verified last
		t.Errorf("removed %+v, %v", removed, err)
	}
}

// What arrives where the LIM runs is not what it runs on: its next backup shows that.
func TestReceivedWhereTheLIMRuns(t *testing.T) {
	for _, runs := range []bool{false, true} {
		p := newSides(t)
		backUp(t, p[clusterconf.SideRegular], fileTree{"f": "1"}, baseTime)
		p.wantSync(t, clusterconf.SideRegular, Copied, DirectionToStandby)
		backUp(t, p[clusterconf.SideStandby], fileTree{"f": "2"}, baseTime)
		conn := peer(t, p[clusterconf.SideRegular], ServeOptions{Active: func(int) bool { return runs }})
		_, err := Sync(t.Context(), p[clusterconf.SideStandby], conn, Request{LIM: 1, Side: clusterconf.SideStandby})
		must(t, err)
		conn.end(t)
		backUp(t, p[clusterconf.SideRegular], fileTree{"f": "3"}, baseTime)
		_, err = p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
		want := map[bool]fault.Code{true: fault.Conflict, false: fault.OK}[runs]
		wantCode(t, err, want, "")
	}
}

// A version that was removed by hand on one side comes back from the other, and a store
// that was lost takes what the other side has.
func TestRemovedByHand(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newSides(t)
		backUp(t, p[clusterconf.SideRegular], fileTree{"f": "1"}, baseTime)
		p.wantSync(t, asks, Copied, DirectionToStandby)
		v := backUp(t, p[clusterconf.SideRegular], fileTree{"f": "2"}, baseTime)
		p.wantSync(t, asks, Copied, DirectionToStandby)
		must(t, os.RemoveAll(v.Path))
		p.wantSync(t, asks, Copied, DirectionToRegular)
		checkAlike(t, p)
		must(t, os.RemoveAll(p[clusterconf.SideRegular].Dir))
		p.wantSync(t, asks, Copied, DirectionToRegular)
		next := backUp(t, p[clusterconf.SideRegular], fileTree{"f": "3"}, baseTime)
		if *next.Parent != v.Name {
			t.Errorf("%+v", next)
		}
		p.wantSync(t, asks, Copied, DirectionToStandby)
	})
}
