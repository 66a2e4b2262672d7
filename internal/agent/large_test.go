package agent

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/internal/member/membernet"
)

// largeEnv asks for the largest system, of 248 servers, which takes minutes.
const largeEnv = "MXCLUSTER_TEST_LARGE"

// regularsEach is how many regular servers a cluster of the large system has.
const regularsEach = 10

// TestLarge measures how much the agents of a large system say when nothing happens,
// and how long a new document takes to reach all of them: of three clusters and
// two free servers, and with MXCLUSTER_TEST_LARGE=1 of 22 clusters and six.
func TestLarge(t *testing.T) {
	clusters, free := 3, 2
	if os.Getenv(largeEnv) != "" {
		clusters, free = 22, 6
	}
	synctest.Test(t, func(t *testing.T) {
		doc := largeDocument(clusters, free)
		w := newWorldOf(t, doc)
		defer w.close()
		counts := w.countTraffic()
		for _, s := range doc.Servers {
			w.start(s.Name)
		}
		pass(20 * time.Second)
		for _, c := range doc.Clusters {
			for _, m := range c.LIMs {
				w.await(m.LIM, doc.RegularOf(m.LIM).Name, soon)
			}
		}
		pass(10 * time.Second)         // joining is over
		const quiet = 40 * time.Second // one push/pull of each in the largest system
		idle := w.during(counts, quiet, func() { pass(quiet) })
		raw := clusterconf.Encode(doc)
		t.Logf("%d servers, document of %.0f kB", len(doc.Servers), float64(len(raw))/1e3)
		t.Logf("| idle, a server and second     | %s |", idle)
		var took []time.Duration
		spread := w.during(counts, time.Second, func() { took = w.spread("srv1") })
		t.Logf("| new document                  | median %s, last %s; %s in all |", took[len(took)/2], took[len(took)-1], spread)
		if last := took[len(took)-1]; last > 5*time.Second {
			t.Errorf("the new document took %s to the last server", last)
		}
		for _, name := range []string{"srv1", "sb1"} {
			for other, p := range w.livesSeen(name) {
				if p != failover.Alive {
					t.Errorf("%s takes %s for %s", name, other, p)
				}
			}
		}
	})
}

// largeDocument makes clusters of ten regular servers and a standby, and free servers.
func largeDocument(clusters, free int) *clusterconf.Document {
	d := clusterconftest.System(clusters, regularsEach)
	d.Revision, d.Changed.At = 1, time.Now().UTC()
	for lim := 1; lim <= clusters*regularsEach; lim++ {
		d.LIMs = append(d.LIMs, clusterconf.LIM{Number: lim, Services: []clusterconf.Service{{Run: "exec:/lim"}}})
	}
	for i := range free {
		d.Servers = append(d.Servers, clusterconf.Server{Name: fmt.Sprintf("free%d", i+1), Base: clusterconftest.Host(250, i+1), Interface: "eth0"})
	}
	slices.SortFunc(d.Servers, func(a, b clusterconf.Server) int { return cmp.Compare(a.Name, b.Name) })
	return d
}

// traffic is what one server sent by gossip.
type traffic struct {
	datagrams, datagramBytes, streams, streamBytes atomic.Int64
}

// countTraffic counts what every server sends, by server.
func (w *world) countTraffic() map[string]*traffic {
	counts := map[string]*traffic{}
	for _, s := range w.doc.Servers {
		counts[s.Name] = &traffic{}
	}
	w.wrap = func(m *machine, d Deps) Deps {
		d.OpenPool = func(bind netip.AddrPort, keys [][]byte) (Pool, error) {
			end, err := w.listen(m.name, bind)
			if err != nil {
				return nil, err
			}
			return member.Open(member.Config{Name: m.name, Bind: bind, Keys: keys, Log: w.log(m.name), Transport: countedTransport{end, counts[m.name]}, Guard: membernet.ShowKeys, Now: time.Now})
		}
		return d
	}
	return counts
}

// during says what a server sends per unit of time while f runs, the mean and the most.
func (w *world) during(counts map[string]*traffic, unit time.Duration, f func()) string {
	read := func() (all [][4]int64) {
		for _, s := range w.doc.Servers {
			c := counts[s.Name]
			all = append(all, [4]int64{c.datagrams.Load(), c.datagramBytes.Load(), c.streams.Load(), c.streamBytes.Load()})
		}
		return all
	}
	before := read()
	f()
	per := unit.Seconds()
	var sum, most [4]float64
	for i, c := range read() {
		for k := range c {
			n := float64(c[k]-before[i][k]) / per
			sum[k], most[k] = sum[k]+n, max(most[k], n)
		}
	}
	n := float64(len(before))
	return fmt.Sprintf("sends %.1f datagrams, %.1f kB (most %.1f kB), and %.2f streams, %.1f kB (most %.1f kB)",
		sum[0]/n, sum[1]/n/1e3, most[1]/1e3, sum[2]/n, sum[3]/n/1e3, most[3]/1e3)
}

// spread edits the document on a server and returns, in order, after what time each
// other one works by it.
func (w *world) spread(on string) []time.Duration {
	w.t.Helper()
	w.edit(on, func(c *clusterconf.Cluster) { c.SplitBrainStop = clusterconf.SideStandby })
	began := time.Now()
	var took []time.Duration
	behind := slices.Clone(w.doc.Servers)
	for len(behind) > 0 && time.Since(began) < time.Minute {
		behind = slices.DeleteFunc(behind, func(s clusterconf.Server) bool {
			info, err := w.servers[s.Name].agent.Agent(w.t.Context())
			if err != nil || info.Revision == w.doc.Revision {
				return false
			}
			took = append(took, time.Since(began))
			return true
		})
		pass(10 * time.Millisecond)
	}
	if len(behind) > 0 {
		w.t.Fatalf("%d servers do not have the new document after %s", len(behind), time.Since(began))
	}
	return took
}

// livesSeen is whom a server takes for what.
func (w *world) livesSeen(name string) map[string]failover.Liveness {
	out := map[string]failover.Liveness{}
	info, err := w.servers[name].agent.Agent(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range info.Members {
		out[m.Server] = failover.Liveness(m.Liveness)
	}
	return out
}

// countedTransport counts what goes out of an endpoint.
type countedTransport struct {
	memberlist.Transport
	c *traffic
}

// WriteTo sends a datagram.
func (t countedTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	t.c.datagrams.Add(1)
	t.c.datagramBytes.Add(int64(len(b)))
	return t.Transport.WriteTo(b, addr)
}

// DialTimeout connects to another endpoint.
func (t countedTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	t.c.streams.Add(1)
	conn, err := t.Transport.DialTimeout(addr, timeout)
	if err != nil {
		return nil, err
	}
	return countedConn{conn, t.c}, nil
}

// countedConn counts what the dialling end writes.
type countedConn struct {
	net.Conn
	c *traffic
}

// Write writes.
func (c countedConn) Write(b []byte) (int, error) {
	c.c.streamBytes.Add(int64(len(b)))
	return c.Conn.Write(b)
}
