package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

const (
	faults        = 12                    // in one history
	glance        = 20 * time.Millisecond // from one look at the invariants to the next
	twiceAtMost   = time.Second           // two servers that hear each other may both have an alias
	recoverWithin = 60 * time.Second      // after the last fault every LIM is served again
	servedFor     = 5 * time.Second       // and stays so
)

// history is one random life of a cluster: crashes, power cuts, partitions,
// failing and slow software, and orders, one after the other.
type history struct {
	*world
	rnd   *rand.Rand
	story []string
	bad   []string
	both  map[int]time.Time // since when two servers that hear each other have a LIM's alias
	terms map[string]uint64 // highest term that a server saved, by server and LIM
	limp  map[string]bool   // servers whose software does not start
}

// TestRandomHistories plays random histories and checks at every step that no
// alias is served twice and no term goes back, and in the end that every LIM is
// served again. A failing one is played alone by its number in
// MXCLUSTER_TEST_SEED; MXCLUSTER_TEST_HISTORIES plays that many.
func TestRandomHistories(t *testing.T) {
	first, n := uint64(1), histories
	if s := os.Getenv("MXCLUSTER_TEST_HISTORIES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("MXCLUSTER_TEST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = seed
		if os.Getenv("MXCLUSTER_TEST_HISTORIES") == "" {
			n = 1
		}
	}
	for seed := first; seed < first+uint64(n); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			inWorld(t, manual, func(w *world) { playHistory(w, seed) })
		})
	}
}

func playHistory(w *world, seed uint64) {
	h := &history{world: w, rnd: rand.New(rand.NewPCG(seed, 0)), both: map[int]time.Time{}, terms: map[string]uint64{}, limp: map[string]bool{}}
	defer func() {
		if len(h.bad) > 0 || w.t.Failed() {
			w.t.Logf("to play it again: MXCLUSTER_TEST_SEED=%d\n%s", seed, strings.Join(h.story, "\n"))
		}
	}()
	h.configure()
	names := h.names()
	h.rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	h.note("start %v", names)
	h.start(names...)
	h.live(h.someTime())
	for range faults {
		h.fault()
		h.live(h.someTime())
	}
	left := h.mend()
	h.live(recoverWithin)
	h.served(left)
	h.live(servedFor)
	h.served(left)
	if len(h.bad) > 0 {
		w.t.Errorf("%d violations, first: %s", len(h.bad), h.bad[0])
	}
}

