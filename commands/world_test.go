package commands

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
	"mxcluster/internal/manager"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// world is what a command under test meets: folders of its own, and a kernel,
// a wire and an agent that are made up.
type world struct {
	dir     string
	kernel  *netopstest.Kernel
	segment *netopstest.Segment
	agent   *fakeAgent
	stdin   io.Reader
	term    bool              // the streams are a terminal
	environ map[string]string // beside the folders

	fetch func(from netip.AddrPort, keys [][]byte) (*clusterconf.Document, error)
	setup *AgentSetup // what the agent was run with

	files fstest.MapFS // of this server, from its root

	node *manager.Node   // PostgreSQL of this server
	half ManagementPlace // its half of the management system
	// packages have versions, and install installs some.
	packages map[string]string
	install  func(names []string) error
	// accounts have passwords.
	accounts map[string]string

	tell func(words []string) ([]byte, error) // what other programs say

	onEdit func() // happens while a person edits
}

var ownMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func newWorld(dir string) *world {
	w := &world{
		dir:     dir,
		kernel:  netopstest.NewKernel("here", netops.Link{Name: "eth0", Index: 2, MAC: ownMAC, Up: true}),
		segment: &netopstest.Segment{},
		agent:   &fakeAgent{},
		stdin:   strings.NewReader(""),
		environ: map[string]string{"MXCLUSTER_SERVER": "srv1"},
	}
	w.segment.Connect(w.kernel, "eth0")
	w.agent.carryOn = w.letLeave
	return w
}

