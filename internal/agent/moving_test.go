package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
)

// moveStandby gives the standby another base, as `server set` on srv1 does.
func (w *world) moveStandby() {
	w.t.Helper()
	edit := func(d *clusterconf.Document) error {
		before := d.Clone()
		if err := d.SetServer("sb1", "", "192.0.2.30"); err != nil {
			return err
		}
		return d.KeepReached(before, func(string) bool { return true })
	}
	r, err := w.servers["srv1"].store.Preview(clusterconf.Change{By: "test"}, edit)
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.servers["srv1"].agent
	if err := a.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: clusterconf.Moves(r.Before.Document, r.After.Document)}); err != nil {
		w.t.Fatal(err)
	}
	w.editStore("srv1", edit)
	if err := a.Reload(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// awaitMoved lets time pass until every server knows the new base, and the standby has
// it alone.
func (w *world) awaitMoved(within time.Duration) {
	w.t.Helper()
	last := ""
	for began := time.Now(); time.Since(began) <= within; pass(20 * time.Millisecond) {
		last = ""
		for _, s := range w.doc.Servers {
			d, err := w.servers[s.Name].store.Read()
			if err != nil || failover.Pending(d) || d.Server("sb1").Base != netip.MustParsePrefix("192.0.2.30/24") {
				last = fmt.Sprintf("%s has revision %d (%v)", s.Name, d.Revision, err)
			}
		}
		if here, _ := w.has("sb1", "192.0.2.20/24"); last == "" && !here {
			w.expect("sb1", "192.0.2.30/24", true, true)
			return
		}
	}
	w.t.Fatalf("the base of sb1 has not moved after %s: %s", within, last)
}

// A base moves while everything runs, whoever loses power or its agent meanwhile.
func TestMoveBase(t *testing.T) {
	for _, on := range []string{"", "srv1", "sb1", "srv2"} {
		for _, ms := range []int{0, 20, 30, 50, 70} {
			if on == "" && ms > 0 {
				continue
			}
			t.Run(fmt.Sprintf("crash of %q after %d ms", on, ms), func(t *testing.T) {
				inFreeWorld(t, func(w *world) {
					w.wrap = func(_ *machine, d Deps) Deps { d.Documents = slowDocuments{d.Documents}; return d }
					for _, name := range []string{"srv1", "srv2", "sb1"} {
						w.kill(name)
					}
					w.start("srv1", "srv2", "sb1")
					pass(3 * time.Second)
					w.moveStandby()
					if on != "" {
						pass(time.Duration(ms) * time.Millisecond)
						w.kill(on)
						pass(100 * time.Millisecond)
						w.start(on)
					}
					w.awaitMoved(time.Minute)
				})
			})
		}
	}
}

// A server misses that its base is changed, twice, and those that know of it start anew: it is
// still looked for where it is.
func TestMovesThatAreMissed(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		w.kill("sb1")
		pass(3 * time.Second)
		for _, base := range []string{"192.0.2.30", "192.0.2.40"} {
			w.editStore("srv1", func(d *clusterconf.Document) error { return d.SetServer("sb1", "", base) })
			if err := w.servers["srv1"].agent.Reload(w.t.Context()); err != nil {
				t.Fatal(err)
			}
			pass(3 * time.Second)
		}
		w.carryOut(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) }) // the others are elsewhere, too
		pass(3 * time.Second)
		for _, name := range []string{"srv1", "srv2"} {
			w.kill(name)
		}
		w.start("srv1", "srv2")
		pass(3 * time.Second)
		w.start("sb1")
		w.until(time.Minute, "sb1 gets the document", func() bool {
			d, err := w.servers["sb1"].store.Read()
			return err == nil && d.Server("sb1").Base == netip.MustParsePrefix("192.0.2.40/24")
		})
		w.until(time.Minute, "it is forgotten where it was", func() bool {
			return len(w.servers["srv1"].state.known().Formers) == 0
		})
	})
}
