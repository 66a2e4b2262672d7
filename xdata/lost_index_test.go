package xdata

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/xdata/internal/manifest"
)

// lostIndexes are the ways in which the index of a version is lost.
func lostIndexes(t *testing.T) map[string]func(path string) {
	t.Helper()
	write := func(text string) func(path string) {
		return func(path string) { must(t, os.WriteFile(path, []byte(text), 0o600)) }
	}
	other := func(change func(tr fileTree)) func(path string) {
		s, from, tr := newStore(t), t.TempDir(), maps.Clone(sample)
		change(tr)
		tr.write(t, from, baseTime)
		v, err := s.Backup(t.Context(), 1, from)
		must(t, err)
		data, err := os.ReadFile(s.indexes().path(v.Name))
		must(t, err)
		return write(string(data))
	}
	return map[string]func(path string){
		"removed": func(path string) { must(t, os.Remove(path)) },
		"empty":   write(""),
		"garbage": write("torn"),
		"cut short": func(path string) {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, info.Size()/2))
		},
		"a bit turned": func(path string) {
			raw, err := os.ReadFile(path)
			must(t, err)
			raw[len(raw)/2] ^= 1
			must(t, os.WriteFile(path, raw, 0o600))
		},
		"one of another version": other(func(tr fileTree) { tr["db/more.sql"] = "select 2;\n" }),
		"one of other content":   other(func(tr fileTree) { tr["db/dump.sql"] = "select 7;\n" }),
		"a folder in its place": func(path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		},
	}
}

// A version whose index is lost is as good as before: it is the newest one, it is in sync, and
// damage of it is found all the same. The next sync, or verify, makes the index anew.
func TestLostIndex(t *testing.T) {
	for name, lose := range lostIndexes(t) {
		for _, side := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
			t.Run(name+" on the "+string(side)+" side", func(t *testing.T) {
				p := newPair(t)
				v := backedUp(t, p[clusterconf.SideRegular], baseTime)
				must(t, os.MkdirAll(p[clusterconf.SideStandby].Dir, 0o755))
				_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
				must(t, err)
				s := p[side]
				path := s.indexes().path(v.Name)
				was, err := s.indexes().load(v.Name)
				must(t, err)
				remade := func(by string) {
					t.Helper()
					if is, err := s.indexes().load(v.Name); err != nil || is == nil || string(manifest.EncodeIndex(is)) != string(manifest.EncodeIndex(was)) {
						t.Errorf("%s: the index is not made anew: %v, %v", by, is != nil, err)
					}
				}

				lose(path)
				st, err := s.Status(1)
				if err != nil || st.Newest == nil || st.Newest.Name != v.Name || !st.Newest.Complete || st.Newest.Damage != "" || st.Conflict {
					t.Errorf("the newest is %+v, %v", st.Newest, err)
				}
				for _, from := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
					if res, err := p.syncFrom(t, from, DirectionAuto); err != nil || res.Result != InSync {
						t.Errorf("a sync from the %s side comes to %+v, %v", from, res, err)
					}
				}
				remade("sync")

				lose(path)
				if f := verified(t, s, v.Name); f.Result == Damaged || f.Result == Readable {
					t.Errorf("verify says %+v", f)
				}
				remade("verify")

				lose(path)
				rot(t, filepath.Join(s.Dir, v.Name, "db/dump.sql"))
				if f := verified(t, s, v.Name); f.Result != Damaged {
					t.Errorf("with damage verify says %+v", f)
				}
				if res, err := p.syncFrom(t, side, DirectionAuto); err != nil || res.Result != Copied {
					t.Errorf("after that a sync comes to %+v, %v", res, err)
				}
				checkAlike(t, p)
			})
		}
	}
}
