package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/commands"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/web"
	"mxcluster/netops/netopstest"
	"mxcluster/xdata"
)

// situation is one in which somebody looks at `status`, and does what it says.
type situation struct {
	name    string
	doc     func() *clusterconf.Document // nil: two LIMs, fallback by order
	arrange func(w *world)               // brings it about
	on      string                       // the server where they look
	says    []string                     // within the first five lines: what is wrong, and why
	first   func(w *world)               // what they do by hand before they type what is shown; nil: nothing
	better  func(w *world) string        // what is not better then; "": it is
	typed   string                       // what is to be shown to type; "": nothing, for nothing is wrong
	code    fault.Code                   // with which that ends

	alone bool // no host but the servers is on the network
}

// screen is what a command shows, with its exit code.
type screen struct {
	code fault.Code
	text string
	errs string
}

// seat is a terminal on a server.
type seat struct {
	w *world
	m *machine
}

// running is an agent as commands reach it.
type running struct{ control.Backend }

func (running) Running(context.Context) bool { return true }

// openKernel stays open when a command is done with it.
type openKernel struct{ *netopstest.Kernel }

func (openKernel) Close() error { return nil }

// types runs a command line on the server.
func (s seat) types(line string) screen {
	s.w.t.Helper()
	if line == "systemctl start mxcluster-agent" {
		s.w.start(s.m.name)
		pass(3 * time.Second)
		return screen{}
	}
	dir := filepath.Dir(s.m.store.Path)
	var out, errs bytes.Buffer
	env := commands.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Environ: []string{"MXCLUSTER_SERVER=" + s.m.name, "MXCLUSTER_CONFIG_DIR=" + dir, "MXCLUSTER_STATE_DIR=" + dir, "MXCLUSTER_RUN_DIR=" + dir + "/run",
			"MXCLUSTER_SYNC_RSH=" + fmt.Sprintf("env %s=%d %s=%s MXCLUSTER_SERVER={server}", asCommand, time.Now().UnixNano(), asFolders, s.w.folders()), "MXCLUSTER_SYNC_REMOTE_COMMAND=" + os.Args[0]},
		Terminal: func(any) bool { return false },
		User:     func() string { return "root" },
		Now:      time.Now,
		Kernel:   func() (commands.Kernel, error) { return openKernel{s.m.kernel}, nil },
		Wire:     func(ifname string) (commands.Wire, error) { return s.w.segment.OpenWire(s.m.kernel, ifname) },
		Agent: func(socket, spare, _ string) commands.Agent {
			if s.m.agent == nil || s.m.agent.hasEnded() {
				return &control.Client{Path: socket, Spare: spare}
			}
			return running{s.m.agent}
		},
		Watch: func(int) (func(context.Context) error, error) {
			return func(context.Context) error { <-s.m.agent.done; return nil }, nil
		},
		Version: commands.Version{Version: "1.2.3"},
	}
	code := commands.Run(s.w.t.Context(), env, append(strings.Fields(line)[1:], "--yes"))
	return screen{code, out.String(), errs.String()}
}

// at is a terminal on a server.
func (w *world) terminal(server string) seat { return seat{w, w.servers[server]} }

