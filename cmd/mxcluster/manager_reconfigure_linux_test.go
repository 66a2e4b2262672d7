package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The redundancy of the management system is set up, and changed on the master first: on two real
// PostgreSQL. The account mxone_manager gets its password by the way, and the fallback type follows that
// of the cluster when it is told to. No password is in what is printed, in the arguments of a process, in a support bundle, or in a file that others may read.
func TestManagerReconfigure(t *testing.T) {
	m := newManagerSite(t)
	// Of this test alone: others run beside it.
	m.secret("password", "vertraulich")
	m.secret("new", "verborgen")
	secrets := []string{"vertraulich", "verborgen", "heimlich"}
	watched := m.watchProcesses(secrets...)
	var said strings.Builder
	run := func(server string, want int, line string) string {
		t.Helper()
		out := m.mx(server, want, line)
		said.WriteString(out)
		return out
	}
	type wish struct{ vip, user, password, synchronous string }
	line := func(verb, role string, w wish) string {
		return fmt.Sprintf("manager %s --yes --role %s --vip %s --replication-user %s --password-file %s --synchronous %s", verb, role, w.vip, w.user, m.path(w.password), w.synchronous)
	}
	old := wish{managerAddress, "mxone_replication", "password", "off"}
	next := wish{"127.77.0.41", "mxone_replication", "new", "on"}
	refused := func(server, line string, words ...string) {
		t.Helper()
		out := run(server, 3, line)
		for _, text := range words {
			if !strings.Contains(out, text) {
				t.Errorf("%s: no %q in %s", line, text, out)
			}
		}
	}
	refused("srv1", line("reconfigure", "master", next), "nothing is set up yet", "mxcluster manager setup --role master")
	said.WriteString(m.setUpWithAccount(line("setup", "master", old)))
	m.hand()
	run("sb1", 0, line("setup", "standby", old))

	// The master first.
	refused("sb1", line("reconfigure", "standby", next), "--vip "+managerAddress+" --replication-user mxone_replication --synchronous off", "change it on the master first")
	refused("sb1", line("reconfigure", "standby", wish{old.vip, old.user, "new", "off"}), "srv1 does not let sb1 in as role mxone_replication", "give the user and the password that the master was set up with")
	refused("srv1", line("reconfigure", "master", wish{old.vip, "another", "new", "off"}), "its name cannot be changed", "mxcluster manager remove on both servers")
	run("srv1", 0, line("reconfigure", "master", next))
	m.hand()
	run("sb1", 0, line("reconfigure", "standby", next))
	run("srv1", 0, line("reconfigure", "master", next)) // commits wait for the standby from now on, which was seen
	if out := run("srv1", 0, line("reconfigure", "master", next)+" -o json"); !strings.Contains(out, `"changed": false`) {
		t.Errorf("once more: %s", out)
	}
	if out := run("srv1", 0, "manager status -o json"); !strings.Contains(out, `"redundant": true`) || !strings.Contains(out, `"address": "127.77.0.41/8"`) {
		t.Errorf("%s", out)
	}
	if got := strings.TrimSpace(m.master.SQL("select sync_state from pg_stat_replication")); got != "sync" {
		t.Errorf("commits do not wait: %q", got)
	}

	// The fallback type.
	run("srv1", 0, "change c1 --fallback automatic")
	if out := run("srv1", 0, "manager status"); !strings.Contains(out, "fallback manual (that of cluster c1 is automatic: mxcluster manager reconfigure-fallback)") {
		t.Errorf("%s", out)
	}
	run("srv1", 0, "manager reconfigure-fallback")
	if out := run("srv1", 0, "manager status -o json"); !strings.Contains(out, `"fallback": "automatic"`) {
		t.Errorf("%s", out)
	}

	run("srv1", 0, "support-bundle "+m.path("bundle.tar.gz"))
	run("srv1", 0, "events -o json")
	for _, secret := range secrets {
		if strings.Contains(said.String(), secret) {
			t.Errorf("%s is in what was printed", secret)
		}
		if strings.Contains(unpacked(t, m.path("bundle.tar.gz")), secret) {
			t.Errorf("%s is in the bundle", secret)
		}
		for _, root := range []string{m.dir, m.databases.Dir} {
			unreadable(t, root, secret)
		}
	}
	if seen := watched(); seen != "" {
		t.Errorf("a process has a password: %s", seen)
	}
}

