package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// place is where a systemd of the test's own starts programs.
func (m *manager) place() place {
	return place{proc: m.Root + "/proc", opt: func(limit time.Duration) Options {
		opt := within(min(limit, time.Hour/2) * 2) // it starts slower than a test itself does
		opt.Systemd, opt.RunDir = m.opt.Systemd, filepath.Join(m.Dir, "run")
		return opt
	}}
}

// units returns the names of the units with software of LIMs.
func (m *manager) units(t *testing.T) (names []string) {
	t.Helper()
	c, err := m.opt.Systemd.Dial(t.Context())
	must(t, err)
	defer c.Close()
	all, err := c.ListUnitsByPatternsContext(t.Context(), nil, []string{"mxcluster-lim*.service", "mxcluster-lim*.scope"})
	must(t, err)
	for _, u := range all {
		names = append(names, u.Name+" "+u.ActiveState)
	}
	return names
}

// Programs that systemd starts are called as those that the agent starts itself.
func TestProgramsInUnits(t *testing.T) {
	t.Parallel()
	m := newManager(t, 20*time.Second, nil)
	at := m.place()
	t.Run("variables", func(t *testing.T) { testVariables(t, at) })
	t.Run("check", func(t *testing.T) { testCheck(t, at) })
	t.Run("start", func(t *testing.T) { testStart(t, at) })
	t.Run("given up", func(t *testing.T) { testGivenUp(t, at) })
	t.Run("stop ends what is left", func(t *testing.T) { testStopEndsWhatIsLeft(t, at) })
	t.Run("start of a program that is gone", func(t *testing.T) { testStartOfAProgramThatIsGone(t, at) })
	t.Run("hung stop", func(t *testing.T) { testHungStop(t, at) })
	poll(t, "units to be forgotten", func() bool { return len(m.units(t)) == 0 })
	if left, err := filepath.Glob(m.Dir + "/run/*"); err != nil || len(left) > 0 {
		t.Errorf("files of calls are left: %q, %v", left, err)
	}
	t.Run("kept", func(t *testing.T) { testKeptInUnits(t, m) })
	t.Run("ended while asked", func(t *testing.T) { testEndedWhileAsked(t, m) })
	t.Run("failed start", func(t *testing.T) { testFailedStartInUnit(t, m) })
	t.Run("resource agent", func(t *testing.T) { testAgentInUnit(t, m) })
}

// What a program in a unit is given is what the agent itself would give it.
func TestSurroundingsOfUnits(t *testing.T) {
	m := newManager(t, 20*time.Second, nil)
	t.Setenv("MXTEST_ODD", "a \"b\" 'c' $HOME `d` \\ %n\ttab\nline")
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	// As in the agent: what a test in the background ignores would be passed on.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(heard)
	const look = "env -0 | grep -zv -e ^_= -e ^PWD= -e ^MXCLUSTER_OWNER= | sort -z >$OUT/env; umask >$OUT/umask; readlink /proc/self/fd/0 >$OUT/input; " +
		"grep -e ^Sig[A-P] -e ^Cap -e ^NoNewPrivs -e ^Seccomp: /proc/self/status >$OUT/status"
	got := map[string]string{}
	for name, opt := range map[string]Options{"direct": within(20 * time.Second), "unit": m.place().opt(20 * time.Second)} {
		s, dir := newScript(t, opt, map[string]string{"start": "OUT=.; " + look})
		must(t, s.Start(t.Context(), env))
		for _, file := range []string{"env", "umask", "input", "status"} {
			raw, err := os.ReadFile(filepath.Join(dir, file))
			must(t, err)
			got[name] += file + ": " + strings.ReplaceAll(string(raw), "\x00", "\n") + "\n"
		}
	}
	if got["direct"] != got["unit"] || !strings.Contains(got["unit"], "MXTEST_ODD=a \"b\"") {
		t.Errorf("called by itself:\n%s\nin a unit:\n%s", got["direct"], got["unit"])
	}
}

