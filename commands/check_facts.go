package commands

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/check"
	"mxcluster/internal/fault"
	"mxcluster/internal/netfiles"
	"mxcluster/internal/settings"
	"mxcluster/netops"
)

// Machine is what `check` tries on this server, beside its kernel's addresses and its wire.
type Machine struct {
	Files fs.FS // the server's, from its root

	// Port tries whether a TCP connection reaches a port.
	Port func(ctx context.Context, from netip.Addr, to netip.AddrPort) error
	// Segment tries whether packets of size bytes are answered, and if not, whether small ones are.
	Segment func(ctx context.Context, from, to netip.Addr, size int) (full, small bool, err error)
	// Blocking tries whether addresses can be blocked.
	Blocking func() error
	// ClockKept tells whether a service keeps the clock, nil if that is not to be seen; and if
	// not, why.
	ClockKept func() (kept *bool, why string)
}

const (
	portPatience  = 3 * time.Second
	announceEvery = 500 * time.Millisecond
	listenFor     = 1800 * time.Millisecond // at the least
)

// factFinder looks at this server.
type factFinder struct {
	*server
	doc *clusterconf.Document
	me  *clusterconf.Server

	mu    sync.Mutex
	facts *check.Facts
}

// checkFacts looks at this server, which the document has. It announces the server's base, and
// listens to the others, at least until others is closed.
func (s *server) checkFacts(ctx context.Context, doc *clusterconf.Document, others <-chan struct{}) *check.Facts {
	x := &factFinder{server: s, doc: doc, me: doc.Server(s.settings.Server), facts: &check.Facts{
		Server: s.settings.Server, Version: s.env.Version.Version, At: s.env.Now(), Revision: doc.Revision, Hash: clusterconf.Hash(doc),
		ARPBudget: s.settings.ARPBudget, Ports: map[string]check.Try{}, Segments: map[string]check.Try{}, Logins: map[string]check.Try{}, Software: map[int]check.Try{},
	}}
	f := x.facts
	if keys, err := settings.LoadKeys(s.dirs.GossipKey()); err != nil {
		f.KeyProblem = err.Error()
	} else {
		f.Key = keys[0].Fingerprint()
	}
	x.agentFacts(ctx)
	x.kernelFacts(ctx)
	x.filesFacts()
	x.arpFacts()
	x.dataFacts()
	f.ClockKept, f.ClockService = s.env.Machine.ClockKept()
	f.Blocking = tryOf(s.env.Machine.Blocking())
	var wg sync.WaitGroup
	wg.Go(func() { x.listen(ctx, others) })
	wg.Go(func() { x.softwareFacts(ctx) })
	for _, there := range doc.Servers {
		if there.Name == x.me.Name {
			continue
		}
		wg.Go(func() { x.tryPort(ctx, there) })
		wg.Go(func() { x.trySegment(ctx, there) })
		if syncsBetween(doc, x.me.Name, there.Name) {
			wg.Go(func() { x.tryLogin(ctx, there) })
		}
	}
	wg.Wait()
	return f
}

// tryOf tells what failed from what could not be tried.
func tryOf(err error) check.Try {
	switch {
	case err == nil:
		return check.Try{}
	case fault.CodeOf(err) == fault.NotPermitted:
		return check.Try{Unseen: err.Error()}
	}
	return check.Try{Problem: err.Error()}
}

func (x *factFinder) note(into map[string]check.Try, server string, t check.Try) {
	x.mu.Lock()
	defer x.mu.Unlock()
	into[server] = t
}

func (x *factFinder) agentFacts(ctx context.Context) {
	info, err := x.agent.Agent(ctx)
	if err != nil {
		x.facts.AgentSilent = err.Error()
		return
	}
	a := &check.Agent{Ready: info.Ready, Isolated: info.Isolated, Settings: info.Settings, Hears: map[string]string{}}
	for _, m := range info.Members {
		a.Hears[m.Server] = m.Liveness
	}
	x.facts.Agent = a
}

