package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

var env = Env{LIM: 3, Alias: netip.MustParseAddr("10.0.0.13"), Server: "srv3", Role: "active", XData: "/x/xdata_3"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within returns options with short limits.
func within(limit time.Duration) Options {
	return Options{StartTimeout: limit, StopTimeout: limit, CheckTimeout: limit, Grace: 200 * time.Millisecond, Systemd: Systemd{unused: true}}
}

// place is where programs of services run: beside the test, or in namespaces with a
// systemd of the test's own.
type place struct {
	opt  func(limit time.Duration) Options
	proc string // their processes, as they see them
}

// here is beside the test.
var here = place{within, "/proc"}

// writeProgram writes a shell script with a body per verb; verbs without one
// succeed, but for status, which says "stopped".
func writeProgram(t *testing.T, dir string, bodies map[string]string) string {
	t.Helper()
	text := "#!/bin/sh\ncd '" + dir + "'\necho $1 >>calls\ncase $1 in\n"
	if _, ok := bodies["status"]; !ok {
		text += "status) exit 3;;\n"
	}
	for verb, body := range bodies {
		text += verb + ")\n" + body + "\n;;\n"
	}
	path := filepath.Join(dir, "service")
	must(t, os.WriteFile(path, []byte(text+"esac\n"), 0o755))
	return path
}

// newScript returns a service of such a program, and its folder.
func newScript(t *testing.T, opt Options, bodies map[string]string) (Service, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := Parse("exec:"+writeProgram(t, dir, bodies), opt)
	must(t, err)
	return s, dir
}

func calls(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

// pidIn reads a process id that a script wrote.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(t, err)
	return pid
}

// gone waits for a process to end. One that is dead but not yet reaped counts.
func (p place) gone(t *testing.T, pid int) {
	t.Helper()
	poll(t, fmt.Sprintf("process %d to end", pid), func() bool { return !p.alive(pid) })
}

// awaitFile waits for a script to have written a file.
func awaitFile(t *testing.T, file string) {
	t.Helper()
	poll(t, file+" to be written", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
}

// poll waits until a condition holds.
func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit, look := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func (p place) alive(pid int) bool { return !ended(fmt.Sprintf("%s/%d", p.proc, pid)) }

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		spec string
		ok   bool
	}{
		{"exec:/opt/lim/service", true},
		{"exec:/opt/lim{lim}/service", true},
		{"systemd:mxone.service", true},
		{"systemd:mxone@{lim}.service", true},
		{"ocf:heartbeat:pgsql", true},
		{"ocf:heartbeat:pgsql,a=b,c=,d=x=y", true},
		{"", false},
		{"/opt/lim/service", false},
		{"exec:", false},
		{"exec:/", false},
		{"exec:lim/service", false},
		{"exec:/opt/../service", false},
		{"exec:/opt/\x00", false},
		{"systemd:", false},
		{"systemd:a b", false},
		{"systemd:../a", false},
		{"ocf:heartbeat", false},
		{"ocf::pgsql", false},
		{"ocf:heartbeat:pgsql,a", false},
		{"ocf:heartbeat:pgsql,=b", false},
		{"docker:lim", false},
	} {
		s, err := Parse(tt.spec, Options{})
		if tt.ok {
			if err != nil || s.String() != tt.spec {
				t.Errorf("Parse(%q) = %v, %v", tt.spec, s, err)
			}
			continue
		}
		if fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("Parse(%q): %v, hint %q", tt.spec, err, fault.HintOf(err))
		}
	}
}

func TestVariables(t *testing.T) {
	testVariables(t, here)
	media := netip.MustParseAddr("10.0.1.5")
	e := Env{Gateways: []string{"mgw1", "mgw2"}, Media: &clusterconf.MediaServer{Kind: clusterconf.MediaServerStandalone, Media: media, Control: media}}
	for _, v := range []string{"MXCLUSTER_GATEWAYS=mgw1 mgw2", "MXCLUSTER_MEDIA_SERVER=standalone", "MXCLUSTER_MEDIA_ADDRESS=10.0.1.5", "MXCLUSTER_CONTROL_ADDRESS=10.0.1.5"} {
		if !slices.Contains(e.Variables(), v) {
			t.Errorf("%q lacks %s", e.Variables(), v)
		}
	}
	if got := (Env{}).Variables(); !slices.Contains(got, "MXCLUSTER_ALIAS=") {
		t.Errorf("without an alias: %q", got)
	}
}

