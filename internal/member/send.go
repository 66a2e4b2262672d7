package member

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/hashicorp/memberlist"

	"mxcluster/internal/fault"
)

// Publish makes payload, which must be JSON, this server's state, and sends it
// straight to every peer; losses are mended by the next heartbeat.
func (p *Pool) Publish(payload []byte) {
	p.mu.Lock()
	p.own.Seq++
	p.own.Payload = slices.Clone(payload)
	own := p.own
	names := slices.Collect(maps.Keys(p.peers))
	p.mu.Unlock()
	p.sendFast(stateEnvelope(own), names...)
}

// Beat sends a sign of life to the servers named.
func (p *Pool) Beat(names ...string) {
	p.sendFast(envelope{Kind: kindBeat, Seq: p.published()}, names...)
}

// Ask asks a server for a sign of life, and for its state if that is not known.
func (p *Pool) Ask(name string) {
	p.mu.Lock()
	known := p.states[name].Seq
	p.mu.Unlock()
	p.sendFast(envelope{Kind: kindAsk, Seq: p.published(), Known: known}, name)
}

// stateEnvelope carries this server's state.
func stateEnvelope(own record) envelope {
	return envelope{Kind: kindState, Seq: own.Seq, Payload: own.Payload}
}

// published returns the number of this server's state, 0 if it has none yet.
func (p *Pool) published() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.own.Payload) == 0 {
		return 0
	}
	return p.own.Seq
}

// Send delivers a JSON message to one server over TCP. An error says that it
// was not delivered (Unreachable), nil only that it was sent: where it matters,
// have it answered. It blocks for up to 2 s for each address of the server.
func (p *Pool) Send(ctx context.Context, name string, payload []byte) error {
	addrs := p.tries(name)
	if len(addrs) == 0 {
		return fault.New(fault.Unreachable, "`mxcluster server list` shows the servers", "no address of server %s is known", name)
	}
	body, err := p.encode(envelope{Kind: kindMessage, Payload: payload})
	if err != nil {
		return fmt.Errorf("encoding a message for %s: %w", name, err)
	}
	for _, addr := range addrs {
		if err = ctx.Err(); err != nil {
			break
		}
		node := &memberlist.Node{Name: name, Addr: net.IP(addr.Addr().AsSlice()), Port: addr.Port()}
		if err = p.list.SendReliable(node, body); err == nil {
			return nil
		}
	}
	return fault.Wrap(err, fault.Unreachable, "check that its agent runs: `mxcluster agent status` there", "sending to %s at %s", name, addrs[0].Addr())
}

// Tell sends a short JSON message to one server at once, which may be lost on the way
// and is not a message that [Pool.Send] sends.
func (p *Pool) Tell(name string, payload []byte) {
	p.sendFast(envelope{Kind: kindNote, Seq: p.published(), Payload: payload}, name)
}

// sendFast sends an unreliable message; a loss is mended by a later one.
func (p *Pool) sendFast(e envelope, names ...string) {
	body, err := p.encode(e)
	if err != nil {
		p.cfg.Log.Error("encoding a gossip message", "kind", e.Kind, "err", err)
		return
	}
	for _, name := range names {
		for _, addr := range p.addrs(name) {
			if err := p.secure.send(name, addr, body); err != nil {
				p.cfg.Log.Debug("sending gossip", "to", name, "err", err)
			}
		}
	}
}

// encode puts this server's name, address and time on an envelope.
func (p *Pool) encode(e envelope) ([]byte, error) {
	e.Origin, e.Addr, e.Sent = p.cfg.Name, p.cfg.Bind, p.cfg.Now().UnixMilli()
	return json.Marshal(e)
}

// tries lists where a message is sent to, in order. A server that has just moved may not
// have spoken from its new address yet: that is tried besides.
func (p *Pool) tries(name string) []netip.AddrPort {
	all := p.addrs(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.peers[name]; len(known) > 0 && !slices.Contains(all, known[0]) {
		return append(slices.Clone(all), known[0])
	}
	return all
}

// addrs finds a server's addresses: where it said itself that it is, else where
// it should be, else, for a server that is just joining, from the member list.
func (p *Pool) addrs(name string) []netip.AddrPort {
	p.mu.Lock()
	at, spoke := p.heard[name]
	known := p.peers[name]
	p.mu.Unlock()
	switch {
	case spoke:
		return []netip.AddrPort{at}
	case len(known) > 0:
		return known
	}
	for _, n := range p.list.Members() {
		if ip, valid := netip.AddrFromSlice(n.Addr); valid && n.Name == name {
			return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), n.Port)}
		}
	}
	return nil
}
