//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mxcluster/internal/fault"
)

const (
	managementVIP      = "192.0.2.40" // virtual address of the management system
	managementPassword = "geheim"
	managementPatience = time.Minute // for any one step: PostgreSQL starts, and is copied
)

// managementMissing says what this machine lacks for the management system in a lab; nil: nothing.
func managementMissing() error {
	if os.Geteuid() != 0 {
		return fault.New(fault.NotPermitted, "run it as root", "the demonstration of the management system has PostgreSQL run as its own user")
	}
	for _, program := range []string{"pg_createcluster", "pg_ctlcluster", "psql", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			return fault.New(fault.Refused, "apt-get install postgresql", "%s is missing: the demonstration of the management system needs Debian's PostgreSQL", program)
		}
	}
	if postgresVersion() == "" {
		return fault.New(fault.Refused, "apt-get install postgresql", "there is no PostgreSQL in /usr/lib/postgresql")
	}
	return nil
}

// postgresVersion is the newest major version of PostgreSQL on this machine; "": there is none.
func postgresVersion() string {
	newest := 0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, path := range found {
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))); err == nil {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return ""
	}
	return strconv.Itoa(newest)
}

// ManagementScenario is the scenario of Demo with the management system: its redundancy is set up on
// two real PostgreSQL by the commands that people use, it goes over to the standby with LIM 1 when
// its server loses its power, comes back by order, and what was set up is taken down again. It is
// narrated on out.
func ManagementScenario(out io.Writer, quiet bool) Scenario {
	return func(ctx context.Context, l *Lab) error {
		d := &managementDemo{site: &site{Lab: l, narrator: newNarrator(out, quiet), asking: callEvery}}
		return d.run(ctx)
	}
}

// managementDemo is a running demonstration of the management system.
type managementDemo struct {
	*site
	master, onStandby *database
}

func (d *managementDemo) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"building the lab", d.build},
		{"making two PostgreSQL", d.addDatabases},
		{"making the system", d.makeSystem},
		{"connecting the client", d.connectClient},
		{"creating the cluster", func(ctx context.Context) error { return d.create(ctx, demoFailoverAfter) }},
		{"setting the management system up", d.setUp},
		{"cutting the power", d.loseServer},
		{"booting the server again", d.heal},
		{"falling back", d.fallBack},
		{"taking the set-up down", d.remove},
	} {
		if err := within(ctx, managementPatience, step.run); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	d.say("all as it should be")
	return nil
}

// addDatabases makes a PostgreSQL on each server of LIM 1, the master's with a table.
func (d *managementDemo) addDatabases(ctx context.Context) (err error) {
	if d.master, err = addDatabase(ctx, d.srv1); err != nil {
		return err
	}
	if d.onStandby, err = addDatabase(ctx, d.standby); err != nil {
		return err
	}
	d.say("PostgreSQL %s runs on srv1, with a table of the management system, and on sb1", d.master.version)
	_, err = d.master.sql(ctx, fmt.Sprintf("create role app login password '%s'; create table t (i int primary key); grant all on t to app", managementPassword))
	return err
}

// setUp sets the redundancy up on both servers. Doing it once more changes nothing.
func (d *managementDemo) setUp(ctx context.Context) error {
	if err := d.mx(ctx, d.srv1, "manager", "check", "--vip", managementVIP); err != nil {
		return err
	}
	began := time.Now()
	for _, again := range []bool{false, true} {
		for _, side := range []struct {
			server *Server
			role   string
		}{{d.srv1, "master"}, {d.standby, "standby"}} {
			file := filepath.Join(side.server.dir, "password")
			if err := os.WriteFile(file, []byte(managementPassword+"\n"), 0o600); err != nil {
				return err
			}
			args := []string{"manager", "setup", "--role", side.role, "--vip", managementVIP, "--replication-user", "mxone_replication", "--password-file", file}
			if !again {
				if err := d.mx(ctx, side.server, args...); err != nil {
					return err
				}
				continue
			}
			out, err := side.server.Mxcluster(ctx, append(args, "-o", "json")...)
			if err != nil || !strings.Contains(string(out), `"changed": false`) {
				return fmt.Errorf("set up once more on %s: %s, %w", side.server.Name, out, err)
			}
		}
		if !again {
			d.say("set up in %s", time.Since(began).Round(time.Millisecond))
		}
	}
	d.say("the same commands once more: nothing changes")
	if err := d.awaitManaged(ctx, d.srv1, "srv1"); err != nil {
		return err
	}
	if err := d.mx(ctx, d.srv1, "manager", "status"); err != nil {
		return err
	}
	return d.write(ctx, 1)
}