// configure draws the cluster's settings.
func (h *history) configure() {
	fallback := pick(h.rnd, manual, automatic)
	stop := pick(h.rnd, clusterconf.SideRegular, clusterconf.SideStandby)
	first := pick(h.rnd, 100, 50)
	h.note("fallback %s, split brain stops the %s side, priority of LIM 1 is %d", fallback, stop, first)
	for _, m := range h.servers {
		_, err := m.store.Edit(h.t.Context(), clusterconf.Change{At: time.Now(), By: "test"}, func(d *clusterconf.Document) error {
			d.Clusters[0].Fallback, d.Clusters[0].SplitBrainStop, d.Clusters[0].LIMs[0].Priority = fallback, stop, first
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

func (h *history) names() []string { return []string{"sb1", "srv1", "srv2"} }

// someTime draws a pause: now and then an instant, now and then longer than any limit.
func (h *history) someTime() time.Duration {
	return pick(h.rnd, 5*time.Millisecond, 30*time.Millisecond, 200*time.Millisecond, time.Second, 2*time.Second, 5*time.Second, 20*time.Second) *
		time.Duration(50+h.rnd.IntN(100)) / 100
}

func (h *history) note(format string, args ...any) {
	line := time.Now().Format("04:05.000 ") + fmt.Sprintf(format, args...)
	h.story = append(h.story, line)
	if os.Getenv("MXCLUSTER_TEST_LOG") != "" {
		fmt.Fprintln(os.Stderr, "---- "+line)
	}
}

// fault does one random thing to the cluster.
func (h *history) fault() {
	h.both = map[int]time.Time{}
	name := pick(h.rnd, h.names()...)
	m := h.servers[name]
	switch h.rnd.IntN(17) {
	case 0, 1:
		if !m.down {
			h.note("power cut of %s", name)
			h.powerCut(name)
			return
		}
		h.note("boot %s", name)
		h.boot(name)
	case 2, 3:
		h.toggleAgent(name)
	case 4:
		h.stopAgent(name)
	case 5, 6, 7:
		h.cutOff(name)
	case 8, 9:
		h.heal()
	case 10, 11, 12:
		h.orderSomething(name)
	case 13, 14:
		h.troubleSoftware(name)
	case 15:
		lim := 1 + h.rnd.IntN(2)
		h.note("the alias of LIM %d is deleted on %s", lim, name)
		if err := m.kernel.Drop("eth0", h.doc.ClusterOfLIM(lim).Member(lim).Alias); err != nil {
			h.t.Fatal(err)
		}
	case 16:
		up := h.rnd.IntN(2) == 0
		h.note("link of %s up: %v", name, up)
		m.kernel.SetUp("eth0", up)
	}
}

func (h *history) toggleAgent(name string) {
	m := h.servers[name]
	switch {
	case m.down:
	case m.agent != nil:
		h.note("kill the agent of %s", name)
		h.kill(name)
	default:
		h.note("start the agent of %s", name)
		h.start(name)
	}
}

func (h *history) stopAgent(name string) {
	m := h.servers[name]
	if m.agent == nil {
		return
	}
	r := control.StopRequest{Release: h.rnd.IntN(2) == 0}
	h.note("stop the agent of %s, release %v", name, r.Release)
	if _, err := m.agent.Stop(h.t.Context(), r); err != nil {
		h.t.Error(err)
	}
	<-m.ended
	m.agent = nil
}

func (h *history) cutOff(name string) {
	others := slices.DeleteFunc(h.names(), func(n string) bool { return n == name })
	switch h.rnd.IntN(3) {
	case 0:
		h.note("%s is cut off", name)
		h.partition(true, name, others...)
	case 1:
		h.note("%s and %s are cut off from each other", name, others[0])
		h.partition(true, name, others[0])
	case 2:
		h.note("%s is not heard by %s", name, others[1])
		h.mu.Lock()
		h.cut[[2]string{name, others[1]}] = true
		h.mu.Unlock()
	}
}

func (h *history) heal() {
	h.note("all cuts are healed")
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.cut)
}

func (h *history) orderSomething(via string) {
	if h.servers[via].agent == nil {
		return
	}
	o := control.Order{Kind: pick(h.rnd, control.OrderFailover, control.OrderFallback), LIM: 1 + h.rnd.IntN(2), Now: h.rnd.IntN(3) == 0}
	res, err := h.order(via, o)
	h.note("%s %d, now %v, via %s: %+v, %v", o.Kind, o.LIM, o.Now, via, res, err)
}

func (h *history) troubleSoftware(name string) {
	soft := h.servers[name].soft
	switch h.rnd.IntN(4) {
	case 0:
		h.note("the software on %s exits", name)
		soft.SetState(services.Stopped)
	case 1:
		h.note("the software on %s does not start", name)
		soft.Script(services.VerbStart, services.Step{Err: errBroken})
		h.limp[name] = true
	case 2:
		h.note("the software on %s is slow", name)
		soft.Script(services.VerbStart, services.Step{After: 3 * time.Second})
		soft.Script(services.VerbStop, services.Step{After: 4 * time.Second})
	case 3:
		h.note("the software on %s is mended", name)
		h.mendSoftware(name)
	}
}

func (h *history) mendSoftware(name string) {
	delete(h.limp, name)
	h.servers[name].soft.Script(services.VerbStart, services.Step{})
	h.servers[name].soft.Script(services.VerbStop, services.Step{})
}

// mend ends all faults but one: a server, which it returns, may stay out of order.
func (h *history) mend() (left string) {
	h.both = map[int]time.Time{}
	h.heal()
	if h.rnd.IntN(2) == 0 {
		left = pick(h.rnd, h.names()...)
		if m := h.servers[left]; !m.down && (m.agent == nil || h.rnd.IntN(2) == 0) {
			h.note("power cut of %s for good", left)
			h.powerCut(left)
		} else if m.agent != nil {
			h.note("kill the agent of %s for good", left)
			h.kill(left)
		}
	}
	for _, name := range h.names() {
		m := h.servers[name]
		m.kernel.SetUp("eth0", true)
		h.mendSoftware(name)
		switch {
		case name == left:
		case m.down:
			h.note("boot %s", name)
			h.boot(name)
		case m.agent == nil:
			h.note("start the agent of %s", name)
			h.start(name)
		}
	}
	return left
}

// live lets time pass and looks at the invariants.
func (h *history) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); pass(min(glance, time.Until(end))) {
		for lim := 1; lim <= 2; lim++ {
			h.lookForTwo(lim)
			h.lookAtTerms(lim)
		}
	}
}

func (h *history) lookForTwo(lim int) {
	on := h.holders(lim)
	if len(on) < 2 || !h.hear(on[0], on[1]) {
		delete(h.both, lim)
		return
	}
	since, seen := h.both[lim]
	if !seen {
		h.both[lim] = time.Now()
	} else if time.Since(since) > twiceAtMost {
		h.violated("the alias of LIM %d is on %v for %s; %s", lim, on, time.Since(since), h.reasons(lim))
		h.both[lim] = time.Now().Add(time.Hour)
	}
}

// hear reports whether two servers are up and hear each other.
func (h *history) hear(a, b string) bool {
	for _, name := range []string{a, b} {
		if link, err := h.servers[name].kernel.Link("eth0"); err != nil || !link.Up || h.servers[name].agent == nil {
			return false
		}
	}
	return !h.isCut(a, b) && !h.isCut(b, a)
}

func (h *history) lookAtTerms(lim int) {
	for _, name := range h.names() {
		saved, err := h.servers[name].state.Load()
		if err != nil {
			h.t.Fatal(err)
		}
		key, term := fmt.Sprint(name, lim), saved.LIMs[lim].Known.Term
		if term < h.terms[key] {
			h.violated("the term of LIM %d went back from %d to %d on %s", lim, h.terms[key], term, name)
		}
		h.terms[key] = term
	}
}

func (h *history) violated(format string, args ...any) {
	h.bad = append(h.bad, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// served checks that every LIM that a server can serve is served, once, with
// its software running there and nowhere else.
func (h *history) served(left string) {
	for lim := 1; lim <= 2; lim++ {
		regular := fmt.Sprintf("srv%d", lim)
		on := h.holders(lim)
		other := h.holders(3 - lim)
		busy := left == regular && slices.Contains(other, "sb1") // the standby runs one LIM at most
		switch {
		case len(on) == 1 && h.runs(lim, on[0]):
		case len(on) == 0 && busy:
		default:
			h.violated("LIM %d is not served once: the alias is on %v; %s", lim, on, h.reasons(lim))
		}
		if left != regular && !slices.Contains(on, regular) && h.software(regular) == services.Running {
			h.violated("the software of LIM %d runs on %s, the alias is on %v", lim, regular, on)
		}
	}
}

func (h *history) runs(lim int, on string) bool {
	m := h.servers[on]
	if m.agent == nil || h.software(on) != services.Running {
		return false
	}
	info, err := m.agent.Agent(h.t.Context())
	return err == nil && slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool {
		return l.LIM == lim && l.State == string(failover.Running)
	})
}
