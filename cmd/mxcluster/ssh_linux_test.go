package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
)

// sshDocument is a system on addresses of this machine's loopback.
const sshDocument = `apiVersion: mxcluster/v1
kind: ClusterDocument
system: TESTSYSTEM
revision: 6
changed:
  at: 2026-03-01T01:00:00Z
servers:
  - name: sb1
    base: 127.77.0.13/8
    interface: lo
    standby: true
  - name: srv1
    base: 127.77.0.21/8
    interface: lo
    lim: 1
  - name: srv3
    base: 127.77.0.23/8
    interface: lo
    lim: 3
clusters:
  - name: c1
    standby: sb1
    fallback: manual
    failover: normal
    splitBrainStop: regular
    lims:
      - lim: 1
        alias: 127.77.0.11/8
        priority: 100
`

// sshSite are three servers; sb1 has a real sshd.
type sshSite struct {
	t    *testing.T
	dir  string
	port string
	sshd *exec.Cmd
	log  bytes.Buffer
}

func newSSHSite(t *testing.T) *sshSite {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("an sshd and root are needed: %v", err)
		}
		t.Skipf("needs root and an sshd: %v", err)
	}
	t.Parallel() // most of it waits for logins
	s := &sshSite{t: t, dir: t.TempDir()}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sb1", "srv1", "srv3"} {
		if err := os.MkdirAll(s.path(name, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, s.path(name, "etc/cluster.yaml"), sshDocument)
		there := func(server string) string {
			return fmt.Sprintf("env HOME=%[1]s/home MXCLUSTER_CONFIG_DIR=%[1]s/%[2]s/etc MXCLUSTER_STATE_DIR=%[1]s/%[2]s/var MXCLUSTER_RUN_DIR=%[1]s/%[2]s/run %[3]s",
				s.dir, server, program)
		}
		text := "server: " + name + "\nsync.remote_command: " + there("sb1") + "\n"
		if name == "sb1" { // it reaches the others without ssh
			text = "server: sb1\nsync.rsh: env\nsync.remote_command: " + there("{server}") + "\n"
		}
		write(t, s.path(name, "etc/mxcluster.yaml"), text)
	}
	if _, err := clusterconf.Parse("test", []byte(sshDocument)); err != nil {
		t.Fatal(err)
	}
	s.keygen("hostkey")
	s.keygen("admin")
	if err := os.MkdirAll(s.path("home", ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, s.path("home", ".ssh/authorized_keys"), read(t, s.path("admin.pub")))
	s.startSSHD(sshd)
	return s
}

func (s *sshSite) path(words ...string) string {
	return filepath.Join(append([]string{s.dir}, words...)...)
}

func (s *sshSite) keygen(name string) {
	s.t.Helper()
	_ = os.Remove(s.path(name))
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path(name)).CombinedOutput(); err != nil {
		s.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// startSSHD runs an sshd of our own on sb1's address, and waits for it to listen.
func (s *sshSite) startSSHD(sshd string) {
	t := s.t
	t.Helper()
	if s.port == "" {
		free, err := net.Listen("tcp", "127.77.0.13:0")
		if err != nil {
			t.Fatal(err)
		}
		_, s.port, _ = net.SplitHostPort(free.Addr().String())
		free.Close()
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // its own start script makes it
		t.Fatal(err)
	}
	// By SHLVL bash takes itself for an inner shell, and leaves out what this machine's root
	// has it do at each login. A forced command has no environment of its own to say more by.
	write(t, s.path("sshd_config"), fmt.Sprintf(`Port %s
SetEnv SHLVL=2 PG_CLUSTER_CONF_ROOT=%s
ListenAddress 127.77.0.13
HostKey %s
AuthorizedKeysFile %s
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
`, s.port, s.path("postgresql", "sb1"), s.path("hostkey"), s.path("home/.ssh/authorized_keys")))
	s.sshd = exec.Command(sshd, "-D", "-e", "-f", s.path("sshd_config"))
	s.sshd.Stderr = &s.log
	if err := s.sshd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stopSSHD)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", "127.77.0.13:"+s.port)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("sshd does not listen: %v\n%s", err, s.log.String())
		}
	}
}

