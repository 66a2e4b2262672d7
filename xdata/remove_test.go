package xdata

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

func TestRemove(t *testing.T) {
	s := newStore(t)
	s.Still = time.Hour
	older, newer := another(t, s, baseTime), another(t, s, baseTime.Add(time.Hour))
	foreign(t, s, "xdata_1_20200101000000", sample, baseTime) // being written
	foreign(t, s, "xdata_1_20200102000000", fileTree{}, baseTime)
	bad := another(t, s, baseTime.Add(2*time.Hour))
	must(t, os.Remove(filepath.Join(bad.Path, "db.txt")))
	must(t, os.Symlink("nowhere", filepath.Join(s.Dir, "xdata_1_20200103000000")))
	for _, tc := range []struct {
		name string
		code fault.Code
		text string
	}{
		{"xdata_1_20990101000000", fault.NotFound, "no version"},
		{"../" + newer.Name, fault.NotFound, "no version"},
		{"xdata_1_20200101000000", fault.Refused, "still being written"},
		{"xdata_1_20200102000000", fault.OK, ""},
		{"xdata_1_20200103000000", fault.OK, ""},
		{bad.Name, fault.OK, ""},
		{newer.Name, fault.OK, ""},
		{newer.Name, fault.NotFound, ""},
		{older.Name, fault.Refused, "last complete version"},
	} {
		_, err := s.MayRemove(1, tc.name)
		wantCode(t, err, tc.code, tc.text)
		before, _ := visible(t, s)
		_, err = s.Remove(1, tc.name)
		wantCode(t, err, tc.code, tc.text)
		after, leftovers := visible(t, s)
		if gone := len(before) - len(after); gone != 0 != (tc.code == fault.OK) || slices.Contains(after, tc.name) && tc.code == fault.OK || leftovers != nil {
			t.Errorf("%s: left %q, %q", tc.name, after, leftovers)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(s.Dir, ".*-"+newer.Name+"*")); err != nil || len(kept) != 0 {
		t.Errorf("left of it: %q, %v", kept, err)
	}
	release, err := s.lock(1, "sync")
	must(t, err)
	defer release()
	_, err = s.Remove(1, older.Name)
	wantCode(t, err, fault.Refused, "last complete")
}

// Names do not come twice, though versions are made faster than names change and old ones go.
func TestNamesAreNotUsedAgain(t *testing.T) {
	s := newStore(t)
	s.Now = func() time.Time { return baseTime }
	last := ""
	for i := range 5 {
		v := another(t, s, baseTime.Add(time.Duration(i)))
		if v.Name <= last {
			t.Errorf("%s after %s", v.Name, last)
		}
		last = v.Name
		if _, err := s.Prune(1, 1); err != nil {
			t.Fatal(err)
		}
	}
	foreign(t, s, "xdata_1_20990101000000", sample, baseTime) // a clock that was wrong is not followed
	if v := another(t, s, baseTime.Add(time.Hour)); v.Name >= "xdata_1_2027" {
		t.Errorf("named %s", v.Name)
	}
}

// One folder for both sides is no second copy of the data.
func TestSharedStore(t *testing.T) {
	s := newStore(t)
	v := another(t, s, baseTime)
	link := filepath.Join(t.TempDir(), "mounted")
	must(t, os.Symlink(s.Dir, link))
	for _, theirs := range []string{s.Dir, link} {
		for _, dry := range []bool{false, true} {
			p := peer(t, &Store{Dir: theirs, Still: AtOnce}, ServeOptions{})
			_, err := Sync(t.Context(), s, p, Request{LIM: 1, Side: clusterconf.SideRegular, DryRun: dry})
			p.end(t)
			wantCode(t, err, fault.Refused, "same folder of data versions, "+s.Dir)
			if !strings.Contains(fault.HintOf(err), "xdata_dir") {
				t.Errorf("remedy %q", fault.HintOf(err))
			}
		}
	}
	if versions, leftovers := visible(t, s); len(versions) != 1 || versions[0] != v.Name || leftovers != nil {
		t.Errorf("left %q, %q", versions, leftovers)
	}
}

// What the other side cannot remove is told on this one, and stops nothing.
func TestWarningsOfTheOtherSide(t *testing.T) {
	p := newPair(t)
	for i := range 2 {
		another(t, p[clusterconf.SideRegular], baseTime.Add(time.Duration(i)*time.Hour))
		_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
		must(t, err)
	}
	damaged, ok, err := p[clusterconf.SideStandby].Newest(1)
	if must(t, err); !ok {
		t.Fatal("nothing there")
	}
	must(t, os.Remove(filepath.Join(damaged.Path, "db.txt")))
	var told []string
	p[clusterconf.SideRegular].Warn = func(err error) { told = append(told, Advice(err)) }
	r, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	if err != nil || r.Result != Copied {
		t.Errorf("%+v, %v", r, err)
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "on the other side: version "+damaged.Name+" is passed over") {
		t.Errorf("told %q", told)
	}
}
