package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/netops"
)

// simulation is one random life of a cluster, in virtual time and from a seed:
// one to ten regular servers and a standby, and whatever can go wrong with them.
// How the faults follow each other is drawn from the seed; in which order
// goroutines run that are ready at one instant is up to Go.
type simulation struct {
	*world
	rnd      *rand.Rand
	trouble  map[string]*trouble
	line     *roughLine
	limit    time.Duration // failover-after
	clients  bool          // somebody asks for an alias now and then
	lease    time.Duration
	faults   int
	calm     []time.Duration // pauses to draw from
	disturb  time.Time       // last time that anything was done to the cluster
	changed  chan struct{}
	stopPump context.CancelFunc
	pumps    sync.WaitGroup
	limp     map[string]bool // "server lim": its software does not start
	clings   map[string]bool // likewise: it does not stop
	slowed   map[string]bool // likewise: it takes its time
	lacking  map[string]bool // likewise: its program is not there
	held     map[int]holding
	deaf     map[[2]string]time.Time // when two servers last could not hear each other
	terms    terms
	arb      *arbitration // nil: there is none

	disorders *disorders
	members   members
	edited    time.Time // when a command that changes the cluster was given last; guarded by mu
	betrayals betrayals

	telling sync.Mutex
	story   []string
	bad     []string
}

// progress is how much is simulated from one line that says so to the next.
const progress = 50 * time.Hour

// played is how much was simulated.
type played struct {
	mu        sync.Mutex
	histories int
	time      time.Duration
	failed    []uint64
	answered  answered
	betrayals bool // lives are betrayed one time after the other, and little else happens
}

// TestSimulation plays random lives of clusters. By default the first few seeds;
// MXCLUSTER_TEST_SEED=N plays one of them, MXCLUSTER_TEST_HISTORIES=N that many
// from there, and MXCLUSTER_TEST_HOURS=N fresh ones until N hours of a cluster's
// life were played, or MXCLUSTER_TEST_MINUTES=M minutes have passed; with
// MXCLUSTER_TEST_RULES=1 lives of betrayals alone, until it was seen of each rule of the
// promise that it would be broken without that one.
func TestSimulation(t *testing.T) {
	var sum played
	sum.betrayals = os.Getenv("MXCLUSTER_TEST_RULES") != ""
	defer sum.tell(t, time.Now())
	hours := fromEnv(t, "MXCLUSTER_TEST_HOURS", 0)
	if hours == 0 {
		first, n := fromEnv(t, "MXCLUSTER_TEST_SEED", 1), uint64(histories)
		if os.Getenv("MXCLUSTER_TEST_SEED") != "" {
			n = 1
		}
		n = fromEnv(t, "MXCLUSTER_TEST_HISTORIES", n)
		t.Run("seeds", func(t *testing.T) {
			for seed := first; seed < first+n; seed++ {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					t.Parallel()
					sum.play(t, seed)
				})
			}
		})
		return
	}
	end := time.Now().Add(time.Duration(fromEnv(t, "MXCLUSTER_TEST_MINUTES", 24*60)) * time.Minute)
	first := fromEnv(t, "MXCLUSTER_TEST_SEED", uint64(time.Now().UnixNano())%1e12)
	t.Logf("fresh seeds from %d", first)
	found := func() bool { return sum.betrayals && len(sum.answered.rules.missing()) == 0 }
	defer func() {
		if missing := sum.answered.rules.missing(); sum.betrayals && len(missing) > 0 {
			t.Errorf("no betrayal shows that the promise needs these rules: %q", missing)
		}
	}()
	t.Run("fresh", func(t *testing.T) {
		lanes := fromEnv(t, "MXCLUSTER_TEST_LANES", 2)
		for lane := range lanes {
			t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
				t.Parallel()
				for seed := first + lane; sum.played().Hours() < float64(hours) && time.Now().Before(end) && !found(); seed += lanes {
					t.Run(fmt.Sprint(seed), func(t *testing.T) { sum.play(t, seed) })
				}
			})
		}
	})
}

// fromEnv reads a number from the environment.
func fromEnv(t *testing.T, name string, or uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return or
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func (p *played) play(t *testing.T, seed uint64) {
	t.Helper()
	life := playSimulation
	if p.betrayals {
		life = playBetrayals
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		defer func() { p.add(seed, time.Since(began), t.Failed()) }()
		life(t, seed, p)
	})
}

