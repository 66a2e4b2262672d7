package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/levels"
	"mxcluster/internal/member"
	"mxcluster/internal/member/membernet"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/settings"
	"mxcluster/internal/status"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// world is a cluster in virtual time: the real agent and the real memberlist on
// kernels, a switch and a gossip network in memory. It runs in a synctest bubble.
type world struct {
	t       testing.TB
	segment *netopstest.Segment
	gossip  *membernet.Network
	doc     *clusterconf.Document
	servers map[string]*machine
	cut     map[[2]string]bool        // pairs of servers that do not hear each other
	mute    string                    // server whose agent is not heard
	old     map[string]bool           // servers whose agents understand what the oldest version does
	ends    map[netip.AddrPort]string // who listened last at each address
	mu      sync.Mutex

	watchers sync.WaitGroup
	ended    chan struct{}
	twice    []string // moments at which two servers had an alias
	strict   bool     // servers that do not hear each other may not both have one either

	adjust func(*Config)                 // changes an agent's configuration; nil: not
	wrap   func(m *machine, d Deps) Deps // puts faults between an agent and its effects; nil: none
}

// machine is one server: what survives its agent, and the agent.
type machine struct {
	name   string
	kernel *netopstest.Kernel
	store  *clusterconf.Store
	state  *memoryState
	events *memoryEvents
	keys   *memoryKeys
	soft   *servicestest.Fake         // of all LIMs, unless each has its own
	softs  map[int]*servicestest.Fake // of each LIM
	agent  *Agent
	cancel context.CancelFunc
	ended  chan error
	down   bool
	boots  int

	stage    *stage                  // where it rehearses; nil: nowhere
	late     string                  // why LIMs count as not synchronised; guarded by mu
	good     func(lim int) time.Time // of the last good sync; nil: it was just now
	sync     SyncFunc                // what synchronises its LIMs; nil: nothing
	edited   chan struct{}           // tells the agent that its document was edited; nil: never
	wireErr  atomic.Pointer[error]   // of every announcement
	replies  atomic.Uint64           // ARP packets that its kernel sent to a crowd
	shutdown bool                    // the system is on its way down when its agent is told to end

	mu     sync.Mutex
	data   *failover.Data // newest data version
	pruned []int          // LIMs whose older versions were removed
	starts []string       // on which versions LIMs were started
	told   []string       // to the service manager
}

// softwareOf returns a LIM's software on this server.
func (m *machine) softwareOf(lim int) *servicestest.Fake {
	if m.softs != nil {
		return m.softs[lim]
	}
	return m.soft
}

func (m *machine) prune(_ context.Context, lim int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pruned = append(m.pruned, lim)
	return 1, nil
}

func (m *machine) started(lim int, version string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts = append(m.starts, fmt.Sprintf("%d %s", lim, version))
	return nil
}

func (m *machine) startedOn() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.starts)
}

// setData gives a server a newest data version.
func (m *machine) setData(d *failover.Data) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = d
}

func (m *machine) newestData(int) DataHere {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil {
		return DataHere{}
	}
	return DataHere{Newest: m.data, Path: "/x/" + m.data.Version}
}

// synced is what is remembered of syncs; they are no night's business but in tests
// that set when the last good one was.
func (m *machine) synced(lim int, now time.Time) (SyncRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := SyncRecord{Good: now.Truncate(10 * time.Minute), Failed: m.late}
	if m.good != nil {
		r.Good = m.good(lim)
	}
	return r, nil
}

// memoryState is a StateFile that survives agents.
type memoryState struct {
	mu    sync.Mutex
	kept  *persisted // nil: nothing was since the boot
	saved persisted
	cut   bool // the power is, and with it what was kept or is being saved
	slow  time.Duration
	ended chan struct{}   // closed when the process ends that saves; nil: none does
	fail  error           // of the disk
	full  error           // of the memory
	seen  func(persisted) // is shown everything that is kept; nil: nothing
}

func (m *memoryState) Load() (persisted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known(), nil
}

