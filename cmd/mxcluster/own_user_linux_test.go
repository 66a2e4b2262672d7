package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/netns/netnstest"
)

// softwareUnit is a LIM's software as a unit that reads which LIM it is.
const softwareUnit = "EnvironmentFile=-/run/mxcluster/%n.env\nExecStart=/bin/sh -c 'mkdir -p /run/site/lim; echo \"$MXCLUSTER_ROLE %i\" >/run/site/lim/role; echo $$$$ >/run/site/lim/pid; exec sleep 1000'"

// newOwnUserSite is a server whose agent has the places of the package, on which the
// package's user, polkit and its rule are installed; unit is all that the rule names.
func newOwnUserSite(t *testing.T, spec, unit string) *unitSite {
	t.Helper()
	u := newUnitSite(t, spec, map[string]string{
		"software@":   softwareUnit,
		"untold@":     "ExecStart=/bin/sleep 1000",
		"polkit":      "Type=dbus\nBusName=org.freedesktop.PolicyKit1\nExecStart=/usr/lib/polkit-1/polkitd --no-debug",
		"bus.conf":    "<busconfig><include>/usr/share/dbus-1/system.conf</include></busconfig>", // who may ask systemd for what, as everywhere
		"user.target": "[Unit]",
	})
	rules := "../../packaging/polkit-1/rules.d/50-mxcluster.rules"
	for path, text := range map[string]string{
		"rules": strings.Replace(read(t, rules), "var units = [", "var units = [ \""+unit+"\",", 1),
		"user":  read(t, "../../packaging/sysusers.d/mxcluster.conf"),
	} {
		write(t, u.path(path), text)
	}
	u.inNamespace(t, `set -e
		cp -a /etc /run/etc; mount --bind /run/etc /etc
		mount -t tmpfs -o mode=755 tmpfs /var/lib
		mkdir -p /etc/mxcluster /var/lib/mxcluster /run/site/var
		mount --bind /run/site/etc /etc/mxcluster
		mount --bind /run/site/var /var/lib/mxcluster
		systemd-sysusers /run/site/user
		cp /run/site/rules /etc/polkit-1/rules.d/50-mxcluster.rules`)
	u.atHome = true
	if _, err := u.bus.StartUnitContext(t.Context(), "polkit.service", "replace", nil); err != nil {
		t.Fatal(err)
	}
	u.installPackaged(t)
	return u
}

