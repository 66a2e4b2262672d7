package netopstest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/fanout"
	"mxcluster/netops"

	"mxcluster/internal/fault"
)

// errDown is what sending on an interface that is down returns.
var errDown = errors.New("network is down")

// errBlocked is what sending from an address that is blocked returns, as Linux has it.
var errBlocked = errors.New("no buffer space available")

// Segment is an Ethernet segment in memory: a switch with Kernels at
// its ports, that answer ARP for their addresses, and Wires beside them.
// A frame arrives everywhere before the call that sent it returns, so that a
// simulation runs the same way each time.
type Segment struct {
	mu    sync.Mutex
	ports []*fakePort
	drop  func(from, to string, o netops.Observation) bool

	cache map[netip.Addr]net.HardwareAddr // of a switch that answers ARP itself; nil: it does not
}

// fakePort is one interface of a kernel and the cable to the switch.
type fakePort struct {
	kernel *Kernel
	ifname string
	wires  []*Wire
	sent   uint64 // frames of ARP that left
}

// Connect plugs the kernel's interface in. Wires that were open when it was
// disconnected stay deaf: whoever had them lost its power.
func (s *Segment) Connect(k *Kernel, ifname string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = append(s.ports, &fakePort{kernel: k, ifname: ifname})
}

// Disconnect pulls the plug of every interface of the kernel, as a loss of
// power does: it hears nothing any more and nobody hears it, and its interfaces
// are as they were.
func (s *Segment) Disconnect(k *Kernel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = slices.DeleteFunc(s.ports, func(p *fakePort) bool { return p.kernel == k })
}

// SuppressARP has the switch answer ARP for what it has learned, with the true MAC
// address and whether that station is there or not, in place of flooding the question.
func (s *Segment) SuppressARP(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache = nil
	if on {
		s.cache = map[netip.Addr]net.HardwareAddr{}
	}
}

// DropWith has drop asked for every frame on its way from one kernel, by name,
// to another; true loses it. A frame without an operation is an echo or its answer. It must not call the segment; nil ends it.
func (s *Segment) DropWith(drop func(from, to string, o netops.Observation) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = drop
}

// OpenWire is as the package's OpenWire, on an interface that was connected.
func (s *Segment) OpenWire(k *Kernel, ifname string) (*Wire, error) {
	if _, err := k.Link(ifname); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.ports, func(p *fakePort) bool { return p.kernel == k && p.ifname == ifname })
	if i < 0 {
		return nil, fault.New(fault.Failed, "connect it to the segment first", "%s of %s is not connected", ifname, k.name)
	}
	w := &Wire{segment: s, port: s.ports[i], heard: fanout.Fanout[netops.Observation]{Depth: heardDepth}, echoed: fanout.Fanout[netops.Echo]{Depth: heardDepth}}
	w.port.wires = append(w.port.wires, w)
	return w, nil
}

// transmit brings a frame from one port to all others, then the answers of the
// kernels there, and so on. A port that was disconnected reaches nobody.
func (s *Segment) transmit(from *fakePort, o netops.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type sent struct {
		from *fakePort
		o    netops.Observation
	}
	for queue := []sent{{from, o}}; len(queue) > 0; queue = queue[1:] {
		f := queue[0]
		if !slices.Contains(s.ports, f.from) {
			continue
		}
		f.from.sent++
		if s.answered(f.from, f.o) {
			continue
		}
		for _, to := range s.ports {
			if to == f.from || !s.passes(f.from, to, f.o) {
				continue
			}
			if reply, ok := to.receive(f.o); ok {
				queue = append(queue, sent{to, reply})
			}
		}
	}
}

// answered has the switch itself answer a question if it does so and can. It learns
// from every frame.
func (s *Segment) answered(from *fakePort, o netops.Observation) bool {
	if s.cache == nil {
		return false
	}
	if o.SenderIP.IsValid() && !o.SenderIP.IsUnspecified() {
		s.cache[o.SenderIP] = o.SenderMAC
	}
	mac, known := s.cache[o.TargetIP]
	if o.Op != netops.Request || !known || o.SenderIP == o.TargetIP || mac.String() == o.SenderMAC.String() {
		return false
	}
	answer := replyTo(o, mac)
	answer.Time = time.Now()
	for _, w := range from.wires {
		w.heard.Send(answer)
	}
	return true
}

// echo brings an echo to the station that it is for, and the answer back.
func (s *Segment) echo(w *Wire, own net.HardwareAddr, from, target netip.Addr, to net.HardwareAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	question := netops.Observation{EthSrc: own, EthDst: to, SenderIP: from, TargetIP: target}
	if !slices.Contains(s.ports, w.port) {
		return
	}
	for _, p := range s.ports {
		if p == w.port || !s.passes(w.port, p, question) {
			continue
		}
		p.kernel.received(p.ifname)
		mac, ok := p.kernel.echoes(p.ifname, target)
		if answer := (netops.Observation{EthSrc: mac, EthDst: own, SenderIP: target, TargetIP: from}); ok && s.passes(p, w.port, answer) {
			w.port.kernel.received(w.port.ifname)
			now := time.Now()
			w.echoed.Send(netops.Echo{Time: now, Asked: now, From: target, MAC: mac})
		}
	}
}

