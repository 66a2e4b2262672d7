package agent

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
)

// Each agent tells what its version understands. A server with an older one is told of, and by
// others, too, while it is down and after their agents were started anew.
func TestServerWithAnOlderVersionIsTold(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(versionSettles + soon)
		w.awaitAlarms(soon)
		w.old = map[string]bool{"srv1": true}
		w.kill("srv1")
		w.start("srv1")
		w.awaitAlarms(versionSettles+soon, "version-behind lim 0 srv1 warning")
		s := serverOf(w.status("sb1"), "srv1")
		if s.Version == nil || *s.Version != "test" || s.Levels == nil || *s.Levels != levels.Oldest() {
			t.Errorf("sb1 knows version %v and levels %v of srv1", s.Version, s.Levels)
		}
		w.powerCut("srv1")
		w.kill("sb1")
		w.start("sb1")
		pass(time.Second)
		if s := serverOf(w.status("sb1"), "srv1"); s.Levels == nil || *s.Levels != levels.Oldest() {
			t.Errorf("an agent that was started anew knows levels %v of srv1, which is down", s.Levels)
		}
	})
}

// An edit that a server cannot read is refused where it would be stored, whoever sends it; that
// server gets no such document.
func TestEditThatAServerCannotReadIsRefused(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.old = map[string]bool{"sb1": true}
		w.settled()
		next := w.doc.Clone()
		if err := next.FreezeCluster("c1", time.Now(), "ann", "", nil); err != nil {
			t.Fatal(err)
		}
		edit := func() error {
			_, err := w.servers["srv1"].agent.Edit(w.t.Context(), control.EditRequest{Base: clusterconf.Hash(w.doc), Document: clusterconf.Encode(next)})
			return err
		}
		if err := edit(); fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "level 2 of the cluster document, which sb1 cannot read") {
			t.Errorf("the edit: %v", err)
		}
		if err := next.LeaveBehind("sb1", true); err != nil {
			t.Fatal(err)
		}
		if err := edit(); err != nil {
			t.Errorf("once sb1 is left behind: %v", err)
		}
		pass(5 * time.Second)
		if got := w.redundant("srv1"); !strings.Contains(got, "sb1 is left behind") {
			t.Errorf("a cluster whose standby is left behind: %s", got)
		}
	})
}

// laterDocuments are what a later version may write into a document, one at a time, and what is
// told of it.
var laterDocuments = map[string]struct{ old, new, told string }{
	"higher level":    {"system:", "level: 99\nsystem:", ":6:8: the document is of level 99"},
	"unknown key":     {"system:", "weather: warm\nsystem:", "weather"},
	"unknown service": {"exec:/lim", "container:lim", "container:lim"},
	"unknown choice":  {"fallback: manual", "fallback: predictive", "predictive"},
	"another format":  {"apiVersion: mxcluster/v1", "apiVersion: mxcluster/v2", "mxcluster/v2"},
}

// laterPool sends documents as a later version would write them.
type laterPool struct {
	Pool
	write func(to string, text string) string
}

func (p *laterPool) Send(ctx context.Context, name string, payload []byte) error {
	var m message
	if err := json.Unmarshal(payload, &m); err != nil {
		return err
	}
	if m.Type == typeDocument {
		m.Document = []byte(p.write(name, string(m.Document)))
		var err error
		if payload, err = json.Marshal(m); err != nil {
			return err
		}
	}
	return p.Pool.Send(ctx, name, payload)
}

// writeLater has sb1 be sent documents that it cannot read, while on.
func (w *world) writeLater(old, replacement string) (on *atomic.Bool) {
	on = &atomic.Bool{}
	on.Store(true)
	w.wrap = func(_ *machine, d Deps) Deps {
		open := d.OpenPool
		d.OpenPool = func(bind netip.AddrPort, keys [][]byte) (Pool, error) {
			inner, err := open(bind, keys)
			return &laterPool{inner, func(to, text string) string {
				if to != "sb1" || !on.Load() {
					return text
				}
				return strings.Replace(text, old, replacement, 1)
			}}, err
		}
		return d
	}
	return on
}

