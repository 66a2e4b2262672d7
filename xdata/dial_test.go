package xdata

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// serveEnv makes this test binary a server of the store that it names.
const serveEnv = "MXCLUSTER_TEST_SERVE"

func TestMain(m *testing.M) {
	dir := os.Getenv(serveEnv)
	if here := os.Getenv(syncEnv); here != "" {
		if err := runSync(here, dir, clusterconf.Side(os.Getenv(syncSideEnv))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir == "" {
		os.Exit(m.Run())
	}
	s := &Store{Dir: dir, Still: AtOnce, Space: ample}
	if err := Serve(context.Background(), s, os.Stdin, os.Stdout, ServeOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var loopback = netip.MustParseAddr("127.0.0.1")

// dialProcess serves a store in a real process.
func dialProcess(ctx context.Context, t testing.TB, s *Store) *child {
	t.Helper()
	conn, err := Dial(ctx, Rsh{
		Command:       fmt.Sprintf("env '%s=%s'", serveEnv, s.Dir),
		RemoteCommand: os.Args[0],
	}, "srv2", loopback, "xdata", "serve")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn.(*child)
}

func TestThroughAProcess(t *testing.T) {
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		p := newPair(t)
		states["older"](t, p[clusterconf.SideStandby])
		states["newer"](t, p[clusterconf.SideRegular])
		for _, want := range []Outcome{Copied, InSync} {
			conn := dialProcess(context.Background(), t, p[asks.Other()])
			res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
			must(t, err)
			if res.Result != want {
				t.Errorf("%+v, want %s", res, want)
			}
			if err := conn.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		r, _, _ := p[clusterconf.SideRegular].Newest(1)
		s, _, _ := p[clusterconf.SideStandby].Newest(1)
		if got, want := describe(t, s.Path), describe(t, r.Path); got != want {
			t.Errorf("standby\n%s\nregular\n%s", got, want)
		}
	})
}

// A server killed at any point of the transfer leaves nothing visible, and the
// next sync succeeds.
func TestKilledInMidTransfer(t *testing.T) {
	big := tree{"a/b": "small"}
	for i := range 40 {
		big[fmt.Sprintf("a/f%02d", i)] = noise(byte(i), 150_000)
	}
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		for _, after := range []int{2000, 300_000, 1_000_000, 5_000_000} {
			p := newPair(t)
			foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", big, baseTime)
			killed := dialProcess(context.Background(), t, p[asks.Other()])
			conn := &tap{Conn: killed, after: after, do: func() { must(t, killed.cmd.Process.Kill()) }}
			res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
			if conn.do != nil {
				t.Fatalf("only %d bytes passed", conn.passed)
			}
			if err == nil || res.Result != Failed {
				t.Fatalf("killed after %d bytes: %+v, %v", after, res, err)
			}
			killed.Close()
			if versions, _ := visible(t, p[clusterconf.SideStandby]); versions != nil {
				t.Errorf("killed after %d bytes: visible %q", after, versions)
			}
			if asks == clusterconf.SideStandby {
				wantUntouched(t, p[clusterconf.SideStandby])
			}
			again := dialProcess(context.Background(), t, p[asks.Other()])
			res, err = Sync(context.Background(), p[asks], again, Request{LIM: 1, Side: asks})
			must(t, err)
			p.checkAfter(t, res, "")
		}
	})
}

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
		{name: "ends at once", command: "true", code: fault.Unreachable, text: "went away"},
		{name: "says something else", command: "echo hello", code: fault.Failed, text: "not that of 'mxcluster xdata serve'"},
		{name: "bad quoting", command: `ssh "`, code: fault.Invalid, text: "sync.rsh", hint: "command line"},
		{name: "empty", command: "  ", code: fault.Invalid, text: "empty", hint: "remove sync.rsh"},
		{name: "endless complaints", command: script("noisy", "yes complaint | head -c 1000000 >&2; exit 1"),
			code: fault.Unreachable, text: "complaint | complaint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := dialAndSync(t, Rsh{Command: tt.command, RemoteCommand: tt.remote})
			wantCode(t, err, tt.code, tt.text)
			if !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("hint %q does not say %q", fault.HintOf(err), tt.hint)
			}
			if len(err.Error()) > 2*maxStderr {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func dialAndSync(t *testing.T, rsh Rsh) error {
	conn, err := Dial(context.Background(), rsh, "srv2", loopback, "xdata", "serve")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = Sync(context.Background(), newStore(t), conn, Request{LIM: 1, Side: clusterconf.SideRegular})
	return err
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		rsh  Rsh
		want []string
	}{
		{Rsh{Command: "ssh -o BatchMode=yes {address}", RemoteCommand: "mxcluster"}, []string{"ssh", "-o", "BatchMode=yes", "10.0.0.2", "mxcluster"}},
		{Rsh{Command: `ssh -i '/my keys/id' -l "{server}" {address}`, RemoteCommand: "sudo mxcluster"},
			[]string{"ssh", "-i", "/my keys/id", "-l", "srv two;", "10.0.0.2", "sudo", "mxcluster"}},
		{Rsh{Command: "ip netns exec {server}"}, []string{"ip", "netns", "exec", "srv two;"}},
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
	conn, err := Dial(ctx, Rsh{Command: "sh -c", RemoteCommand: `'trap "" TERM; exec sleep 1000' sh`}, "srv2", loopback)
	must(t, err)
	pid := conn.(*child).cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := Sync(ctx, newStore(t), conn, Request{LIM: 1, Side: clusterconf.SideRegular})
		if fault.CodeOf(err) != fault.Interrupted {
			t.Errorf("error %v", err)
		}
	}()
	cancel()
	wait(t, ended, "sync to end")
	conn.Close()
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("the program still exists: %v", err)
	}
}

