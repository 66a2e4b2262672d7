package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/internal/services/systemdtest"
	"mxcluster/internal/settings"
)

// unitSite is a server whose agent runs by the unit of the package, of a systemd of the
// test's own. Its folders are in that systemd's /run.
type unitSite struct {
	*site
	manager *systemdtest.Manager
	bus     *dbus.Conn
	inside  string    // the folder, as the agent sees it
	own     *netns.NS // its network
	far     *netns.NS // the other end of its cable
	atHome  bool      // the agent sees its folders where the package has them
}

const agentUnit = "mxcluster-agent.service"

// ownOfEtc stands for the agent's folder below /etc: one that is this systemd's alone.
const ownOfEtc = "/etc/systemd/system"

// lastingSoftware is a LIM's program that leaves a daemon. The daemon writes when it
// starts and when it is told to end, and is asked by its process identity.
const lastingSoftware = `#!/bin/sh
cd INSIDE/lim
case $1 in
start)
	setsid sh -c 'echo $$ >pid; echo began >>log; trap "echo ended >>log; exit 0" TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 &
	while [ ! -s pid ]; do sleep 0.01; done ;;
stop) [ ! -s pid ] || kill "$(cat pid)"; rm -f pid ;;
status) [ -s pid ] && kill -0 "$(cat pid)" 2>/dev/null || exit 3 ;;
esac
`

// program is the SPEC of lastingSoftware.
const program = "exec:/run/site/service"

// newUnitSite prepares a server with one LIM, which is not started yet, and its software.
func newUnitSite(t *testing.T, spec string, units map[string]string) *unitSite {
	t.Helper()
	m := systemdtest.New(t, units)
	u := &unitSite{manager: m, inside: "/run/site"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := m.Root + u.inside
	must(os.MkdirAll(dir+"/lim", 0o755))
	d := system(1, 1)
	u.site = newSite(t, dir, d)
	binary, err := os.ReadFile(u.program)
	must(err)
	must(os.WriteFile(dir+"/mxcluster", binary, 0o755))
	must(os.WriteFile(dir+"/service", []byte(strings.ReplaceAll(lastingSoftware, "INSIDE", u.inside)), 0o755))
	key, err := settings.NewKey(rand.Reader, time.Now())
	must(err)
	must(settings.WriteKeys(dir+"/etc/gossip.key", settings.Keys{key}))
	write(t, dir+"/etc/mxcluster.yaml", "server: srv1\nagent:\n  start_grace: 1s\n") // nobody else is there to be waited for
	u.mustRun(t, "lim set 1 --service "+spec)

	own, err := netns.FromPID(m.PID)
	must(err)
	t.Cleanup(func() { _ = own.Close() })
	u.own = own
	u.far = netnstest.New(t)
	must(netns.AddVeth(own, "eth0", u.far, "eth0", nil))
	must(u.far.SetUp("eth0"))
	must(own.SetUp("lo"))
	must(own.SetUp("eth0"))
	must(own.AddAddress("eth0", d.Server("srv1").Base))

	u.bus, err = m.Dial(t.Context())
	must(err)
	t.Cleanup(u.bus.Close)
	return u
}

// run executes a command line among what the agent sees.
func (u *unitSite) run(t *testing.T, line string) (code int, out string) {
	t.Helper()
	cmd := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(u.manager.PID), "--mount", "--net", "--pid", u.inside + "/mxcluster"}, strings.Fields(line)...)...)
	cmd.Dir, cmd.Env = "/", append([]string{"PATH=" + os.Getenv("PATH")}, u.folders()...)
	return finish(t, cmd)
}

// mustRun executes a command line that has to succeed.
func (u *unitSite) mustRun(t *testing.T, line string) {
	t.Helper()
	if code, out := u.run(t, line); code != 0 {
		t.Fatalf("mxcluster %s: exit code %d\n%s", line, code, out)
	}
}

// folders are the server's, as variables of the environment.
func (u *unitSite) folders() []string {
	if u.atHome {
		return nil
	}
	return []string{"MXCLUSTER_CONFIG_DIR=" + u.inside + "/etc", "MXCLUSTER_STATE_DIR=" + u.inside + "/var", "MXCLUSTER_RUN_DIR=" + u.inside + "/run"}
}

