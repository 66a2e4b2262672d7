package agent

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
)

// An order is carried out once, in time, by the run that permitted it, and only while the
// LIM and the document are as they were.
func TestPermits(t *testing.T) {
	start := time.Now()
	given := permit{server: "sb1", lim: 1, term: 7, age: clusterconf.Age{Epoch: 1, Revision: 20}, until: start.Add(permitLife)}
	for _, tc := range []struct {
		name string
		id   string
		now  func(*permit)
		late time.Duration
		why  string // "": it is carried out
	}{
		{"in time", "a", func(*permit) {}, permitLife - time.Nanosecond, ""},
		{"too late", "a", func(*permit) {}, permitLife + time.Second, "1s after"},
		{"of another run, or invented", "b", func(*permit) {}, 0, "no permit"},
		{"without one", "", func(*permit) {}, 0, "no permit"},
		{"of another server", "a", func(p *permit) { p.server = "srv2" }, 0, "no permit"},
		{"for another LIM", "a", func(p *permit) { p.lim = 2 }, 0, "no permit"},
		{"for an older term", "a", func(p *permit) { p.term = 8 }, 0, "term 7"},
		{"for an older revision", "a", func(p *permit) { p.age.Revision = 21 }, 0, "revision 20"},
		{"for an older epoch", "a", func(p *permit) { p.age.Epoch = 2 }, 0, "revision 20"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, now := permits{}, given
			if !out.give("a", given, start) {
				t.Fatal("no permit")
			}
			tc.now(&now)
			why := out.take(tc.id, now, start.Add(tc.late))
			if (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
				t.Errorf("refused with %q, want %q", why, tc.why)
			}
			if again := out.take(tc.id, now, start); again == "" {
				t.Error("carried out again")
			}
		})
	}
}

// A server has some permits at a time, however many it asks for, and takes none from others.
func TestPermitsAreBounded(t *testing.T) {
	out, start := permits{}, time.Now()
	ask := func(id, server string, at time.Time) bool {
		return out.give(id, permit{server: server, until: at.Add(permitLife)}, at)
	}
	n := 0
	for i := range 1000 {
		if ask(string(rune(i)), "srv2", start) {
			n++
		}
	}
	if n != maxPermits || !ask("x", "sb1", start) {
		t.Errorf("%d permits at a time, and others get none", n)
	}
	if !ask("y", "srv2", start.Add(permitLife)) || len(out) != 1 {
		t.Errorf("%d permits are remembered after they are over", len(out)-1)
	}
}

// mail is what a server's agent sends in person. It can be sent again, and held up.
type mail struct {
	Pool
	mu   sync.Mutex
	sent []letter
	held func(message) bool // keeps a message back; nil: none
}

type letter struct {
	to  string
	m   message
	raw []byte
}

func (p *mail) Send(ctx context.Context, name string, raw []byte) error {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	p.mu.Lock()
	p.sent = append(p.sent, letter{name, m, slices.Clone(raw)})
	hold := p.held != nil && p.held(m)
	p.mu.Unlock()
	if hold {
		return nil
	}
	return p.Pool.Send(ctx, name, raw)
}

// hold keeps messages of a type back from now on.
func (p *mail) hold(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = func(m message) bool { return m.Type == kind }
}

// again sends all messages of some types once more.
func (p *mail) again(t *testing.T, kinds ...string) {
	t.Helper()
	p.mu.Lock()
	sent := slices.Clone(p.sent)
	p.mu.Unlock()
	n := 0
	for _, l := range sent {
		if slices.Contains(kinds, l.m.Type) {
			n++
			if err := p.Pool.Send(t.Context(), l.to, l.raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n == 0 {
		t.Fatalf("nothing of %q was sent", kinds)
	}
	pass(time.Second)
}

// post reads what a server's agent sends, which is to be started afterwards.
func (w *world) post(server string) *mail {
	p := &mail{}
	w.wrap = func(m *machine, d Deps) Deps {
		if m.name == server {
			open := d.OpenPool
			d.OpenPool = func(bind netip.AddrPort, keys [][]byte) (Pool, error) {
				inner, err := open(bind, keys)
				p.Pool = inner
				return p, err
			}
		}
		return d
	}
	return p
}

// refusedOrders counts the events of a server that tell of refused orders.
func (w *world) refusedOrders(server string) int {
	w.t.Helper()
	all, _, err := w.servers[server].events.Read(events.Query{})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if e.Kind == events.Server && e.Is == "order-refused" {
			n++
		}
	}
	return n
}

// An order, and what goes with it, moves a LIM once, however often it arrives.
func TestOrderSentTwice(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		p := w.post("srv2")
		w.settled()
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", soon)
		p.again(t, typePermit, typeOrder)
		w.staysOn(1, []string{"srv1"}, 10*time.Second)
		if n := w.refusedOrders("srv1") + w.refusedOrders("sb1"); n != 2 {
			t.Errorf("%d events tell of it, want one of each server", n)
		}
	})
}

// An order that reaches an agent late, since that was suspended, is not carried out: its
// end is measured by the agent that is to carry it out.
func TestOrderAfterASuspension(t *testing.T) {
	for _, pause := range []time.Duration{permitLife / 2, permitLife + 2*time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.adjust = func(c *Config) { c.Lease = time.Minute }
				p := w.post("srv2")
				w.settled()
				p.hold(typeOrder)
				done := make(chan error, 1)
				go func() {
					_, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1})
					done <- err
				}()
				pass(100 * time.Millisecond)
				release := make(chan struct{})
				w.servers["srv1"].agent.post(func() { <-release })
				p.again(t, typeOrder)
				pass(pause - time.Second)
				close(release)
				err := <-done
				if pause < permitLife {
					w.await(1, "sb1", soon)
					return
				}
				if fault.CodeOf(err) != fault.Unknown {
					t.Errorf("who gave the order is told %v", err)
				}
				pass(5 * time.Second)
				w.staysOn(1, []string{"srv1"}, 10*time.Second)
				if w.refusedOrders("srv1") != 1 {
					t.Error("no event tells of it")
				}
			})
		})
	}
}

// An order of before is void once the agent was started anew, the LIM was started since,
// or the document was edited.
func TestOrderOfBefore(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(w *world)
	}{
		{"another run", func(w *world) {
			w.kill("srv1")
			w.start("srv1")
		}},
		{"another term", func(w *world) {
			a := w.servers["srv1"].agent
			a.post(func() { a.lims.all[1].Known.Term++ })
		}},
		{"another revision", func(w *world) {
			w.edit("srv1", func(c *clusterconf.Cluster) { c.SplitBrainStop = clusterconf.SideStandby })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				p := w.post("srv2")
				w.settled()
				p.hold(typeOrder)
				done := make(chan error, 1)
				go func() {
					_, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1, Now: true})
					done <- err
				}()
				pass(100 * time.Millisecond)
				tc.meanwhile(w)
				pass(500 * time.Millisecond)
				p.again(t, typeOrder)
				if err := <-done; fault.CodeOf(err) != fault.Busy {
					t.Errorf("who gave the order is told %v", err)
				}
				w.staysOn(1, []string{"srv1"}, 10*time.Second)
			})
		})
	}
}

// Who gives an order under an older document than the one who is to carry it out waits
// for that document.
func TestOrderBehindAnEdit(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.SplitBrainStop = clusterconf.SideStandby })
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
	})
}
