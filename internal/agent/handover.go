package agent

import (
	"context"
	"net"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
)

// givenUp reports whether the other side of the cluster, alive and heard a moment
// ago, says that it has given a LIM up since it ran last, and knows of no foreign
// host that uses the alias. It listened for those until then, so the alias need
// not be probed before it is taken: that would be most of what a planned move
// costs the clients.
func (a *Agent) givenUp(l *lim) bool {
	now := time.Now()
	_, other := failover.Yields(a.view(now), l.number)
	p := a.peers[other]
	if p == nil || p.claim == nil || p.liveness != failover.Alive || now.Sub(p.claimed) > a.silenceLimit()/2 {
		return false
	}
	theirs := p.claim.LIM(l.number)
	free := theirs.Released && !theirs.State.Active() && (!theirs.Holds || theirs.Blocked)
	return free && theirs.ForeignMAC == "" && l.foreign == "" && l.inUse == "" && theirs.Term+1 == l.term
}

// beforeTaking returns what has to be done before an alias is taken: the state is
// saved, and nobody has it, which need not be asked if it was given up for us.
func (a *Agent) beforeTaking(n *network, alias netip.Prefix, given bool, saved func() error) func(context.Context) error {
	if given {
		return func(context.Context) error { return saved() }
	}
	return func(ctx context.Context) error {
		mac, inUse, err := a.deps.Probe(ctx, n.forAlias(), alias.Addr())
		switch {
		case err != nil:
			return err
		case inUse:
			return errInUse{alias, mac.String()}
		}
		return saved()
	}
}

// probeBeside asks who else has an alias that was taken without asking. Who answers is
// heard as any other rival is, and a failed send is a link that is down.
func (a *Agent) probeBeside(n *network, alias netip.Addr) {
	a.wg.Go(func() { _, _, _ = a.deps.Probe(a.ctx, n.wire, alias) })
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
