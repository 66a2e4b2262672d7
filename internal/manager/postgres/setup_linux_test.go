package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/manager"
	"mxcluster/internal/manager/postgres/postgrestest"
)

// duo are two servers whose halves of the pair are set up.
type duo struct {
	t    *testing.T
	site *postgrestest.Site
	a, b *postgrestest.Instance
	half map[manager.Role]*setup

	document bool                 // it has the virtual address
	begun    func(manager.StepID) // is told of each step before it is taken; nil: nobody is
}

func newDuo(t *testing.T) *duo {
	t.Helper()
	return newDuoIn(t, postgrestest.New(t))
}

// newDuoIn makes them in folders that are there.
func newDuoIn(t *testing.T, site *postgrestest.Site) *duo {
	t.Helper()
	d := &duo{t: t, site: site, half: map[manager.Role]*setup{}}
	ports := [2]int{freePort(t), freePort(t)}
	d.a = site.Make("srv1", "main", ports[0], "max_wal_size = 64MB\n")
	d.b = site.Make("sb1", "main", ports[1], "max_wal_size = 64MB\n")
	name := fmt.Sprintf("%d/main", site.Major)
	for i, role := range []manager.Role{manager.Master, manager.Standby} {
		names := [2]string{"srv1", "sb1"}
		d.half[role] = &setup{
			Place: Place{ConfRoot: site.ConfRoot(names[i]), Folder: filepath.Join(site.Dir, names[i], "manager")}, Setup: manager.Setup{Role: role, Password: `ge:h\eim`,
				Half: manager.Half{Instance: name, Server: names[i], Peer: names[1-i], Host: "127.0.0.1", Port: ports[1-i], From: []string{"127.0.0.1"}, User: "mxone_replication"}},
		}
	}
	d.a.Start()
	d.a.SQL("create table t (i int primary key)", "create database manager")
	return d
}

var errKilled = errors.New("killed")

// setup takes steps until none is left, or as many as are given, and returns those.
func (d *duo) setup(role manager.Role, steps int) ([]manager.StepID, error) {
	s := d.half[role]
	var done []manager.StepID
	for {
		p, err := s.look(d.t.Context())
		if err != nil {
			return done, err
		}
		p.Address = d.document
		master, standby := p, manager.Prepared{}
		if role == manager.Standby {
			master, standby = standby, p
		}
		left := manager.Plan(manager.Wish{Role: role, Synchronous: s.Synchronous}, master, standby)
		switch {
		case len(left) == 0:
			return done, nil
		case len(done) == steps:
			return done, errKilled
		}
		if d.begun != nil {
			d.begun(left[0].ID)
		}
		if left[0].ID == manager.StepAddress {
			d.document = true
		} else if err := s.do(d.t.Context(), left[0].ID); err != nil {
			return done, fmt.Errorf("%s: %w", left[0].ID, err)
		}
		done = append(done, left[0].ID)
	}
}

func (d *duo) must(role manager.Role) {
	d.t.Helper()
	if done, err := d.setup(role, 100); err != nil {
		d.t.Fatalf("%s after %v: %v", role, done, err)
	}
}

func (d *duo) both() {
	d.t.Helper()
	d.must(manager.Master)
	d.must(manager.Standby)
}

// await asks until a server's report is as is wanted.
func (d *duo) await(role manager.Role, what string, is func(manager.Report) bool) manager.Report {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	k := &Link{Place: d.half[role].Place}
	for {
		r := k.Look(ctx)
		if is(r) {
			return r
		}
		if pause(ctx, waitEvery) != nil {
			d.t.Fatalf("%s is not %s: %+v", role, what, r)
		}
	}
}

// What stands in the way is refused with the remedy, before anything is changed.
func TestSetupOfRealServersRefuses(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	standby := d.half[manager.Standby]
	for _, want := range []string{"is not reached", "does not let sb1 in"} {
		if _, err := d.setup(manager.Standby, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %s", err, want)
		}
		if pair, err := standby.Read(); pair != nil || err != nil {
			t.Errorf("something was set up: %+v, %v", pair, err)
		}
		d.must(manager.Master)
		standby.Password = "wrong"
	}
	master := *d.half[manager.Master]
	master.Password = "other"
	d.half[manager.Master] = &master
	if _, err := d.setup(manager.Master, 100); err == nil || !strings.Contains(err.Error(), "has another password") {
		t.Errorf("%v", err)
	}
	master.Change = true
	standby.Password = "other"
	d.must(manager.Master)
	d.b.Start()
	d.b.SQL("create database own") // since the check
	if done, err := d.setup(manager.Standby, 100); len(done) > 0 || err == nil || !strings.Contains(err.Error(), "databases on sb1 would be replaced by those of srv1: own") {
		t.Errorf("%v, %v", done, err)
	}
	d.b.SQL("drop database own")
	d.b.Stop()
	d.must(manager.Standby)
}

