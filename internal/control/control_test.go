package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// guestEnv turns the test binary into a client of the socket it names.
const guestEnv = "MXCLUSTER_TEST_GUEST_SOCKET"

// crowdEnv turns the test binary into a holder of many connections.
const crowdEnv = "MXCLUSTER_TEST_CROWD_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(guestEnv); path != "" {
		guest(path)
		return
	}
	if path := os.Getenv(crowdEnv); path != "" {
		crowd(path)
		return
	}
	os.Exit(m.Run())
}

// crowd takes every place that a user has and one more, prints what became
// of the last, and keeps them until its standard input ends.
func crowd(path string) {
	var last net.Conn
	for range maxOfUser + 1 {
		c, err := net.Dial("unix", path)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		last = c
	}
	_, err := last.Read(make([]byte, 1))
	fmt.Println(err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// guest reads and then tries every change; it prints one line for each.
func guest(path string) {
	ctx, c := context.Background(), &Client{Path: path}
	say := func(what string, err error) { fmt.Printf("%s %d %s\n", what, fault.CodeOf(err), fault.HintOf(err)) }
	_, err := c.Status(ctx)
	say("status", err)
	_, err = c.Agent(ctx)
	say("agent", err)
	_, err = c.Order(ctx, Order{Kind: OrderFallback, LIM: 1})
	say("order", err)
	_, err = c.Stop(ctx, StopRequest{})
	say("stop", err)
	say("reload", c.Reload(ctx))
	say("data", c.LookAtData(ctx))
	_, err = os.OpenFile(path+".lock", os.O_RDONLY, 0)
	say("lock", err)
}

// fake is a Backend that answers what the test says.
type fake struct {
	order  func(context.Context, Order) (*OrderResult, error)
	stop   func(context.Context, StopRequest) (*StopResult, error)
	status func() (*status.ClusterStatus, error)
	reload func() error
	look   func() error
	rotate func(KeyRequest) (*KeyInfo, error)

	exchange func(ExchangeRequest) error
	edit     func(EditRequest) (*EditResult, error)
}

func (f *fake) Status(context.Context) (*status.ClusterStatus, error) {
	if f.status != nil {
		return f.status()
	}
	return &status.ClusterStatus{Kind: "ClusterStatus", Observer: "srv1", Agent: true, Revision: 7}, nil
}

func (f *fake) Agent(context.Context) (*AgentInfo, error) {
	return &AgentInfo{Server: "srv1", Version: "1.0.0", PID: os.Getpid(), Lease: 3 * time.Second, LIMs: []LIMInfo{{LIM: 1, State: "running"}}}, nil
}

func (f *fake) Order(ctx context.Context, o Order) (*OrderResult, error) { return f.order(ctx, o) }

func (f *fake) Stop(ctx context.Context, r StopRequest) (*StopResult, error) { return f.stop(ctx, r) }

func (f *fake) Exchange(_ context.Context, r ExchangeRequest) error { return f.exchange(r) }

func (f *fake) Edit(_ context.Context, r EditRequest) (*EditResult, error) { return f.edit(r) }

func (f *fake) Events(_ context.Context, q events.Query) (*events.List, error) {
	return &events.List{Kind: "EventList", Events: []events.Event{{Text: fmt.Sprintf("LIM %d after %d", q.LIM, q.After["srv1"])}}}, nil
}

func (f *fake) Simulate(_ context.Context, s whatif.Scenario) (*whatif.Result, error) {
	return &whatif.Result{Kind: fmt.Sprint(s.Down, s.Cut)}, nil
}

func (f *fake) Keys(context.Context) (*KeyInfo, error) {
	return &KeyInfo{Server: "srv1", Stage: KeysSettled}, nil
}

func (f *fake) RotateKey(_ context.Context, r KeyRequest) (*KeyInfo, error) { return f.rotate(r) }

func (f *fake) Alarms(context.Context) (*status.AlarmList, error) {
	return &status.AlarmList{Kind: "AlarmList", Alarms: []status.Alarm{{Handle: 12}}}, nil
}

func (f *fake) Notice(_ context.Context, r NoticeRequest) (*NoticeResult, error) {
	return &NoticeResult{Alarm: status.Alarm{Handle: r.Handle, Text: r.By + " " + r.Comment}, Already: r.Clear}, nil
}

func (f *fake) TestSinks(_ context.Context, r TestRequest) (*TestResult, error) {
	return &TestResult{Sinks: []SinkResult{{Name: "exec", Error: r.Severity + " by " + r.By}}}, nil
}

func (f *fake) Reload(context.Context) error { return f.reload() }

func (f *fake) LookAtData(context.Context) error { return f.look() }

// folder is a folder that other users can enter, unlike t.TempDir.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mxcluster-control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start serves b in a fresh folder until the test ends, and returns a client.
func start(t *testing.T, b Backend) *Client {
	t.Helper()
	return startFor(t, b, "")
}

// startFor is start with a group that may give orders.
func startFor(t *testing.T, b Backend, group string) *Client {
	t.Helper()
	c, stop := startAt(t, SocketPath(filepath.Join(folder(t), "run")), b, group)
	t.Cleanup(stop)
	return c
}

// startAt serves b at path; the function it returns ends that and waits.
func startAt(t *testing.T, path string, b Backend, group string) (*Client, func()) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.AllowGroup(group)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, b, slog.New(slog.DiscardHandler)) }()
	return &Client{Path: path}, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// wantFault checks an error's code, and words of its message and hint.