func (s *sshSite) stopSSHD() {
	if s.sshd != nil {
		_ = s.sshd.Process.Kill()
		_ = s.sshd.Wait()
		s.sshd = nil
	}
}

// command is the program on a server.
func (s *sshSite) command(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	program, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.path("nobody"), "MXCLUSTER_CONFIG_DIR=" + s.path(name, "etc"),
		"MXCLUSTER_STATE_DIR=" + s.path(name, "var"), "MXCLUSTER_RUN_DIR=" + s.path(name, "run"), "PG_CLUSTER_CONF_ROOT=" + s.path("postgresql", name)}
	return cmd
}

// mx runs a command line on a server.
func (s *sshSite) mx(name string, want int, line string) string {
	s.t.Helper()
	code, out := finish(s.t, s.command(name, strings.Fields(line)...))
	if code != want {
		s.t.Fatalf("%s on %s: exit code %d, want %d\n%s", line, name, code, want, out)
	}
	return out
}

func (s *sshSite) setup(name string, want int, flags ...string) string {
	s.t.Helper()
	return s.mx(name, want, "sync setup-ssh sb1 --user root --accept-host-key --port "+s.port+" --identity "+s.path("admin")+" "+strings.Join(flags, " "))
}

// byKey uses a server's sync key with ssh itself.
func (s *sshSite) byKey(name string, args ...string) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append([]string{"-F", s.path(name, "etc/ssh/config"), "-o", "HostName=127.77.0.13"}, args...)...)
	return finish(s.t, cmd)
}

// The login of the syncs: set up over a real sshd, used, and good for nothing else.
func TestSetupSSH(t *testing.T) {
	s := newSSHSite(t)
	from := t.TempDir()
	write(t, filepath.Join(from, "extensions"), "data of LIM 1")
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)

	if out := s.mx("srv1", 0, "sync setup-ssh sb1 --dry-run"); !strings.Contains(out, "would log in on sb1") {
		t.Errorf("dry run: %q", out)
	}
	if _, err := os.Stat(s.path("srv1/etc/ssh")); err == nil {
		t.Error("a dry run made a key")
	}
	s.mx("srv1", 5, "sync setup-ssh sb1 --user root --port "+s.port+" --identity "+s.path("admin")) // nobody to ask about the host key
	if out := s.setup("srv1", 0); !strings.Contains(out, "its host key is pinned: SHA256:") {
		t.Errorf("%q", out)
	}
	keys := read(t, s.path("home/.ssh/authorized_keys"))
	if out := s.setup("srv1", 0); !strings.Contains(out, "already") || read(t, s.path("home/.ssh/authorized_keys")) != keys {
		t.Errorf("again: %q", out)
	}
	s.mx("srv1", 0, "sync -q")
	if out := s.mx("sb1", 0, "xdata list -o name"); strings.TrimSpace(out) == "" {
		t.Error("nothing was copied")
	}
	// From a third server the standby is told to do it, through the same gate, where that is wanted.
	s.setup("srv3", 0)
	if out := s.mx("srv3", 77, "sync c1 -o json"); !strings.Contains(out, "setup-ssh sb1 --orders") {
		t.Errorf("without being let in for it: %s", out)
	}
	if out := s.setup("srv3", 0, "--orders"); strings.Contains(out, "already") {
		t.Errorf("%q", out)
	}
	if out := s.setup("srv3", 0); !strings.Contains(out, "already") {
		t.Errorf("again: %q", out)
	}
	if out := s.mx("srv3", 0, "sync c1 --bwlimit 10M -o json"); !strings.Contains(out, `"result": "in-sync"`) {
		t.Errorf("from a third server: %s", out)
	}
	s.mx("srv3", 0, "sync -q")

	s.goodForNothingElse("srv1")
	s.renews()
	s.heals()
}

