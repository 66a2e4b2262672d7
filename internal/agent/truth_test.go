package agent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/events"
	"mxcluster/internal/services/servicestest"
	"mxcluster/netops"
)

// truth holds every alarm that is raised, and every status, against what is so.
type truth struct {
	*world
	rnd     *rand.Rand
	seen    map[string]int       // events of each server that were looked at
	twice   map[int]time.Time    // when two servers last answered for a LIM's alias
	nowhere map[int]time.Time    // when nobody did
	apart   map[string]time.Time // when a server was last out of order, or cut off
	foreign time.Time            // when a host of nobody's last had an alias
}

// recent is for how long what was so may be told: a word takes some time to arrive.
const recent = 100 * time.Millisecond

// inTruth runs a test from a seed, in which each datagram of the gossip takes a time of
// its own on its way.
func inTruth(t *testing.T, seed uint64, play func(w *truth)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		doc := worldDocument(pick(rnd, manual, automatic))
		w := &truth{world: newWorldOf(t, doc), rnd: rnd, seen: map[string]int{}, twice: map[int]time.Time{}, nowhere: map[int]time.Time{},
			apart: map[string]time.Time{}}
		defer w.close()
		worst := pick(rnd, 1, 5, 30)
		w.gossip.ShapeWith(func(_, _ netip.AddrPort) []time.Duration {
			w.mu.Lock()
			defer w.mu.Unlock()
			return []time.Duration{time.Duration(rnd.IntN(worst*1000)) * time.Microsecond}
		})
		w.settled()
		if w.random(2) == 0 {
			w.talk()
		}
		pass(3 * time.Second)
		play(w)
	})
}

func (w *truth) random(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.IntN(n)
}

// look lets time pass, and looks at everything every few milliseconds.
func (w *truth) look(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); pass(sample) {
		now := time.Now()
		for _, l := range w.doc.LIMs {
			switch n := len(w.answering(l.Number)); {
			case n > 1:
				w.twice[l.Number] = now
			case n == 0:
				w.nowhere[l.Number] = now
			}
		}
		for _, s := range w.doc.Servers {
			if w.impaired(s.Name) {
				w.apart[s.Name] = now
			}
		}
		for _, s := range w.doc.Servers {
			w.published(s.Name)
			w.raised(s.Name)
		}
	}
}

// answering lists the servers whose kernel answers for a LIM's alias.
func (w *truth) answering(lim int) []string {
	return slices.DeleteFunc(w.holders(lim), func(name string) bool {
		blocked, err := w.servers[name].kernel.Blocked("eth0")
		link, linkErr := w.servers[name].kernel.Link("eth0")
		return err != nil || linkErr != nil || !link.Up || slices.Contains(blocked, w.alias(lim).Addr())
	})
}

// impaired reports whether a server cannot be heard by all others now.
func (w *truth) impaired(name string) bool {
	m := w.servers[name]
	link, err := m.kernel.Link("eth0")
	return m.down || m.agent == nil || err != nil || !link.Up ||
		slices.ContainsFunc(w.doc.Servers, func(x clusterconf.Server) bool { return x.Name != name && w.isCut(name, x.Name) })
}

// published looks at the status that a server gives.
func (w *truth) published(on string) {
	m := w.servers[on]
	if m.agent == nil {
		return
	}
	for _, c := range w.status(on).Clusters {
		if c.SplitBrain == nil || !*c.SplitBrain {
			continue
		}
		if !slices.ContainsFunc(w.doc.LIMs, func(l clusterconf.LIM) bool { return time.Since(w.twice[l.Number]) < recent }) {
			w.t.Errorf("%s: the status of %s tells of a split brain; LIM 1 is on %v, LIM 2 on %v", stamp(), on, w.answering(1), w.answering(2))
		}
	}
}

func stamp() string { return time.Now().UTC().Format("15:04:05.000") }

// raised looks at the alarms that a server has raised since.
func (w *truth) raised(on string) {
	all, _, _ := w.servers[on].events.Read(events.Query{})
	for _, e := range all[w.seen[on]:] {
		if e.Kind == events.Alarm && e.Is == "raised" && !w.so(e) {
			w.t.Errorf("%s: %s raised: %s (LIM 1 on %v, LIM 2 on %v)", stamp(), on, e.Text, w.answering(1), w.answering(2))
		}
	}
	w.seen[on] = len(all)
}