// install gives systemd the agent's unit, with its sandbox or without and further lines; its
// own folders in place of the system's.
func (u *unitSite) install(t *testing.T, sandboxed bool, more string) {
	t.Helper()
	unit := read(t, "../../packaging/systemd/"+agentUnit)
	bare, sandbox, found := strings.Cut(unit, "NoNewPrivileges=")
	if !found || !strings.Contains(bare, "KillMode=process") || strings.Contains(bare, "Protect") {
		t.Fatalf("the unit's sandbox does not come last:\n%s", unit)
	}
	if !sandboxed {
		unit = strings.Replace(unit, "NoNewPrivileges="+sandbox, "", 1)
	}
	var text strings.Builder
	for line := range strings.Lines(unit) {
		if name, _, _ := strings.Cut(line, "="); strings.HasSuffix(name, "Directory") || name == "After" || name == "Wants" {
			continue
		}
		text.WriteString(strings.NewReplacer("/usr/bin/mxcluster", u.inside+"/mxcluster", "/etc/mxcluster", ownOfEtc).Replace(line))
	}
	fmt.Fprintf(&text, "\n[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=append:%s/agent.log\nEnvironment=%s\n%s\n", u.inside, strings.Join(u.folders(), " "), more)
	units := u.manager.Root + "/run/systemd/system"
	if err := os.MkdirAll(units, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, units+"/"+agentUnit, text.String())
	if err := u.bus.ReloadContext(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// job has systemd do something to the agent's unit.
func (u *unitSite) job(t *testing.T, what string) {
	t.Helper()
	done := make(chan string, 1)
	begin := map[string]func() (int, error){
		"start":   func() (int, error) { return u.bus.StartUnitContext(t.Context(), agentUnit, "replace", done) },
		"restart": func() (int, error) { return u.bus.RestartUnitContext(t.Context(), agentUnit, "replace", done) },
		"stop":    func() (int, error) { return u.bus.StopUnitContext(t.Context(), agentUnit, "replace", done) },
	}[what]
	if _, err := begin(); err != nil {
		t.Fatal(err)
	}
	if result := <-done; result != "done" {
		t.Fatalf("%s of the agent's unit: %s", what, result)
	}
}

// mainPID is the agent's process, as systemd sees it; 0 if there is none.
func (u *unitSite) mainPID(t *testing.T) int {
	t.Helper()
	p, err := u.bus.GetServicePropertyContext(t.Context(), agentUnit, "MainPID")
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := p.Value.Value().(uint32)
	return int(pid)
}

// software waits for the LIM's daemon and returns its process, as itself sees it.
func (u *unitSite) software(t *testing.T) int {
	t.Helper()
	var pid int
	eventually(t, "the LIM to run", func() bool {
		raw, _ := os.ReadFile(u.path("lim/pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
		return pid != 0
	})
	return pid
}

// group is the control group of a process.
func (u *unitSite) group(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("%s/proc/%d/cgroup", u.manager.Root, pid))
	return string(raw)
}

// besideAgent lists what runs in the control group of the agent's unit, but the agent.
func (u *unitSite) besideAgent(t *testing.T) (found []string) {
	t.Helper()
	agent := strconv.Itoa(u.mainPID(t))
	all, err := filepath.Glob(u.manager.Root + "/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		raw, _ := os.ReadFile(dir + "/cgroup")
		if bytes.Contains(raw, []byte("/"+agentUnit)) && filepath.Base(dir) != agent {
			name, _ := os.ReadFile(dir + "/comm")
			found = append(found, filepath.Base(dir)+" "+strings.TrimSpace(string(name)))
		}
	}
	return found
}

// runsUndisturbed checks that the LIM's daemon is the one of before, and was not told to end.
func (u *unitSite) runsUndisturbed(t *testing.T, pid int, after string) {
	t.Helper()
	if now, log := u.software(t), read(t, u.path("lim/log")); now != pid || log != "began\n" {
		t.Fatalf("after %s the LIM's process is %d, was %d; it says\n%s", after, now, pid, log)
	}
}

// lacksNothing checks that the agent was refused nothing that it tried.
func (u *unitSite) lacksNothing(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(read(t, u.path("agent.log"))) {
		for _, refused := range []string{"not permitted", "ermission denied", "ead-only file system"} {
			if strings.Contains(line, refused) {
				t.Errorf("the agent was refused something: %s", line)
			}
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit, look := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// The agent in the sandbox of its unit runs a LIM outside of it; killed, stopped and
// started again, it finds the LIM as it was; a release stops it.
func TestAgentInItsSandbox(t *testing.T) {
	t.Parallel()
	u := newUnitSite(t, program, nil)
	u.install(t, true, "")
	u.job(t, "start")
	pid := u.software(t)
	if group := u.group(pid); !strings.Contains(group, "/mxcluster-lim1.slice/mxcluster-lim1-") {
		t.Errorf("the LIM's control group is %q", group)
	}
	for _, field := range []string{"Seccomp:\t0\n", "NoNewPrivs:\t0\n"} {
		if status := read(t, fmt.Sprintf("%s/proc/%d/status", u.manager.Root, pid)); !strings.Contains(status, field) {
			t.Errorf("the LIM is in a sandbox, it lacks %q:\n%s", field, status)
		}
	}
	agent := u.mainPID(t)
	if status := read(t, fmt.Sprintf("%s/proc/%d/status", u.manager.Root, agent)); !strings.Contains(status, "NoNewPrivs:\t1\n") || !strings.Contains(status, "Seccomp:\t2\n") {
		t.Errorf("the agent is in no sandbox:\n%s", status)
	}
	mounts := read(t, fmt.Sprintf("%s/proc/%d/mountinfo", u.manager.Root, agent))
	for _, mount := range []string{"/usr ro", "/etc ro", ownOfEtc + " rw"} {
		if !strings.Contains(mounts, " "+mount) {
			t.Errorf("among what the agent sees is no %s:\n%s", mount, mounts)
		}
	}
	u.holdsAlias(t)

	if err := u.bus.KillUnitWithTarget(t.Context(), agentUnit, dbus.Main, int32(unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another agent", func() bool { now := u.mainPID(t); return now != 0 && now != agent })
	u.holdsAlias(t)
	u.runsUndisturbed(t, pid, "SIGKILL of the agent")
	u.job(t, "restart")
	u.holdsAlias(t)
	u.runsUndisturbed(t, pid, "a restart of the agent")
	if found := u.besideAgent(t); len(found) > 0 {
		t.Errorf("beside the agent in its control group: %q", found)
	}
	u.mustRun(t, "agent stop --release")
	eventually(t, "the LIM to end", func() bool { return strings.HasSuffix(read(t, u.path("lim/log")), "ended\n") })
	u.lacksNothing(t)
}

// holdsAlias waits until the LIM is active here.
func (u *unitSite) holdsAlias(t *testing.T) {
	t.Helper()
	out := ""
	defer func() {
		if t.Failed() {
			t.Logf("status says\n%s", out)
		}
	}()
	eventually(t, "the LIM to be active", func() bool {
		_, out = u.run(t, "status --lim 1 --no-headers")
		return strings.Contains(strings.Join(strings.Fields(out), " "), "c1 1 srv1 regular running")
	})
}

// Where the software is units of systemd alone, the agent does with less.
func TestAgentForUnitsAlone(t *testing.T) {
	t.Parallel()
	u := newUnitSite(t, "systemd:software@{lim}", map[string]string{
		"software@": "ExecStart=/bin/sh -c 'mkdir -p /run/site/lim; echo \"$MXCLUSTER_ROLE %i\" >/run/site/lim/role; echo $$$$ >/run/site/lim/pid; exec sleep 1000'",
	})
	dropIn := strings.ReplaceAll(read(t, "../../packaging/systemd/systemd-only.conf"), "[Service]", "")
	u.install(t, true, dropIn+"\nReadWritePaths="+u.inside)
	u.job(t, "start")
	pid := u.software(t)
	u.holdsAlias(t)
	if role := read(t, u.path("lim/role")); role != "active 1\n" {
		t.Errorf("the unit was told %q", role)
	}
	u.job(t, "restart")
	u.holdsAlias(t)
	if now := u.software(t); now != pid {
		t.Errorf("the restart of the agent started the unit anew: process %d, was %d", now, pid)
	}
	u.mustRun(t, "agent stop --release")
	eventually(t, "the LIM to end", func() bool { return u.group(pid) == "" })
	u.lacksNothing(t)
}

// The first upgrade: an agent that started the LIM in its own control group is replaced by
// one that does not. The LIM goes on, in a unit of its own, and can be stopped.
func TestUpgradeWhileALIMRuns(t *testing.T) {
	t.Parallel()
	u := newUnitSite(t, program, nil)
	// An agent that sees no systemd starts programs as older versions always did, which
	// had no sandbox.
	write(t, u.path("comm"), "init\n")
	u.install(t, false, "BindReadOnlyPaths="+u.inside+"/comm:/proc/1/comm")
	u.job(t, "start")
	pid := u.software(t)
	u.holdsAlias(t)
	if group := u.group(pid); !strings.Contains(group, "/"+agentUnit) {
		t.Fatalf("the former agent's LIM has the control group %q", group)
	}
	u.install(t, true, "")
	u.job(t, "restart")
	eventually(t, "the LIM to be moved", func() bool { return strings.Contains(u.group(pid), "/mxcluster-lim1.slice/mxcluster-lim1-") })
	u.holdsAlias(t)
	u.runsUndisturbed(t, pid, "the upgrade")
	eventually(t, "the agent to be alone", func() bool { return len(u.besideAgent(t)) == 0 })
	u.job(t, "restart")
	u.holdsAlias(t)
	u.runsUndisturbed(t, pid, "another restart")
	u.mustRun(t, "agent stop --release")
	eventually(t, "the LIM to end", func() bool { return strings.HasSuffix(read(t, u.path("lim/log")), "ended\n") })
}
