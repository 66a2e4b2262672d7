package xdata

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// changedAt returns when anything in a folder changed last.
func changedAt(t *testing.T, dir string) time.Time {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	_, totals, err := tree.Survey(root)
	must(t, err)
	return time.Unix(0, totals.Changed)
}

func one(t *testing.T, s *Store, name string) Version {
	t.Helper()
	v, err := s.Find(1, name)
	must(t, err)
	return v
}

// A program that pauses between files is given as long as it took for its versions before.
func TestPausesOfVersionsBefore(t *testing.T) {
	s := newStore(t)
	s.Still = time.Nanosecond
	const slow, next = "xdata_1_20260301020000", "xdata_1_20260302020000"
	dir := foreign(t, s, slow, fileTree{"first": "1"}, baseTime)
	var took time.Duration
	for took < 30*time.Millisecond { // until the clock of the file system has moved on so far
		must(t, os.RemoveAll(filepath.Join(dir, "last")))
		fileTree{"last": "2"}.write(t, dir, baseTime.Add(-time.Hour))
		v, err := s.inspector().inspect(slow, false)
		must(t, err)
		took = v.took(0)
	}
	half := foreign(t, s, next, fileTree{"first": "1"}, baseTime.Add(time.Hour))
	changed := changedAt(t, half)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {took - 1, false}, {took, true}} {
		s.Now = func() time.Time { return changed.Add(c.after) }
		v := one(t, s, next)
		if v.Complete != c.want {
			t.Errorf("complete %s after the last change, where %s were taken: %t", c.after, took, v.Complete)
		}
		if until := changed.Add(took); !c.want && (v.WritingUntil == nil || !v.WritingUntil.Equal(until)) {
			t.Errorf("it is waited for until %v; want %v", v.WritingUntil, until)
		}
	}
	// What was made long after tells nothing of the program that made those before.
	s.Now = func() time.Time { return changed }
	if !one(t, s, slow).Complete {
		t.Error("the version before is not complete")
	}
}

// With its marker another program's version is complete at once. The marker is no part of it.
func TestMarkerOfCompleteness(t *testing.T) {
	p := newPair(t)
	s := p[clusterconf.SideRegular]
	s.Still = time.Hour
	const name = "xdata_1_20260301020000"
	dir := foreign(t, s, name, sample, baseTime)
	before := one(t, s, name)
	if before.Complete || before.WritingUntil == nil {
		t.Errorf("without the marker: %+v", before)
	}
	t.Run("without the marker", func(t *testing.T) {
		_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
		wantCode(t, err, fault.Busy, "which is waited for until")
	})
	must(t, os.WriteFile(filepath.Join(dir, tree.CompleteMarker), []byte("yes"), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "conf", tree.CompleteMarker), 0o755)) // elsewhere it is a name like others
	v := one(t, s, name)
	if !v.Complete || v.WritingUntil != nil || v.Files != before.Files || v.Bytes != before.Bytes || !v.NewestMtime.Equal(baseTime) {
		t.Errorf("with the marker: %+v", v)
	}
	_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	there, _, err := p[clusterconf.SideStandby].Newest(1)
	must(t, err)
	to := filepath.Join(t.TempDir(), "back")
	must(t, s.Restore(context.Background(), v, to, nil))
	for _, dir := range []string{there.Path, to} {
		if _, err := os.Lstat(filepath.Join(dir, tree.CompleteMarker)); !os.IsNotExist(err) {
			t.Errorf("the marker is in %s", dir)
		}
		if _, err := os.Lstat(filepath.Join(dir, "conf", tree.CompleteMarker)); err != nil {
			t.Error(err)
		}
	}
	if r, err := p.syncFrom(t, clusterconf.SideStandby, DirectionAuto); err != nil || r.Result != InSync {
		t.Errorf("%+v, %v", r, err)
	}
}

// A link, which may lead anywhere, is no marker.
func TestMarkerThatIsALink(t *testing.T) {
	s := newStore(t)
	s.Still = time.Hour
	dir := foreign(t, s, "xdata_1_20260301020000", sample, baseTime)
	must(t, os.Symlink("/etc/hosts", filepath.Join(dir, tree.CompleteMarker)))
	if one(t, s, "xdata_1_20260301020000").Complete {
		t.Error("it counts as complete")
	}
}

// A folder that nothing was written to yet is waited for as well.
func TestEmptyVersionIsWaitedFor(t *testing.T) {
	p := newPair(t)
	s := p[clusterconf.SideRegular]
	s.Still = time.Hour
	dir := foreign(t, s, "xdata_1_20260301020000", nil, baseTime)
	_, err := p.syncFrom(t, clusterconf.SideStandby, DirectionAuto)
	wantCode(t, err, fault.Busy, "still being written: xdata_1_20260301020000")
	s.Now = func() time.Time { return changedAt(t, dir).Add(2 * time.Hour) }
	if v := one(t, s, "xdata_1_20260301020000"); v.Complete || v.WritingUntil != nil {
		t.Errorf("%+v", v)
	}
}