// A newer document that this version cannot read is told on every server, with its line, whatever
// it is that cannot be read; the cluster is not redundant meanwhile, and what runs goes on. It ends
// with a document that all can read.
func TestDocumentThatCannotBeRead(t *testing.T) {
	for name, later := range laterDocuments {
		t.Run(name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				on := w.writeLater(later.old, later.new)
				w.settled()
				w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority++ })
				pass(2 * documentLate)
				w.onlyUnreadable(later.told)
				_, err := w.servers["sb1"].agent.Edit(w.t.Context(), control.EditRequest{Base: clusterconf.Hash(w.doc), Document: clusterconf.Encode(w.doc)})
				if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), later.told) || !strings.Contains(fault.HintOf(err), "run it on srv1, or upgrade mxcluster on sb1") {
					t.Errorf("an edit on sb1: %v, %s", err, fault.HintOf(err))
				}
				on.Store(false)
				w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority++ })
				w.awaitAlarms(soon)
				pass(time.Second)
				w.wantRedundant("yes")
			})
		})
	}
}

// Such a document is told once, over restarts of the agent, too. Nothing is taken over, whether
// anybody is heard that has the document or not. It ends with a version that can read it.
func TestUnreadDocumentOutlivesTheAgent(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		later := laterDocuments["unknown service"]
		on := w.writeLater(later.old, later.new)
		gateway := netip.MustParseAddr("192.0.2.1")
		w.foreignHost(netip.PrefixFrom(gateway, 24))
		w.servers["sb1"].kernel.SetGateways("eth0", gateway)
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority++ })
		pass(2*unreadFor + soon)
		w.onlyUnreadable(later.told)
		handle := w.alarmOf("srv1", alarms.DocumentUnreadable).Handle

		w.kill("sb1")
		w.start("sb1")
		pass(2 * documentLate)
		w.onlyUnreadable(later.told)
		if is := w.alarmOf("srv1", alarms.DocumentUnreadable).Handle; is != handle {
			t.Errorf("after a restart it is alarm %d, and was %d", is, handle)
		}
		n := 0
		for _, e := range w.eventsFrom("sb1", events.Query{}).Events {
			if e.Server == "sb1" && strings.Contains(e.Text, "cannot read the others' cluster document") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("it is told %d times", n)
		}

		w.powerCut("srv1")
		w.powerCut("srv2")
		w.kill("sb1")
		w.start("sb1")
		pass(40 * time.Second)
		if h := w.holders(1); len(h) > 0 {
			t.Errorf("the alias of LIM 1 is on %v", h)
		}
		contains(t, w.eventsFrom("sb1", events.Query{}), "sb1: LIM 1 is left as it is: srv1 is down; revision 2 of the cluster document, which srv", "sb1: LIM 2 is left as it is: srv2 is down; revision 2 of the cluster document, which srv")
		_, err := w.order("sb1", control.Order{Kind: control.OrderFailover, LIM: 1, Now: true, Dead: "srv1"})
		if fault.CodeOf(err) != fault.Refused || !strings.Contains(fault.HintOf(err), "upgrade mxcluster on sb1") {
			t.Errorf("an order to take LIM 1 over: %v, %s", err, fault.HintOf(err))
		}

		on.Store(false)
		w.adjust = func(cfg *Config) { cfg.Version = "later" }
		w.boot("srv1")
		w.boot("srv2")
		w.kill("sb1")
		w.start("sb1")
		w.await(1, "srv1", time.Minute)
		pass(2 * documentLate)
		w.awaitAlarms(soon)
		w.wantRedundant("yes")
	})
}

// onlyUnreadable wants all servers to tell that sb1 cannot read their document, and what follows.
func (w *world) onlyUnreadable(told string) {
	w.t.Helper()
	w.awaitAlarms(soon, "document-behind lim 0 sb1 warning", "document-unreadable lim 0 sb1 warning")
	w.await(1, "srv1", 0)
	for _, on := range []string{"sb1", "srv1", "srv2"} {
		st := w.status(on)
		if x := w.alarmOf(on, alarms.DocumentUnreadable); x == nil || !strings.Contains(x.Text, told) {
			w.t.Errorf("%s shows alarms %+v, without %s", on, st.Clusters[0].Alarms, told)
		}
		if st.Health == "ok" {
			w.t.Errorf("%s shows that all is well", on)
		}
		if got := w.redundant(on); !strings.HasPrefix(got, "no: sb1 could not do its part: it cannot read the others' cluster document") {
			w.t.Errorf("%s shows redundant %q", on, got)
		}
	}
}