// known is what an agent that starts now would know. The lock must be held.
func (m *memoryState) known() persisted {
	switch {
	case m.kept != nil && m.kept.Number >= m.saved.Number:
		return *m.kept
	case m.saved.LIMs == nil:
		return persisted{Version: stateVersion, LIMs: map[int]persistedLIM{}}
	}
	return m.saved
}

func (m *memoryState) Keep(p persisted) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut || m.full != nil {
		return errBroken
	}
	m.kept = &p
	if m.seen != nil {
		m.seen(p)
	}
	return nil
}

func (m *memoryState) Save(p persisted) error {
	m.mu.Lock()
	if m.ended == nil {
		m.ended = make(chan struct{})
	}
	slow, ended := m.slow, m.ended
	m.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ended:
			return errBroken
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil || m.cut {
		return errBroken
	}
	m.saved = p
	return nil
}

// kill ends the saves that are under way.
func (m *memoryState) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended != nil {
		close(m.ended)
		m.ended = nil
	}
}

// setFail has the disk, and the memory, take nothing from now on; nil: they do.
func (m *memoryState) setFail(disk, memory error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail, m.full = disk, memory
}

// setSlow has each save that begins from now on take that long.
func (m *memoryState) setSlow(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slow = d
}

// power takes the server's power, or gives it back.
func (m *memoryState) power(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut, m.kept = !on, nil
}

const sample = 5 * time.Millisecond // from one look at the kernels' addresses to the next

const limit = 300 * time.Millisecond // failover-after in the worlds of these tests

// inWorld runs a test in a cluster c1 of srv1 and srv2 with LIMs 1 and 2 and the
// standby sb1; agents are not started.
func inWorld(t *testing.T, fallback clusterconf.FallbackType, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fallback)
		defer w.close()
		f(w)
	})
}

func newWorld(t *testing.T, fallback clusterconf.FallbackType) *world {
	t.Helper()
	w := newWorldOf(t, worldDocument(fallback))
	w.watchers.Add(1)
	go w.watchAliases()
	return w
}

// newWorldOf makes a world of the servers of a document, without a watcher.
func newWorldOf(t testing.TB, doc *clusterconf.Document) *world {
	t.Helper()
	w := &world{t: t, doc: doc, segment: &netopstest.Segment{}, gossip: membernet.New(), servers: map[string]*machine{},
		cut: map[[2]string]bool{}, ends: map[netip.AddrPort]string{}, ended: make(chan struct{})}
	for i, s := range w.doc.Servers {
		m := &machine{name: s.Name, state: &memoryState{}, keys: &memoryKeys{keys: settings.Keys{{Secret: make([]byte, 32)}}}, events: &memoryEvents{}, soft: &servicestest.Fake{Name: "lim software"}}
		m.kernel = netopstest.NewKernel(s.Name, netops.Link{Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}})
		dir := t.TempDir()
		m.store = &clusterconf.Store{Path: filepath.Join(dir, "cluster.yaml"), HistoryDir: filepath.Join(dir, "history"), Now: time.Now}
		if err := m.store.Create(t.Context(), w.doc); err != nil {
			t.Fatal(err)
		}
		w.servers[s.Name] = m
		w.segment.Connect(m.kernel, "eth0")
		w.hold(m, s.Base)
	}
	w.segment.DropWith(func(from, to string, _ netops.Observation) bool { return w.isCut(from, to) })
	w.gossip.DropWith(func(from, to netip.AddrPort) bool { return w.isMute(w.at(from)) || w.isCut(w.at(from), w.at(to)) })
	return w
}