func TestSyncNamesWhatIsBeingWritten(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		dir := foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301020000", sample, baseTime)
		half := foreign(t, p[clusterconf.SideRegular], "xdata_1_20260302020000", fileTree{"first": "1"}, baseTime.Add(time.Hour))
		p[clusterconf.SideRegular].Still = time.Hour
		must(t, os.WriteFile(filepath.Join(dir, tree.CompleteMarker), nil, 0o600))
		r, err := p.syncFrom(t, asks, DirectionAuto)
		must(t, err)
		until := changedAt(t, half).Add(time.Hour)
		if r.Version != "xdata_1_20260301020000" || r.Writing == nil || r.Writing.Version != "xdata_1_20260302020000" || r.Writing.Side != clusterconf.SideRegular || !r.Writing.Until.Equal(until) {
			t.Errorf("%+v, %+v", r, r.Writing)
		}
	})
}

func TestLimsOf(t *testing.T) {
	var all []observed
	for _, lim := range []int{3, 1, 3, 2} {
		all = append(all, observed{Version: Version{LIM: lim}})
	}
	var b strings.Builder
	for _, of := range byLIM(all) {
		for _, v := range of {
			b.WriteByte(byte('0' + v.LIM))
		}
		b.WriteByte(' ')
	}
	if b.String() != "1 2 33 " {
		t.Errorf("%q", b.String())
	}
}

// Birth times are what the kernel keeps, whatever a program sets.
func TestBorn(t *testing.T) {
	dir := t.TempDir()
	fileTree{"a": "a"}.write(t, dir, baseTime)
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	in := tree.Opener{Root: root}
	defer in.Close()
	at, ok := in.Born("a")
	if !ok {
		t.Skip("the file system does not keep when files came about")
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dir, "a"), &st))
	if ctime := manifest.Nanoseconds(time.Unix(st.Ctim.Unix())); at > ctime || at < ctime-int64(time.Minute) {
		t.Errorf("born at %d, changed at %d", at, ctime)
	}
}

// A version that grows after it was copied is copied again, by whichever side asks, and whatever
// the times of what came later are. Its half is on no side then.
func TestVersionThatGrewIsCopiedAgain(t *testing.T) {
	for name, later := range map[string]time.Time{"older": baseTime.Add(-time.Hour), "same": baseTime, "newer": baseTime.Add(time.Second)} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, func(t *testing.T, asks clusterconf.Side) {
				p := newPair(t)
				const name = "xdata_1_20260301020000"
				dir := foreign(t, p[clusterconf.SideRegular], name, fileTree{"first": "1"}, baseTime)
				for i, grows := range []fileTree{nil, {"second": "2"}, {"third": "3"}} {
					grows.write(t, dir, later)
					for _, want := range []Outcome{Copied, InSync} {
						r, err := p.syncFrom(t, asks, DirectionAuto)
						if err != nil || r.Result != want {
							t.Fatalf("grown %d times: %+v, %v; want %s", i, r, err, want)
						}
					}
					there, _, err := p[clusterconf.SideStandby].Newest(1)
					must(t, err)
					if there.Files != i+1 {
						t.Errorf("grown %d times: the standby has %+v", i, there)
					}
					if versions, _ := visible(t, p[clusterconf.SideStandby]); len(versions) != 1 {
						t.Errorf("grown %d times: the standby has %q", i, versions)
					}
				}
				if versions, _ := visible(t, p[clusterconf.SideRegular]); len(versions) != 1 || one(t, p[clusterconf.SideRegular], name).Files != 3 {
					t.Errorf("the regular side has %q", versions)
				}
			})
		})
	}
}

// What shrinks is copied again, too, and never comes back.
func TestVersionThatShrankIsCopiedAgain(t *testing.T) {
	p := newPair(t)
	dir := foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301020000", fileTree{"first": "1", "newest": "n"}, baseTime)
	must(t, os.Chtimes(filepath.Join(dir, "first"), baseTime.Add(-time.Hour), baseTime.Add(-time.Hour)))
	_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "newest")))
	r, err := p.syncFrom(t, clusterconf.SideStandby, DirectionAuto)
	if err != nil || r.Direction != DirectionToStandby || r.Result != Copied {
		t.Fatalf("%+v, %v", r, err)
	}
	if there, _, err := p[clusterconf.SideStandby].Newest(1); err != nil || there.Files != 1 {
		t.Errorf("the standby has %+v, %v", there, err)
	}
}
