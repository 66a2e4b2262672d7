package xdata

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/remoteshell"
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

// dialProcess serves a store in a real process.
func dialProcess(ctx context.Context, t testing.TB, s *Store) *remoteshell.Conn {
	t.Helper()
	conn, err := remoteshell.Dial(ctx, remoteshell.Shell{
		Command:       fmt.Sprintf("env '%s=%s'", serveEnv, s.Dir),
		RemoteCommand: os.Args[0],
	}, "srv2", loopback, "xdata", "serve")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
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
	big := fileTree{"a/b": "small"}
	for i := range 40 {
		big[fmt.Sprintf("a/f%02d", i)] = noise(byte(i), 150_000)
	}
	bothSides(t, func(t *testing.T, asks clusterconf.Side) {
		for _, after := range []int{2000, 300_000, 1_000_000, 5_000_000} {
			p := newPair(t)
			foreign(t, p[clusterconf.SideRegular], "xdata_1_20260301000000", big, baseTime)
			ctx, kill := context.WithCancel(context.Background())
			killed := dialProcess(ctx, t, p[asks.Other()])
			conn := &tap{Conn: killed, after: after, do: func() {
				kill()
				killed.Close() // a process that is killed goes on for a moment: all may have come by then
			}}
			res, err := Sync(context.Background(), p[asks], conn, Request{LIM: 1, Side: asks})
			if conn.do != nil {
				t.Fatalf("only %d bytes passed", conn.passed)
			}
			if err == nil || res.Result != Failed {
				t.Fatalf("killed after %d bytes: %+v, %v", after, res, err)
			}
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

func BenchmarkSync(b *testing.B) {
	files := fileTree{}
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

var loopback = netip.MustParseAddr("127.0.0.1")

func dialAndSync(t *testing.T, rsh remoteshell.Shell) error {
	conn, err := remoteshell.Dial(context.Background(), rsh, "srv2", loopback, "xdata", "serve")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = Sync(context.Background(), newStore(t), conn, Request{LIM: 1, Side: clusterconf.SideRegular})
	return err
}

// Whatever the other side says first that is not the greeting, or nothing, is named.
func TestAnotherProgramAnswers(t *testing.T) {
	for command, want := range map[string]struct {
		code fault.Code
		text string
	}{
		"true":       {fault.Unreachable, "went away"},
		"echo hello": {fault.Failed, "not that of 'mxcluster xdata serve'"},
	} {
		wantCode(t, dialAndSync(t, remoteshell.Shell{Command: command}), want.code, want.text)
	}
}

// answering is a connection that a login made.
type answering struct {
	Conn
	answered bool
}

func (a *answering) Answered()    { a.answered = true }
func (*answering) Server() string { return "srv2" }

// The greeting is the first word that a login is waited for.
func TestPatienceEndsWithTheGreeting(t *testing.T) {
	c := &answering{Conn: peer(t, newStore(t), ServeOptions{})}
	_, err := Meet(c)
	must(t, err)
	if !c.answered {
		t.Error("it is still being waited for after its greeting")
	}
}