// loseServer cuts the power of srv1: the management system goes over with LIM 1.
func (d *managementDemo) loseServer(ctx context.Context) error {
	cut := time.Now()
	if err := d.cutPower(ctx); err != nil {
		return err
	}
	if err := d.write(ctx, 2); err != nil {
		return err
	}
	d.say("a row is taken again %s after the loss of power", time.Since(cut).Round(time.Millisecond))
	return nil
}

// heal switches srv1 on again: its PostgreSQL starts read-only, and follows the standby's.
func (d *managementDemo) heal(ctx context.Context) error {
	d.say("srv1 gets its power back and boots")
	if err := d.srv1.Boot(ctx); err != nil {
		return err
	}
	if err := d.master.start(ctx); err != nil {
		return err
	}
	if out, err := d.master.sql(ctx, "select pg_is_in_recovery()"); err != nil || out != "t" {
		return fmt.Errorf("the old master is not read-only: %q, %w", out, err)
	}
	d.say("its PostgreSQL is read-only")
	began := time.Now()
	if err := d.startAgent(ctx, d.srv1); err != nil {
		return err
	}
	if err := d.awaitManaged(ctx, d.standby, "sb1"); err != nil {
		return err
	}
	d.say("it follows sb1 again %s after its agent was started", time.Since(began).Round(time.Millisecond))
	return d.mx(ctx, d.standby, "manager", "status")
}

// fallBack orders LIM 1 back to srv1, and then the management system, which may not go before.
func (d *managementDemo) fallBack(ctx context.Context) error {
	d.say("srv1# mxcluster manager fallback")
	out, err := d.srv1.Mxcluster(ctx, "manager", "fallback")
	if fault.CodeOf(err) != fault.Refused {
		return fmt.Errorf("the management system falls back before LIM 1 has: %s, %w", out, err)
	}
	d.show([]byte(err.Error()))
	if err := d.mx(ctx, d.standby, "fallback", "1", "--wait"); err != nil {
		return err
	}
	if err := d.write(ctx, 3); err != nil {
		return err
	}
	began := time.Now()
	if err := d.mx(ctx, d.srv1, "manager", "fallback", "--wait"); err != nil {
		return err
	}
	if err := d.write(ctx, 4); err != nil {
		return err
	}
	d.say("a row is taken again %s after the order", time.Since(began).Round(time.Millisecond))
	if err := d.awaitManaged(ctx, d.srv1, "srv1"); err != nil {
		return err
	}
	rows, err := d.onStandby.sql(ctx, "select string_agg(i::text, ' ' order by i) from t")
	if err != nil || rows != "1 2 3 4" {
		return fmt.Errorf("rows %q, %w", rows, err)
	}
	d.say("all rows that were taken are on both servers")
	return nil
}

// remove takes the set-up down, which the standby refuses before the master: two databases of their
// own remain.
func (d *managementDemo) remove(ctx context.Context) error {
	if out, err := d.standby.Mxcluster(ctx, "manager", "remove"); fault.CodeOf(err) != fault.Refused {
		return fmt.Errorf("the standby is taken out before the master: %s, %w", out, err)
	}
	for _, s := range []*Server{d.srv1, d.standby} {
		if err := d.mx(ctx, s, "manager", "remove"); err != nil {
			return err
		}
	}
	for i, db := range []*database{d.master, d.onStandby} {
		if _, err := db.sql(ctx, fmt.Sprintf("insert into t values (%d)", 10+i)); err != nil {
			return fmt.Errorf("after the end of the redundancy: %w", err)
		}
	}
	return nil
}