// folders names the folders of all servers, as "sb1=/a,srv1=/b".
func (w *world) folders() string {
	var words []string
	for name, m := range w.servers {
		words = append(words, name+"="+filepath.Dir(m.store.Path))
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

const (
	asCommand = "MXCLUSTER_TEST_AS_COMMAND" // the time of the world, in nanoseconds
	asFolders = "MXCLUSTER_TEST_FOLDERS"    // as in world.folders
)

// TestMain is also the other end of a sync: a process of its own, on another server of the
// same world.
func TestMain(m *testing.M) {
	now := os.Getenv(asCommand)
	if now == "" {
		runtime.GOMAXPROCS(threads)
		m.Run()
		return
	}
	var at int64
	fmt.Sscan(now, &at)
	dir := ""
	for _, f := range strings.Split(os.Getenv(asFolders), ",") {
		if name, folder, _ := strings.Cut(f, "="); name == os.Getenv("MXCLUSTER_SERVER") {
			dir = folder
		}
	}
	env := commands.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ:  append(os.Environ(), "MXCLUSTER_CONFIG_DIR="+dir, "MXCLUSTER_STATE_DIR="+dir, "MXCLUSTER_RUN_DIR="+dir+"/run"),
		Terminal: func(any) bool { return false },
		User:     func() string { return "root" },
		Now:      func() time.Time { return time.Unix(0, at) },
		Agent:    func(socket, spare, _ string) commands.Agent { return &control.Client{Path: socket, Spare: spare} },
	}
	os.Exit(int(commands.Run(context.Background(), env, os.Args[1:])))
}

// shown finds what a page says to type: the command, and the server where; "": on any.
func shown(page string) (command, on string) {
	lines := strings.Split(page, "\n")
	for i, l := range lines[:min(len(lines), 5)] {
		m := regexp.MustCompile(`^  .*?((?:mxcluster|systemctl) [a-z][^']*)$`).FindStringSubmatch(l)
		if m == nil {
			continue
		}
		where := l
		if strings.HasPrefix(l, "    ") {
			where = lines[i-1]
		}
		if s := regexp.MustCompile(`^ +on ([a-z0-9]+)[,:]`).FindStringSubmatch(where); s != nil {
			on = s[1]
		}
		return m[1], on
	}
	return "", ""
}

// TestSituations has real agents get into situations, and looks at what `status` and
// `explain` show of each. It types what is shown, where that says, and finds the situation
// better. MXCLUSTER_TEST_UPDATE=1 writes the pages anew.
func TestSituations(t *testing.T) {
	for _, s := range situations() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { s.play(t) })
		})
	}
}

func (s *situation) play(t *testing.T) {
	doc := worldDocument(manual)
	if s.doc != nil {
		doc = s.doc()
	}
	doc.Clusters[0].FailoverAfter = clusterconf.Duration(10 * time.Second) // the default, with which hours pass quickly
	w := newWorldOf(t, doc)
	defer w.close()
	w.adjust = func(c *Config) { c.Version = "1.2.3" }
	w.wrap = func(m *machine, d Deps) Deps {
		find := &dataFinder{versions: &xdata.Store{Dir: filepath.Join(filepath.Dir(m.store.Path), "xdata"), Now: time.Now}}
		d.Data = find.newest
		return d
	}
	if !s.alone {
		w.chatter("192.0.2.200")
	}
	short := w.moveFolders()
	s.arrange(w)
	page := w.terminal(s.on).types("mxcluster status")
	explained := w.terminal(s.on).types("mxcluster explain 1")
	check := w.terminal(s.on).types("mxcluster status --check")
	golden(t, s.name, strings.ReplaceAll(fmt.Sprintf("%s# mxcluster status\n%s%s\n%s# mxcluster status --check\n%s\n%s# mxcluster explain 1\n%s%s", s.on, page.text, page.errs, s.on, check.text, s.on, explained.text, explained.errs), short, "/tmp/folder0000"))
	if folder := os.Getenv(picturesEnv); folder != "" {
		s.keepPage(w, folder)
	}
	top := strings.Join(strings.Split(page.text, "\n")[:min(5, strings.Count(page.text, "\n"))], "\n")
	flat := strings.Join(strings.Fields(top), " ")
	for _, want := range s.says {
		if !strings.Contains(flat, want) {
			t.Errorf("the first five lines do not say %q:\n%s", want, top)
		}
	}
	for l := range strings.Lines(page.text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 80 {
			t.Errorf("a line of %d columns: %s", n, l)
		}
	}
	command, on := shown(page.text)
	if command != s.typed {
		t.Errorf("to type is %q, want %q:\n%s", command, s.typed, top)
	}
	if command == "" {
		return
	}
	if s.first != nil {
		s.first(w)
	}
	if on == "" {
		on = s.on
	}
	done := w.terminal(on).types(command)
	if done.code != s.code {
		t.Fatalf("%s on %s: code %d, %s%s", command, on, done.code, done.text, done.errs)
	}
	if bad := s.isBetter(w); bad != "" {
		t.Errorf("after %q on %s it is not better: %s\n%s", command, on, bad, w.terminal(s.on).types("mxcluster status").text)
	}
}

