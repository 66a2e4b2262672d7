package agent

import (
	"context"
	"net"
	"net/netip"

	"mxcluster/internal/arpbudget"
)

// probe asks whether an address is in use, once the ARP budget allows it.
func (a *core) probe(ctx context.Context, n *network, addr netip.Addr, u arpbudget.Urgency) (net.HardwareAddr, bool, error) {
	if !n.budget.Await(ctx, probeCount, u) {
		return nil, false, ctx.Err()
	}
	return a.deps.Probe(ctx, n.wire, addr)
}

// probeAlias does so for an alias.
func (a *core) probeAlias(ctx context.Context, n *network, alias netip.Addr, u arpbudget.Urgency) (net.HardwareAddr, bool, error) {
	if !n.budget.Await(ctx, probeCount, u) {
		return nil, false, ctx.Err()
	}
	return a.deps.Probe(ctx, n.forAlias(), alias)
}

// filteredWire is a wire over which the answers of some stations are ignored.
type filteredWire struct {
	aliasWire
	ignores func(mac net.HardwareAddr) bool
}

// Believes reports whether a station's answers count (see [netops.Prober]).
func (w filteredWire) Believes(mac net.HardwareAddr) bool { return !w.ignores(mac) }

// probeBeside asks who else has an alias that was taken without a probe. An answer is handled like
// any rival's claim. Sending fails on a link that is down.
func (a *core) probeBeside(n *network, alias netip.Addr) {
	a.wg.Go(func() { _, _, _ = a.probeAlias(a.ctx, n, alias, arpbudget.Urgent) })
}

// aliasWire is a wire for probing an alias: a host outside of the system that probes for it, too,
// as `arp probe` does, does not use it. If two servers probe, both notice.
type aliasWire struct {
	Wire
	ours func(mac net.HardwareAddr) bool
}

// Minds reports whether a station's probes count as use (see [netops.Prober]).
func (w aliasWire) Minds(mac net.HardwareAddr) bool { return w.ours(mac) }

func (n *network) forAlias() Wire { return aliasWire{n.wire, n.detector.IsServer} }
