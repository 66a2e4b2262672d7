package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mxcluster/internal/manager/postgres/postgrestest"
)

// What stands in the way of a set-up is refused with the remedy, on two real PostgreSQL and by a real
// sshd, before a file, a role or a slot is changed on either server. Another host key, a closed port, a
// passfile, another version, data, and another password, one after the other.
func TestManagerSetupRefusesBeforeItChanges(t *testing.T) {
	s := newManagerSite(t)
	site, master, standby := s.databases, s.master, s.standby
	write(t, s.path("open"), "geheim\n")

	state := func() string {
		var seen strings.Builder
		for _, dir := range []string{s.path("srv1", "etc"), s.path("srv1", "var"), s.path("sb1", "etc"), s.path("sb1", "var"), site.ConfRoot("srv1"), site.ConfRoot("sb1")} {
			_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, ".lock") {
					return nil
				}
				text, err := os.ReadFile(path)
				fmt.Fprintf(&seen, "%s %x %v\n", path, sha256.Sum256(text), err)
				return nil
			})
		}
		for _, i := range []*postgrestest.Instance{master, standby} {
			seen.WriteString(i.SQL("select rolname from pg_authid order by 1", "select slot_name from pg_replication_slots order by 1"))
			if _, err := os.Lstat(filepath.Join(i.Data, "standby.signal")); err == nil {
				seen.WriteString("read-only from its next start\n")
			}
		}
		return seen.String()
	}
	refused := func(server, role, file, want, remedy string) {
		t.Helper()
		before := state()
		out := s.mx(server, 3, "manager setup --role "+role+" --vip "+managerAddress+" --replication-user mxone_replication --password-file "+s.path(file))
		if !strings.Contains(out, want) || !strings.Contains(out, remedy) || strings.Contains(out, "geheim") {
			t.Errorf("%q and %q, not\n%s", want, remedy, out)
		}
		if after := state(); after != before {
			was := strings.Split(before, "\n")
			for _, line := range strings.Split(after, "\n") {
				if !slices.Contains(was, line) {
					t.Errorf("%s: changed: %s", want, line)
				}
			}
			t.Errorf("%s: changed", want)
		}
	}

	refused("srv1", "master", "open", "others may read", "chmod 600 ")

	key := read(t, s.path("hostkey"))
	s.stopSSHD()
	s.keygen("hostkey")
	s.startSSHD("/usr/sbin/sshd")
	refused("srv1", "master", "password", "sb1 could not be asked", "mxcluster sync setup-ssh sb1")
	s.stopSSHD()
	refused("srv1", "master", "password", "sb1 could not be asked", "mxcluster sync setup-ssh sb1")
	write(t, s.path("hostkey"), key)
	s.startSSHD("/usr/sbin/sshd")

	other := filepath.Join(site.ConfRoot("sb1"), strconv.Itoa(site.Major+1))
	ours := filepath.Join(site.ConfRoot("sb1"), strconv.Itoa(site.Major))
	if err := os.Rename(ours, other); err != nil {
		t.Fatal(err)
	}
	refused("srv1", "master", "password", fmt.Sprintf("PostgreSQL %d on srv1, %d on sb1", site.Major, site.Major+1), fmt.Sprintf("on sb1: apt-get install postgresql-%d", site.Major))
	if err := os.Rename(other, ours); err != nil {
		t.Fatal(err)
	}

	standby.SQL("create database own")
	refused("srv1", "master", "password", "databases of its own: own", "save and remove them there")
	standby.SQL("drop database own")

	master.SQL("create role mxone_replication replication login password 'another'")
	refused("srv1", "master", "password", "role mxone_replication is there on srv1, and has another password", "mxcluster manager reconfigure")

	// The standby, whose master is set up as far as it sees.
	text := strings.Replace(managerDocument(), "servers:\n", "level: 2\nmanagement:\n  address: 127.77.0.40/8\n  replicationUser: mxone_replication\n  fallback: manual\nservers:\n", 1)
	write(t, s.path("srv1/etc/cluster.yaml"), text)
	write(t, s.path("sb1/etc/cluster.yaml"), text)
	refused("sb1", "standby", "password", "PostgreSQL on srv1 is not reached at 127.77.0.21 port", "open port")
	master.Append("postgresql.conf", "listen_addresses = '127.77.0.21'\n")
	master.Append("pg_hba.conf", "host postgres mxone_replication 127.0.0.0/8 scram-sha-256\n")
	master.Stop()
	master.Start()
	refused("sb1", "standby", "password", "srv1 does not let sb1 in as role mxone_replication", "give the user and the password that the master was set up with")
}