func wantFault(t *testing.T, err error, code fault.Code, message, hint string) {
	t.Helper()
	if fault.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("got error %v (code %d, hint %q), want code %d, message with %q, hint with %q",
			err, fault.CodeOf(err), fault.HintOf(err), code, message, hint)
	}
}

// requireRoot fails the test in CI, and skips it elsewhere, when it cannot
// become another user.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const reason = "needs root, to call the agent as another user"
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func TestAnotherUserMayReadOnly(t *testing.T) {
	requireRoot(t)
	refuse := &fake{
		order:  func(context.Context, Order) (*OrderResult, error) { t.Error("order came through"); return nil, nil },
		stop:   func(context.Context, StopRequest) (*StopResult, error) { t.Error("stop came through"); return nil, nil },
		reload: func() error { t.Error("reload came through"); return nil },
		look:   func() error { t.Error("a look at the data came through"); return nil },
	}
	c := start(t, refuse)
	out, err := asNobody(guestEnv, c.Path).Output()
	if err != nil {
		t.Fatalf("guest: %v\n%s", err, out)
	}
	const hint = "run the command as root, for example with sudo"
	want := strings.Join([]string{
		"status 0 ", "agent 0 ", "order 77 " + hint, "stop 77 " + hint, "reload 77 " + hint, "data 77 " + hint, "lock 77 ", "",
	}, "\n")
	if string(out) != want {
		t.Errorf("guest printed\n%s\nwant\n%s", out, want)
	}
}

// A member of the group gives orders; what would make it root's equal stays root's.
func TestMembersOfTheGroupMayGiveOrders(t *testing.T) {
	requireRoot(t)
	nobody, err := user.LookupId("65534")
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	ordered := 0
	c := startFor(t, &fake{
		order:  func(context.Context, Order) (*OrderResult, error) { ordered++; return &OrderResult{}, nil },
		stop:   func(context.Context, StopRequest) (*StopResult, error) { t.Error("stop came through"); return nil, nil },
		reload: func() error { t.Error("reload came through"); return nil },
		look:   func() error { t.Error("a look at the data came through"); return nil },
	}, group.Name)
	out, err := asNobody(guestEnv, c.Path).Output()
	if err != nil {
		t.Fatalf("guest: %v\n%s", err, out)
	}
	const hint = "run the command as root, for example with sudo"
	want := strings.Join([]string{"status 0 ", "agent 0 ", "order 0 ", "stop 77 " + hint, "reload 77 " + hint, "data 77 " + hint, "lock 77 ", ""}, "\n")
	if string(out) != want || ordered != 1 {
		t.Errorf("guest printed\n%s\nwant\n%s, and %d orders", out, want, ordered)
	}
	if out, err := asUser(65533, guestEnv, c.Path).Output(); err != nil || !strings.Contains(string(out), "order 77 run the command as root, or as a member of group "+group.Name) {
		t.Errorf("somebody who is no member: %s, %v", out, err)
	}
}

