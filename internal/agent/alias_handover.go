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

// givenUp reports whether the other side is alive and claims that it released the LIM after running
// it last, and knows of no foreign host with the alias. It watched for such hosts until then, so
// the probe before taking the alias, which is most of the interruption of a planned move, is not
// needed.
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

// beforeTaking returns what must succeed before an alias is taken: the state is saved, and, unless
// the alias was given up for this server, a probe finds it free.
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

// believing returns the wire without stations whose answers say nothing about who has the alias
// now.
func (a *alias) believing(n *network) Wire {
	former := a.formerMACs()
	return filteredWire{aliasWire{n.wire, n.detector.IsServer}, func(mac net.HardwareAddr) bool {
		return slices.Contains(former, mac.String()) || n.detector.AnswersForOthers(mac.String()) || n.detector.GaveUp(a.lim, mac)
	}}
}

// tellsFor reports whether a MAC address is that of such a station: it answers for others, or
// cannot hold the alias any more.
func (a *alias) tellsFor(mac string) bool {
	return a.net.detector.AnswersForOthers(mac) || slices.Contains(a.formerMACs(), mac)
}

// formerMACs returns the MAC addresses of the LIM's other server if that server's lease of the
// alias has expired for sure, so that answers with them come from something else.
func (a *alias) formerMACs() []string {
	v := a.view(time.Now())
	_, other := failover.Yields(v, a.lim)
	if p := v.Peers[other]; p.Expired(v.Now) && p.Claim != nil {
		return append(slices.Clone(p.Claim.MACs), p.Claim.MAC)
	}
	return nil
}