func worldDocument(fallback clusterconf.FallbackType) *clusterconf.Document {
	prefix := netip.MustParsePrefix
	d := &clusterconf.Document{
		APIVersion: clusterconf.APIVersion, Kind: clusterconf.Kind, System: "TESTSYSTEM", Revision: 1,
		Changed: clusterconf.Change{At: time.Now().UTC(), Command: "test"},
		Servers: []clusterconf.Server{
			{Name: "sb1", Base: prefix("192.0.2.20/24"), Interface: "eth0", Standby: true},
			{Name: "srv1", Base: prefix("192.0.2.21/24"), Interface: "eth0", LIM: 1},
			{Name: "srv2", Base: prefix("192.0.2.22/24"), Interface: "eth0", LIM: 2},
		},
		LIMs: []clusterconf.LIM{
			{Number: 1, Services: []clusterconf.Service{{Run: "exec:/lim"}}},
			{Number: 2, Services: []clusterconf.Service{{Run: "exec:/lim"}}},
		},
		Clusters: []clusterconf.Cluster{{Name: "c1", Standby: "sb1", Fallback: fallback, Failover: clusterconf.FailoverNormal,
			FailoverAfter: clusterconf.Duration(limit), SplitBrainStop: clusterconf.SideRegular,
			LIMs: []clusterconf.Member{
				{LIM: 1, Alias: prefix("192.0.2.11/24"), Priority: 100},
				{LIM: 2, Alias: prefix("192.0.2.12/24"), Priority: 100},
			}}},
	}
	return d
}

// start runs the agents of servers; boot order is the order of the names.
func (w *world) start(names ...string) {
	w.t.Helper()
	for _, name := range names {
		m := w.servers[name]
		cfg, deps := w.config(name), w.deps(m)
		if w.adjust != nil {
			w.adjust(&cfg)
		}
		if w.wrap != nil {
			deps = w.wrap(m, deps)
		}
		a, err := New(cfg, deps)
		if err != nil {
			w.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		m.agent, m.cancel, m.ended = a, cancel, make(chan error, 1)
		go func() { m.ended <- a.Run(ctx) }()
	}
}

func (w *world) config(name string) Config {
	return Config{Server: name, GossipPort: 7946, Lease: 3 * time.Second, StopLease: time.Hour, StartGrace: 30 * time.Second, FirstHold: 2 * time.Minute,
		ARPBudget: 15, ARPRefresh: time.Minute, CheckInterval: time.Second, Restarts: 2, Version: "test", Levels: w.levelsOf(name), PID: os.Getpid(), Watchdog: 10 * time.Second, Log: w.log(name),
		Boot: fmt.Sprint(w.servers[name].boots + 1)}
}

// levelsOf are those that an agent is to understand: those of this version, but on old servers.
func (w *world) levelsOf(name string) levels.Levels {
	if w.old[name] {
		return levels.Oldest()
	}
	return levels.Known()
}

// log writes agents' logs where MXCLUSTER_TEST_LOG asks for them.
func (w *world) log(name string) *slog.Logger {
	if os.Getenv("MXCLUSTER_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("on", name)
}

func (w *world) deps(m *machine) Deps {
	d := w.depsWithout(m)
	if m.stage != nil {
		d.Rehearse, d.EndRehearsals = m.stage.rehearse, m.stage.endAll
	}
	return d
}

// depsWithout has all effects but rehearsals.
func (w *world) depsWithout(m *machine) Deps {
	return Deps{
		Keys:   m.keys,
		Kernel: m.kernel,
		OpenWire: func(ifname string) (Wire, error) {
			wire, err := w.segment.OpenWire(m.kernel, ifname)
			return testWire{wire, &m.wireErr, &m.replies}, err
		},
		Probe: func(ctx context.Context, wire Wire, addr netip.Addr) (net.HardwareAddr, bool, error) {
			return netops.Probe(ctx, wire, addr, probeCount, probeInterval)
		},
		OpenPool: func(bind netip.AddrPort, keys [][]byte) (Pool, error) {
			end, err := w.listen(m.name, bind)
			if err != nil {
				return nil, err
			}
			return member.Open(member.Config{Name: m.name, Bind: bind, Keys: keys, Log: slog.New(slog.DiscardHandler), Transport: end, Guard: membernet.ShowKeys, Now: time.Now})
		},
		Documents: m.store,
		Changed:   func(context.Context) <-chan struct{} { return nil },
		State:     m.state,
		Events:    m.events,
		Notify:    m.notify,
		Software: func(l *clusterconf.LIM, _ clusterconf.Side) (services.Set, error) {
			return services.Set{m.softwareOf(l.Number)}, nil
		},
		Prune:        m.prune,
		Data:         m.newestData,
		Started:      m.started,
		ShuttingDown: func(context.Context) bool { return m.shutdown },
		Sync:         m.sync,
		Synced:       m.synced,
	}
}

// kill ends an agent as kill -9 does: nothing is told, nothing is put away.
func (w *world) kill(name string) {
	w.t.Helper()
	m := w.servers[name]
	w.silence(name, true)
	m.agent.post(m.agent.shutdown.cancel)
	m.state.kill()
	<-m.ended
	w.silence(name, false)
	m.agent = nil
}

// silence keeps what a server's agent says from being heard.
func (w *world) silence(name string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute = ""
	if on {
		w.mute = name
	}
}

// powerCut takes a server's power: agent, software, addresses and port are gone.
// It returns when that was; the agent takes some time to see it.
func (w *world) powerCut(name string) time.Time {
	w.t.Helper()
	m, at := w.servers[name], time.Now()
	w.mu.Lock()
	m.down = true
	w.mu.Unlock()
	m.state.power(false)
	w.segment.Disconnect(m.kernel)
	if m.agent != nil {
		w.kill(name)
	}
	if m.stage != nil {
		m.stage.end(nil)
	}
	m.soft.SetState(services.Stopped)
	for _, soft := range m.softs {
		soft.SetState(services.Stopped)
	}
	m.kernel.FlushRules()
	addrs, err := m.kernel.Addresses("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range addrs {
		if err := m.kernel.Drop("eth0", a.Prefix); err != nil {
			w.t.Fatal(err)
		}
	}
	return at
}

// boot gives a server its power back and starts its agent.
func (w *world) boot(name string) {
	w.t.Helper()
	w.bootAs(name, w.doc.Server(name).Base)
}

// bootAs does so with other base addresses.
func (w *world) bootAs(name string, bases ...netip.Prefix) {
	w.t.Helper()
	m := w.servers[name]
	w.mu.Lock()
	m.down = false
	m.boots++
	w.mu.Unlock()
	m.state.power(true)
	w.segment.Connect(m.kernel, "eth0")
	for _, base := range bases {
		w.hold(m, base)
	}
	w.start(name)
}

func (w *world) hold(m *machine, base netip.Prefix) {
	if err := m.kernel.EnsureBase("eth0", base); err != nil {
		w.t.Fatal(err)
	}
}

// partition keeps servers from hearing each other, or ends that.
func (w *world) partition(on bool, a string, others ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range others {
		w.cut[[2]string{a, b}], w.cut[[2]string{b, a}] = on, on
	}
}

func (w *world) isCut(from, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[[2]string{from, to}] || w.servers[from] != nil && w.servers[from].down || w.servers[to] != nil && w.servers[to].down
}

func (w *world) isMute(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mute == name
}

// listen opens a server's end of the gossip network.
func (w *world) listen(name string, bind netip.AddrPort) (*membernet.Endpoint, error) {
	end, err := w.gossip.Open(bind)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ends[bind] = name
	}
	return end, err
}

// at names the server at a gossip address.
func (w *world) at(a netip.AddrPort) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends[a]
}

