package agent

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/arpbudget"
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
	p := a.peers.all[other]
	if p == nil || p.Claim == nil || p.Liveness != failover.Alive || now.Sub(p.claimed) > a.silenceLimit()/2 {
		return false
	}
	theirs := p.Claim.LIM(a.lim)
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
		n.budget.Take(time.Now(), probeCount, arpbudget.Urgent)
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
	return deafWire{aliasWire{n.wire, n.detector.IsServer}, func(mac net.HardwareAddr) bool {
		return slices.Contains(former, mac.String()) || n.detector.AnswersForOthers(mac.String()) || n.detector.GaveUp(a.lim, mac)
	}}
}

// tellsFor reports whether what a MAC address says of a LIM's alias tells nothing of now.
func (a *alias) tellsFor(mac string) bool {
	return a.net.detector.AnswersForOthers(mac) || slices.Contains(a.formerMACs(), mac)
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