func (p *played) add(seed uint64, spent time.Duration, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.histories++
	if was := p.time; was/progress != (was+spent)/progress {
		fmt.Fprintf(os.Stderr, "simulated %.0f cluster-hours in %d histories; failed seeds: %v\n", (was + spent).Hours(), p.histories, p.failed)
	}
	p.time += spent
	if failed {
		p.failed = append(p.failed, seed)
	}
}

func (p *played) played() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.time
}

// tell prints how much was played and how fast.
func (p *played) tell(t *testing.T, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(since)
	t.Logf("simulated %.1f cluster-hours in %d histories, in %s (%.2f hours a second); failed seeds: %v",
		p.time.Hours(), p.histories, took.Round(time.Second), p.time.Hours()/took.Seconds(), p.failed)
	p.answered.tell(t)
	p.answered.rules.tell(t)
}

func playSimulation(t *testing.T, seed uint64, sum *played) {
	s := newSimulation(t, seed)
	defer s.end(seed)
	began := time.Now()
	defer func() {
		sum.answered.add(s.betrayals.sum)
		sum.answered.rules.add(seed, sum.played()+time.Since(began), s.betrayals.rules)
	}()
	names := s.names()
	s.rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if s.clients = s.rnd.IntN(2) == 0; s.clients {
		s.talkEvery(min(s.limit/4, time.Second))
	}
	s.note("start %v; clients %v", names, s.clients)
	s.start(names...)
	s.live(s.someTime())
	for range s.faults {
		s.fault()
		s.live(s.someTime())
		s.betray()
	}
	s.finish()
}

// newSimulation draws a cluster. The longer the silence that it waits for, the
// longer it lives: slow timers need long lives.
func newSimulation(t *testing.T, seed uint64) *simulation {
	t.Helper()
	s := &simulation{rnd: rand.New(rand.NewPCG(seed, 0)), trouble: map[string]*trouble{}, changed: make(chan struct{}, 1),
		limp: map[string]bool{}, clings: map[string]bool{}, slowed: map[string]bool{}, lacking: map[string]bool{}, held: map[int]holding{}, deaf: map[[2]string]time.Time{}}
	s.terms.highest = map[string]uint64{}
	s.line = &roughLine{rnd: rand.New(rand.NewPCG(seed, 1))}
	s.limit = pick(s.rnd, 200*time.Millisecond, 300*time.Millisecond, time.Second, 3*time.Second, 10*time.Second, 10*time.Second, 30*time.Second, time.Minute)
	s.lease = pick(s.rnd, time.Second, 3*time.Second, 3*time.Second, 10*time.Second)
	s.faults = 8 + s.rnd.IntN(20)
	s.calm = []time.Duration{5 * time.Millisecond, s.limit / 5, s.limit, s.limit * 3 / 2, 2 * time.Second, 5*time.Second + 2*s.limit, 20*time.Second + 5*s.limit}
	if s.limit >= 10*time.Second {
		s.calm = append(s.calm, 10*time.Minute, time.Hour)
	}
	n := pick(s.rnd, 1, 1, 1, 1, 2, 2, 2, 3, 3, 1+s.rnd.IntN(10))
	doc := drawDocument(s.rnd, n, s.limit)
	s.drawPreloaded(&doc.Clusters[0])
	s.members = drawMembers(seed, doc)
	s.world = newWorldOf(t, doc)
	s.disturb = time.Now()
	for _, l := range doc.LIMs {
		s.held[l.Number] = holding{since: time.Now()}
	}
	s.arb = drawArbiter(seed, s.limit)
	s.adjust = func(c *Config) {
		c.Lease, c.CheckInterval = s.lease, max(time.Second, s.limit/2)
		if s.arb != nil {
			c.ArbiterLease = s.arb.lease
		}
	}
	s.wrap = func(m *machine, d Deps) Deps {
		if s.arb != nil {
			d.Arbiter = troubledArbiter{s.arb.For(m.name), s.trouble[m.name]}
		}
		d.Changed = func(context.Context) <-chan struct{} { return m.edited }
		d.Documents = watchedDocuments{d.Documents, s, m.name}
		return s.troubled(s.trouble[m.name], m, s.line, s.rehearses(m, d))
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stopPump = cancel
	for name, m := range s.servers {
		s.trouble[name] = &trouble{}
		m.store.Now = func() time.Time { return time.Now().Add(s.trouble[name].offset()) }
		m.edited, m.stage = make(chan struct{}, 1), &stage{}
		m.kernel.AddAltName("eth0", otherName)
		m.softs = map[int]*servicestest.Fake{}
		for _, l := range doc.LIMs {
			m.softs[l.Number] = &servicestest.Fake{Name: "lim software"}
		}
		m.state.saved = persisted{Version: stateVersion, LIMs: map[int]persistedLIM{}}
		m.state.seen = func(p persisted) { s.terms.kept(s, name, p) }
		m.kernel.FailWith(func(string) error { s.onlyActive(m); return nil })
		s.pump(ctx, m)
	}
	s.disorders = drawDisorders(s, seed)
	s.betrayals.rnd = rand.New(rand.NewPCG(seed, 5))
	s.segment.DropWith(func(from, to string, _ netops.Observation) bool { return s.isCut(from, to) || s.line.lost() })
	s.gossip.ShapeWith(func(_, _ netip.AddrPort) []time.Duration { return s.line.delays() })
	s.note("seed %d: %d regular servers, failover %s after %s, lease %s, fallback %s, split brain stops the %s side", seed, n, doc.Clusters[0].Failover, s.limit, s.lease,
		doc.Clusters[0].Fallback, doc.Clusters[0].SplitBrainStop)
	if s.arb != nil {
		s.note("with an arbiter, whose keys last %s", s.arb.lease)
	}
	return s
}

// drawDocument draws a cluster of n regular servers.
func drawDocument(rnd *rand.Rand, n int, limit time.Duration) *clusterconf.Document {
	prefix := func(host int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 24)
	}
	d := worldDocument(pick(rnd, manual, automatic))
	c := &d.Clusters[0]
	c.SplitBrainStop = pick(rnd, clusterconf.SideRegular, clusterconf.SideStandby)
	c.FailoverAfter = clusterconf.Duration(limit)
	d.Servers, d.LIMs, c.LIMs = d.Servers[:1], nil, nil
	for lim := 1; lim <= n; lim++ {
		d.Servers = append(d.Servers, clusterconf.Server{Name: fmt.Sprintf("srv%d", lim), Base: prefix(40 + lim), Interface: "eth0", LIM: lim})
		d.LIMs = append(d.LIMs, clusterconf.LIM{Number: lim, Services: []clusterconf.Service{{Run: "exec:/lim"}}, Checks: []string{"exec:/trunk"}})
		c.LIMs = append(c.LIMs, clusterconf.Member{LIM: lim, Alias: prefix(100 + lim), Priority: pick(rnd, 100, 100, 50, 20)})
	}
	return d
}

