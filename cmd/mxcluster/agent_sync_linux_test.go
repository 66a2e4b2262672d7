package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns/netnstest"
)

// standby is the other server of a unitSite: an agent and an sshd at the far end of its
// cable, both without a systemd.
type standby struct{ *site }

// sshPort is where its sshd listens: the namespace has no other.
const sshPort = "22"

// addStandby starts sb1, and lets the syncs of u log in there.
func (u *unitSite) addStandby(t *testing.T) standby {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sb := standby{newSite(t, t.TempDir(), u.document(t))}
	write(t, sb.path("etc/mxcluster.yaml"), "server: sb1\nagent:\n  start_grace: 1s\n")
	must(os.WriteFile(sb.path("etc/gossip.key"), []byte(read(t, u.path("etc/gossip.key"))), 0o600))
	base := u.document(t).Server("sb1").Base
	must(u.far.AddAddress("eth0", base))

	for _, name := range []string{"hostkey", "admin"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", sb.path(name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	must(os.MkdirAll(sb.path("home/.ssh"), 0o700))
	write(t, sb.path("home/.ssh/authorized_keys"), read(t, sb.path("admin.pub")))
	must(os.MkdirAll("/run/sshd", 0o755)) // its own start script makes it
	write(t, sb.path("sshd_config"), fmt.Sprintf("Port %s\nSetEnv SHLVL=2\nListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n",
		sshPort, base.Addr(), sb.path("hostkey"), sb.path("home/.ssh/authorized_keys")))
	u.runFar(t, exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", sb.path("sshd_config")))
	eventually(t, "sshd to listen", func() bool {
		return u.far.Do(func() error {
			c, err := net.Dial("tcp", net.JoinHostPort(base.Addr().String(), sshPort))
			if err == nil {
				_ = c.Close()
			}
			return err
		}) == nil
	})
	agent := sb.command("agent run")
	u.runFar(t, agent)

	settings := u.path("etc/mxcluster.yaml")
	write(t, settings, read(t, settings)+fmt.Sprintf("sync.remote_command: env HOME=%[1]s/home MXCLUSTER_CONFIG_DIR=%[1]s/etc MXCLUSTER_STATE_DIR=%[1]s/var MXCLUSTER_RUN_DIR=%[1]s/run %[2]s\n", sb.dir, sb.program))
	u.mustRun(t, "sync setup-ssh sb1 --user root --accept-host-key --identity "+sb.path("admin"))
	return sb
}

// runFar runs a program at the far end of the cable until the test ends.
func (u *unitSite) runFar(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	netnstest.Do(t, u.far, cmd.Start)
	t.Cleanup(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, said.String())
		}
	})
}

// ownerAndMode is whose a file is, and its mode.
func ownerAndMode(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d %04o", st.Uid, st.Gid, st.Mode&0o7777)
}

// syncsOwners makes a version of data that belong to others and are closed to all, and
// waits for the agent to copy it to the standby, owners and modes and all.
func (u *unitSite) syncsOwners(t *testing.T, sb standby) {
	t.Helper()
	from := u.manager.Root + "/run/data"
	for _, dir := range []string{from, from + "/closed"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, from+"/closed/calls", time.Now().String())
	for path, mode := range map[string]os.FileMode{"/closed/calls": 0o640, "/closed": 0o710, "": 0o750} {
		if err := os.Chown(from+path, 1234, 4321); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(from+path, mode); err != nil {
			t.Fatal(err)
		}
	}
	u.mustRun(t, "xdata backup --lim 1 --from /run/data --no-sync")
	var copied []string
	eventually(t, "the data to be on the standby", func() bool {
		copied, _ = filepath.Glob(sb.path("var/xdata/xdata_1_*/closed/calls"))
		return len(copied) == 1
	})
	eventually(t, "the sync to end", func() bool {
		_, out := u.run(t, "status --lim 1 -o json")
		return strings.Contains(out, `"inSync": true`)
	})
	for path, want := range map[string]string{copied[0]: "1234:4321 0640", filepath.Dir(copied[0]): "1234:4321 0710", filepath.Dir(filepath.Dir(copied[0])): "1234:4321 0750"} {
		if got := ownerAndMode(t, path); got != want {
			t.Errorf("%s has arrived as %s, want %s", path, got, want)
		}
	}
}

// The agent in its sandbox has data copied over ssh, by the login of the syncs.
func TestSyncOutOfTheSandbox(t *testing.T) {
	t.Parallel()
	u := newUnitSite(t, program, nil)
	u.install(t, true, "")
	sb := u.addStandby(t)
	u.job(t, "start")
	u.holdsAlias(t)
	u.syncsOwners(t, sb)
	u.lacksNothing(t)
}