// isBetter gives the agents half a minute.
func (s *situation) isBetter(w *world) (bad string) {
	for range 30 {
		if bad = s.better(w); bad == "" {
			return ""
		}
		pass(time.Second)
	}
	return bad
}

// picturesEnv names a folder that the page is written into as a browser gets it, for the test of
// internal/web that draws what lies there.
const picturesEnv = "MXCLUSTER_TEST_PICTURES"

// keepPage writes the page of the server where they look.
func (s *situation) keepPage(w *world, folder string) {
	m := w.servers[s.on]
	if m.agent == nil || m.agent.hasEnded() {
		return // nobody answers there
	}
	h := web.NewHandler(web.Config{Names: []string{s.on}, Log: slog.New(slog.DiscardHandler), Now: time.Now}, m.agent)
	r, answer := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil), httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	if err := os.WriteFile(filepath.Join(folder, strings.ReplaceAll(s.name, " ", "-")+".html"), answer.Body.Bytes(), 0o600); err != nil {
		w.t.Error(err)
	}
}

// timeless leaves out of a page what differs by seconds from one order of goroutines to
// another: ages and times with the room that they take, and numbers of alarms.
func timeless(page string) string {
	page = regexp.MustCompile(`[0-9-]*T?[0-9:.]+Z|\b[0-9][0-9.hms]*[hms]\b`).ReplaceAllString(page, "TIME")
	page = regexp.MustCompile(`Alarm [0-9]+`).ReplaceAllString(page, "Alarm N")
	return regexp.MustCompile(` +|-{2,}`).ReplaceAllString(page, " ")
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "situations", strings.ReplaceAll(name, " ", "-")+".golden")
	if os.Getenv("MXCLUSTER_TEST_UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(timeless(string(want)), timeless(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// allCovered says what keeps a system from being redundant, as a server shows it.
func (w *world) allCovered(on string) string {
	st := w.status(on)
	if st.Redundant != nil && *st.Redundant {
		return ""
	}
	return st.RedundantWhy
}

// servedOn says where a LIM is in place of a server.
func (w *world) servedOn(lim int, server string) string {
	if on := w.holders(lim); !slices.Equal(on, []string{server}) {
		return fmt.Sprintf("LIM %d is on %v", lim, on)
	}
	return ""
}

// well starts all agents and waits until every LIM runs where it belongs.
func (w *world) well() {
	w.t.Helper()
	w.start("srv1", "srv2", "sb1")
	w.await(1, "srv1", time.Minute)
	w.await(2, "srv2", time.Minute)
	pass(20 * time.Second)
}

func situations() []situation {
	priority := func(lims ...int) func() *clusterconf.Document {
		return func() *clusterconf.Document {
			d := worldDocument(manual)
			for i, p := range lims {
				d.Clusters[0].LIMs[i].Priority = p
			}
			return d
		}
	}
	var stranger *netopstest.Kernel
	return []situation{
		{
			name: "01 all well", on: "srv2", says: []string{"REDUNDANT: yes"},
			arrange: func(w *world) { w.well(); pass(10 * time.Minute) },
		},
		{
			name: "02 one regular down", on: "sb1", says: []string{"NOT REDUNDANT: LIM 1: srv1 is down"},
			arrange: func(w *world) { w.well(); w.powerCut("srv1"); pass(5 * time.Minute) },
			typed:   "mxcluster fallback 1",
			first:   func(w *world) { w.boot("srv1"); pass(10 * time.Second) },
			better:  func(w *world) string { return w.servedOn(1, "srv1") + w.allCovered("sb1") },
		},
		{
			name: "03 two down", on: "sb1", says: []string{"NOT REDUNDANT: LIM 2 is down", "the standby runs LIM 1"},
			arrange: func(w *world) {
				w.well()
				pass(time.Minute)
				w.powerCut("srv1")
				pass(time.Minute)
				w.powerCut("srv2")
				pass(5 * time.Minute)
			},
			typed:  "systemctl start mxcluster-agent",
			first:  func(w *world) { w.powerOn("srv2") },
			better: func(w *world) string { return w.servedOn(2, "srv2") },
		},
		{
			name: "04 all regulars down", alone: true, on: "sb1", says: []string{"NOT REDUNDANT: LIM 1", "hears nobody"},
			arrange: func(w *world) {
				w.well()
				pass(time.Minute)
				w.powerCut("srv1")
				w.powerCut("srv2")
				pass(5 * time.Minute)
			},
			typed: "mxcluster failover 1 --now --server-is-dead srv1",
			better: func(w *world) string {
				if l := w.status("sb1").LIM(1); l.ActiveOn == nil || *l.ActiveOn != "sb1" {
					return l.Reason
				}
				return ""
			},
		},
		{
			name: "05 preempted", doc: priority(100, 50), on: "sb1", says: []string{"LIM 1 is down", "LIM 2"},
			arrange: func(w *world) {
				w.well()
				pass(time.Minute)
				w.powerCut("srv1")
				pass(time.Minute)
				w.powerCut("srv2")
				pass(5 * time.Minute)
			},
			typed:  "systemctl start mxcluster-agent",
			first:  func(w *world) { w.powerOn("srv1") },
			better: func(w *world) string { return w.servedOn(1, "srv1") },
		},
		{
			name: "06 planned move", on: "srv2", says: []string{"NOT REDUNDANT: LIM 2", "runs LIM 1"},
			arrange: func(w *world) {
				w.well()
				w.mustType("srv1", "mxcluster failover 1 --reason disk")
				pass(5 * time.Minute)
			},
			typed:  "mxcluster fallback 1",
			better: func(w *world) string { return w.servedOn(1, "srv1") + w.allCovered("srv2") },
		},
		{
			name: "07 locked to its regular and that is down", on: "sb1", says: []string{"LIM 1 is down", "locked to the regular side by root (audit)"},
			arrange: func(w *world) {
				w.well()
				w.mustType("srv1", "mxcluster lock 1 --to regular --reason audit")
				pass(time.Minute)
				w.powerCut("srv1")
				pass(5 * time.Minute)
			},
			typed:  "mxcluster unlock 1",
			better: func(w *world) string { return w.servedOn(1, "sb1") },
		},
		{
			name: "08 split brain", on: "srv2", says: []string{"split brain", "srv1", "sb1"},
			arrange: func(w *world) {
				w.well()
				w.partition(true, "srv1", "sb1")
				pass(2 * time.Minute)
			},
			typed:  "mxcluster agent stop --release",
			better: func(w *world) string { return w.servedOn(1, "sb1") },
		},
		{
			name: "09 split brain healed", on: "srv2", says: []string{"NOT REDUNDANT: LIM 2", "runs LIM 1"},
			arrange: func(w *world) {
				w.well()
				w.partition(true, "srv1", "sb1")
				pass(2 * time.Minute)
				w.partition(false, "srv1", "sb1")
				pass(10 * time.Minute)
			},
			typed:  "mxcluster fallback 1",
			better: func(w *world) string { return w.servedOn(1, "srv1") + w.allCovered("srv2") },
		},
		{
			name: "10 flapping hold", doc: func() *clusterconf.Document { return worldDocument(automatic) }, on: "sb1", says: []string{"NOT REDUNDANT: LIM 2"},
			arrange: func(w *world) {
				w.start("sb1", "srv1", "srv2")
				for range 2 {
					w.await(1, "srv1", time.Minute)
					w.powerCut("srv1")
					w.await(1, "sb1", time.Minute)
					w.boot("srv1")
				}
				pass(20 * time.Second)
			},
			typed:  "mxcluster fallback 1",
			better: func(w *world) string { return w.servedOn(1, "srv1") + w.allCovered("sb1") },
		},
		{
			name: "11 sync conflict", on: "srv1", says: []string{"REDUNDANT: yes", "the data of LIM 1 went different ways"},
			arrange: func(w *world) {
				w.well()
				w.backup("srv1", "before")
				w.mustType("srv1", "mxcluster sync --lim 1")
				w.backup("srv1", "on the regular side")
				w.backup("sb1", "on the standby")
				pass(time.Minute)
			},
			typed:  "mxcluster sync --lim 1 --keep regular",
			better: func(w *world) string { return w.inSync("srv1") },
		},
		{
			name: "12 agent dead here", on: "srv1", says: []string{"REDUNDANT: unknown", "no agent answers on srv1"},
			arrange: func(w *world) { w.well(); w.kill("srv1"); pass(5 * time.Minute) },
			typed:   "systemctl start mxcluster-agent",
			better: func(w *world) string {
				if l := w.status("srv1").LIM(1); l.Redundant == nil || !*l.Redundant {
					return "LIM 1: " + l.RedundantWhy
				}
				return ""
			},
		},
		{
			name: "13 agent stopped elsewhere for an upgrade", on: "srv1", says: []string{"NOT REDUNDANT: LIM 1, 2", "the agent of sb1"},
			arrange: func(w *world) {
				w.well()
				w.mustType("sb1", "mxcluster agent stop")
				w.servers["sb1"].agent = nil
				pass(time.Minute)
			},
			typed:  "systemctl start mxcluster-agent",
			better: func(w *world) string { return w.allCovered("srv1") },
		},
		{
			name: "14 standby down", on: "srv1", says: []string{"NOT REDUNDANT: LIM 1, 2: sb1 is down"},
			arrange: func(w *world) { w.well(); w.powerCut("sb1"); pass(5 * time.Minute) },
			typed:   "systemctl start mxcluster-agent",
			first:   func(w *world) { w.powerOn("sb1") },
			better:  func(w *world) string { return w.allCovered("srv1") },
		},
		{
			name: "15 a stranger on the alias", on: "sb1", says: []string{"NOT REDUNDANT: LIM 1", "02:00:00:00:00:99"},
			arrange: func(w *world) {
				w.well()
				stranger = w.foreignHost(w.alias(1))
				w.announces(stranger, w.alias(1).Addr())
				pass(time.Minute)
			},
			typed:  "mxcluster alarms explain alias-in-use",
			first:  func(w *world) { w.segment.Disconnect(stranger) },
			better: func(w *world) string { return w.allCovered("sb1") },
		},
		{
			name: "16 preloading", on: "srv1", says: []string{"REDUNDANT"},
			doc: func() *clusterconf.Document {
				d := worldDocument(manual)
				c := &d.Clusters[0]
				c.Failover, c.LIMs = clusterconf.FailoverPreloaded, c.LIMs[:1]
				return d
			},
			arrange: func(w *world) {
				w.servers["sb1"].soft.Script(servicestest.VerbStart, servicestest.Step{After: 10 * time.Minute})
				w.start("srv1", "srv2", "sb1")
				w.await(1, "srv1", time.Minute)
				pass(2 * time.Minute)
			},
		},
		{
			name: "17 a broken document on the standby", on: "srv1", says: []string{"the cluster document on the disk of sb1 cannot be used"},
			arrange: func(w *world) { w.well(); w.scribble("sb1", breakText); pass(10 * time.Second) },
			typed:   "mxcluster config validate",
			code:    fault.Invalid,
			better: func(w *world) string {
				if a := w.status("srv1").CountedAlarms(); len(a) > 0 {
					return a[0].Text
				}
				return w.allCovered("srv1")
			},
		},
		{
			name: "18 a service program missing on the standby", on: "srv1", says: []string{"NOT REDUNDANT: LIM 1", "its software cannot start on sb1"},
			arrange: func(w *world) {
				w.well()
				w.servers["sb1"].soft.Script(servicestest.VerbAble, servicestest.Step{Err: fmt.Errorf("program /lim does not exist")})
				pass(5 * time.Minute)
			},
			typed: "mxcluster service status 1",
			code:  fault.Failed, // it says that the program is not there
			better: func(w *world) string {
				w.servers["sb1"].soft.Script(servicestest.VerbAble, servicestest.Step{})
				return w.allCovered("srv1")
			},
		},
		{
			name: "19 only an old version on the standby", on: "srv1", says: []string{"REDUNDANT: yes", "sb1 has older data of LIM 1 than srv1"},
			arrange: func(w *world) {
				w.well()
				w.backup("srv1", "before")
				w.mustType("srv1", "mxcluster sync --lim 1")
				pass(2 * time.Minute)
				w.backup("srv1", "after")
				pass(40 * time.Minute)
			},
			typed:  "mxcluster sync --lim 1",
			better: func(w *world) string { return w.inSync("srv1") },
		},
		{
			name: "19 only a damaged version on the standby", on: "srv1", says: []string{"NOT REDUNDANT: LIM 1: sb1 has no data version of it that can be relied on"},
			arrange: func(w *world) {
				w.well()
				w.backup("srv1", "before")
				w.mustType("srv1", "mxcluster sync --lim 1")
				w.damage("sb1")
				pass(time.Minute)
			},
			typed:  "mxcluster sync --lim 1",
			better: func(w *world) string { return w.allCovered("srv1") + w.inSync("srv1") },
		},
		{
			name: "20 drained", on: "srv2", says: []string{"NOT REDUNDANT", "srv1 is drained", "root (fan)"},
			arrange: func(w *world) {
				w.well()
				w.mustType("srv2", "mxcluster server drain srv1 --for 1h --reason fan")
				pass(10 * time.Minute)
			},
			typed: "mxcluster server undrain srv1",
			better: func(w *world) string {
				if l := w.status("srv2").LIM(1); l.Redundant == nil || !*l.Redundant {
					return "LIM 1: " + l.RedundantWhy
				}
				return ""
			},
		},
	}
}

// backup makes a data version of LIM 1 on a server.
func (w *world) backup(server, content string) {
	w.t.Helper()
	from := w.t.TempDir()
	file := filepath.Join(from, "extensions")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
		w.t.Fatal(err)
	}
	w.mustType(server, "mxcluster xdata backup --lim 1 --no-sync --force --from "+from)
	pass(10 * time.Second)
}