// holders returns the servers that answer for a LIM's alias.
func (w *world) holders(lim int) []string {
	alias := w.doc.ClusterOfLIM(lim).Member(lim).Alias
	var out []string
	for _, s := range w.doc.Servers {
		kernel := w.servers[s.Name].kernel
		addrs, err := kernel.Addresses("eth0")
		if denied, deniedErr := kernel.Denied(); deniedErr == nil && slices.Contains(denied, alias.Addr()) {
			continue
		}
		if err == nil && slices.ContainsFunc(addrs, func(a netops.Address) bool { return a.Prefix == alias }) {
			out = append(out, s.Name)
		}
	}
	return out
}

// status asks a server's agent.
func (w *world) status(name string) *status.ClusterStatus {
	w.t.Helper()
	st, err := w.servers[name].agent.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

// await lets time pass until a LIM runs on a server and on no other, as that
// server says; it returns how long that took.
func (w *world) await(lim int, on string, within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for time.Since(began) <= within {
		if m := w.servers[on]; m.agent != nil && slices.Equal(w.holders(lim), []string{on}) {
			if info, err := m.agent.Agent(w.t.Context()); err == nil && slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool {
				return l.LIM == lim && l.State == string(failover.Running)
			}) {
				return time.Since(began)
			}
		}
		pass(time.Millisecond)
	}
	w.t.Fatalf("LIM %d does not run on %s after %s: the alias is on %v; %s", lim, on, within, w.holders(lim), w.reasons(lim))
	return 0
}