// testKeptInUnits: what a start leaves runs in a unit of its own in the slice of its LIM, for
// as long as it runs, and is found also where it has cleared its environment.
func testKeptInUnits(t *testing.T, m *manager) {
	at := m.place()
	s, dir := newScript(t, at.opt(20*time.Second), map[string]string{
		"start":  "env -i setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 1000' >/dev/null 2>&1 &\nwhile [ ! -s pid ]; do sleep 0.01; done",
		"status": "[ -s pid ] && kill -0 $(cat pid) 2>/dev/null || exit 3",
	})
	must(t, s.Start(t.Context(), env))
	checks(t, s, Running, "")
	pid := pidIn(t, dir+"/pid")
	group, err := os.ReadFile(fmt.Sprintf("%s/%d/cgroup", at.proc, pid))
	must(t, err)
	if !strings.Contains(string(group), "/mxcluster.slice/mxcluster-lim3.slice/mxcluster-lim3-") {
		t.Errorf("control group %q", group)
	}
	if units := m.units(t); len(units) != 1 || !strings.HasSuffix(units[0], ".service active") {
		t.Errorf("units %q", units)
	}
	e, texts := told()
	must(t, s.Stop(t.Context(), e))
	at.gone(t, pid)
	if len(*texts) != 1 || !strings.Contains((*texts)[0], "sleep (") {
		t.Errorf("told %q", *texts)
	}
	poll(t, "the unit to be forgotten", func() bool { return len(m.units(t)) == 0 })
}

// testEndedWhileAsked: a call whose time passes while systemd is asked about it is ended as any other,
// and is not said to be systemd's fault.
func testEndedWhileAsked(t *testing.T, m *manager) {
	at := m.place()
	s, dir := newScript(t, at.opt(time.Hour), map[string]string{"start": "sleep 1000 & echo $! >pid.new; mv pid.new pid; wait"})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- s.Start(ctx, env) }()
	awaitFile(t, dir+"/pid")
	must(t, unix.Kill(m.PID, unix.SIGSTOP))
	<-ctx.Done()
	must(t, unix.Kill(m.PID, unix.SIGCONT))
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "reached") {
		t.Errorf("error %v", err)
	}
	at.gone(t, pidIn(t, dir+"/pid"))
}

// testFailedStartInUnit: what a start that failed leaves is for the stop to end.
func testFailedStartInUnit(t *testing.T, m *manager) {
	at := m.place()
	s, dir := newScript(t, at.opt(20*time.Second), map[string]string{
		"start": "sleep 1000 >/dev/null 2>&1 &\necho $! >pid; echo no licence >&2; exit 7",
		"stop":  "kill -0 $(cat pid) && echo yes >was; kill $(cat pid)",
	})
	if err := s.Start(t.Context(), env); err == nil || !strings.Contains(err.Error(), "exit status 7: no licence") || neverRan(err) {
		t.Errorf("error %v", err)
	}
	must(t, s.Stop(t.Context(), env))
	if _, err := os.Stat(dir + "/was"); err != nil {
		t.Error("what the start left was ended before the stop")
	}
	at.gone(t, pidIn(t, dir+"/pid"))
}

// testAgentInUnit: a resource agent gets its parameters, and nobody can ask systemd for a
// secret one.
func testAgentInUnit(t *testing.T, m *manager) {
	root, dir := agent(t, map[string]string{
		"start":   "echo \"$OCF_RESKEY_password\" >got; sleep 1000 >/dev/null 2>&1 &\necho $! >pid",
		"monitor": "[ -s pid ] && kill -0 $(cat pid) 2>/dev/null && exit 0; exit 7",
		"stop":    "kill $(cat pid); rm pid", "reload": "exit 3",
	})
	opt := m.place().opt(20 * time.Second)
	opt.OCFRoot = root
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("hush4711\n"), 0o600))
	s, err := Parse("ocf:test:Agent,password=file:"+secret, opt)
	must(t, err)
	checks(t, s, Stopped, "")
	must(t, s.Start(t.Context(), env))
	checks(t, s, Running, "")
	if got, err := os.ReadFile(dir + "/got"); err != nil || string(got) != "hush4711\n" {
		t.Errorf("the agent got %q, %v", got, err)
	}
	c, err := m.opt.Systemd.Dial(t.Context())
	must(t, err)
	defer c.Close()
	units := m.units(t)
	if len(units) != 1 {
		t.Fatalf("units %q", units)
	}
	name, _, _ := strings.Cut(units[0], " ")
	all, err := c.GetAllPropertiesContext(t.Context(), name)
	must(t, err)
	if text := fmt.Sprint(all); strings.Contains(text, "hush4711") || !strings.Contains(text, "LIM 3, start of ocf:test:Agent") {
		t.Errorf("systemd tells\n%s", text)
	}
	must(t, s.Reload(t.Context(), env))
	checks(t, s, Running, "")
	must(t, s.Stop(t.Context(), env))
	checks(t, s, Stopped, "")
	poll(t, "units to be forgotten", func() bool { return len(m.units(t)) == 0 })
}