func testVariables(t *testing.T, at place) {
	s, dir := newScript(t, at.opt(5*time.Second), map[string]string{"start": "env | grep ^MXCLUSTER_ | sort >env; pwd >>env"})
	must(t, s.Start(t.Context(), env))
	data, err := os.ReadFile(filepath.Join(dir, "env"))
	must(t, err)
	want := "MXCLUSTER_ALIAS=10.0.0.13\nMXCLUSTER_LIM=3\nMXCLUSTER_OWNER= lim 3 " + s.String() + "\nMXCLUSTER_ROLE=active\nMXCLUSTER_SERVER=srv3\nMXCLUSTER_XDATA=/x/xdata_3\n" + dir + "\n"
	if string(data) != want {
		t.Errorf("got\n%s\nwant\n%s", data, want)
	}
}

func TestFilledIn(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/lim3-10.0.0.13", 0o755))
	writeProgram(t, dir+"/lim3-10.0.0.13", map[string]string{"status": "exit 0"})
	s, err := Parse("exec:"+dir+"/lim{lim}-{alias}/service", within(5*time.Second))
	must(t, err)
	if state, err := s.Check(t.Context(), env); state != Running {
		t.Errorf("%s, %v", state, err)
	}
	if !strings.Contains(s.String(), "{lim}") {
		t.Errorf("String %q", s)
	}
}

func TestCheck(t *testing.T) { testCheck(t, here) }

func testCheck(t *testing.T, at place) {
	for _, tt := range []struct {
		status string
		want   State
		text   string
	}{
		{"exit 0", Running, ""},
		{"echo is stopped; exit 3", Stopped, ""},
		{"echo database is down >&2; exit 1", Failed, "exit status 1: database is down"},
		{"exit 4", Failed, "exit status 4"},
		{"kill -9 $$", Failed, "signal: killed"},
		{"sleep 1000", Failed, "did not end within " + at.opt(time.Second).CheckTimeout.String()},
	} {
		s, _ := newScript(t, at.opt(time.Second), map[string]string{"status": tt.status})
		state, err := s.Check(t.Context(), env)
		if state != tt.want || (err != nil) != (tt.want == Failed) {
			t.Errorf("%q: %s, %v", tt.status, state, err)
		}
		if err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q: error %q does not say %q", tt.status, err, tt.text)
		}
	}
}

func TestStart(t *testing.T) { testStart(t, here) }

func testStart(t *testing.T, at place) {
	for _, tt := range []struct {
		name   string
		bodies map[string]string
		calls  string
		text   string // of the error; "" means none
	}{
		{"ok", map[string]string{}, "status start", ""},
		{"runs already", map[string]string{"status": "exit 0"}, "status", ""},
		{"state unclear", map[string]string{"status": "exit 1"}, "status start", ""},
		{"fails", map[string]string{"start": "echo starting; echo no licence >&2; echo >&2; echo giving up >&2; exit 7"}, "status start",
			"exit status 7: no licence | giving up"},
		{"complains on its output", map[string]string{"start": "echo no licence; exit 7"}, "status start", "exit status 7: no licence"},
		{"complains at length", map[string]string{"start": "head -c 10000000 /dev/zero | tr '\\0' x >&2; echo >&2; printf 'half\\rno licence' >&2; exit 7"}, "status start",
			"exit status 7: half | no licence"},
		{"hangs", map[string]string{"start": "echo waiting for disk; sleep 1000"}, "status start",
			"did not end within " + at.opt(time.Second).StartTimeout.String() + " and was ended: waiting for disk"},
		{"talks without end", map[string]string{"start": "yes no"}, "status start", "no | no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := time.Minute
			if tt.name == "hangs" || tt.name == "talks without end" {
				limit = time.Second
			}
			s, dir := newScript(t, at.opt(limit), tt.bodies)
			err := s.Start(t.Context(), env)
			if got := calls(t, dir); got != tt.calls {
				t.Errorf("calls %q, want %q", got, tt.calls)
			}
			if tt.text == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v does not say %q", err, tt.text)
			}
			if len(err.Error()) > 2*lineBytes || fault.CodeOf(err) != fault.Failed || fault.HintOf(err) == "" {
				t.Errorf("%d bytes, code %d, hint %q", len(err.Error()), fault.CodeOf(err), fault.HintOf(err))
			}
		})
	}
}