func (w *world) reasons(lim int) string {
	out := ""
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second) // one may be paused
	defer cancel()
	for _, s := range w.doc.Servers {
		if m := w.servers[s.Name]; m.agent != nil {
			if info, err := m.agent.Agent(ctx); err == nil {
				for _, l := range info.LIMs {
					if l.LIM == lim {
						out += fmt.Sprintf("%s: %s (%s); ", s.Name, l.State, l.Reason)
					}
				}
			}
		}
	}
	return out
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// order gives an order through a server's agent.
func (w *world) order(via string, o control.Order) (*control.OrderResult, error) {
	return w.servers[via].agent.Order(w.t.Context(), o)
}

// close ends the world.
func (w *world) close() {
	for _, m := range w.servers {
		if m.agent != nil {
			m.cancel()
			if err := <-m.ended; err != nil && !errors.Is(err, context.Canceled) {
				w.t.Errorf("agent of %s: %v", m.name, err)
			}
		}
		m.kernel.Close()
	}
	close(w.ended)
	w.watchers.Wait()
	pass(time.Minute) // memberlist's last probes end only when their time is up
}

var errBroken = errors.New("broken on purpose")

// count returns how often a server's software was called.
func (w *world) count(server string, verb servicestest.Verb) int {
	n := 0
	for _, c := range w.servers[server].soft.Calls() {
		if c.Verb == verb {
			n++
		}
	}
	return n
}

// watchGap measures for how long a server has not had a LIM's alias, from now
// until the function it returns is called.
func (w *world) watchGap(lim int, on string) func() time.Duration {
	stop, gap := make(chan struct{}), make(chan time.Duration)
	go func() {
		var missing time.Duration
		tick := time.NewTicker(sample)
		defer tick.Stop()
		for {
			select {
			case <-w.ended:
				return
			case <-stop:
				gap <- missing
				return
			case <-tick.C:
				if !slices.Contains(w.holders(lim), on) {
					missing += sample
				}
			}
		}
	}()
	return func() time.Duration { close(stop); return <-gap }
}

// foreignHost connects a host that is no server of the system and has an address.
func (w *world) foreignHost(addr netip.Prefix) *netopstest.Kernel {
	w.t.Helper()
	k := netopstest.NewKernel("foreign", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 0x99}})
	if err := k.EnsureBase("eth0", addr); err != nil {
		w.t.Fatal(err)
	}
	w.segment.Connect(k, "eth0")
	return k
}

// edit changes the document on one server, as a command does.
func (w *world) edit(server string, f func(*clusterconf.Cluster)) {
	w.t.Helper()
	m := w.servers[server]
	_, err := m.store.Edit(w.t.Context(), clusterconf.Change{By: "test", On: server, Command: "test"}, func(d *clusterconf.Document) error {
		f(&d.Clusters[0])
		return nil
	})
	if err == nil {
		err = m.agent.Reload(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// sameDocument fails the test unless every server has the same document of a
// revision, which it returns.
func (w *world) sameDocument(revision uint64) *clusterconf.Document {
	w.t.Helper()
	var first *clusterconf.Document
	for _, s := range w.doc.Servers {
		d, err := w.servers[s.Name].store.Read()
		if err != nil {
			w.t.Fatal(err)
		}
		if first == nil {
			first = d
		}
		if d.Revision != revision || clusterconf.Hash(d) != clusterconf.Hash(first) {
			w.t.Errorf("%s has revision %d (%s), want %d like the others", s.Name, d.Revision, clusterconf.Hash(d)[:15], revision)
		}
	}
	return first
}

// software asks a server's LIM software how it is.
func (w *world) software(server string) services.State {
	state, err := w.servers[server].soft.Check(w.t.Context(), services.Env{})
	if err != nil && state != services.Failed {
		w.t.Error(err)
	}
	return state
}
