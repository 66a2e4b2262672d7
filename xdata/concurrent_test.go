package xdata

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// Backups of one LIM exclude each other, those of different LIMs do not; what
// is listed meanwhile is always whole.
func TestBackupsAtOnce(t *testing.T) {
	s := newStore(t)
	s.Still = time.Hour
	from := t.TempDir()
	sample.write(t, from, baseTime)
	var made, busy [3]int // one that finds its content there makes none
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			lim := 1 + i%2
			v, err := s.Backup(context.Background(), lim, from)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && !v.Reused:
				made[lim]++
			case err == nil, fault.CodeOf(err) == fault.Busy:
				busy[lim]++
			default:
				t.Error(err)
			}
		})
		wg.Go(func() {
			list, err := s.List(0)
			if err != nil {
				t.Error(err)
			}
			for _, v := range list {
				if !v.Complete || v.Files != 5 {
					t.Errorf("seen half-made: %+v", v)
				}
			}
		})
	}
	wg.Wait()
	for lim := 1; lim <= 2; lim++ {
		list, err := s.List(lim)
		must(t, err)
		if made[lim] == 0 || made[lim]+busy[lim] != 6 || len(list) != made[lim] {
			t.Errorf("LIM %d: %d made, %d busy, %d listed", lim, made[lim], busy[lim], len(list))
		}
	}
	if _, leftovers := visible(t, s); leftovers != nil {
		t.Errorf("leftovers %q", leftovers)
	}
}

// Both servers asking each other at once must not block each other for good:
// each sync ends, and the data are in sync after one more.
func TestSyncsTowardsEachOther(t *testing.T) {
	p := newPair(t)
	foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", fileTree{"f": strings.Repeat("x", 1<<20)}, baseTime)
	var wg sync.WaitGroup
	var conns []*served
	for range 3 {
		for _, asks := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
			conn := peer(t, p[asks.Other()], ServeOptions{})
			conns = append(conns, conn)
			wg.Go(func() {
				defer conn.Close()
				res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
				if err != nil && fault.CodeOf(err) != fault.Busy {
					t.Errorf("%+v, %v", res, err)
				}
			})
		}
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	wait(t, ended, "all syncs")
	for _, c := range conns {
		c.end(t) // until then it holds the lock
	}
	_, err := p.syncFrom(t, clusterconf.SideRegular, DirectionAuto)
	must(t, err)
	if got := p.versions(t); got != "[xdata_1_20260301000000] [xdata_1_20260301000000]" {
		t.Errorf("versions %s", got)
	}
}

// LIMs do not disturb each other, whatever their numbers begin with.
func TestManyLIMs(t *testing.T) {
	p := newPair(t)
	for _, lim := range []int{1, 10, 11, 100} {
		foreign(t, p[clusterconf.SideRegular], fmt.Sprintf("xdata_%d_20260301000000", lim), fileTree{"lim": fmt.Sprint(lim)}, baseTime)
	}
	for _, lim := range []int{1, 10, 11, 100} {
		conn := peer(t, p[clusterconf.SideStandby], ServeOptions{})
		res, err := Sync(context.Background(), p[clusterconf.SideRegular], conn, Request{LIM: lim, Side: clusterconf.SideRegular})
		must(t, err)
		if res.Result != Copied || res.LIM != lim {
			t.Errorf("%+v", res)
		}
	}
	regular, _ := visible(t, p[clusterconf.SideRegular])
	standby, _ := visible(t, p[clusterconf.SideStandby])
	if fmt.Sprint(regular) != fmt.Sprint(standby) {
		t.Errorf("regular %q, standby %q", regular, standby)
	}
}

// A peer that vanishes between any two messages is reported as such, and the
// locks do not stay.
func TestPeerVanishes(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		for messages := range 8 {
			p := newPair(t)
			states["newer"](t, p[clusterconf.SideRegular])
			other := peer(t, p[asks.Other()], ServeOptions{})
			conn := &vanishing{Conn: other, left: messages}
			res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
			if conn.left > 0 || err == nil {
				return // it was not needed any more
			}
			if res.Result != Failed && res.Result != Copied {
				t.Errorf("after %d messages: %+v, %v", messages, res, err)
			}
			other.end(t)
			for _, s := range p {
				release, err := s.lock(1, "test")
				must(t, err)
				release()
				if _, leftovers := visible(t, s); leftovers != nil {
					t.Errorf("after %d messages: left %q", messages, leftovers)
				}
			}
		}
	})
}

// vanishing closes itself instead of reading once too often.
type vanishing struct {
	Conn
	left int
}

func (c *vanishing) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		c.Close()
	}
	return c.Conn.Read(p)
}