// What the program leaves behind, as ssh does with ControlPersist, is not
// waited for though it holds standard error open.
func TestLeftBehind(t *testing.T) {
	conn, err := Dial(context.Background(), Rsh{Command: "sh -c", RemoteCommand: `'sleep 60 <&- >&- & echo $! >&2' sh`}, "srv2", loopback)
	must(t, err)
	c := conn.(*child)
	began := time.Now()
	if err := c.wait(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > closeGrace {
		t.Errorf("waited %v", took)
	}
	var pid int
	if _, err := fmt.Sscan(strings.Join(c.stderr.lines(), " "), &pid); err != nil {
		t.Fatal(err)
	}
	must(t, unix.Kill(pid, unix.SIGKILL))
}

func BenchmarkSync(b *testing.B) {
	files := tree{}
	for i := range 500 {
		files[fmt.Sprintf("d%02d/f%03d", i%20, i)] = noise(byte(i), 48_000) // 48 kB, 24 MB in all
	}
	regular := newStore(b)
	foreign(b, regular, "xdata_1_20260301000000", files, baseTime)
	run := func(b *testing.B, standby *Store, want Outcome) {
		conn := dialProcess(context.Background(), b, standby)
		res, err := Sync(context.Background(), regular, conn, Request{LIM: 1, Side: clusterconf.SideRegular})
		must(b, err)
		if res.Result != want {
			b.Fatalf("%+v", res)
		}
		must(b, conn.Close())
	}
	b.Run("new", func(b *testing.B) {
		b.SetBytes(24_000_000)
		for b.Loop() {
			b.StopTimer()
			standby := newStore(b)
			b.StartTimer()
			run(b, standby, Copied)
		}
	})
	b.Run("nothing to do", func(b *testing.B) {
		standby := newStore(b)
		run(b, standby, Copied)
		for b.Loop() {
			run(b, standby, InSync)
		}
	})
}

// A server that is down says nothing: its caller is not held up, whatever the
// program started meanwhile.
func TestPatience(t *testing.T) {
	for _, remote := range []string{`'exec sleep 1000' sh`, `'sleep 5; true' sh`} {
		rsh := Rsh{Command: "sh -c", RemoteCommand: remote, Patience: 50 * time.Millisecond}
		err := dialAndSync(t, rsh)
		wantCode(t, err, fault.Unreachable, "no answer after 50ms")
		if hint := fault.HintOf(err); !strings.Contains(hint, "sh -c") {
			t.Errorf("hint %q does not name the command", hint)
		}
	}
}

// Once it has greeted it may take its time.
func TestPatienceEndsWithTheGreeting(t *testing.T) {
	rsh := Rsh{Command: fmt.Sprintf("env '%s=%s'", serveEnv, t.TempDir()), RemoteCommand: os.Args[0], Patience: time.Minute}
	conn, err := Dial(context.Background(), rsh, "srv2", loopback)
	must(t, err)
	defer conn.Close()
	_, err = Meet(conn)
	must(t, err)
	if conn.(*child).patience.Stop() {
		t.Error("it is still being waited for after its greeting")
	}
}
