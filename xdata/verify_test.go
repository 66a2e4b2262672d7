package xdata

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/tree"
)

// rot changes a byte of a file as a disk does: nothing but the content differs.
func rot(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	must(t, err)
	data, err := os.ReadFile(file)
	must(t, err)
	data[0] ^= 1
	must(t, os.WriteFile(file, data, 0o600))
	must(t, os.Chtimes(file, info.ModTime(), info.ModTime()))
}

// backedUp makes a version of the sample.
func backedUp(t *testing.T, s *Store, mtime time.Time) Version {
	t.Helper()
	from := t.TempDir()
	sample.write(t, from, mtime)
	v, err := s.Backup(t.Context(), 1, from)
	must(t, err)
	return v
}

func verified(t *testing.T, s *Store, name string) Finding {
	t.Helper()
	v, err := s.Find(1, name)
	must(t, err)
	f, err := s.Verify(t.Context(), v, nil)
	must(t, err)
	return f
}

func TestVerify(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		own    string // verdict on a version of our making
		says   string
		other  Verdict // verdict on another program's
	}{
		{"nothing", func(*testing.T, string) {}, "intact", "", Intact},
		{"rot", func(t *testing.T, d string) { rot(t, filepath.Join(d, "db/dump.sql")) }, "damaged", `"db/dump.sql" does not match its hash`, Damaged},
		{"a time changed", func(t *testing.T, d string) {
			must(t, os.Chtimes(filepath.Join(d, "db.txt"), baseTime.Add(1), baseTime.Add(1)))
		}, "intact", "", Intact},
		{"written to", func(t *testing.T, d string) { must(t, os.WriteFile(filepath.Join(d, "db.txt"), []byte("more"), 0o600)) },
			"damaged", `"db.txt" does not match its hash`, Intact},
		{"a file gone", func(t *testing.T, d string) { must(t, os.Remove(filepath.Join(d, "db/empty"))) }, "damaged", `"db/empty" is missing`, Intact},
		{"a file more", func(t *testing.T, d string) { must(t, os.WriteFile(filepath.Join(d, "new"), nil, 0o600)) }, "damaged", `"new" does not belong to it`, Intact},
		{"a link instead", func(t *testing.T, d string) {
			must(t, os.Remove(filepath.Join(d, "db.txt")))
			must(t, os.Symlink("/etc/passwd", filepath.Join(d, "db.txt")))
		}, "damaged", `"db.txt" is no file any more`, Damaged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore(t)
			s.Still = time.Hour
			s.Now = func() time.Time { return time.Now() }
			v := backedUp(t, s, baseTime)
			tc.damage(t, v.Path)
			f := verified(t, s, v.Name)
			if string(f.Result) != tc.own || strings.Join(f.Damage, " ") == "" != (tc.says == "") || !strings.Contains(strings.Join(f.Damage, " "), tc.says) {
				t.Errorf("own: %+v", f)
			}
			now, err := s.Find(1, v.Name)
			must(t, err)
			if good := tc.own == "intact"; now.Complete != good || (now.Verified != nil) != good || (now.Damage == "") != good {
				t.Errorf("listed as %+v", now)
			}
			if err := f.Failure(); (fault.CodeOf(err) == fault.Conflict) != (tc.own == "damaged") {
				t.Errorf("failure %v", err)
			}

			o := newStore(t)
			dir := foreign(t, o, "xdata_1_20260301020000", sample, baseTime)
			if f := verified(t, o, "xdata_1_20260301020000"); f.Result != Recorded {
				t.Errorf("another program's, first: %+v", f)
			}
			tc.damage(t, dir)
			if f := verified(t, o, "xdata_1_20260301020000"); f.Result != tc.other {
				t.Errorf("another program's: %+v, want %s", f, tc.other)
			}
		})
	}
}

// A version that was mended is good again.
func TestVerifyMended(t *testing.T) {
	s := newStore(t)
	v := backedUp(t, s, baseTime)
	file := filepath.Join(v.Path, "db/dump.sql")
	rot(t, file)
	if f := verified(t, s, v.Name); f.Result != Damaged {
		t.Fatalf("%+v", f)
	}
	rot(t, file) // the same bit again
	if f := verified(t, s, v.Name); f.Result != Intact {
		t.Errorf("%+v", f)
	}
	if v, err := s.Find(1, v.Name); err != nil || !v.Complete || v.Damage != "" {
		t.Errorf("%+v, %v", v, err)
	}
}

// between synchronises two stores, and waits until both sides are done.
func between(t *testing.T, here, there *Store, side clusterconf.Side) (Result, error) {
	t.Helper()
	p := peer(t, there, ServeOptions{})
	defer p.end(t)
	return Sync(t.Context(), here, p, Request{LIM: 1, Side: side})
}

