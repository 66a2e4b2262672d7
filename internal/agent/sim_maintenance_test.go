package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/services/servicestest"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// maintenance is work that people do: servers are drained, the cluster is frozen.
type maintenance struct{}

func (maintenance) begin(s *simulation, rnd *rand.Rand, on string) {
	of := pick(rnd, s.names()...)
	if rnd.IntN(2) == 0 {
		of = s.standby()
	}
	lasts := pick(rnd, time.Minute, time.Hour)
	if rnd.IntN(3) == 0 {
		s.freeze(on, lasts)
		return
	}
	s.drain(on, of, lasts)
}

// freeze types on a server that nothing moves by itself.
func (s *simulation) freeze(on string, lasts time.Duration) {
	now := time.Now().UTC()
	end := now.Add(lasts)
	s.note("freeze on %s for %s", on, lasts)
	s.command(on, func(d *clusterconf.Document) error { return d.FreezeCluster("c1", now, "test", "", &end) })
}

// drain types on a server that nothing is to run on another one.
func (s *simulation) drain(on, of string, lasts time.Duration) {
	now := time.Now().UTC()
	end := now.Add(lasts)
	s.note("drain of %s on %s", of, on)
	s.command(on, func(d *clusterconf.Document) error { return d.DrainServer(of, now, "test", "", &end, true) })
}

func (maintenance) end(s *simulation, on string) {
	d := s.worksBy(on)
	if d == nil {
		return
	}
	for _, x := range d.Servers {
		if x.Drained != nil {
			s.note("undrain of %s on %s", x.Name, on)
			s.command(on, func(d *clusterconf.Document) error { return d.UndrainServer(x.Name) })
		}
	}
	if c := d.Cluster("c1"); c != nil && c.Frozen != nil {
		s.note("unfreeze on %s", on)
		s.command(on, func(d *clusterconf.Document) error { return d.UnfreezeCluster("c1") })
	}
}

// maintained reports whether any server works by a document that keeps LIMs from moving.
func (s *simulation) maintained() bool {
	return slices.ContainsFunc(s.names(), func(name string) bool {
		d := s.worksBy(name)
		return d != nil && (slices.ContainsFunc(d.Servers, func(x clusterconf.Server) bool { return x.Drained != nil }) ||
			slices.ContainsFunc(d.Clusters, func(c clusterconf.Cluster) bool { return c.Frozen != nil }))
	})
}

// vanished are programs of LIMs' software that are not there any more; what runs goes on.
type vanished struct{}

func (vanished) begin(s *simulation, rnd *rand.Rand, on string) {
	lim := pick(rnd, s.doc.LIMs...).Number
	if own := s.doc.Server(on).LIM; own != 0 {
		lim = own
	}
	s.loseProgram(on, lim)
}

// loseProgram has the program of a LIM be gone on a server.
func (s *simulation) loseProgram(on string, lim int) {
	s.note("the program of LIM %d on %s is gone", lim, on)
	for _, verb := range []servicestest.Verb{servicestest.VerbAble, servicestest.VerbStart} {
		s.servers[on].softs[lim].Script(verb, servicestest.Step{Err: errBroken})
	}
	s.lacking[fmt.Sprint(on, " ", lim)] = true
}

func (vanished) end(s *simulation, on string) {
	for _, l := range s.doc.LIMs {
		if key := fmt.Sprint(on, " ", l.Number); s.lacking[key] {
			s.note("the program of LIM %d on %s is back", l.Number, on)
			s.mendSoftware(on, l.Number)
		}
	}
}

// lostData are data versions that were removed on one server, or never came there.
type lostData struct{}

func (lostData) begin(s *simulation, rnd *rand.Rand, on string) {
	if m := s.servers[on]; m.newestData(1).Newest != nil && rnd.IntN(2) == 0 {
		s.note("the data on %s are lost", on)
		m.setData(nil)
		return
	}
	s.newVersion(on, rnd.IntN(2) == 0)
}

func (lostData) end(s *simulation, _ string) {
	s.note("the data are on all servers")
	s.copyData()
}

// newVersion has a new data version made on a server; the other ones get it at once, or
// later.
func (s *simulation) newVersion(name string, later bool) {
	now := time.Now().UTC()
	d := &failover.Data{Version: "xdata_1_" + now.Format("20060102150405"), Newest: now}
	s.note("data version %s on %s, on the other later: %v", d.Version, name, later)
	s.servers[name].setData(d)
	if !later {
		s.copyData()
	}
}

// strangers are hosts that are no servers and use a LIM's alias.
type strangers struct {
	host *netopstest.Kernel
	on   int // the LIM; 0: there is none
}

func (x *strangers) begin(s *simulation, rnd *rand.Rand, _ string) {
	if x.on != 0 {
		return
	}
	x.on = pick(rnd, s.doc.LIMs...).Number
	s.note("a stranger uses the alias of LIM %d", x.on)
	x.host = netopstest.NewKernel("stranger", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 3, 1}})
	if err := x.host.EnsureBase("eth0", s.alias(x.on)); err != nil {
		s.t.Fatal(err)
	}
	s.segment.Connect(x.host, "eth0")
}

// announce has the stranger make itself known to all who hear it.
func (x *strangers) announce(s *simulation) {
	wire, err := s.segment.OpenWire(x.host, "eth0")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := wire.Announce(s.alias(x.on).Addr()); err != nil {
		s.t.Fatal(err)
	}
}

func (x *strangers) end(s *simulation, _ string) {
	if x.on == 0 {
		return
	}
	s.note("the stranger on the alias of LIM %d is gone", x.on)
	s.segment.Disconnect(x.host)
	x.host.Close()
	x.host, x.on = nil, 0
}