// damage changes every data version of LIM 1 on a server, and has that found.
func (w *world) damage(server string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(w.servers[server].store.Path), "xdata", "xdata_1_*", "extensions"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("versions: %v, %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("befor3"), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if s := w.terminal(server).types("mxcluster xdata verify --lim 1"); s.code != fault.Conflict {
		w.t.Fatalf("verify: code %d, %s%s", s.code, s.text, s.errs)
	}
	pass(10 * time.Second)
}

// inSync says how the data of LIM 1 are, where both sides do not have the same.
func (w *world) inSync(on string) string {
	switch d := w.status(on).LIM(1).Data; {
	case d == nil || d.InSync == nil:
		return "it is not known whether the data are in sync"
	case !*d.InSync:
		return "the data are not in sync"
	}
	return ""
}

// mustType runs a command line on a server that is to succeed.
func (w *world) mustType(server, line string) {
	w.t.Helper()
	if s := w.terminal(server).types(line); s.code != fault.OK {
		w.t.Fatalf("%s on %s: code %d: %s%s", line, server, s.code, s.text, s.errs)
	}
}

// powerOn gives a server its power back; its agent is not started.
func (w *world) powerOn(name string) {
	w.t.Helper()
	m := w.servers[name]
	w.mu.Lock()
	m.down = false
	m.boots++
	w.mu.Unlock()
	m.state.power(true)
	w.segment.Connect(m.kernel, "eth0")
	w.hold(m, w.doc.Server(name).Base)
}

