package agent

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// chatter is software that sends from the alias all the time, on whichever side it
// is, and a client that asks for the alias and keeps who is heard.
type chatter struct {
	*world
	alias   netip.Addr
	client  *netopstest.Kernel
	sent    map[string]*atomic.Int64 // by server, as far as its kernel let it out
	refused map[string]*atomic.Int64

	mu    sync.Mutex
	heard map[string]int // MACs that sent as the alias
	moves int            // from one to another
}

// talk has a server's software send, and the client ask, until the world ends.
func (c *chatter) talk(m *machine) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	wire, err := c.segment.OpenWire(m.kernel, "eth0")
	if err != nil {
		c.t.Error(err)
		return
	}
	for {
		select {
		case <-c.ended:
			return
		case <-tick.C:
		}
		if !c.has(m) {
			continue // nothing can be sent from an address that is not there
		}
		for _, err := range []error{wire.Announce(c.alias), wire.Ask(c.alias, netip.MustParseAddr("192.0.2.99"), nil)} {
			if err != nil {
				c.refused[m.name].Add(1)
			} else {
				c.sent[m.name].Add(1)
			}
		}
	}
}

func (c *chatter) has(m *machine) bool {
	addrs, err := m.kernel.Addresses("eth0")
	for _, a := range addrs {
		if a.Prefix.Addr() == c.alias {
			return err == nil
		}
	}
	return false
}

// listen is the client's side.
func (c *chatter) listen() {
	wire, err := c.segment.OpenWire(c.client, "eth0")
	if err != nil {
		c.t.Error(err)
		return
	}
	defer wire.Close()
	heard := wire.Subscribe(c.t.Context())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-c.ended:
			return
		case <-tick.C:
			if err := wire.Ask(netip.MustParseAddr("192.0.2.99"), c.alias, nil); err != nil {
				c.t.Error(err)
			}
		case o := <-heard:
			if mac := o.SenderMAC.String(); o.SenderIP == c.alias {
				c.mu.Lock()
				c.heard[mac]++
				if last != "" && last != mac {
					c.moves++
				}
				last = mac
				c.mu.Unlock()
			}
		}
	}
}

// disturb does something to the passive side, or to its software.
func (c *chatter) disturb(rnd *rand.Rand, on string) {
	m := c.servers[on]
	switch rnd.IntN(7) {
	case 0:
		m.soft.SetState(services.Stopped)
	case 1:
		m.soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		m.soft.SetState(services.Failed)
	case 2:
		m.soft.Script(servicestest.VerbReload, pick(rnd, servicestest.Step{Err: errBroken}, servicestest.Step{After: 5 * time.Second}))
	case 3:
		m.setData(&failover.Data{Version: "xdata_1_" + time.Now().Format("20060102150405"), Newest: time.Now()})
	case 4: // within its lease, or after it
		c.kill(on)
		pass(pick(rnd, 500*time.Millisecond, 10*time.Second))
		c.start(on)
	case 5:
		if err := m.kernel.Drop("eth0", c.doc.Clusters[0].LIMs[0].Alias); err != nil {
			c.t.Error(err)
		}
	case 6:
		m.soft.Script(servicestest.VerbStart, servicestest.Step{})
		m.soft.Script(servicestest.VerbReload, servicestest.Step{})
	}
}

// Must never happen: the passive side is heard, or hears, as the alias. For some minutes,
// or an hour with MXCLUSTER_TEST_LEAKS=1, its software sends from the alias all the time, is started, stopped, hangs and fails, and
// its agent is killed; after half of it the sides change.
func TestPreloadedNeverLeaks(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.carryOut(func(d *clusterconf.Document) error {
			d.Clusters[0].FailoverAfter = clusterconf.Duration(time.Second)
			return nil
		})
		client := netopstest.NewKernel("client", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 99}})
		w.segment.Connect(client, "eth0")
		c := &chatter{world: w, alias: w.doc.Clusters[0].LIMs[0].Alias.Addr(), client: client, heard: map[string]int{},
			sent: map[string]*atomic.Int64{}, refused: map[string]*atomic.Int64{}}
		for _, name := range []string{"srv1", "sb1"} {
			c.sent[name], c.refused[name] = &atomic.Int64{}, &atomic.Int64{}
			w.watchers.Go(func() { c.talk(w.servers[name]) })
		}
		w.watchers.Go(c.listen)
		half := 3 * time.Minute
		if os.Getenv("MXCLUSTER_TEST_LEAKS") != "" {
			half = 30 * time.Minute
		}
		rnd := rand.New(rand.NewPCG(7, 7))
		for _, passive := range []string{"sb1", "srv1"} {
			active := map[string]string{"sb1": "srv1", "srv1": "sb1"}[passive]
			was := c.sent[passive].Load()
			for end := time.Now().Add(half); time.Now().Before(end); pass(20 * time.Second) {
				c.disturb(rnd, passive)
			}
			w.await(1, active, 0)
			if n := c.sent[passive].Load() - was; n > 0 {
				t.Errorf("%s, the passive side, was heard %d times", passive, n)
			}
			w.servers[passive].soft.Script(servicestest.VerbStart, servicestest.Step{})
			w.servers[passive].soft.Script(servicestest.VerbReload, servicestest.Step{})
			d := w.servers[passive].newestData(1).Newest
			w.servers[active].setData(d)
			w.kill(passive) // a new agent does not wait for its next try
			w.start(passive)
			w.awaitState(1, passive, failover.Preloaded, soon)
			if passive == "sb1" {
				pass(100 * time.Millisecond) // until the other side has heard of it
				if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
					t.Fatal(err)
				}
				w.await(1, "sb1", soon)
				w.awaitState(1, "srv1", failover.Preloaded, soon)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.moves != 1 || len(c.heard) != 2 {
			t.Errorf("the client heard the alias from %v, which changed %d times; want once", c.heard, c.moves)
		}
		for _, name := range []string{"srv1", "sb1"} {
			t.Logf("%s: %d frames as the alias went out, its kernel refused %d", name, c.sent[name].Load(), c.refused[name].Load())
			if c.sent[name].Load() < 1000 || c.refused[name].Load() < 500 {
				t.Error("that is too few to prove anything")
			}
		}
	})
}
