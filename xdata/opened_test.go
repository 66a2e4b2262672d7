package xdata

import (
	"os"
	"testing"
	"time"

	"mxcluster/clusterconf"
)

// A version that was read before the last good sync is on the other side, as far as is
// known, and not made ready; one that was read since, as 'xdata backup' does, is.
func TestMadeReadyOnce(t *testing.T) {
	s := newStore(t)
	foreign(t, s, "xdata_1_20260301000000", fileTree{"a": "first"}, baseTime)
	must(t, openedFor(t, s).ReadAll(t.Context()))
	index, err := os.Stat(s.indexes().path("xdata_1_20260301000000"))
	must(t, err)
	for since, want := range map[time.Duration]bool{-time.Second: true, 0: false, time.Second: false} {
		if ready := openedFor(t, s).readSince(index.ModTime().Add(since)); ready != want {
			t.Errorf("last synchronised %s after it was read: made ready %t, want %t", since, ready, want)
		}
	}
}

// One that was read before and has rotted since is of no importance to a sync that brings
// a newer one.
func TestRottedWhereANewerOneComes(t *testing.T) {
	p := newPair(t)
	v := backedUp(t, p[clusterconf.SideRegular], baseTime)
	rotUnseen(t, p[clusterconf.SideRegular], v.Name, "db/dump.sql")
	opened := openedFor(t, p[clusterconf.SideRegular])
	opened.prefetch(t.Context(), true, time.Time{})
	waitUntil(t, "it is found out", func() bool {
		m, err := loadMark(p[clusterconf.SideRegular].marks().path(v.Name))
		return err == nil && m != nil && m.Damage != ""
	})
	must(t, opened.DropPrefetch())

	foreign(t, p[clusterconf.SideStandby], "xdata_1_20260302000000", fileTree{"db/dump.sql": "select 2;\n"}, time.Now())
	must(t, os.Remove(p[clusterconf.SideRegular].marks().path(v.Name))) // as if that had not been noticed
	res, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	if err != nil || res.Result != Copied || res.Direction != DirectionToRegular {
		t.Errorf("%+v, %v", res, err)
	}
}

// openedFor opens the newest version of LIM 1.
func openedFor(t *testing.T, s *Store) *opened {
	t.Helper()
	snap, _, _, err := s.summarise(1)
	must(t, err)
	t.Cleanup(snap.Close)
	return snap
}