// Damage does not spread: neither after verify nor without, from neither side;
// and the good version of the other side comes back.
func TestDamageIsNotCopied(t *testing.T) {
	for _, side := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		for _, verify := range []bool{true, false} {
			here, there := newStore(t), newStore(t)
			must(t, os.MkdirAll(there.Dir, 0o755))
			v := backedUp(t, here, baseTime)
			rot(t, filepath.Join(v.Path, "db/dump.sql"))
			if verify {
				verified(t, here, v.Name)
			}
			_, err := between(t, here, there, side)
			want := fault.Conflict
			if verify {
				want = fault.NotFound // there is no other
			}
			wantCode(t, err, want, "")
			if names, _ := visible(t, there); len(names) != 0 {
				t.Errorf("verified %v: the other side has %q", verify, names)
			}
			if _, ok, err := here.Newest(1); ok || err != nil {
				t.Errorf("the damaged version is still the newest: %v", err)
			}
			// The same from the other side.
			_, err = between(t, there, here, side)
			wantCode(t, err, fault.NotFound, "")

			good := backedUp(t, there, baseTime)
			r, err := between(t, here, there, side)
			if err != nil || r.Result != Copied {
				t.Fatalf("%+v, %v", r, err)
			}
			healed, _, err := here.Newest(1)
			must(t, err)
			if describe(t, healed.Path) != describe(t, good.Path) {
				t.Error("the version that came back differs")
			}
			if _, err := here.Find(1, v.Name); healed.Name != v.Name && err == nil {
				t.Error("the damaged version is still there beside a good one")
			}
		}
	}
}

// A chunk that rotted where only its content shows it is not made part of a new
// version, and damage to the version that it is in is noted.
func TestRotIsFoundInWhatIsReused(t *testing.T) {
	const name, size = "xdata_1_20260228000000", 4 << 20
	p := newPair(t)
	before := fileTree{"dump": noise(1, size), "other": noise(2, size), "small": "some text"}
	foreign(t, p[clusterconf.SideRegular], name, before, baseTime.Add(-time.Hour))
	must(t, os.MkdirAll(p[clusterconf.SideStandby].Dir, 0o755))
	_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	rotUnseen(t, p[clusterconf.SideStandby], name, "dump")
	after := fileTree{"dump": before["dump"] + "more", "other": before["other"] + "more", "small": "some text"}
	foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", after, baseTime)
	res, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	if res.Result != Copied || res.SentBytes < size || res.SentBytes > size+size/4 {
		t.Errorf("%s, %d bytes sent, expected one of the two files", res.Result, res.SentBytes)
	}
	checkAlike(t, p)
	// A damaged version goes when there is a good one, where one that is not is kept.
	if names, _ := visible(t, p[clusterconf.SideStandby]); len(names) != 1 {
		t.Errorf("the damaged version was kept: %q", names)
	}
	if names, _ := visible(t, p[clusterconf.SideRegular]); len(names) != 2 {
		t.Errorf("the regular server has %q", names)
	}
}

// rotUnseen changes a byte of a file in a version as a disk does, the time of its inode
// included, which is noted anew.
func rotUnseen(t *testing.T, s *Store, name, path string) {
	t.Helper()
	rot(t, filepath.Join(s.Dir, name, path))
	root, err := os.OpenRoot(filepath.Join(s.Dir, name))
	must(t, err)
	defer root.Close()
	m, err := s.indexes().load(name)
	must(t, err)
	now, _, err := tree.Survey(root)
	must(t, err)
	m.Find(path).Ctime = now.Find(path).Ctime
	must(t, s.indexes().write(name, m))
}

func TestVerifyGone(t *testing.T) {
	s := newStore(t)
	v := backedUp(t, s, baseTime)
	must(t, os.RemoveAll(v.Path))
	_, err := s.Verify(t.Context(), v, nil)
	wantCode(t, err, fault.NotFound, "removed meanwhile")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v = backedUp(t, s, baseTime)
	if _, err := s.Verify(ctx, v, nil); err == nil {
		t.Error("it goes on after the end")
	}
}

// Hashes go when their version goes.
func TestSumsGoWithTheirVersion(t *testing.T) {
	s := newStore(t)
	for i := range 3 {
		backedUp(t, s, baseTime.Add(time.Duration(i)))
	}
	if _, err := s.Prune(1, 1); err != nil {
		t.Fatal(err)
	}
	_, err := s.Prune(1, 1) // cleans up first
	must(t, err)
	kept, err := filepath.Glob(filepath.Join(s.Dir, indexPrefix+"*"))
	if err != nil || len(kept) != 1 {
		t.Errorf("%q, %v", kept, err)
	}
}

func TestSurplus(t *testing.T) {
	at := time.Now()
	good, checked := Version{Complete: true}, Version{Complete: true, Verified: &at}
	writing, bad := Version{}, Version{Damage: "rot"}
	for _, tc := range []struct {
		name     string
		versions []Version
		keep     int
		want     string // of each version, - for removed
	}{
		{"none", nil, 1, ""},
		{"one", []Version{good}, 1, "x"},
		{"too many", []Version{good, good, good}, 2, "xx-"},
		{"never zero", []Version{good, good}, 0, "x-"},
		{"the newest verified stays", []Version{good, good, checked, checked}, 1, "x-x-"},
		{"one being written does not count", []Version{writing, good, writing, good}, 1, "xxx-"},
		{"a newer damaged one may be all there is", []Version{bad, good, bad}, 1, "xx-"},
		{"damaged alone", []Version{bad, bad}, 1, "xx"},
	} {
		for i := range tc.versions {
			tc.versions[i].Name = string(rune('a' + i))
		}
		got := []byte(strings.Repeat("x", len(tc.versions)))
		for _, v := range (&pairState{}).surplus(tc.versions, tc.keep, false, at) {
			got[v.Name[0]-'a'] = '-'
		}
		if string(got) != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
