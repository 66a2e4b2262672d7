package remoteshell

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

func TestDialFailures(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
		return file
	}
	for _, tt := range []struct {
		name             string
		command, remote  string
		code             fault.Code
		text, hint, want string
	}{
		{name: "missing program", command: "/nowhere/ssh {address}", code: fault.Unreachable,
			text: `reach server srv2 by "/nowhere/ssh 127.0.0.1 xdata serve"`, hint: "sync.rsh"},
		{name: "ssh fails", command: script("ssh255", "echo Connection refused >&2; exit 255"), code: fault.Unreachable,
			text: "reach server srv2: no ssh server answers there: Connection refused", hint: "start sshd there"},
		{name: "no mxcluster there", command: "sh -c", remote: `'nonesuch "$@"' sh`, code: fault.Unreachable,
			text: "127", hint: "sync.remote_command"},
		{name: "fails otherwise", command: script("fails", "echo one >&2; echo two >&2; exit 3"), code: fault.Unreachable,
			text: "exit status 3: one | two", hint: "run it by hand"},
		{name: "killed", command: script("killed", "kill -9 $$"), code: fault.Unreachable, text: "signal: killed"},
		{name: "bad quoting", command: `ssh "`, code: fault.Invalid, text: "sync.rsh", hint: "command line"},
		{name: "empty", command: "  ", code: fault.Invalid, text: "empty", hint: "remove sync.rsh"},
		{name: "endless complaints", command: script("noisy", "yes complaint | head -c 1000000 >&2; exit 1"),
			code: fault.Unreachable, text: "complaint | complaint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := dialAndRead(t, Shell{Command: tt.command, RemoteCommand: tt.remote})
			wantError(t, err, tt.code, tt.text)
			if !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("hint %q does not say %q", fault.HintOf(err), tt.hint)
			}
			if len(err.Error()) > 2*maxStderr {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		rsh  Shell
		want []string
	}{
		{Shell{Command: "ssh -o BatchMode=yes {address}", RemoteCommand: "mxcluster"}, []string{"ssh", "-o", "BatchMode=yes", "10.0.0.2", "mxcluster"}},
		{Shell{Command: `ssh -i '/my keys/id' -l "{server}" {address}`, RemoteCommand: "sudo mxcluster"},
			[]string{"ssh", "-i", "/my keys/id", "-l", "srv two;", "10.0.0.2", "sudo", "mxcluster"}},
		{Shell{Command: "ip netns exec {server}"}, []string{"ip", "netns", "exec", "srv two;"}},
	} {
		got, _, err := tt.rsh.words("srv two;", netip.MustParseAddr("10.0.0.2"))
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, %v", tt.rsh, got, err)
		}
	}
}

// A context that ends kills the program, however stubborn.
func TestCancelKillsTheProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err := Dial(ctx, Shell{Command: "sh -c", RemoteCommand: `'trap "" TERM; exec sleep 1000' sh`}, "srv2", loopback)
	must(t, err)
	pid := conn.cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := io.ReadAll(conn); err == nil {
			t.Error("it ended well")
		}
	}()
	cancel()
	<-ended
	conn.Close()
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("the program still exists: %v", err)
	}
}

// What the program leaves behind, as ssh does with ControlPersist, is not
// waited for though it holds standard error open.
func TestLeftBehind(t *testing.T) {
	conn, err := Dial(context.Background(), Shell{Command: "sh -c", RemoteCommand: `'sleep 60 <&- >&- & echo $! >&2' sh`}, "srv2", loopback)
	must(t, err)
	began := time.Now()
	if err := conn.wait(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > closeGrace {
		t.Errorf("waited %v", took)
	}
	var pid int
	if _, err := fmt.Sscan(strings.Join(conn.stderr.lines(), " "), &pid); err != nil {
		t.Fatal(err)
	}
	must(t, unix.Kill(pid, unix.SIGKILL))
}

// A server that is down says nothing: its caller is not held up, whatever the
// program started meanwhile.
func TestPatience(t *testing.T) {
	for _, remote := range []string{`'exec sleep 1000' sh`, `'sleep 5; true' sh`} {
		rsh := Shell{Command: "sh -c", RemoteCommand: remote, Patience: 50 * time.Millisecond}
		err := dialAndRead(t, rsh)
		wantError(t, err, fault.Unreachable, "no answer after 50ms")
		if hint := fault.HintOf(err); !strings.Contains(hint, "sh -c") {
			t.Errorf("hint %q does not name the command", hint)
		}
	}
}

// Once it has answered it may take its time.
func TestPatienceEndsWithTheFirstWord(t *testing.T) {
	conn, err := Dial(context.Background(), Shell{Command: "cat", Patience: time.Minute}, "srv2", loopback)
	must(t, err)
	defer conn.Close()
	conn.Answered()
	if conn.patience.Stop() {
		t.Error("it is still being waited for after its first word")
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks an error's code and text.
func wantError(t *testing.T, err error, code fault.Code, text string) {
	t.Helper()
	if fault.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		t.Fatalf("code %d, want %d with %q: %v", fault.CodeOf(err), code, text, err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of more than one line: %q", err)
	}
}

// dialAndRead reads what the program prints.
func dialAndRead(t *testing.T, rsh Shell) error {
	conn, err := Dial(context.Background(), rsh, "srv2", loopback, "xdata", "serve")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadAll(conn)
	return err
}