// renews: the line of an earlier version, which says nothing of the server, lets a login in by
// its address alone; setting it up again binds the key.
func (s *sshSite) renews() {
	t := s.t
	t.Helper()
	file := s.path("home/.ssh/authorized_keys")
	bound := read(t, file)
	old := strings.Replace(bound, " --from srv1", "", 1)
	if old == bound {
		t.Fatalf("%q", bound)
	}
	write(t, file, old)
	if out := s.mx("srv1", 5, "sync -q"); !strings.Contains(out, "run 'mxcluster sync setup-ssh sb1'") {
		t.Errorf("from an address of no server: %q", out)
	}
	if out := s.setup("srv1", 0); strings.Contains(out, "already") || read(t, file) != bound {
		t.Errorf("again: %q\n%s", out, read(t, file))
	}
	s.mx("srv1", 0, "sync -q")
}

// goodForNothingElse tries what a stolen key might be used for.
func (s *sshSite) goodForNothingElse(name string) {
	t := s.t
	t.Helper()
	if code, out := s.byKey(name, "sb1", "x sync c1 --lim 1 --output json"); code != 0 {
		t.Fatalf("what it is good for: code %d: %s", code, out)
	}
	trap := s.path("trap")
	for _, args := range [][]string{
		{"sb1"}, {"sb1", "id"}, {"sb1", "sh -c id"}, {"-tt", "sb1"}, {"sb1", "mxcluster version"}, {"sb1", "mxcluster xdata list"},
		{"sb1", "x xdata serve; touch " + trap}, {"sb1", "x xdata serve\ntouch " + trap}, {"sb1", "x $(touch " + trap + ") xdata serve"},
		{"sb1", "x sync c1 --lim 2 --output json"}, {"sb1", "x sync c1 --lim 1 --bwlimit 1b"}, {"sb1", "x sync c1 --lim 1 --wait=9999h"},
		{"sb1", "x sync c1 --rsh x"}, {"sb1", "x sync setup-ssh srv1"}, {"sb1", "x sync accept-key --from srv1"}, {"sb1", "x sync --config-dir /tmp"},
		{"sb1", "x check --echo x"}, {"sb1", "x check --bandwidth"}, {"sb1", "x sync c1 --output table"}, {"sb1", "touch " + trap}, {"-s", "sb1", "sftp"},
	} {
		code, out := s.byKey(name, args...)
		if code == 0 || strings.Contains(out, "uid=") {
			t.Errorf("ssh %q: code %d: %s", args, code, out)
		}
	}
	for _, args := range [][]string{
		{"-o", "ClearAllForwardings=no", "-W", "127.77.0.13:" + s.port, "sb1"},
		{"-o", "ClearAllForwardings=no", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:1", "-N", "sb1"},
	} {
		if code, out := s.byKey(name, args...); code == 0 || strings.Contains(out, "SSH-2.0") {
			t.Errorf("ssh %q: code %d: %s", args, code, out)
		}
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("a command of the caller was run")
	}
}

// heals: what was taken away comes back by running it again, and another host
// key is never taken.
func (s *sshSite) heals() {
	t := s.t
	t.Helper()
	write(t, s.path("home/.ssh/authorized_keys"), read(t, s.path("admin.pub")))
	s.mx("srv1", 5, "sync -q")
	s.setup("srv1", 0)
	s.mx("srv1", 0, "sync -q")
	if err := os.Remove(s.path("srv1/etc/ssh/host-sb1")); err != nil {
		t.Fatal(err)
	}
	s.setup("srv1", 0)
	s.mx("srv1", 0, "sync -q")

	s.stopSSHD()
	s.keygen("hostkey")
	s.startSSHD("/usr/sbin/sshd")
	if out := s.mx("srv1", 5, "sync -q"); strings.Count(out, "\n") != 1 {
		t.Errorf("%q", out)
	}
	s.setup("srv1", 5)
}