// moveFolders gives the servers folders below one with a name of a few letters, whose length
// is always the same: it stands in lines of a width.
func (w *world) moveFolders() string {
	w.t.Helper()
	root := fmt.Sprintf("/tmp/s%09d", rand.IntN(1e9))
	w.t.Cleanup(func() { os.RemoveAll(root) })
	for name, m := range w.servers {
		dir := filepath.Join(root, name)
		err := os.MkdirAll(root, 0o755)
		if err == nil {
			err = os.Rename(filepath.Dir(m.store.Path), dir)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		m.store.Path, m.store.HistoryDir = filepath.Join(dir, "cluster.yaml"), filepath.Join(dir, "history")
	}
	return root
}

// announces has a host claim an address each second.
func (w *world) announces(k *netopstest.Kernel, addr netip.Addr) {
	w.t.Helper()
	wire, err := w.segment.OpenWire(k, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.watchers.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-w.ended:
				wire.Close()
				k.Close()
				return
			case <-tick.C:
				_ = wire.Announce(addr) // lost when the host is unplugged
			}
		}
	})
}

// chatter is a host that speaks now and then, so that who hears it knows that it is not
// cut off.
func (w *world) chatter(addr string) {
	_, say := w.neighbour(addr)
	w.watchers.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-w.ended:
				return
			case <-tick.C:
				say()
			}
		}
	})
}
