package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/manager/postgres/postgrestest"
)

// managerSite is a site with a real PostgreSQL on srv1, the master, and on sb1, its standby, which run
// by themselves, and a real sshd. Nothing follows anything yet. No agent runs.
type managerSite struct {
	*sshSite
	databases       *postgrestest.Site
	master, standby *postgrestest.Instance
}

// managerDocument is the document of such a site.
func managerDocument() string {
	return strings.Replace(sshDocument, "alias: 127.77.0.11/8", "alias: 127.0.0.1/8", 1)
}

const managerAddress = "127.77.0.40"

func newManagerSite(t *testing.T) *managerSite {
	t.Helper()
	m := &managerSite{databases: postgrestest.New(t), sshSite: newSSHSite(t)}
	for _, dir := range []string{m.dir, filepath.Dir(m.dir)} { // PostgreSQL's user has a file below
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(m.path("postgresql"), 0o755); err != nil {
		t.Fatal(err)
	}
	made := map[string]*postgrestest.Instance{}
	for server, address := range map[string]string{"srv1": "127.77.0.21", "sb1": "127.77.0.13"} {
		if err := os.Symlink(m.databases.ConfRoot(server), m.path("postgresql", server)); err != nil {
			t.Fatal(err)
		}
		free, err := net.Listen("tcp", address+":0")
		if err != nil {
			t.Fatal(err)
		}
		made[server] = m.databases.Make(server, "main", free.Addr().(*net.TCPAddr).Port, "")
		free.Close()
		made[server].Start()
	}
	m.master, m.standby = made["srv1"], made["sb1"]
	m.master.SQL("create database manager")
	m.secret("password", "geheim")
	// By itself the kernel calls from 127.0.0.1, and PostgreSQL lets in who comes from the alias.
	for _, server := range []string{"srv1", "sb1"} {
		write(t, m.path(server, "etc/cluster.yaml"), managerDocument())
	}
	// The standby, which asks the master without ssh, is to ask for the master's PostgreSQL.
	write(t, m.path("sb1/etc/mxcluster.yaml"), strings.Replace(read(t, m.path("sb1/etc/mxcluster.yaml")), "env HOME=", "env PG_CLUSTER_CONF_ROOT="+m.path("postgresql")+"/{server} HOME=", 1))
	m.setup("srv1", 0)
	return m
}

// secret writes a file with a password, which root alone may read.
func (m *managerSite) secret(name, password string) {
	m.t.Helper()
	write(m.t, m.path(name), password+"\n")
	if err := os.Chmod(m.path(name), 0o600); err != nil {
		m.t.Fatal(err)
	}
}