// inNamespace runs a shell among what the agent sees, outside of its sandbox.
func (u *unitSite) inNamespace(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("nsenter", "--target", strconv.Itoa(u.manager.PID), "--mount", "--net", "--pid", "/bin/sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// installPackaged gives systemd the agent's unit as it is packaged, with drop-ins.
func (u *unitSite) installPackaged(t *testing.T, dropIns ...string) {
	t.Helper()
	text := strings.ReplaceAll(packaged(t, agentUnit, dropIns...), "/usr/bin/mxcluster", u.inside+"/mxcluster")
	text += "\n[Unit]\nDefaultDependencies=no\nAfter=\nWants=\n[Service]\nStandardError=append:/run/site/agent.log\n"
	write(t, u.manager.Root+"/run/"+agentUnit, text)
	u.inNamespace(t, "mkdir -p /run/systemd/system && mv /run/"+agentUnit+" /run/systemd/system/")
	sync := strings.ReplaceAll(packaged(t, "mxcluster-sync@.service"), "/usr/bin/mxcluster", u.inside+"/mxcluster")
	write(t, u.manager.Root+"/run/systemd/system/mxcluster-sync@.service", sync+"\n[Unit]\nDefaultDependencies=no\n")
	if err := u.bus.ReloadContext(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// userOf is the user of a process.
func (u *unitSite) userOf(t *testing.T, pid int) int {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("%s/proc/%d", u.manager.Root, pid), &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Uid)
}

// notOf lists the files of the agent's folders, data versions left out, that are not a user's.
func (u *unitSite) notOf(t *testing.T, uid int) (found []string) {
	t.Helper()
	for _, folder := range []string{"etc", "var"} {
		err := filepath.WalkDir(u.path(folder), func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				return err
			}
			if strings.HasPrefix(e.Name(), "xdata_") {
				return filepath.SkipDir
			}
			if int(st.Uid) != uid {
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// The agent's own user may do to the unit that polkit's rule names what the agent does to it,
// and nothing else.
func TestWhatOwnUserMayDo(t *testing.T) {
	t.Parallel()
	u := newOwnUserSite(t, "systemd:software@{lim}", "software@1.service")
	as := "setpriv --reuid mxcluster --regid mxcluster --clear-groups "
	for _, words := range []string{"start", "reload-or-restart", "restart", "reset-failed", "kill", "stop"} {
		u.inNamespace(t, as+"systemctl --no-ask-password "+words+" software@1.service")
	}
	for _, line := range []string{
		"systemctl --no-ask-password start software@2.service",
		"systemctl --no-ask-password start untold@1.service",
		"systemctl --no-ask-password start mxcluster-sync@x.service",
		"systemctl --no-ask-password stop polkit.service",
		"systemctl --no-ask-password daemon-reload",
		"systemctl --no-ask-password enable software@1.service",
		"systemctl --no-ask-password set-property --runtime software@1.service MemoryMax=1G",
		"systemctl --no-ask-password set-environment LD_PRELOAD=/tmp/x",
		"systemd-run --no-ask-password /bin/true",
	} {
		out := u.inNamespace(t, as+line+" 2>&1 && echo it may || :")
		if !strings.Contains(out, "uthentication") && !strings.Contains(out, "enied") || strings.Contains(out, "it may") {
			t.Errorf("%s as the agent's own user:\n%s", line, out)
		}
	}
}

// callGoesOn sends datagrams to the LIM's alias, each when the one before was answered, and
// fails the test when one is lost before it is called again.
func (u *unitSite) callGoesOn(t *testing.T) (end func()) {
	t.Helper()
	alias := u.document(t).Clusters[0].LIMs[0].Alias.Addr().String() + ":5060"
	var lim, caller net.Conn
	netnstest.Do(t, u.own, func() error {
		c, err := net.ListenPacket("udp", alias)
		if err == nil {
			lim = c.(net.Conn)
			go echo(c)
		}
		return err
	})
	netnstest.Do(t, u.far, func() (err error) {
		caller, err = net.Dial("udp", alias)
		return err
	})
	over, lost := make(chan struct{}), make(chan error, 1)
	go func() {
		every := time.NewTicker(2 * time.Millisecond)
		defer every.Stop()
		lost <- call(caller, every.C, over)
	}()
	return func() {
		t.Helper()
		close(over)
		if err := <-lost; err != nil {
			t.Errorf("the call was cut: %v", err)
		}
		_ = errors.Join(caller.Close(), lim.Close())
	}
}

// echo answers each datagram with itself.
func echo(c net.PacketConn) {
	buf := make([]byte, 64)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(buf[:n], from)
	}
}

// call sends a datagram with each tick, after the answer to the one before.
func call(c net.Conn, every <-chan time.Time, over <-chan struct{}) error {
	buf := make([]byte, 64)
	for {
		select {
		case <-over:
			return nil
		case <-every:
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("call")); err != nil {
			return err
		}
		if _, err := c.Read(buf); err != nil {
			return err
		}
	}
}

// The agent goes over to its own user and back to root while a LIM runs: the LIM goes on
// under its alias, and everything works as its user, data of others included.
func TestAgentAsItsOwnUser(t *testing.T) {
	t.Parallel()
	u := newOwnUserSite(t, "systemd:software@{lim}", "software@1.service")
	sb := u.addStandby(t)
	u.job(t, "start")
	pid := u.software(t)
	u.holdsAlias(t)
	if role := read(t, u.path("lim/role")); role != "active 1\n" {
		t.Errorf("the unit was told %q", role)
	}
	undisturbed := func(after string, uid int) {
		t.Helper()
		u.holdsAlias(t)
		if now := u.software(t); now != pid {
			t.Errorf("%s started the unit anew: process %d, was %d", after, now, pid)
		}
		if got := u.userOf(t, u.mainPID(t)); got != uid {
			t.Errorf("after %s the agent is user %d, want %d", after, got, uid)
		}
		if found := u.notOf(t, uid); len(found) > 0 {
			t.Errorf("after %s these files are not user %d's: %q", after, uid, found)
		}
	}
	undisturbed("its start", 0)
	uid, err := strconv.Atoi(strings.TrimSpace(u.inNamespace(t, "id -u mxcluster")))
	if err != nil {
		t.Fatal(err)
	}

	end := u.callGoesOn(t)
	u.installPackaged(t, "own-user.conf")
	u.job(t, "restart")
	undisturbed("the restart as its own user", uid)
	u.syncsOwners(t, sb)
	u.mustRun(t, "change c1 --failover-after 20s --reason test") // root's, in a document that is another user's
	if by := u.document(t).Changed.By; by != "root" {
		t.Errorf("the document was changed by %q", by)
	}
	u.mustRun(t, "service status 1")
	u.mustRun(t, "xdata verify")
	u.mustRun(t, "sync --here --quiet --no-input")
	undisturbed("root's commands", uid)
	const mayOnly = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_DAC_READ_SEARCH
	for _, field := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", fmt.Sprintf("CapPrm:\t%016x\n", mayOnly), fmt.Sprintf("CapBnd:\t%016x\n", mayOnly)} {
		if status := read(t, fmt.Sprintf("%s/proc/%d/status", u.manager.Root, u.mainPID(t))); !strings.Contains(status, field) {
			t.Errorf("the agent may more than it should, its status lacks %q:\n%s", field, status)
		}
	}

	u.installPackaged(t)
	u.job(t, "restart")
	undisturbed("the way back", 0)
	end()
	versions, _ := filepath.Glob(u.path("var/xdata/xdata_1_*/closed/calls"))
	if len(versions) != 1 || ownerAndMode(t, versions[0]) != "1234:4321 0640" {
		t.Errorf("the data are %q", versions)
	}

	u.installPackaged(t, "own-user.conf")
	u.job(t, "restart")
	u.mustRun(t, "agent stop --release")
	eventually(t, "the LIM to end", func() bool { return u.group(pid) == "" })
	u.job(t, "start")
	eventually(t, "the LIM to run again", func() bool { return u.software(t) != pid })
	u.lacksNothing(t)
}

// What the agent's own user may not do is told, with what to do about it: a unit that
// polkit's rule does not name, one that does not read which LIM it is, a program.
func TestOwnUserIsRefusedPlainly(t *testing.T) {
	t.Parallel()
	u := newOwnUserSite(t, "systemd:untold@{lim}", "untold@1.service")
	u.installPackaged(t, "own-user.conf")
	u.job(t, "start")
	for _, c := range []struct{ spec, says string }{
		{"systemd:untold@{lim}", "the unit does not read which LIM it is: 'systemctl edit untold@1.service', and under [Service] EnvironmentFile=-/run/mxcluster/%n.env"},
		{program, "user mxcluster starts units of systemd alone: remove own-user.conf from the agent's unit, or make the software a unit"},
		{"systemd:software@{lim}", "polkit does not let user mxcluster manage it: name the unit in /etc/polkit-1/rules.d/50-mxcluster.rules"},
	} {
		u.mustRun(t, "lim set 1 --service "+c.spec)
		out := ""
		eventually(t, c.says, func() bool {
			_, out = u.run(t, "status -o json")
			return strings.Contains(out, `"ready": false`) && strings.Contains(out, c.says)
		})
		if code, said := u.run(t, "service start 1"); code == 0 || !strings.Contains(said, c.says) {
			t.Errorf("service start of %s: exit code %d\n%s", c.spec, code, said)
		}
	}
	// What it asks for is all that is needed.
	u.inNamespace(t, "sed -i s/untold@1/software@1/ /etc/polkit-1/rules.d/50-mxcluster.rules")
	eventually(t, "the server to be ready", func() bool {
		_, out := u.run(t, "status -o json")
		return strings.Contains(out, `"ready": true`)
	})
	u.mustRun(t, "service start 1")

	if code, out := u.run(t, "agent run"); code != int(fault.NotPermitted) || !strings.Contains(out, "agent own --user root") {
		t.Errorf("an agent of root's in another user's folders: exit code %d\n%s", code, out)
	}

	// A program that the settings name gets nothing of root's, whoever runs the sync, and
	// an editor no more than the user's files.
	const tells = "#!/bin/sh\n{ id -un; grep CapEff /proc/self/status; } >/run/mxcluster/"
	for name, text := range map[string]string{"rsh": tells + "rsh\nexit 1\n", "editor": tells + "editor\nsed -i 's/fallback: manual/fallback: automatic/' $1\n"} {
		if err := os.WriteFile(u.path(name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u.inNamespace(t, "EDITOR=/run/site/editor /run/site/mxcluster config edit --reason test")
	if fallback := u.document(t).Clusters[0].Fallback; fallback != clusterconf.FallbackAutomatic {
		t.Errorf("after the edit fallback is %s", fallback)
	}
	settings := u.path("etc/mxcluster.yaml")
	write(t, settings, read(t, settings)+"sync.rsh: /run/site/rsh\n")
	if code, out := u.run(t, "sync --here --no-input"); code != int(fault.Unreachable) {
		t.Errorf("a sync by a program that fails: exit code %d\n%s", code, out)
	}
	const plain = "mxcluster\nCapEff:\t0000000000000000\n"
	if got := u.inNamespace(t, "cd /run/mxcluster; cat rsh editor"); got != plain+plain {
		t.Errorf("the remote shell and the editor ran as\n%s", got)
	}
}

// Where a LIM is a program, the agent does not become another user: it is not started, says
// why, and the LIM goes on under its alias until the agent is root again.
func TestOwnUserTakesNoProgramOver(t *testing.T) {
	t.Parallel()
	u := newOwnUserSite(t, program, "software@1.service")
	u.addStandby(t)
	u.job(t, "start")
	pid := u.software(t)
	u.holdsAlias(t)
	end := u.callGoesOn(t)
	u.installPackaged(t, "own-user.conf")
	done := make(chan string, 1)
	if _, err := u.bus.RestartUnitContext(t.Context(), agentUnit, "replace", done); err != nil {
		t.Fatal(err)
	}
	if result := <-done; result != "failed" {
		t.Errorf("the restart as another user: %s", result)
	}
	const says = "the software of LIM 1 is exec:/run/site/service, and user mxcluster starts units of systemd alone"
	if log := read(t, u.path("agent.log")); !strings.Contains(log, says) {
		t.Errorf("nobody says %q:\n%s", says, log)
	}
	if found := u.notOf(t, 0); len(found) > 0 {
		t.Errorf("these files are not root's: %q", found)
	}
	u.installPackaged(t)
	u.job(t, "restart")
	u.holdsAlias(t)
	u.runsUndisturbed(t, pid, "the way back")
	end()
}