// Both servers accept writes and are restarted apart from each other, so that both are on a timeline
// of the same number, which are two: what one alone had is kept aside, and it is rewound.
func TestTwoHistoriesOfOneTimeline(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	d.both()
	d.a.SQL("insert into t values (1)")
	at := d.await(manager.Master, "there", func(r manager.Report) bool { return r.Followed }).Position
	d.await(manager.Standby, "caught up", func(r manager.Report) bool { return r.Position.LSN >= at.LSN })
	promote := func(half manager.Role) {
		t.Helper()
		k := &Link{Place: d.half[half].Place}
		if r, err := k.Promote(t.Context(), manager.Position{}); err != nil || !r.Writes || r.Position.Timeline != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	d.b.Crash()
	if _, err := d.half[manager.Master].Release(t.Context()); err != nil { // it starts read-only again
		t.Fatal(err)
	}
	d.a.Start()
	promote(manager.Master)
	d.a.SQL("insert into t values (3)")
	d.a.Stop()
	if _, err := d.half[manager.Standby].Follow(t.Context()); err != nil { // which starts it
		t.Fatal(err)
	}
	promote(manager.Standby)
	d.b.SQL("insert into t select generate_series(1001, 2000)") // further than the other one
	if err := d.half[manager.Standby].Settle(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f, err := d.half[manager.Master].Follow(t.Context())
	if err != nil || f.Aside == "" {
		t.Fatalf("%+v, %v\n%s", f, err, d.site.Log("srv1", "main"))
	}
	if dump, err := os.ReadFile(f.Aside); err != nil || !strings.Contains(string(dump), "COPY public.t (i) FROM stdin;\n1\n3\n") {
		t.Errorf("%v\n%s", err, dump)
	}
	d.await(manager.Master, "streaming", func(r manager.Report) bool { return r.Streams && !r.Writes })
	if got := strings.TrimSpace(d.a.SQL("select count(*) || ' ' || sum(i) from t")); got != "1001 1500501" {
		t.Errorf("there are %s", got)
	}
	copied, err := os.Stat(d.a.Data)
	if err != nil {
		t.Fatal(err)
	}
	if f, err = d.half[manager.Master].Follow(t.Context()); err != nil || f.Aside != "" || len(f.Notes) > 0 {
		t.Errorf("once more: %+v, %v", f, err)
	}
	if again, err := os.Stat(d.a.Data); err != nil || !os.SameFile(copied, again) {
		t.Errorf("it was copied once more (%v)", err)
	}
}

// After a takeover the old master comes back read-only, whoever starts it; what it alone had is
// kept aside, it is rewound and follows; and a switch in order loses nothing.
func TestOldMasterOfRealServersFollows(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	d.both()
	d.a.SQL("insert into t values (1)")
	at := d.await(manager.Master, "there", func(r manager.Report) bool { return r.Followed }).Position
	d.await(manager.Standby, "caught up", func(r manager.Report) bool { return r.Position.LSN >= at.LSN })

	b := &Link{Place: d.half[manager.Standby].Place}
	began := time.Now()
	if r, err := b.Promote(t.Context(), manager.Position{}); err != nil || !r.Writes {
		t.Fatalf("%+v, %v", r, err)
	}
	t.Logf("promoted in %s", time.Since(began))
	d.b.SQL("insert into t values (2)")
	d.a.SQL("insert into t values (3)") // beside the other one
	if err := d.half[manager.Standby].Settle(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	d.a.Crash()
	began = time.Now()
	f, err := d.half[manager.Master].Follow(t.Context())
	if err != nil || f.Aside == "" {
		t.Fatalf("%+v, %v\n%s", f, err, d.site.Log("srv1", "main"))
	}
	t.Logf("rejoined in %s", time.Since(began))
	if dump, err := os.ReadFile(f.Aside); err != nil || !strings.Contains(string(dump), "COPY public.t (i) FROM stdin;\n1\n3\n") {
		t.Errorf("%v\n%s", err, dump)
	}
	d.await(manager.Master, "streaming", func(r manager.Report) bool { return r.Streams && !r.Writes })
	if got := strings.Fields(d.a.SQL("select i from t order by i")); strings.Join(got, " ") != "1 2" {
		t.Errorf("%v", got)
	}

	// Back in order.
	began = time.Now()
	end, err := d.half[manager.Standby].Release(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := &Link{Place: d.half[manager.Master].Place}
	if r, err := a.Promote(t.Context(), end); err != nil || !r.Writes || r.Position.Timeline != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	t.Logf("switched in %s", time.Since(began))
	if err := d.half[manager.Master].Settle(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if f, err := d.half[manager.Standby].Follow(t.Context()); f.Aside != "" || err != nil {
		t.Fatalf("%+v, %v\n%s", f, err, d.site.Log("sb1", "main"))
	}
	d.await(manager.Standby, "streaming", func(r manager.Report) bool { return r.Streams && r.Position.Timeline == 3 })

	// Without the log that a rewind needs: a fresh copy.
	if r, err := b.Promote(t.Context(), manager.Position{}); err != nil || !r.Writes {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := d.half[manager.Standby].Settle(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	d.a.SQL("insert into t values (4)")
	d.a.SQL("select pg_switch_wal()", "checkpoint", "select pg_switch_wal()", "checkpoint")
	segments, err := filepath.Glob(filepath.Join(d.a.Data, "pg_wal", "00000003*"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("%v, %v", segments, err)
	}
	for _, old := range segments[:len(segments)-1] {
		if err := os.Remove(old); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = d.half[manager.Master].Follow(t.Context()); err != nil || f.Aside == "" || !strings.Contains(strings.Join(f.Notes, " "), "could not be rewound") {
		t.Fatalf("%+v, %v\n%s", f, err, d.site.Log("srv1", "main"))
	}
	d.await(manager.Master, "streaming", func(r manager.Report) bool { return r.Streams && r.Position.Timeline == 4 })
	if got := strings.Fields(d.a.SQL("select i from t order by i")); strings.Join(got, " ") != "1 2" {
		t.Errorf("%v", got)
	}

	// The master that leads is taken out first, then its standby, which becomes one of its own.
	if err := d.half[manager.Standby].Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.half[manager.Master].Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.apart()
}