// pump tells of every change of a server's addresses.
func (s *simulation) pump(ctx context.Context, m *machine) {
	events, err := m.kernel.Watch(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	s.pumps.Go(func() {
		for range events {
			select {
			case s.changed <- struct{}{}:
			default:
			}
		}
	})
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

func (s *simulation) names() []string {
	var out []string
	for _, x := range s.doc.Servers {
		out = append(out, x.Name)
	}
	return out
}

// someTime draws a pause.
func (s *simulation) someTime() time.Duration {
	return pick(s.rnd, s.calm...) * time.Duration(50+s.rnd.IntN(100)) / 100
}

// note adds a line to the story that a failing simulation tells.
func (s *simulation) note(format string, args ...any) {
	line := time.Now().UTC().Format("15:04:05.000 ") + fmt.Sprintf(format, args...)
	s.telling.Lock()
	defer s.telling.Unlock()
	s.story = append(s.story, line)
	if os.Getenv("MXCLUSTER_TEST_LOG") != "" {
		fmt.Fprintln(os.Stderr, "---- "+line)
	}
}

func (s *simulation) violated(format string, args ...any) {
	line := "VIOLATED: " + fmt.Sprintf(format, args...)
	s.note("%s", line)
	s.telling.Lock()
	defer s.telling.Unlock()
	s.bad = append(s.bad, line)
}

// end puts everything away, and tells the story of a simulation that failed.
func (s *simulation) end(seed uint64) {
	for _, x := range s.trouble {
		x.thaw()
	}
	s.stopPump()
	s.pumps.Wait()
	s.close()
	if len(s.bad) > 0 {
		s.t.Errorf("%d violations, first: %s\nto play it again: MXCLUSTER_TEST_SEED=%d\n%s", len(s.bad), s.bad[0], seed, strings.Join(s.story, "\n"))
	}
}

// running names the LIMs whose software is up on a server.
func (s *simulation) running(name string) []int {
	var out []int
	for lim, soft := range s.servers[name].softs {
		if soft.State() == services.Running {
			out = append(out, lim)
		}
	}
	slices.Sort(out)
	return out
}