// Systemd and then its bus start anew while a program starts: it is not called twice. Where
// nobody knows any more how it ended, for the unit was kept for a connection that is
// gone, it is asked whether it runs.
func TestUnitsWhileSystemdStartsAnew(t *testing.T) {
	t.Parallel()
	m := newManager(t, 20*time.Second, nil)
	s, dir := newScript(t, m.place().opt(20*time.Second), map[string]string{
		"start": "echo once >>starts; while [ ! -e go ]; do sleep 0.05; done; exit $(cat go)", "status": "[ -e running ] && exit 0; exit 3",
	})
	for name, anew := range map[string]func(){
		"systemd": func() { must(t, unix.Kill(m.PID, unix.SIGTERM)) }, // for process 1: re-execute
		"the bus": func() { m.RestartBus(t) },
	} {
		for _, status := range []string{"0", "5"} {
			for _, file := range []string{"starts", "go", "running"} {
				must(t, os.RemoveAll(filepath.Join(dir, file)))
			}
			started := make(chan error, 1)
			go func() { started <- s.Start(t.Context(), env) }()
			awaitFile(t, dir+"/starts")
			anew()
			checks(t, s, Stopped, "")
			must(t, os.WriteFile(dir+"/running", nil, 0o600))
			checks(t, s, Running, "")
			if status != "0" {
				must(t, os.Remove(dir+"/running"))
			}
			must(t, os.WriteFile(dir+"/go.new", []byte(status), 0o600))
			must(t, os.Rename(dir+"/go.new", dir+"/go"))
			if err := <-started; (err == nil) != (status == "0") || err != nil && exitStatus(err) != 5 && !lost(err) {
				t.Errorf("%s started anew, exit status %s: %v", name, status, err)
			}
			if starts, err := os.ReadFile(dir + "/starts"); err != nil || string(starts) != "once\n" {
				t.Errorf("%s started anew: started %q, %v", name, starts, err)
			}
		}
	}
}

// While the system shuts down, systemd leaves the software alone until the agent has
// ended, and the agent can still ask it and stop it.
func TestUnitsAtShutdown(t *testing.T) {
	t.Parallel()
	m := newManager(t, 20*time.Second, map[string]string{
		"mxcluster-agent": "ExecStart=/bin/sleep 4740\nExecStop=/bin/sh -c 'echo >DIR/stopping; while [ ! -e DIR/go ]; do sleep 0.05; done'\n" +
			"[Unit]\nConflicts=shutdown.target\nBefore=shutdown.target",
	})
	at := m.place()
	s, dir := newScript(t, at.opt(20*time.Second), map[string]string{
		"start":  "sleep 1000 >/dev/null 2>&1 &\necho $! >pid",
		"status": "[ -s pid ] || exit 3", "stop": "kill $(cat pid); rm pid",
	})
	c, err := m.opt.Systemd.Dial(t.Context())
	must(t, err)
	defer c.Close()
	_, err = c.StartUnitContext(t.Context(), agentUnit, "replace", nil)
	must(t, err)
	must(t, s.Start(t.Context(), env))
	pid := pidIn(t, dir+"/pid")
	_, err = c.StartUnitContext(t.Context(), "shutdown.target", "replace-irreversibly", nil)
	must(t, err)
	awaitFile(t, m.Dir+"/stopping")
	checks(t, s, Running, "")
	if !at.alive(pid) {
		t.Error("systemd stopped the software before the agent had ended")
	}
	must(t, s.Stop(t.Context(), env))
	at.gone(t, pid)
	must(t, os.WriteFile(m.Dir+"/go", nil, 0o600))
}