// passes tells whether the frame gets from one port to the other.
func (s *Segment) passes(from, to *fakePort, o netops.Observation) bool {
	link, err := to.kernel.Link(to.ifname)
	if err != nil || !link.Up {
		return false
	}
	if netops.IsUnicast(o.EthDst) && o.EthDst.String() != link.MAC.String() {
		return false
	}
	return s.drop == nil || !s.drop(from.kernel.name, to.kernel.name, o)
}

// receive shows the frame to the wires of the port and returns the kernel's
// reply if there is one.
func (p *fakePort) receive(o netops.Observation) (netops.Observation, bool) {
	o.Time = time.Now()
	p.kernel.received(p.ifname)
	for _, w := range p.wires {
		w.heard.Send(o)
	}
	mac, ok := p.kernel.owns(p.ifname, o.TargetIP)
	if !ok {
		mac, ok = p.kernel.standsInFor(p.ifname, o)
	}
	if o.Op != netops.Request || !ok || o.SenderIP == o.TargetIP {
		return netops.Observation{}, false
	}
	return replyTo(o, mac), true
}

// replyTo is the answer of the station with a MAC address to a question.
func replyTo(o netops.Observation, mac net.HardwareAddr) netops.Observation {
	return netops.Observation{
		Op:        netops.Reply,
		EthSrc:    mac,
		EthDst:    o.SenderMAC,
		SenderMAC: mac,
		SenderIP:  o.TargetIP,
		TargetMAC: o.SenderMAC,
		TargetIP:  o.SenderIP,
	}
}

// heardDepth of frames is kept for a subscriber that is busy.
const heardDepth = 256

// Wire is a netops.Wire on a Segment.
type Wire struct {
	segment *Segment
	port    *fakePort
	heard   fanout.Fanout[netops.Observation]
	echoed  fanout.Fanout[netops.Echo]
}

// Subscribe is as netops.Wire.Subscribe.
func (w *Wire) Subscribe(ctx context.Context) <-chan netops.Observation {
	return w.heard.Subscribe(ctx)
}

// Echoes is as netops.Wire.Echoes.
func (w *Wire) Echoes(ctx context.Context) <-chan netops.Echo { return w.echoed.Subscribe(ctx) }

// Sent is as netops.Wire.Sent, of the port.
func (w *Wire) Sent() uint64 {
	w.segment.mu.Lock()
	defer w.segment.mu.Unlock()
	return w.port.sent
}

// Echo is as netops.Wire.Echo.
func (w *Wire) Echo(from, target netip.Addr, to net.HardwareAddr) error {
	mac, err := w.station(from)
	if err != nil {
		return fault.Wrap(err, fault.CodeOf(err), fault.HintOf(err), "send an echo to %s on %s", target, w.port.ifname)
	}
	if !netops.IsUnicast(to) {
		return fault.New(fault.Usage, "name one station", "send an echo to %s at %s", target, to)
	}
	w.segment.echo(w, mac, from, target, to)
	return nil
}

// Lost is as netops.Wire.Lost.
func (w *Wire) Lost() uint64 { return w.heard.Lost() }

// CatchUp is as netops.Wire.CatchUp; there is nothing to catch up with.
func (w *Wire) CatchUp() (lost uint64, err error) { return 0, nil }

// Ask is as netops.Wire.Ask.
func (w *Wire) Ask(from, target netip.Addr, to net.HardwareAddr) error {
	mac, err := w.station(from)
	if err != nil {
		return fault.Wrap(err, fault.CodeOf(err), fault.HintOf(err), "ask for %s on %s", target, w.port.ifname)
	}
	w.segment.transmit(w.port, netops.WhoHas(mac, from, target, to))
	return nil
}

// Announce is as netops.Wire.Announce.
func (w *Wire) Announce(addr netip.Addr) error {
	mac, err := w.station(addr)
	if err != nil {
		return fault.Wrap(err, fault.CodeOf(err), fault.HintOf(err), "announce %s on %s", addr, w.port.ifname)
	}
	for _, o := range netops.Announcement(mac, addr) {
		w.segment.transmit(w.port, o)
	}
	return nil
}

// station returns our MAC, or an error if nothing can be sent from this address.
func (w *Wire) station(from netip.Addr) (net.HardwareAddr, error) {
	w.segment.mu.Lock()
	open := slices.Contains(w.port.wires, w)
	w.segment.mu.Unlock()
	link, err := w.port.kernel.Link(w.port.ifname)
	switch {
	case err != nil:
		return nil, err
	case !open:
		return nil, net.ErrClosed
	case !link.Up:
		return nil, errDown
	case w.port.kernel.blocks(w.port.ifname, from):
		return nil, errBlocked
	}
	return link.MAC, nil
}

// Close is as netops.Wire.Close.
func (w *Wire) Close() error {
	w.segment.mu.Lock()
	w.port.wires = slices.DeleteFunc(w.port.wires, func(other *Wire) bool { return other == w })
	w.segment.mu.Unlock()
	w.heard.Close()
	w.echoed.Close()
	return nil
}
