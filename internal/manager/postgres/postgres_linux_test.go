package postgres

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/manager"
	"mxcluster/internal/manager/postgres/postgrestest"
)

// pair are two servers with a PostgreSQL each, of which the second one follows the first.
type pair struct {
	t    *testing.T
	site *postgrestest.Site
	a, b *postgrestest.Instance
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// look asks a server, as a command does.
func (p *pair) look(server string) manager.Sight {
	p.t.Helper()
	n, err := Host{ConfRoot: p.site.ConfRoot(server)}.Look(p.t.Context(), server)
	if err != nil {
		p.t.Fatal(err)
	}
	return manager.Sight{Node: n}
}

func (p *pair) standing() manager.Standing {
	p.t.Helper()
	return manager.Judge(manager.Pair{Master: clusterconf.Server{Name: "srv1", Base: netip.MustParsePrefix("127.0.0.1/8")}, Standby: clusterconf.Server{Name: "sb1", Base: netip.MustParsePrefix("127.0.0.1/8")}},
		map[manager.Role]manager.Sight{manager.Master: p.look("srv1"), manager.Standby: p.look("sb1")}, time.Now())
}

// await asks until the pair stands as is wanted.
func (p *pair) await(what string, is func(manager.Standing) bool) manager.Standing {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	st := p.standing()
	for ; !is(st); st = p.standing() {
		if ctx.Err() != nil {
			p.t.Fatalf("not %s: %+v", what, st)
		}
	}
	return st
}

// What is seen of two real servers: before the one follows the other, while it does, when it
// lags, when it is promoted beside the other, and after a loss of power.
func TestPairOfServers(t *testing.T) {
	t.Parallel()
	site := postgrestest.New(t)
	p := &pair{t: t, site: site}
	port := freePort(t)
	const more = "wal_log_hints = on\nmax_slot_wal_keep_size = 64MB\n"
	p.a = site.Make("srv1", "main", port, "listen_addresses = '127.0.0.1'\n"+more)
	p.a.Append("pg_hba.conf", "host replication replica 127.0.0.1/32 scram-sha-256\n")
	if i, _ := p.look("srv1").Instance(); i == nil || i.Database != nil || i.Problem != "it is not running" || i.FreeBytes == nil {
		t.Fatalf("before its start: %+v", i)
	}
	p.a.Start()
	p.a.SQL("create role replica replication login password 'geheim'", "create database manager", "select pg_create_physical_replication_slot('sb1', true)")
	i, why := p.look("srv1").Instance()
	if i == nil || i.Database == nil {
		t.Fatalf("%s, %+v", why, i)
	}
	if d := i.Database; i.Name != fmt.Sprintf("%d/main", site.Major) || i.Port != port || d.ReadOnly || d.Timeline != 1 || d.Position == 0 || d.SystemID == "" ||
		strings.Join(d.Databases, " ") != "manager" || d.Bytes == 0 || d.Settings["wal_log_hints"] != "on" || len(d.Slots) != 1 || d.Slots[0].Active {
		t.Errorf("%+v", i.Database)
	}

	p.b = site.Make("sb1", "main", port, "max_connections = 120\n")
	p.b.Start()
	if st := p.standing(); st.Redundant == nil || *st.Redundant || !strings.Contains(st.Why, "data of their own") {
		t.Errorf("two servers of their own: %+v", st)
	}
	p.b.Stop()
	p.b.Clone(fmt.Sprintf("host=127.0.0.1 port=%d user=replica password=geheim", port), "sb1")
	p.b.Start()
	st := p.await("redundant", func(st manager.Standing) bool { return st.Redundant != nil && *st.Redundant })
	if st.Active != manager.Master || st.Why != "srv1 accepts writes, sb1 streams from it" {
		t.Errorf("%+v", st)
	}
	if all := strings.Join(st.Differ, "; "); !strings.Contains(all, "max_connections: 100 on srv1, 120 on sb1") || !strings.Contains(all, "wal_log_hints: on on srv1, off on sb1") {
		t.Errorf("settings that differ: %s", all)
	}

	p.b.SQL("select pg_wal_replay_pause()")
	p.a.SQL("create table t as select generate_series(1, 1000)")
	if st := p.await("behind", func(st manager.Standing) bool { return st.LagBytes != nil && *st.LagBytes > 0 }); st.Redundant == nil {
		t.Errorf("%+v", st)
	}
	p.b.SQL("select pg_wal_replay_resume()")
	p.await("caught up", func(st manager.Standing) bool { return st.LagBytes != nil && *st.LagBytes == 0 })

	p.b.SQL("select pg_promote(false)")
	if st := p.await("two writers", func(st manager.Standing) bool { return st.Both }); *st.Redundant || st.Active != "" {
		t.Errorf("%+v", st)
	}
	p.a.Kill()
	st = p.standing()
	if st.Redundant != nil || !strings.Contains(st.Why, "is left over from process") || !strings.HasSuffix(st.Why, "sb1 accepts writes") {
		t.Errorf("after a loss of power: %+v", st)
	}
	if d, _ := p.look("sb1").Instance(); d.Database == nil || d.Database.Timeline != 2 {
		t.Errorf("the timeline after the promotion: %+v", d.Database)
	}
}

// The superuser is reached by threads that are put back: nobody else of the process is changed.
func TestEveryThreadStaysRoot(t *testing.T) {
	t.Parallel()
	site := postgrestest.New(t)
	a := site.Make("srv1", "main", 5432, "")
	a.Start()
	p := &pair{t: t, site: site}
	for range 20 {
		if i, why := p.look("srv1").Instance(); i == nil || i.Database == nil {
			t.Fatalf("%s %+v", why, i)
		}
	}
	for _, line := range threads(t) {
		if f := strings.Fields(line); len(f) != 5 || f[1] != "0" || f[2] != "0" {
			t.Errorf("a thread that is not root: %s", line)
		}
	}
}
