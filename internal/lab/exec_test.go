//go:build linux

package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

func TestExec(t *testing.T)      { runScenario(t, "exec", self(t)) }
func TestProcesses(t *testing.T) { runScenario(t, "processes", self(t)) }

// execScenario checks what a command on a server finds around it, and what its
// caller gets back.
func execScenario(ctx context.Context, l *Lab) error {
	var f findings
	servers, err := testServers(ctx, l, 2)
	if err != nil {
		return err
	}
	s := servers[0]
	for _, c := range []struct {
		command, out string
		code         int
	}{
		{"hostname; echo $HOSTNAME", "srv1\nsrv1", 0},
		{"echo out; echo err >&2; exit 7", "outerr", 7},
		{"kill -KILL $$", "", 128 + 9},
		{"pwd; echo $MXCLUSTER_CONFIG_DIR $MXCLUSTER_STATE_DIR $MXCLUSTER_RUN_DIR",
			strings.Join([]string{s.Dir() + "\n" + s.Dir() + "/etc", s.Dir() + "/state", s.Dir() + "/run"}, " "), 0},
		{"readlink $(command -v mxcluster)", l.Exe, 0},
		{"cat", "", 0},                                                  // no input is the null device
		{"cat /proc/1/comm", "lab.test", 0},                             // the numbers are the server's own
		{"wc -l < /proc/net/dev", "4", 0},                               // two lines of heads, lo and eth0
		{"(trap '' TERM; exec sleep 60 >/dev/null) & echo on", "on", 0}, // nobody waits for what is left behind
	} {
		out, code, err := shell(ctx, s, c.command)
		f.check(err == nil && out == c.out && code == c.code, "%s: %q, code %d, %v; want %q, code %d", c.command, out, code, err, c.out, c.code)
	}
	for _, c := range []struct {
		server string
		argv   string
		code   fault.Code
		text   string
	}{
		{"srv1", "no-such-program", fault.Failed, "command not found"},
		{"srv1", "/no/such/program", fault.Failed, "no such file"},
		{"srv9", "true", fault.NotFound, "no such server"},
		{"../srv1", "true", fault.NotFound, "no such server"},
		{"bin", "true", fault.Unreachable, "has no power"},
	} {
		_, err := Exec(ctx, l.Dir, c.server, []string{c.argv}, Stdio{})
		f.check(fault.CodeOf(err) == c.code && strings.Contains(err.Error(), c.text), "exec %s on %s: %v, want code %d and %q", c.argv, c.server, err, c.code, c.text)
	}
	f.noError(execPassesStreams(ctx, l), "passing streams")
	f.noError(execEndsWithCaller(ctx, l, servers[1]), "interrupting")
	return f.err()
}

// execPassesStreams checks that a command reads what its caller reads.
func execPassesStreams(ctx context.Context, l *Lab) error {
	in, err := os.Open("/etc/passwd")
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := memoryFile()
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := Exec(ctx, l.Dir, "srv2", []string{"cat"}, Stdio{In: in, Out: out}); err != nil {
		return err
	}
	want, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	got, err := contents(out)
	if strings.TrimSpace(string(got)) != strings.TrimSpace(string(want)) {
		return errors.Join(err, errors.New("input and output differ"))
	}
	return err
}

// execEndsWithCaller checks that an interrupted caller's command gets SIGTERM,
// and that a caller that vanishes takes its command along.
func execEndsWithCaller(ctx context.Context, l *Lab, s *Server) error {
	var f findings
	mark := filepath.Join(s.Dir(), "mark")
	interrupted, interrupt := context.WithCancel(ctx)
	cmd, err := start(ctx, l.Dir, s.Name, []string{"sh", "-c", "trap 'echo term > mark; kill -KILL $!; exit' TERM; sleep 60 & echo up > mark; wait"}, nil, Stdio{})
	if err != nil {
		interrupt()
		return err
	}
	f.noError(awaitFile(ctx, mark, "up"), "starting")
	interrupt()
	_, err = cmd.wait(interrupted)
	f.check(errors.Is(err, context.Canceled), "wait of an interrupted caller: %v", err)
	f.noError(awaitFile(ctx, mark, "term"), "SIGTERM")

	cmd, err = start(ctx, l.Dir, s.Name, []string{"sh", "-c", "echo up > mark; exec sleep 60"}, nil, Stdio{})
	if err != nil {
		return err
	}
	f.noError(awaitFile(ctx, mark, "up"), "starting")
	cmd.close()
	f.noError(awaitGone(ctx, s, "sleep"), "caller gone")
	return f.err()
}

// processesScenario checks that a server ends its children's children, and is
// not held up by them.
func processesScenario(ctx context.Context, l *Lab) error {
	var f findings
	servers, err := testServers(ctx, l, 1)
	if err != nil {
		return err
	}
	s := servers[0]
	// A hundred orphans that end by themselves, beside a hundred commands.
	if _, _, err := shell(ctx, s, "for i in $(seq 100); do (true &) ; done"); err != nil {
		return err
	}
	for range 100 {
		_, code, err := shell(ctx, s, "(true &); exit 5")
		f.check(err == nil && code == 5, "exit code %d, %v, want 5", code, err)
	}
	f.noError(awaitGone(ctx, s, "Z"), "zombies")
	f.check(s.SignalAgent(ctx, unix.SIGKILL) != nil, "an agent was killed that was never started")
	f.check(fault.CodeOf(s.Boot(ctx)) == fault.Refused, "a server with power was booted")
	return f.err()
}

// awaitFile waits until a file has a content.
func awaitFile(ctx context.Context, path, content string) error {
	return poll(ctx, path+" says "+content, func() bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.TrimSpace(string(data)) == content
	})
}

// awaitGone waits until no process of a server has a name, or a state.
func awaitGone(ctx context.Context, s *Server, name string) error {
	return poll(ctx, "no process "+name+" on "+s.Name, func() bool {
		out, _, err := shell(ctx, s, "cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f2,3")
		return err == nil && !strings.Contains(out, " "+name) && !strings.Contains(out, "("+name+")")
	})
}

// poll asks again and again until the answer is yes.
func poll(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, testStep)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return errors.New("waited in vain until " + what)
		case <-tick.C:
		}
	}
	return nil
}