// so reports whether an alarm tells the truth.
func (w *truth) so(e events.Event) bool {
	switch alarms.Name(e.Subject) {
	case alarms.SplitBrain:
		return time.Since(w.twice[e.LIM]) < recent
	case alarms.LIMDown: // a standby that was parted from the LIM's server cannot know better
		return time.Since(w.nowhere[e.LIM]) < recent || w.isCut("sb1", w.doc.RegularOf(e.LIM).Name)
	case alarms.StandbyOutOfOrder:
		return time.Since(w.apart["sb1"]) < sample
	case alarms.AliasInUse:
		return time.Since(w.foreign) < recent
	case alarms.Flapping:
		return true
	case alarms.LIMOnStandby:
		return slices.Contains(w.holders(e.LIM), "sb1") || strings.Contains(e.Text, "is starting")
	case alarms.NotRedundant:
		return slices.ContainsFunc(w.doc.Servers, func(s clusterconf.Server) bool { return time.Since(w.apart[s.Name]) < 5*time.Second })
	}
	return false
}

// A LIM whose software takes long to start, or fails at first, after its cluster was made:
// its alias is nobody else's.
func TestNoFalseAlarmAfterCreate(t *testing.T) {
	for _, step := range []servicestest.Step{{After: 8 * time.Second}, {Err: errBroken}} {
		inFreeWorld(t, func(w *world) {
			x := &truth{world: w, seen: map[string]int{}, twice: map[int]time.Time{}, nowhere: map[int]time.Time{}, apart: map[string]time.Time{}}
			for _, name := range []string{"srv1", "sb1"} {
				w.servers[name].soft.Script(servicestest.VerbStart, step)
			}
			w.carryOut(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
			x.look(10 * time.Second)
		})
	}
}

// each plays a story from so many seeds.
func each(t *testing.T, n uint64, play func(w *truth)) {
	t.Helper()
	n = fromEnv(t, "MXCLUSTER_TEST_HISTORIES", n)
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { inTruth(t, seed, play) })
	}
}

// A regular server that failed boots, again and again.
func TestNoFalseAlarmAtBoots(t *testing.T) {
	each(t, 3, func(w *truth) {
		for range 2 {
			name := []string{"srv1", "sb1"}[w.random(2)]
			w.powerCut(name)
			w.look(time.Duration(w.random(4000)) * time.Millisecond)
			w.boot(name)
			w.look(time.Duration(3000+w.random(3000)) * time.Millisecond)
		}
	})
}

// A cable is pulled and plugged in again, or a switch drops everything for a while.
func TestNoFalseAlarmAtCables(t *testing.T) {
	each(t, 3, func(w *truth) {
		for range 2 {
			name := []string{"srv1", "sb1", "srv2"}[w.random(3)]
			cut := func(on bool) { w.servers[name].kernel.SetUp("eth0", !on) }
			if w.random(2) == 0 {
				cut = func(on bool) {
					for _, s := range w.doc.Servers {
						if s.Name != name {
							w.partition(on, name, s.Name)
						}
					}
				}
			}
			cut(true)
			w.look(time.Duration(w.random(6000)) * time.Millisecond)
			cut(false)
			w.look(time.Duration(3000+w.random(3000)) * time.Millisecond)
		}
	})
}

// A neighbour that asks whether an alias is free, as `arp probe` does, uses it not.
func TestProbeIsNoUse(t *testing.T) {
	each(t, 3, func(w *truth) {
		k := w.foreignHost(netip.MustParsePrefix("192.0.2.99/24"))
		wire, err := w.segment.OpenWire(k, "eth0")
		if err != nil {
			w.t.Fatal(err)
		}
		probe := func() {
			if _, inUse, err := netops.Probe(w.t.Context(), wire, w.alias(1).Addr(), 3, 50*time.Millisecond); err != nil || !inUse {
				w.t.Errorf("probed: in use %v, %v", inUse, err)
			}
		}
		probe()
		w.look(time.Second)
		w.powerCut("srv1")
		for range 300 { // while it is taken over, too
			_ = wire.Ask(netip.IPv4Unspecified(), w.alias(1).Addr(), nil)
			w.look(sample)
		}
		if !slices.Contains(w.holders(1), "sb1") {
			w.t.Errorf("the alias is on %v after %s of probes; %s", w.holders(1), 300*sample, w.reasons(1))
		}
		w.look(3 * time.Second)
		probe()
		w.look(time.Second)
	})
}
