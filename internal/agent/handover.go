package agent

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/failover"
)

// givenUp reports whether the other side of the cluster, alive and heard a moment
// ago, says that it has given a LIM up since it ran last, and knows of no foreign
// host that uses the alias. It listened for those until then, so the alias need
// not be probed before it is taken: that would be most of what a planned move
// costs the clients.
func (a *alias) givenUp(term uint64) bool {
	now := time.Now()
	_, other := a.other(now)
	p := a.peers[other]
	if p == nil || p.claim == nil || p.liveness != failover.Alive || now.Sub(p.claimed) > a.silenceLimit()/2 {
		return false
	}
	theirs := p.claim.LIM(a.lim)
	free := theirs.Released && !theirs.State.Active() && (!theirs.Holds || theirs.Blocked)
	return free && theirs.ForeignMAC == "" && a.foreign.mac == "" && a.inUse.text == "" && theirs.Term+1 == term
}

// beforeTaking returns what has to be done before an alias is taken: the state is
// saved, and nobody has it, which need not be asked if it was given up for us.
func (a *alias) beforeTaking(n *network, alias netip.Prefix, given bool, saved func() error) func(context.Context) error {
	if given {
		return func(context.Context) error { return saved() }
	}
	wire := a.believing(n)
	return func(ctx context.Context) error {
		n.budget.take(time.Now(), probeCount, urgent)
		mac, inUse, err := a.deps.Probe(ctx, wire, alias.Addr())
		switch {
		case err != nil:
			return err
		case inUse:
			return errInUse{alias, mac.String()}
		}
		return saved()
	}
}

// believing returns the wire without those who tell nothing of who has a LIM's alias now.
func (a *alias) believing(n *network) Wire {
	former := a.formerMACs()
	return deafWire{aliasWire{n.wire, n.sup.ours}, func(mac net.HardwareAddr) bool {
		return slices.Contains(former, mac.String()) || n.sup.standsIn(mac.String()) || n.sup.gaveUp(a.lim, mac)
	}}
}

// tellsFor reports whether what a MAC address says of a LIM's alias tells nothing of now.
func (a *alias) tellsFor(mac string) bool {
	return a.net.sup.standsIn(mac) || slices.Contains(a.formerMACs(), mac)
}

// formerMACs are those of the LIM's other server where that can have no alias any more,
// whoever answers in its place.
func (a *alias) formerMACs() []string {
	v := a.view(time.Now())
	_, other := failover.Yields(v, a.lim)
	if p := v.Peers[other]; p.Expired(v.Now) && p.Claim != nil {
		return append(slices.Clone(p.Claim.MACs), p.Claim.MAC)
	}
	return nil
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
	a.wg.Go(func() { _, _, _ = a.probeAlias(a.ctx, n, alias, urgent) })
}

// aliasWire is a wire over which an alias is probed for: a host of nobody's that probes
// for it, too, as `arp probe` does, does not use it. Of two servers that do both hear.
type aliasWire struct {
	Wire
	ours func(mac net.HardwareAddr) bool
}

// Minds reports whose probes count (see [netops.Prober]).
func (w aliasWire) Minds(mac net.HardwareAddr) bool { return w.ours(mac) }

func (n *network) forAlias() Wire { return aliasWire{n.wire, n.sup.ours} }
