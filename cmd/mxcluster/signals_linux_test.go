package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
)

// toldToEnd are the orders to end that a command may get: from a person's keys, from
// who supervises it, and from a terminal or session that goes away.
func toldToEnd() []syscall.Signal {
	return []syscall.Signal{unix.SIGHUP, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT}
}

// A command that is told to end in the middle of its work puts everything away, and
// says so by the contract's code; the same command does it all afterwards.
func TestToldToEndAnywhere(t *testing.T) {
	t.Parallel()
	s := newDataSite(t)
	s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(20, 0))
	version, generation, turn := s.newest("srv1"), 0, 0
	for _, command := range []string{"restore", "backup", "sync"} {
		line := func() string {
			switch command {
			case "restore":
				return "xdata restore --lim 1 -q " + version + " --to " + filepath.Join(t.TempDir(), "back")
			case "backup":
				generation++
				return "xdata backup --lim 1 --no-sync -q --from " + s.data(20, generation)
			}
			generation++
			s.mx("srv1", 0, "xdata backup --lim 1 --no-sync -q --from "+s.data(20, generation))
			return "sync -q"
		}
		_, calls, err := killAt(s.command("srv1", line()), 0, 0, anyCall)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 4; i++ {
			sig, l := toldToEnd()[turn%len(toldToEnd())], line()
			turn++
			end, _, err := killAt(s.command("srv1", l), calls*i/5, sig, anyCall)
			if err != nil {
				t.Fatal(err)
			}
			where := fmt.Sprintf("%s, %s at %d of %d calls", l, unix.SignalName(sig), calls*i/5, calls)
			if code := end.ExitStatus(); !end.Exited() || code != 130 && code != 0 {
				t.Errorf("%s: it ended with %v, code %d", where, end, code)
			}
			s.nothingLeft(where, l)
			if command == "sync" {
				s.mx("srv1", 0, "sync -q --wait")
			}
		}
	}
	s.same()
}

// nothingLeft looks for what an ended command must not leave: half a version on either
// side, or half of what was restored.
func (s *dataSite) nothingLeft(where, line string) {
	s.t.Helper()
	if to := strings.Fields(line)[len(strings.Fields(line))-1]; strings.HasPrefix(to, "/") {
		left, err := filepath.Glob(filepath.Join(filepath.Dir(to), ".back*"))
		if err != nil || len(left) > 0 {
			s.t.Errorf("%s: left %v, %v", where, left, err)
		}
	}
	left, err := filepath.Glob(s.path("srv1", "var/xdata/.staging-*"))
	if err != nil || len(left) > 0 {
		s.t.Errorf("%s: left %v, %v", where, left, err)
	}
}

// The other end of a sync, which waits for its peer, ends at each order; one that
// started it with hangups ignored, as nohup does, keeps it.
func TestServeIsToldToEnd(t *testing.T) {
	t.Parallel()
	s := newDataSite(t)
	for _, sig := range toldToEnd() {
		if code, said := s.serve(s.command("srv1", "xdata serve"), sig); code != 130 || !strings.Contains(said, "interrupted") {
			t.Errorf("%s: exit code %d: %s", unix.SignalName(sig), code, said)
		}
	}
	c := s.command("srv1", "")
	c.Path, c.Args = "/bin/sh", []string{"sh", "-c", `trap '' HUP; exec "$0" xdata serve`, s.program}
	if code, said := s.serve(c, unix.SIGHUP); code == 130 || strings.Contains(said, "interrupted") {
		t.Errorf("an ignored hangup ended it: exit code %d: %s", code, said)
	}
}

// serve starts one end of a sync, sends it a signal once it speaks, and ends its input.
func (s *dataSite) serve(c *exec.Cmd, sig syscall.Signal) (code int, said string) {
	s.t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var notes bytes.Buffer
	c.Stderr = &notes
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	impatience := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer impatience.Stop()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		s.t.Fatalf("%v: %s", err, &notes)
	}
	if err := c.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	if strings.HasSuffix(c.Path, "sh") { // nothing but the end of its input ends it
		in.Close()
	}
	_ = c.Wait()
	in.Close()
	return c.ProcessState.ExitCode(), notes.String()
}

// A terminal that goes away ends an editor, too, and what was written is kept.
func TestTerminalGoesAwayWhileEditing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	editor := filepath.Join(dir, "editor")
	// It is not among those whom the kernel tells, and saves when it is told.
	write(t, editor, "#!/bin/sh\ntrap 'echo \"# saved\" >>\"$1\"; echo $1 >"+dir+"/file; exit 0' HUP\necho editing >&2\nwhile :; do sleep 0.05; done\n")
	if err := os.Chmod(editor, 0o755); err != nil {
		t.Fatal(err)
	}
	c := operator(t, "config", "edit")
	c.Env = append(c.Env, "EDITOR="+editor, "TMPDIR="+dir)
	before := configured(t, c)
	x := onTerminal(t, c)
	x.expect("editing")
	if err := x.keys.Close(); err != nil {
		t.Fatal(err)
	}
	if code := x.exit(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	kept := strings.TrimSpace(read(t, filepath.Join(dir, "file")))
	if text := read(t, kept); !strings.Contains(text, "# saved") {
		t.Errorf("what was written is not kept in %s:\n%s", kept, text)
	}
	if configured(t, c) != before {
		t.Error("half an edit was stored")
	}
}

// Nothing but an order to stop ends an agent; a hangup has it read the document again.
func TestSignalsOfAnAgent(t *testing.T) {
	t.Parallel()
	here, there := netnstest.New(t), netnstest.New(t)
	if err := errors.Join(netns.AddVeth(here, "eth0", there, "eth0", nil), here.SetUp("eth0"), there.SetUp("eth0")); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, t.TempDir(), nil)
	s.mustRun(t, "init --server srv1 --base 10.0.0.11/24 --interface eth0 --lim 1 --force")
	write(t, s.path("etc/mxcluster.yaml"), "server: srv1\n")
	agent := s.command("agent run")
	log, err := os.Create(s.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	agent.Stderr = log
	netnstest.Do(t, here, agent.Start)
	defer func() { _ = agent.Process.Kill() }()
	s.logged(t, "LIM 1 is running")
	for _, sig := range []syscall.Signal{
		unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGPIPE, unix.SIGVTALRM, unix.SIGPROF, unix.SIGIO, unix.SIGPWR,
		unix.SIGXCPU, unix.SIGXFSZ, unix.SIGWINCH, unix.SIGURG, unix.SIGCHLD, unix.SIGCONT, unix.SIGTTIN, unix.SIGTTOU, unix.SIGHUP,
	} {
		if err := agent.Process.Signal(sig); err != nil {
			t.Fatalf("%s: %v", unix.SignalName(sig), err)
		}
		if sig == unix.SIGTTIN || sig == unix.SIGTTOU { // the kernel's own way to stop a process
			if err := agent.Process.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		if code, out := s.run(t, "agent status"); code != 0 {
			t.Fatalf("after %s: exit code %d\n%s\n%s", unix.SignalName(sig), code, out, read(t, s.path("log")))
		}
	}
	s.logged(t, "told by a hangup")
	write(t, s.store.Path, "not a document\n")
	if err := agent.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.logged(t, "told by a hangup to read the document and the keys again")
	if err := agent.Process.Signal(unix.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("told to quit: %v\n%s", err, read(t, s.path("log")))
	}
}

// logged waits until an agent's log says something.
func (s *site) logged(t *testing.T, text string) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(read(t, s.path("log")), text) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the log does not say %q:\n%s", text, read(t, s.path("log")))
		}
	}
}