func TestProgramsThatCannotRun(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/plain", []byte("#!/bin/sh\n"), 0o644))
	for name, text := range map[string]string{"interpreter": "#!/nowhere/sh\n", "bare": "echo hello\n", "dos": "#!/bin/sh\r\necho\r\n", "empty": "", "nobody": "#!  \n"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	for _, tt := range []struct {
		path string
		code fault.Code
		text string
		hint string
	}{
		{dir + "/none", fault.NotFound, "does not exist", "lim set"},
		{dir, fault.Invalid, "is not a file", "exec:PATH"},
		{dir + "/plain", fault.NotPermitted, "is not executable", "chmod +x"},
		{dir + "/interpreter", fault.Failed, "names /nowhere/sh, which is no program here", "that line"},
		{dir + "/bare", fault.Invalid, "does not begin with #!", "#!/bin/sh"},
		{dir + "/dos", fault.Invalid, "end as on Windows", "sed -i"},
		{dir + "/empty", fault.Invalid, "is empty", "install it"},
		{dir + "/nobody", fault.Invalid, "names no interpreter", "#!/bin/sh"},
	} {
		s, err := Parse("exec:"+tt.path, within(5*time.Second))
		must(t, err)
		state, checkErr := s.Check(t.Context(), env)
		for _, err := range []error{s.Start(t.Context(), env), checkErr} {
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("%s: %v, code %d, hint %q", tt.path, err, fault.CodeOf(err), fault.HintOf(err))
			}
		}
		if state != Failed {
			t.Errorf("%s: %s", tt.path, state)
		}
	}
}

// Giving up a call ends its whole group, whether or not its members mind, and
// does not start another one.
func TestGivenUp(t *testing.T) { testGivenUp(t, here) }

func testGivenUp(t *testing.T, at place) {
	for name, body := range map[string]string{
		"minds SIGTERM":          "sleep 1000 & echo $! >pid.new; mv pid.new pid; wait",
		"ignores SIGTERM":        "trap '' TERM; sleep 1000 & echo $! >pid.new; mv pid.new pid; while :; do wait; done",
		"only its child ignores": "(trap '' TERM; exec sleep 1000) & echo $! >pid.new; mv pid.new pid; wait",
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newScript(t, at.opt(time.Hour), map[string]string{"stop": body})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error)
			go func() { done <- s.Stop(ctx, env) }()
			awaitFile(t, dir+"/pid")
			cancel()
			err := <-done
			if fault.CodeOf(err) != fault.Interrupted || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stop service") {
				t.Errorf("error %v", err)
			}
			at.gone(t, pidIn(t, dir+"/pid"))
			if err := s.Start(ctx, env); fault.CodeOf(err) != fault.Interrupted || strings.Contains(calls(t, dir), "start") {
				t.Errorf("with an ended context: %v, calls %s", err, calls(t, dir))
			}
		})
	}
}

// A daemon that start leaves behind, in the group and with standard output
// open, is neither waited for nor ended; it can go on printing, to nobody.
func TestDaemon(t *testing.T) {
	s, dir := newScript(t, within(20*time.Second), map[string]string{"start": `
		( trap 'echo died of SIGPIPE >fate; exit 1' PIPE
		  i=0; while [ $i -lt 3000 ]; do echo "a line of what nobody reads, $i" 2>/dev/null; i=$((i+1)); done
		  echo survived >fate.new; mv fate.new fate; sleep 1000 ) & echo $! >pid; echo started`})
	began := time.Now()
	must(t, s.Start(t.Context(), env))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("waited %v for the daemon", took)
	}
	pid := pidIn(t, dir+"/pid")
	group, err := unix.Getpgid(pid)
	must(t, err)
	t.Cleanup(func() { _ = unix.Kill(-group, unix.SIGKILL) })
	own, err := unix.Getsid(0)
	must(t, err)
	if session, err := unix.Getsid(pid); err != nil || session == own {
		t.Errorf("session %d, the agent's is %d (%v): one that spins would starve the agent", session, own, err)
	}
	awaitFile(t, dir+"/fate") // or its output holds it up
	fate, err := os.ReadFile(dir + "/fate")
	if string(fate) != "survived\n" || !here.alive(pid) {
		t.Errorf("fate %q, %v", fate, err)
	}
}
