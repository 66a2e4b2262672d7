package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/manager/postgres/postgrestest"
)

// Two real PostgreSQL and a real sshd: the commands tell how the pair stands, before one follows
// the other, while it does, and after a promotion beside the writer; asked on the master's server
// by the key of its syncs. The key of a server that is none of the two is told nothing.
func TestManagerOverSSH(t *testing.T) {
	site := postgrestest.New(t)
	s := newSSHSite(t)
	if err := os.Mkdir(s.path("postgresql"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"srv1", "sb1"} {
		if err := os.Symlink(site.ConfRoot(server), s.path("postgresql", server)); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.77.0.21:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	master := site.Make("srv1", "main", port, "listen_addresses = '127.77.0.21'\n")
	master.Append("pg_hba.conf", "host replication replica 127.0.0.0/8 scram-sha-256\n")
	master.Start()
	master.SQL("create role replica replication login password 'geheim'", "create database manager", "select pg_create_physical_replication_slot('sb1', true)")
	standby := site.Make("sb1", "main", port, "")

	if out := s.mx("srv1", 0, "manager status -o json"); !strings.Contains(out, `"redundant": null`) || !strings.Contains(out, "sb1: ") {
		t.Errorf("without a login: %s", out)
	}
	s.setup("srv1", 0)
	if out := s.mx("srv1", 8, "manager check"); !strings.Contains(out, fmt.Sprintf("pg_ctlcluster %d main start", site.Major)) {
		t.Errorf("the standby's is not started: %s", out)
	}
	standby.Start()
	if out := s.mx("srv1", 0, "manager check -o json"); !strings.Contains(out, `"result": "ok"`) {
		t.Errorf("%s", out)
	}
	if out := s.mx("srv1", 0, "manager status"); !strings.Contains(out, "redundant: no: the two servers have data of their own") {
		t.Errorf("%s", out)
	}
	standby.Stop()
	standby.Clone(fmt.Sprintf("host=127.77.0.21 port=%d user=replica password=geheim", port), "sb1")
	standby.Start()

	type status struct {
		Redundant  *bool
		BothActive *bool
		ActiveOn   *string
	}
	await := func(what string, is func(status) bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			var st status
			out := s.mx("srv1", 0, "manager status -o json")
			if err := json.Unmarshal([]byte(out), &st); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if is(st) {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("not %s: %s", what, out)
			}
		}
	}
	await("redundant", func(st status) bool { return st.Redundant != nil && *st.Redundant && *st.ActiveOn == "srv1" })
	if out := s.mx("srv1", 0, "manager discover"); !strings.Contains(out, "accepts writes") || !strings.Contains(out, "read-only") || strings.Contains(out, "geheim") {
		t.Errorf("%s", out)
	}
	standby.SQL("select pg_promote(false)")
	await("two writers", func(st status) bool { return st.BothActive != nil && *st.BothActive && st.ActiveOn == nil })

	s.setup("srv3", 0)
	if code, out := s.byKey("srv3", "sb1", "mxcluster manager facts"); code != 77 || strings.Contains(out, "15/main") {
		t.Errorf("by the key of another server: code %d: %s", code, out)
	}
	if code, out := s.byKey("srv1", "sb1", "mxcluster manager facts"); code != 0 || strings.Contains(out, "geheim") {
		t.Errorf("by the key of the other server: code %d: %s", code, out)
	}
}