func TestGuestsCannotKeepRootOut(t *testing.T) {
	requireRoot(t)
	c := start(t, &fake{})
	cmd := asNobody(crowdEnv, c.Path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(stdout).ReadString('\n')
	if said != "EOF\n" || err != nil {
		t.Errorf("one guest too many: %q, %v, want its connection closed", said, err)
	}
	if _, err := c.Agent(t.Context()); err != nil {
		t.Errorf("root beside a crowd of guests: %v", err)
	}
	if out, err := asUser(65533, guestEnv, c.Path).Output(); err != nil || !strings.HasPrefix(string(out), "status 0") {
		t.Errorf("another guest beside the crowd: %s, %v", out, err)
	}
	if out, err := asNobody(guestEnv, c.Path).Output(); err != nil || !strings.HasPrefix(string(out), "status 5 try again") {
		t.Errorf("one more of the crowd: %s, %v", out, err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if out, err := asNobody(guestEnv, c.Path).Output(); err != nil || !strings.HasPrefix(string(out), "status 0") {
		t.Errorf("a guest after the crowd has gone: %s, %v", out, err)
	}
}

// asNobody prepares the test binary in another role as another user. By /proc
// it runs though its folder is closed to that user.
func asNobody(role, path string) *exec.Cmd { return asUser(65534, role, path) }

func asUser(id uint32, role, path string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{role + "=" + path, "GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	return cmd
}

func TestListenReplacesTheDeadNotTheLiving(t *testing.T) {
	path := SocketPath(filepath.Join(t.TempDir(), "deep", "run"))
	c, stop := startAt(t, path, &fake{}, "")
	if !c.Running(t.Context()) {
		t.Error("Running is false beside a live agent")
	}
	_, err := Listen(path)
	wantFault(t, err, fault.Busy, "agent runs already", "mxcluster agent status")
	if _, err := c.Agent(t.Context()); err != nil {
		t.Errorf("the refused agent disturbed the live one: %v", err)
	}
	stop()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("socket after the end: %v, want it gone", err)
	}
	if c.Running(t.Context()) {
		t.Error("Running is true after the end")
	}

	leaveStale(t, path)
	_, err = c.Agent(t.Context())
	wantFault(t, err, fault.Unreachable, "no agent answers at "+path, "mxcluster agent run")
	c, stop = startAt(t, path, &fake{}, "")
	defer stop()
	if _, err := c.Agent(t.Context()); err != nil {
		t.Errorf("after a stale socket: %v", err)
	}
}

// leaveStale leaves a socket nobody listens at, as a killed agent does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestLockOutlivesServe(t *testing.T) {
	path := SocketPath(t.TempDir())
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, l, &fake{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	_, err = Listen(path)
	wantFault(t, err, fault.Busy, "agent runs already", "")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, stop := startAt(t, path, &fake{}, "")
	stop()
}

func TestListenModes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := SocketPath(filepath.Join(t.TempDir(), "run"))
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, want := range map[string]os.FileMode{
		filepath.Dir(path): 0o755, path: 0o666, path + ".lock": 0o600,
	} {
		fi, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, fi.Mode().Perm(), want)
		}
	}
}

func TestListenRefusals(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "agent.sock")
	if err := os.WriteFile(precious, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Listen(precious)
	wantFault(t, err, fault.Failed, "is not a socket", "")
	if b, err := os.ReadFile(precious); err != nil || string(b) != "data" {
		t.Errorf("the file in the way: %q, %v", b, err)
	}
	long := "/" + strings.Repeat("x", maxPath)
	_, err = Listen(long)
	wantFault(t, err, fault.Usage, "108 bytes", "--run-dir")
	_, err = (&Client{Path: long}).Agent(t.Context())
	wantFault(t, err, fault.Usage, "108 bytes", "--run-dir")
	_, err = Listen(filepath.Join(precious, "agent.sock"))
	wantFault(t, err, fault.Failed, "listening at", "")
}