func (x *factFinder) kernelFacts(ctx context.Context) {
	f := x.facts
	k, err := x.env.Kernel()
	if err != nil {
		f.LinkProblem, f.Blind = err.Error(), err.Error()
		return
	}
	defer k.Close()
	link, err := k.Link(x.me.Interface)
	if err != nil {
		f.LinkProblem = err.Error()
	} else {
		f.Link = &check.Link{Name: link.Name, Up: link.Up, MTU: link.MTU}
		if on, err := k.Promotes(link.Name); err == nil {
			f.Link.Promotes = &on
		}
	}
	all, err := k.Addresses("")
	if err != nil {
		f.Blind = err.Error()
	}
	for _, a := range all {
		f.Addresses = append(f.Addresses, check.Address{Interface: a.Interface, Prefix: a.Prefix, Permanent: a.Permanent})
	}
	if f.Link == nil {
		f.GatewayTry.Unseen = f.LinkProblem
		return
	}
	gateways, err := k.Gateways(link.Name)
	if err != nil {
		f.GatewayTry.Unseen = err.Error()
	}
	for _, addr := range gateways {
		g := check.Gateway{Address: addr}
		mac, err := x.env.probe(ctx, link.Name, addr)
		switch {
		case err != nil:
			g.Unseen = err.Error()
		case mac == nil:
			g.Problem = "it does not answer"
		}
		f.Gateways = append(f.Gateways, g)
	}
}

// filesFacts looks for what brings an alias of this server's clusters up, and for the units of a
// user of the agent's own.
func (x *factFinder) filesFacts() {
	c := x.doc.ClusterOfServer(x.me.Name)
	for _, lim := range x.lims() {
		alias := c.Member(lim).Alias.Addr()
		found, err := netfiles.Find(x.env.Machine.Files, alias)
		if err != nil {
			x.facts.BringsBlind = err.Error()
		}
		for _, b := range found {
			x.facts.Brings = append(x.facts.Brings, check.Bring{Alias: alias, Where: fmt.Sprintf("%s brings it up (%s, line %d)", b.Tool, b.File, b.Line), Remedy: b.Remedy})
		}
	}
	if uid, ok := settings.Owner(x.dirs.Config); ok && uid != 0 && uid != os.Geteuid() {
		x.facts.OwnUser = settings.OwnUser
		const unit = "mxcluster-sync@.service"
		if !slices.ContainsFunc([]string{"etc", "run", "usr/lib", "lib"}, func(dir string) bool {
			_, err := fs.Stat(x.env.Machine.Files, dir+"/systemd/system/"+unit)
			return err == nil
		}) {
			x.facts.UnitsMissing = "there is no " + unit
		}
	}
}

// arpFacts reads the kernel's settings of ARP, or of neighbour discovery.
func (x *factFinder) arpFacts() {
	family, names := "ipv4", []string{check.DropGratuitousARP, check.ARPIgnore}
	if x.me.Base.Addr().Is6() {
		family, names = "ipv6", []string{check.DropUnsolicitedNA}
	}
	x.facts.ARP = map[string]int{}
	for _, name := range names {
		largest, seen := 0, true
		for _, ifname := range []string{"all", x.me.Interface} {
			text, err := fs.ReadFile(x.env.Machine.Files, path.Join("proc/sys/net", family, "conf", ifname, name))
			n, bad := strconv.Atoi(strings.TrimSpace(string(text)))
			seen = seen && err == nil && bad == nil
			largest = max(largest, n)
		}
		if seen {
			x.facts.ARP[name] = largest
		}
	}
}

// lims are the LIMs of a cluster that this server may run.
func (x *factFinder) lims() (lims []int) {
	c := x.doc.ClusterOfServer(x.me.Name)
	if c == nil {
		return nil
	}
	for _, m := range c.LIMs {
		if c.Standby == x.me.Name || m.LIM == x.me.LIM {
			lims = append(lims, m.LIM)
		}
	}
	return lims
}

func (x *factFinder) dataFacts() {
	f, store := x.facts, x.versions()
	f.Backups = map[int]int64{}
	for _, lim := range x.lims() {
		all, err := store.List(lim)
		if err != nil {
			f.DataProblem = err.Error()
			return
		}
		for _, v := range all {
			f.Backups[lim] = max(f.Backups[lim], v.Bytes)
		}
	}
	free, err := store.Free()
	if err != nil {
		f.DataProblem = err.Error()
		return
	}
	f.Free = &free
}

func (x *factFinder) softwareFacts(ctx context.Context) {
	for _, lim := range x.lims() {
		here, err := x.software(lim, false)
		if err == nil {
			if len(here.lim.Services) == 0 {
				x.facts.Unset = append(x.facts.Unset, lim)
				continue
			}
			if err = here.set.Able(ctx, here.env); err == nil {
				err = here.set.Validate(ctx, here.env)
			}
		}
		x.facts.Software[lim] = tryOf(err)
	}
}