// awaitManaged waits until the pair is redundant and active on a server.
func (x *site) awaitManaged(ctx context.Context, ask *Server, active string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := ask.Mxcluster(ctx, "manager", "status", "-o", "json")
		var st struct {
			Redundant    *bool
			RedundantWhy string
			ActiveOn     *string
		}
		if err == nil {
			err = json.Unmarshal(out, &st)
		}
		if err == nil && st.Redundant != nil && *st.Redundant && st.ActiveOn != nil && *st.ActiveOn == active {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the management system is not redundant with %s active: %s, %w", active, st.RedundantWhy, err)
		case <-tick.C:
		}
	}
}

// write inserts a row through the virtual address, from another server, and tries until it is taken.
func (x *site) write(ctx context.Context, row int) error {
	insert := fmt.Sprintf("PGCONNECT_TIMEOUT=1 PGPASSWORD=%s psql -h %s -U app -d postgres -XAtqc 'insert into t values (%d)'", managementPassword, managementVIP, row)
	for {
		r, err := x.srv2.Run(ctx, nil, "sh", "-c", insert)
		if err != nil || r.Code == 0 {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("row %d is not taken: %s", row, r.Err)
		}
	}
}

// database is the PostgreSQL of a server in a lab.
type database struct {
	server  *Server
	version string
	root    string // of its configuration
	sockets string
}

// addDatabase makes a PostgreSQL, has the server's mxcluster find it, and starts it.
func addDatabase(ctx context.Context, s *Server) (*database, error) {
	d := &database{server: s, version: postgresVersion(), root: filepath.Join(s.dir, "postgresql"), sockets: filepath.Join(s.dir, "sockets")}
	// PostgreSQL's user looks for its data in the lab folder.
	for dir := s.dir; strings.HasPrefix(dir, s.lab.Dir); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if _, err := d.shell(ctx, fmt.Sprintf(`set -e
mkdir -p '%[1]s/bin' '%[2]s' '%[3]s' '%[1]s/databases'
chmod 755 '%[1]s/state'
chown postgres '%[3]s' '%[1]s/databases'
printf '#!/bin/sh\nPG_CLUSTER_CONF_ROOT=%[2]s exec %[4]s "$@"\n' >'%[1]s/bin/mxcluster'
chmod 755 '%[1]s/bin/mxcluster'
export PG_CLUSTER_CONF_ROOT='%[2]s'
pg_createcluster --datadir '%[1]s/databases/main' --socketdir '%[3]s' --logfile '%[1]s/databases/log' --port 5432 %[5]s main -- --no-sync >/dev/null
echo 'fsync = off
shared_buffers = 16MB' >>'%[2]s/%[5]s/main/postgresql.conf'
echo 'host postgres app 192.0.2.0/24 scram-sha-256' >>'%[2]s/%[5]s/main/pg_hba.conf'
`, s.dir, d.root, d.sockets, s.lab.Exe, d.version)); err != nil {
		return nil, fmt.Errorf("making PostgreSQL on %s: %w", s.Name, err)
	}
	return d, d.start(ctx)
}

func (d *database) start(ctx context.Context) error {
	if _, err := d.shell(ctx, fmt.Sprintf("PG_CLUSTER_CONF_ROOT='%s' pg_ctlcluster %s main start", d.root, d.version)); err != nil {
		return fmt.Errorf("starting PostgreSQL on %s: %w", d.server.Name, err)
	}
	return nil
}

// sql carries statements out as the superuser.
func (d *database) sql(ctx context.Context, text string) (string, error) {
	out, err := d.shell(ctx, fmt.Sprintf(`cd / && setpriv --reuid postgres --regid postgres --clear-groups psql -h '%s' -XAtq -v ON_ERROR_STOP=1 -c "%s"`, d.sockets, text))
	if err != nil {
		err = fmt.Errorf("%s on %s: %w", text, d.server.Name, err)
	}
	return out, err
}

// shell runs a script on the server.
func (d *database) shell(ctx context.Context, script string) (string, error) {
	r, err := d.server.Run(ctx, nil, "sh", "-c", script)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s%s", r.Out, r.Err)
	}
	return strings.TrimSpace(string(r.Out)), err
}
