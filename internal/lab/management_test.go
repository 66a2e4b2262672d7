//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// managementEnv has the management system be played through.
const managementEnv = "MXCLUSTER_TEST_MANAGEMENT"

// The management system is set up on two real PostgreSQL by the commands that people use, goes
// over to the standby with LIM 1 when its server loses its power, and comes back by order:
// nothing is lost in order, and what was set up is taken down again. It is played on demand, for it
// takes a processor for a minute, which the scenarios beside it would miss.
func TestManagementSystemFollowsItsLIM(t *testing.T) {
	if os.Getenv(managementEnv) == "" {
		return
	}
	if _, err := exec.LookPath("pg_createcluster"); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs root and Debian's postgresql: %v", err)
		}
		t.Skipf("needs root and Debian's postgresql: %v", err)
	}
	runScenario(t, "management", program(t))
}

// database is the PostgreSQL of a server in a lab.
type database struct {
	server  *Server
	version string
	root    string // of its configuration
	sockets string
}

const (
	managementVIP  = "192.0.2.40"
	managementPass = "geheim"
)

// addDatabase makes a PostgreSQL, and has the server's mxcluster find it.
func addDatabase(ctx context.Context, x *site, s *Server) (*database, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return nil, fmt.Errorf("PostgreSQL is missing")
	}
	d := &database{server: s, version: filepath.Base(filepath.Dir(filepath.Dir(found[len(found)-1]))), root: filepath.Join(s.dir, "postgresql"), sockets: filepath.Join(s.dir, "sockets")}
	for dir := s.dir; strings.HasPrefix(dir, filepath.Dir(x.Dir)); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}
	script := fmt.Sprintf(`set -e
mkdir -p '%[1]s/bin' '%[2]s' '%[3]s' '%[1]s/databases'
chmod 755 '%[1]s/state'
chown postgres '%[3]s' '%[1]s/databases'
printf '#!/bin/sh\nPG_CLUSTER_CONF_ROOT=%[2]s exec %[4]s "$@"\n' >'%[1]s/bin/mxcluster'
chmod 755 '%[1]s/bin/mxcluster'
export PG_CLUSTER_CONF_ROOT='%[2]s'
pg_createcluster --datadir '%[1]s/databases/main' --socketdir '%[3]s' --logfile '%[1]s/databases/log' --port 5432 %[5]s main -- --no-sync >/dev/null
echo 'fsync = off
shared_buffers = 16MB' >>'%[2]s/%[5]s/main/postgresql.conf'
`, s.dir, d.root, d.sockets, s.lab.Exe, d.version)
	out, code, err := shell(ctx, s, script)
	if err == nil && code != 0 {
		err = fmt.Errorf("making PostgreSQL on %s: %s", s.Name, out)
	}
	return d, err
}

func (d *database) start(ctx context.Context) error {
	out, code, err := shell(ctx, d.server, fmt.Sprintf("PG_CLUSTER_CONF_ROOT='%s' pg_ctlcluster %s main start", d.root, d.version))
	if err == nil && code != 0 {
		err = fmt.Errorf("starting PostgreSQL on %s: %s", d.server.Name, out)
	}
	return err
}

// sql carries statements out as the superuser.
func (d *database) sql(ctx context.Context, text string) (string, error) {
	out, code, err := shell(ctx, d.server, fmt.Sprintf(`cd / && setpriv --reuid postgres --regid postgres --clear-groups psql -h '%s' -XAtq -v ON_ERROR_STOP=1 -c "%s"`, d.sockets, text))
	if err == nil && code != 0 {
		err = fmt.Errorf("%s on %s: %s", text, d.server.Name, out)
	}
	return out, err
}

// managed is what `manager status` says.
type managed struct {
	Redundant    *bool
	RedundantWhy string
	ActiveOn     *string
}

// awaitManaged waits until the pair is redundant and active on a server.
func (x *site) awaitManaged(ctx context.Context, ask *Server, active string) error {
	return within(ctx, testStep, func(ctx context.Context) error {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			out, err := ask.Mxcluster(ctx, "manager", "status", "-o", "json")
			var st managed
			if err == nil {
				err = json.Unmarshal(out, &st)
			}
			if err == nil && st.Redundant != nil && *st.Redundant && st.ActiveOn != nil && *st.ActiveOn == active {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the management system is not redundant with %s active: %+v, %w", active, st, err)
			case <-tick.C:
			}
		}
	})
}

// write inserts rows through the virtual address, from another server, until one is taken.
func (x *site) write(ctx context.Context, row int) error {
	return within(ctx, testStep, func(ctx context.Context) error {
		for {
			out, code, err := shell(ctx, x.srv2, fmt.Sprintf("PGCONNECT_TIMEOUT=1 PGPASSWORD=geheim psql -h %s -U app -d postgres -XAtqc 'insert into t values (%d)'", managementVIP, row))
			if err != nil || code == 0 {
				return err
			}
			if ctx.Err() != nil {
				return fmt.Errorf("row %d is not taken: %s", row, out)
			}
		}
	})
}