// source is the address that others are reached from: the base, where this server has it.
func (x *factFinder) source(to netip.Addr) netip.Addr {
	if x.hasBase() {
		return x.me.Base.Addr()
	}
	return netops.Unspecified(to)
}

func (x *factFinder) hasBase() bool {
	return slices.ContainsFunc(x.facts.Addresses, func(a check.Address) bool { return a.Prefix.Addr() == x.me.Base.Addr() })
}

// hasBaseOn reports whether the base is on an interface. Announced elsewhere it would lead others
// astray.
func (x *factFinder) hasBaseOn(ifname string) bool {
	return slices.ContainsFunc(x.facts.Addresses, func(a check.Address) bool {
		return a.Prefix.Addr() == x.me.Base.Addr() && a.Interface == ifname
	})
}

func (x *factFinder) tryPort(ctx context.Context, there clusterconf.Server) {
	ctx, cancel := context.WithTimeout(ctx, portPatience)
	defer cancel()
	to := netip.AddrPortFrom(there.Base.Addr(), uint16(x.settings.GossipPort))
	x.note(x.facts.Ports, there.Name, tryOf(x.env.Machine.Port(ctx, x.source(to.Addr()), to)))
}

func (x *factFinder) trySegment(ctx context.Context, there clusterconf.Server) {
	if x.facts.Link == nil {
		return
	}
	to, size := there.Base.Addr(), x.facts.Link.MTU
	full, small, err := x.env.Machine.Segment(ctx, x.source(to), to, size)
	t := tryOf(err)
	switch {
	case err != nil || full:
	case small:
		t.Problem = fmt.Sprintf("%s answers small packets, and none of %d bytes", there.Name, size)
	default:
		t.Unseen = there.Name + " answers no ICMP echo"
	}
	x.note(x.facts.Segments, there.Name, t)
}

// syncsBetween reports whether data are synchronised between two servers.
func syncsBetween(doc *clusterconf.Document, one, other string) bool {
	c := doc.ClusterOfServer(one)
	return c != nil && c == doc.ClusterOfServer(other) && (c.Standby == one || c.Standby == other)
}

func (x *factFinder) tryLogin(ctx context.Context, there clusterconf.Server) {
	rsh := x.rsh()
	rsh.Patience = min(rsh.Patience, loginPatience)
	_, err := x.awaitGreeting(ctx, rsh, &there)
	x.note(x.facts.Logins, there.Name, tryOf(err))
}

// listen announces the base of this server by gratuitous ARP, and hears that of the others.
func (x *factFinder) listen(ctx context.Context, others <-chan struct{}) {
	if x.facts.Link == nil || !x.hasBaseOn(x.facts.Link.Name) {
		x.facts.Deaf = x.me.Name + " does not have its base on its interface"
		return
	}
	w, err := x.env.Wire(x.facts.Link.Name)
	if err != nil {
		x.facts.Deaf = err.Error()
		return
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := w.Subscribe(ctx)
	every := time.NewTicker(announceEvery)
	defer every.Stop()
	enough := time.After(listenFor)
	for enough != nil || others != nil {
		select {
		case o, open := <-heard:
			if !open {
				x.facts.Deaf = "the interface was closed"
				return
			}
			x.noteAnnouncement(o)
		case <-every.C:
			if err := w.Announce(x.me.Base.Addr()); err != nil {
				x.facts.Deaf = err.Error()
				return
			}
		case <-enough:
			enough = nil
		case <-others:
			others = nil
		}
	}
}

// noteAnnouncement keeps whose announcement was heard.
func (x *factFinder) noteAnnouncement(o netops.Observation) {
	if netops.IsUnicast(o.EthDst) || o.SenderIP.Is4() && o.TargetIP != o.SenderIP {
		return
	}
	i := slices.IndexFunc(x.doc.Servers, func(s clusterconf.Server) bool { return s.Base.Addr() == o.SenderIP })
	if i >= 0 && !slices.Contains(x.facts.Announced, x.doc.Servers[i].Name) {
		x.facts.Announced = append(x.facts.Announced, x.doc.Servers[i].Name)
	}
}