// letLeave does what the agents do when LIMs are leaving their clusters.
func (w *world) letLeave() error {
	s := &clusterconf.Store{Path: w.path("etc/cluster.yaml"), HistoryDir: w.path("var/history"), Now: testNow}
	d, err := s.Read()
	if err != nil {
		return nil // there is none
	}
	for _, c := range d.Clusters {
		for _, lim := range c.Leaves() {
			if _, err := s.Edit(context.Background(), clusterconf.Change{By: "the agent"}, func(d *clusterconf.Document) error { d.CompleteLeave(lim); return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

// station plugs another station in.
func (w *world) station(mac net.HardwareAddr, addresses ...string) error {
	k := netopstest.NewKernel(mac.String(), netops.Link{Name: "eth0", Index: 2, MAC: mac, Up: true})
	w.segment.Connect(k, "eth0")
	return addAddresses(k, "eth0", addresses...)
}

func addAddresses(k *netopstest.Kernel, ifname string, addresses ...string) error {
	for _, text := range addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		if err := k.Hold(ifname, p, 0); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// now is the time of every test: outputs with times can be compared.
func testNow() time.Time { return time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC) }

func (w *world) env(out, errs io.Writer) Env {
	_ = os.Mkdir(w.path("tmp"), 0o755) // it may be there, or not be permitted
	environ := []string{
		"TMPDIR=" + w.path("tmp"),
		"MXCLUSTER_CONFIG_DIR=" + w.path("etc"), "MXCLUSTER_STATE_DIR=" + w.path("var"), "MXCLUSTER_RUN_DIR=" + w.path("run"),
	}
	for k, v := range w.environ {
		environ = append(environ, k+"="+v)
	}
	return Env{
		Stdin: w.stdin, Stdout: out, Stderr: errs,
		Environ:  environ,
		Terminal: func(any) bool { return w.term },
		User:     func() string { return "tester" },
		Now:      testNow,
		Kernel:   func() (Kernel, error) { return w.kernel, nil },
		Wire:     func(ifname string) (Wire, error) { return w.segment.OpenWire(w.kernel, ifname) },
		Agent:    func(string, string, string) Agent { return w.agent },
		Edit: func(ctx context.Context, words []string, file string) error {
			if w.onEdit != nil {
				w.onEdit()
			}
			return fakeEditor(ctx, words, file)
		},
		Watch: w.agent.watch,
		Tell: func(_ context.Context, words []string) ([]byte, error) {
			if w.tell == nil {
				return nil, nil
			}
			return w.tell(words)
		},
		Machine: Machine{
			Files: w.files,
			Port:  func(context.Context, netip.Addr, netip.AddrPort) error { return nil },
			Segment: func(context.Context, netip.Addr, netip.Addr, int) (full, small bool, err error) {
				return true, true, nil
			},
			Blocking:  func() error { return nil },
			ClockKept: func() (kept *bool, why string) { kept = new(bool); *kept = true; return kept, "" },
		},
		Postgres: func(_ context.Context, server string) (*manager.Node, error) {
			n := manager.Node{Server: server, Instances: []manager.Instance{}}
			if w.node != nil {
				n.Instances = w.node.Instances
			}
			return &n, nil
		},
		Management:     func(string) ManagementPlace { return w.half },
		PackageVersion: func(_ context.Context, name string) (string, error) { return w.packages[name], nil },
		Install:        func(_ context.Context, names []string) error { return w.install(names) },
		HasAccount:     func(name string) bool { _, ok := w.accounts[name]; return ok },
		SetPassword: func(_ context.Context, name, password string) error {
			w.accounts[name] = password
			return nil
		},
		RunAgent: func(_ context.Context, s AgentSetup) error { w.setup = &s; return nil },
		Fetch: func(_ context.Context, from netip.AddrPort, keys [][]byte, _ *slog.Logger) (*clusterconf.Document, error) {
			return w.fetch(from, keys)
		},
		Version: Version{Version: "1.2.3", Commit: "abcdef", Go: "go1.26", Arch: "linux/amd64"}, ExportWork: 2,
	}
}

// fakeEditor is an editor that follows its words: "sub OLD NEW" replaces a text once,
// "write TEXT" all of it, "look" does nothing, and any other ends with an error.
func fakeEditor(_ context.Context, words []string, file string) error {
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		return fmt.Errorf("the copy to edit is not private: %v (%w)", info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	switch {
	case words[0] == "sub" && len(words) == 3:
		text = []byte(strings.Replace(string(text), words[1], words[2], 1))
	case words[0] == "write" && len(words) == 2:
		text = []byte(words[1])
	case words[0] != "look":
		return errors.New("exit status 1")
	}
	return os.WriteFile(file, text, 0o600)
}

// answer is what a command came to.
type answer struct {
	code     fault.Code
	out, err string
}

func (w *world) run(ctx context.Context, args ...string) answer {
	var out, errs bytes.Buffer
	code := Run(ctx, w.env(&out, &errs), args)
	return answer{code, out.String(), errs.String()}
}

// must runs a command that is expected to succeed.
func (w *world) must(t *testing.T, args ...string) answer {
	t.Helper()
	a := w.run(t.Context(), args...)
	if a.code != fault.OK {
		t.Fatalf("mxcluster %s: code %d\n%s%s", strings.Join(args, " "), a.code, a.out, a.err)
	}
	w.checkSchema(t, args, a.out)
	return a
}

// document stores a document as if it had been made here.
func (w *world) document(t *testing.T, text string) {
	t.Helper()
	if err := os.MkdirAll(w.path("etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("etc/cluster.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fingerprint covers every file of the world but temporary ones: name, mode and
// content.
func (w *world) fingerprint() (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if path == w.path("tmp") {
			return fs.SkipDir
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, info.Mode())
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%d %s", len(data), data)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

// addresses are those of the kernel here, in its order.
func (w *world) addresses(t *testing.T) string {
	t.Helper()
	list, err := w.kernel.Addresses("eth0")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, a := range list {
		text := a.Prefix.String()
		if !a.Permanent {
			text += " for " + a.Remaining.String()
		}
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}

// fakeAgent answers as an agent does; without running it is not there.
type fakeAgent struct {
	running        bool
	statuses       []*status.ClusterStatus // one for each question; the last one stays
	infos          []*control.AgentInfo    // likewise
	orders         []control.Order
	exchanges      []control.ExchangeRequest
	edits          []control.EditRequest
	onEdit         func(control.EditRequest) (*control.EditResult, error) // answers them
	cannotExchange error
	onExchange     func() // happens meanwhile
	reloads        int
	looks          int                // at the data
	carryOn        func() error       // what agents do with a document, told of it
	keys           []*control.KeyInfo // one for each question; the last one stays
	rotations      []control.KeyRequest
	queries        []events.Query
	lists          []events.List // one for each query, then empty ones
	stops          []control.StopRequest
	err            error                     // of every call
	present        func(*whatif.Present)     // changes what simulations start from; nil: all is well
	onOrder        func(control.Order) error // refuses orders; nil: none
	answer         control.OrderResult
	left           control.StopResult
	gone           bool // the process has ended
	hangs          bool // it says its status to nobody
	alarms         *status.AlarmList
	notices        []control.NoticeRequest
	tests          []control.TestRequest
	sinks          []control.SinkResult
}

func (f *fakeAgent) fail() error {
	if !f.running {
		return fault.New(fault.Unreachable, "start it: mxcluster agent run", "no agent answers")
	}
	return f.err
}

func (f *fakeAgent) Status(ctx context.Context) (*status.ClusterStatus, error) {
	if f.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := f.fail(); err != nil || len(f.statuses) == 0 {
		return &status.ClusterStatus{Clusters: []status.StatusCluster{}}, err
	}
	st := f.statuses[0]
	if len(f.statuses) > 1 {
		f.statuses = f.statuses[1:]
	}
	return st, nil
}

func (f *fakeAgent) Keys(context.Context) (*control.KeyInfo, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	k := f.keys[0]
	if len(f.keys) > 1 {
		f.keys = f.keys[1:]
	}
	return k, nil
}

func (f *fakeAgent) RotateKey(ctx context.Context, r control.KeyRequest) (*control.KeyInfo, error) {
	f.rotations = append(f.rotations, r)
	return f.Keys(ctx)
}

func (f *fakeAgent) Agent(context.Context) (*control.AgentInfo, error) {
	if err := f.fail(); err != nil || len(f.infos) == 0 {
		return agentInfo(7, 7), err
	}
	info := f.infos[0]
	if len(f.infos) > 1 {
		f.infos = f.infos[1:]
	}
	return info, nil
}

// agentInfo is that of srv1, which sees sb1 alive and srv2 gone, with the revisions
// that srv1 and sb1 have.
func agentInfo(here, sb1 uint64) *control.AgentInfo {
	return &control.AgentInfo{
		Server: "srv1", PID: 42, Version: "1.2.3", StartedAt: testNow(), Revision: here, Ready: true, Lease: 3 * time.Second, Levels: levels.Known(),
		Members: []control.MemberInfo{{Server: "sb1", Liveness: "alive", Revision: sb1}, {Server: "srv2", Liveness: "gone", SilentMs: 5000, Revision: 5}},
		LIMs:    []control.LIMInfo{{LIM: 1, State: "running", Term: 3}},
	}
}

func (f *fakeAgent) Order(_ context.Context, o control.Order) (*control.OrderResult, error) {
	f.orders = append(f.orders, o)
	err := f.fail()
	if err == nil && f.onOrder != nil {
		err = f.onOrder(o)
	}
	return &f.answer, err
}

func (f *fakeAgent) Edit(_ context.Context, r control.EditRequest) (*control.EditResult, error) {
	f.edits = append(f.edits, r)
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.onEdit(r)
}

func (f *fakeAgent) Exchange(_ context.Context, r control.ExchangeRequest) error {
	f.exchanges = append(f.exchanges, r)
	if err := f.fail(); err != nil || r.Undo {
		return err
	}
	if f.onExchange != nil {
		f.onExchange()
	}
	return f.cannotExchange
}

func (f *fakeAgent) Stop(_ context.Context, r control.StopRequest) (*control.StopResult, error) {
	f.stops = append(f.stops, r)
	return &f.left, f.fail()
}

func (f *fakeAgent) Reload(context.Context) error {
	f.reloads++
	if err := f.fail(); err != nil || f.carryOn == nil {
		return err
	}
	return f.carryOn()
}

func (f *fakeAgent) LookAtData(context.Context) error {
	f.looks++
	return f.fail()
}

func (f *fakeAgent) Events(_ context.Context, q events.Query) (*events.List, error) {
	f.queries = append(f.queries, q)
	if err := f.fail(); err != nil {
		return nil, err
	}
	list := events.List{APIVersion: "mxcluster/v1", Kind: "EventList", Events: []events.Event{}, Missing: []string{}}
	if len(f.lists) > 0 {
		list, f.lists = f.lists[0], f.lists[1:]
	}
	return &list, nil
}

// Simulate takes all to be well in clusterconftest.OneCluster.
func (f *fakeAgent) Simulate(_ context.Context, s whatif.Scenario) (*whatif.Result, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	d, err := clusterconf.Parse("test", []byte(clusterconftest.OneCluster))
	if err != nil {
		return nil, err
	}
	if err := s.Check(d); err != nil {
		return nil, err
	}
	p := whatif.AllWell(d, testNow())
	p.Assumed = false
	if f.present != nil {
		f.present(&p)
	}
	return whatif.Simulate(p, s), nil
}

func (f *fakeAgent) Running(context.Context) bool { return f.running }

// watch waits for a process that has ended when the agent was told to stop.
func (f *fakeAgent) watch(int) (func(context.Context) error, error) {
	return func(context.Context) error {
		if len(f.stops) == 0 {
			return errors.New("waited before the agent was told to stop")
		}
		f.gone = true
		return nil
	}, nil
}

func (f *fakeAgent) Alarms(context.Context) (*status.AlarmList, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.alarms, nil
}

// Notice finds the alarm that is meant, as an agent does, and keeps what it was asked.
func (f *fakeAgent) Notice(_ context.Context, r control.NoticeRequest) (*control.NoticeResult, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	f.notices = append(f.notices, r)
	for _, x := range f.alarms.Alarms {
		if x.Handle == r.Handle {
			return &control.NoticeResult{Alarm: x, Already: x.Noticed}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "mxcluster alarms list", "there is no alarm %d", r.Handle)
}

// TestSinks answers with the sinks that the test has set.
func (f *fakeAgent) TestSinks(_ context.Context, r control.TestRequest) (*control.TestResult, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	f.tests = append(f.tests, r)
	return &control.TestResult{Sinks: f.sinks}, nil
}