func managementScenario(ctx context.Context, l *Lab) error {
	x := newEmptySite(l)
	if err := within(ctx, testStep, x.build); err != nil {
		return err
	}
	databases := map[*Server]*database{}
	for _, s := range []*Server{x.srv1, x.standby} {
		d, err := addDatabase(ctx, x, s)
		if err != nil {
			return err
		}
		if err := d.start(ctx); err != nil {
			return err
		}
		databases[s] = d
	}
	for _, step := range []func(context.Context) error{x.makeSystem, x.connectClient} {
		if err := within(ctx, testStep, step); err != nil {
			return err
		}
	}
	if err := within(ctx, testStep, func(ctx context.Context) error { return x.create(ctx, testFailoverAfter) }); err != nil {
		return err
	}
	master, standby := databases[x.srv1], databases[x.standby]
	for _, d := range databases {
		text, err := os.ReadFile(filepath.Join(d.root, d.version, "main", "pg_hba.conf"))
		if err == nil {
			err = os.WriteFile(filepath.Join(d.root, d.version, "main", "pg_hba.conf"), append(text, "host postgres app 192.0.2.0/24 scram-sha-256\n"...), 0o640)
		}
		if err != nil {
			return err
		}
	}
	if _, err := master.sql(ctx, "create role app login password 'geheim'; create table t (i int primary key); grant all on t to app"); err != nil {
		return err
	}
	return managedThrough(ctx, x, master, standby)
}

// managedThrough sets the pair up and takes it through a loss of power and back.
func managedThrough(ctx context.Context, x *site, master, standby *database) error {
	var f findings
	setup := func(s *Server, role string) []string {
		file := filepath.Join(s.dir, "password")
		f.noError(os.WriteFile(file, []byte(managementPass+"\n"), 0o600), "password")
		return []string{"manager", "setup", "--role", role, "--vip", managementVIP, "--replication-user", "mxone_replication", "--password-file", file}
	}
	began := time.Now()
	if !f.noError(x.mx(ctx, x.srv1, setup(x.srv1, "master")...), "master") || !f.noError(x.mx(ctx, x.standby, setup(x.standby, "standby")...), "standby") {
		return f.err()
	}
	x.say("set up in %s", time.Since(began).Round(time.Millisecond))
	for s, role := range map[*Server]string{x.srv1: "master", x.standby: "standby"} {
		out, err := s.Mxcluster(ctx, append(setup(s, role), "-o", "json")...)
		f.check(err == nil && strings.Contains(string(out), `"changed": false`), "set up again on %s: %s, %v", s.Name, out, err)
	}
	f.noError(x.awaitManaged(ctx, x.srv1, "srv1"), "set-up")
	f.noError(x.write(ctx, 1), "through the virtual address")

	cut := time.Now()
	f.noError(x.cutPower(ctx), "power cut")
	f.noError(x.write(ctx, 2), "after the takeover")
	x.say("a row is taken again %s after the loss of power", time.Since(cut).Round(time.Millisecond))

	f.noError(x.srv1.Boot(ctx), "boot")
	f.noError(master.start(ctx), "boot")
	recovering, err := master.sql(ctx, "select pg_is_in_recovery()")
	f.check(err == nil && recovering == "t", "the old master is not read-only: %q, %v", recovering, err)
	f.noError(x.startAgent(ctx, x.srv1), "boot")
	if !f.noError(x.awaitManaged(ctx, x.standby, "sb1"), "rejoin") {
		return f.err()
	}
	_, err = x.srv1.Mxcluster(ctx, "manager", "fallback")
	f.check(err != nil, "the management system falls back before LIM 1 has")
	f.noError(x.mx(ctx, x.standby, "fallback", "1", "--wait"), "fallback of LIM 1")
	f.noError(x.await(ctx, 1, "srv1"), "fallback of LIM 1")
	f.noError(x.write(ctx, 3), "before its fallback")
	began = time.Now()
	f.noError(x.mx(ctx, x.srv1, "manager", "fallback", "--wait"), "fallback")
	f.noError(x.write(ctx, 4), "after the fallback")
	x.say("a row is taken again %s after the order", time.Since(began).Round(time.Millisecond))
	f.noError(x.awaitManaged(ctx, x.srv1, "srv1"), "fallback")
	rows, err := standby.sql(ctx, "select string_agg(i::text, ' ' order by i) from t")
	f.check(err == nil && rows == "1 2 3 4", "rows %q, %v", rows, err)

	_, err = x.standby.Mxcluster(ctx, "manager", "remove")
	f.check(err != nil, "the standby is taken out before the master")
	f.noError(x.mx(ctx, x.srv1, "manager", "remove"), "remove")
	f.noError(x.mx(ctx, x.standby, "manager", "remove"), "remove")
	for i, d := range []*database{master, standby} {
		_, err := d.sql(ctx, "insert into t values ("+strconv.Itoa(10+i)+")")
		f.noError(err, "after the end of the redundancy")
	}
	return f.err()
}