// hand hands srv1's document to sb1, as the agents do.
func (m *managerSite) hand() {
	m.t.Helper()
	write(m.t, m.path("sb1/etc/cluster.yaml"), read(m.t, m.path("srv1/etc/cluster.yaml")))
}

// watchProcesses looks for secrets in the arguments and the environment of all processes until the
// function that it returns is called, which tells of one that has any.
func (m *managerSite) watchProcesses(secrets ...string) (seen func() string) {
	end, found := make(chan struct{}), make(chan string, 1)
	look := func() string {
		all, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range all {
			for _, file := range []string{"cmdline", "environ"} {
				text, _ := os.ReadFile(filepath.Join(dir, file)) // it may have ended
				for _, secret := range secrets {
					if bytes.Contains(text, []byte(secret)) {
						return fmt.Sprintf("%s: %q", file, text)
					}
				}
			}
		}
		return ""
	}
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if what := look(); what != "" {
				found <- what
				return
			}
			select {
			case <-tick.C:
			case <-end:
				found <- ""
				return
			}
		}
	}()
	return func() string {
		close(end)
		return <-found
	}
}

// unpacked returns all that is in an archive.
func unpacked(t *testing.T, path string) string {
	t.Helper()
	packed, err := gzip.NewReader(strings.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for files := tar.NewReader(packed); ; {
		if _, err := files.Next(); errors.Is(err, io.EOF) {
			return all.String()
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, files); err != nil {
			t.Fatal(err)
		}
	}
}

// unreadable expects a secret in no file that others may read.
func unreadable(t *testing.T, root, secret string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // it has gone meanwhile
		}
		info, err := e.Info()
		if err != nil || info.Mode().Perm()&0o077 == 0 {
			return nil //nolint:nilerr // likewise
		}
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s has a password, mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// privateAccounts runs a command with a copy of the machine's accounts that no other process sees, and
// on which there is mxone_manager, without a password; then it tells whether it has that of a file.
const privateAccounts = `mount -t tmpfs none "$0"
mkdir "$0/new" "$0/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$0/new,workdir=$0/work" none /etc
useradd --no-create-home mxone_manager
passwd --status mxone_manager
"$@"
passwd --status mxone_manager
perl -e '$h = (getpwnam "mxone_manager")[1]; $p = <STDIN>; chomp $p; print crypt($p, $h) eq $h ? "accepted\n" : "not accepted\n"' <"$0/../account"`

// setUpWithAccount has a set-up of the master give mxone_manager its password by the system's own
// chpasswd. Where others may read the file, or there is no such account, nothing is set up.
func (m *managerSite) setUpWithAccount(line string) (said string) {
	t := m.t
	t.Helper()
	m.secret("account", "heimlich")
	write(t, m.path("open"), "heimlich\n")
	line += " --manager-password-file "
	for file, why := range map[string]string{"open": "others may read", "account": "srv1 has no account mxone_manager"} {
		out := m.mx("srv1", 3, line+m.path(file))
		if said += out; !strings.Contains(out, why) {
			t.Errorf("%s", out)
		}
	}
	if read(t, m.path("srv1/etc/cluster.yaml")) != managerDocument() {
		t.Error("something was set up")
	}
	if err := errors.Join(os.Remove(m.path("open")), os.Mkdir(m.path("accounts"), 0o700)); err != nil {
		t.Fatal(err)
	}
	cmd := m.command("srv1", strings.Fields(line+m.path("account"))...)
	private := exec.Command("unshare", append([]string{"--mount", "sh", "-ec", privateAccounts, m.path("accounts")}, cmd.Args...)...)
	private.Env = cmd.Env
	code, out := finish(t, private)
	for _, text := range []string{"mxone_manager L ", "mxone_manager P ", "the password of mxone_manager is set", "\naccepted"} {
		if code != 0 || !strings.Contains(out, text) {
			t.Fatalf("code %d, no %q in %s", code, text, out)
		}
	}
	return said + out
}