// Limits of an operator hold for what a LIM's software runs, by files for the units of the LIM.
func TestLimitsOfALIM(t *testing.T) {
	t.Parallel()
	m := newManager(t, 20*time.Second, nil)
	dropIns := m.Root + "/run/systemd/system/mxcluster-lim3-.service.d"
	must(t, os.MkdirAll(dropIns, 0o755))
	must(t, os.WriteFile(dropIns+"/limits.conf", []byte("[Service]\nLimitNOFILE=777\n"), 0o644))
	for lim, want := range map[int]bool{3: true, 4: false} {
		s, dir := newScript(t, m.place().opt(20*time.Second), map[string]string{"start": "ulimit -n >got"})
		of := env
		of.LIM = lim
		must(t, s.Start(t.Context(), of))
		if got, err := os.ReadFile(dir + "/got"); err != nil || (string(got) == "777\n") != want {
			t.Errorf("LIM %d has the limit %q, %v", lim, got, err)
		}
	}
}

// The form of an environment file gives back what went in.
func TestEnvironmentText(t *testing.T) {
	got := environmentText([]string{"A=1", "BAD-NAME=x", "B=\"\\$`", "C=\xff", "D=a=b", "E"})
	want := "A=\"1\"\nB=\"\\\"\\\\\\$\\`\"\nD=\"a=b\"\nE=\"\"\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Without a systemd that answers, a program is not known to have failed, and was not called.
func TestProgramsWithoutSystemd(t *testing.T) {
	opt := within(time.Second)
	opt.Systemd = Systemd{Dial: noBus(t)}
	s, dir := newScript(t, opt, map[string]string{"status": "exit 0"})
	if state, err := s.Check(t.Context(), env); state != Unknown || err == nil {
		t.Errorf("%s, %v", state, err)
	}
	if err := s.Start(t.Context(), env); err == nil || !neverRan(err) || !strings.Contains(err.Error(), "systemd cannot be reached") {
		t.Errorf("error %v", err)
	}
	if got := calls(t, dir); got != "" {
		t.Errorf("it was called: %s", got)
	}
}

func TestStrays(t *testing.T) {
	proc := t.TempDir()
	const own, session = "4:memory:/\n0::/system.slice/" + agentUnit + "\n", "0::/user.slice/session-1.scope\n"
	const older = "9:name=systemd:/system.slice/" + agentUnit + "\n4:memory:/system.slice\n" // without the unified hierarchy
	process := func(pid, parent int, group, state string, environ ...string) {
		dir := filepath.Join(proc, fmt.Sprint(pid))
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.WriteFile(dir+"/cgroup", []byte(group), 0o644))
		must(t, os.WriteFile(dir+"/stat", fmt.Appendf(nil, "%d (a) b) %s %d 1 1", pid, state, parent), 0o644))
		must(t, os.WriteFile(dir+"/environ", []byte(strings.Join(environ, "\x00")+"\x00"), 0o644))
	}
	const owner = "MXCLUSTER_OWNER=/var/a lim 7 exec:/b lim 8"
	process(10, 1, own, "S")
	process(11, 10, own, "S")        // the agent's own child
	process(12, 11, own, "S", owner) // and what that started
	process(20, 1, own, "S", "A=1", owner)
	process(21, 20, older, "S", owner)
	process(22, 20, own, "Z")
	process(30, 1, own, "S", "MXCLUSTER_OWNER=/var/other lim 7 exec:/b")
	process(40, 1, "0::/system.slice/ssh.service\n", "S", owner)
	got := strays(proc, 10, "/var/a")
	i := slices.IndexFunc(got, func(g strayGroup) bool { return g.lim == 7 })
	if len(got) != 2 || i < 0 || !slices.Equal(got[i].pids, []uint32{20, 21}) || !slices.Equal(got[1-i].pids, []uint32{30}) || got[1-i].mark.units != unknownStrays {
		t.Errorf("found %+v", got)
	}
	p := program{spec: "exec:/b lim 8", opt: Options{Instance: "/var/a", Systemd: Systemd{Dial: noBus(t)}}}
	if m := p.owner(Env{LIM: 7}); i >= 0 && got[i].mark != m {
		t.Errorf("marked %+v, a stop looks for %+v", got[i].mark, m)
	}
	if got := strays(proc, 40, "/var/a"); len(got) != 0 {
		t.Errorf("found %+v beside another program", got)
	}
	must(t, os.WriteFile(filepath.Join(proc, "10", "cgroup"), []byte(session), 0o644))
	if got := strays(proc, 10, "/var/a"); len(got) != 0 {
		t.Errorf("found %+v in a session", got)
	}
}
