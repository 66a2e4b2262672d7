package agent

import (
	"context"
	"net"
	"net/netip"

	"mxcluster/internal/arpbudget"
)

// probe asks whether somebody has an address, once there is room for it in the budget.
func (a *core) probe(ctx context.Context, n *network, addr netip.Addr, u arpbudget.Urgency) (net.HardwareAddr, bool, error) {
	if !n.budget.Await(ctx, probeCount, u) {
		return nil, false, ctx.Err()
	}
	return a.deps.Probe(ctx, n.wire, addr)
}

// probeAlias does so with an alias.
func (a *core) probeAlias(ctx context.Context, n *network, alias netip.Addr, u arpbudget.Urgency) (net.HardwareAddr, bool, error) {
	if !n.budget.Await(ctx, probeCount, u) {
		return nil, false, ctx.Err()
	}
	return a.deps.Probe(ctx, n.forAlias(), alias)
}

// deafWire is a wire over which some stations are not believed.
type deafWire struct {
	aliasWire
	to func(mac net.HardwareAddr) bool
}

// Believes reports whether what a station says counts (see [netops.Prober]).
func (w deafWire) Believes(mac net.HardwareAddr) bool { return !w.to(mac) }

// probeBeside asks who else has an alias that was taken without asking. Who answers is
// heard as any other rival is, and a failed send is a link that is down.
func (a *core) probeBeside(n *network, alias netip.Addr) {
	a.wg.Go(func() { _, _, _ = a.probeAlias(a.ctx, n, alias, arpbudget.Urgent) })
}

// aliasWire is a wire over which an alias is probed for: a host of nobody's that probes
// for it, too, as `arp probe` does, does not use it. Of two servers that do both hear.
type aliasWire struct {
	Wire
	ours func(mac net.HardwareAddr) bool
}

// Minds reports whose probes count (see [netops.Prober]).
func (w aliasWire) Minds(mac net.HardwareAddr) bool { return w.ours(mac) }

func (n *network) forAlias() Wire { return aliasWire{n.wire, n.detector.IsServer} }
