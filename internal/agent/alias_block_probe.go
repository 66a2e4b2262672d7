package agent

import (
	"net"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/failover"
)

const (
	blockAsks   = 3                // questions to a side with a blocked alias
	blockWait   = time.Second      // between questions, and for an answer to the last
	blockAgain  = 10 * time.Minute // until the next round of questions
	blockedMACs = 4                // most MAC addresses of the other side that are asked
)

// blockProbe checks, on the active side, that the other side's block of the alias is effective: its
// kernel is asked by unicast ARP, at each of its MAC addresses, and must not answer.
type blockProbe struct {
	since  time.Time // start of the other side's present state; a new state is checked anew
	asked  int
	last   time.Time // last question
	result string    // see [failover.BlockSilent]; "": not known yet
}

// due reports whether a question is to be sent now. It draws the conclusion when all went
// unanswered.
func (b *blockProbe) due(now time.Time) bool {
	switch waited := now.Sub(b.last); {
	case b.asked < blockAsks:
		return waited >= blockWait
	case waited >= blockAgain:
		b.asked = 0
		return true
	case waited >= blockWait && b.result == "":
		b.result = failover.BlockSilent
	}
	return false
}

// answered records an answer; it reports whether there was a question.
func (b *blockProbe) answered(now time.Time) bool {
	if b.asked == 0 || now.Sub(b.last) >= blockWait {
		return false
	}
	b.result = failover.BlockAnswered
	return true
}

// tendBlockProbes checks the passive sides of the LIMs that are active here.
func (a *aliases) tendBlockProbes(now time.Time) {
	for _, x := range a.all {
		theirs, other, ok := x.passiveThere()
		if !ok {
			x.otherBlock = blockProbe{}
			continue
		}
		if !theirs.Since.Equal(x.otherBlock.since) {
			x.otherBlock = blockProbe{since: theirs.Since}
		}
		if !x.otherBlock.due(now) {
			continue
		}
		macs := other.MACs[max(len(other.MACs)-blockedMACs, 0):]
		if !a.net.budget.Take(now, len(macs), arpbudget.Plain) {
			continue
		}
		x.otherBlock.asked++
		x.otherBlock.last = now
		for _, text := range macs {
			if mac, err := net.ParseMAC(text); err == nil {
				// A failed send is a link that is down: then it is not this side that serves for long.
				_ = a.net.wire.Ask(a.net.base.Addr(), x.addr.Addr(), mac)
			}
		}
	}
}

// passiveThere returns the other side's claim about a LIM that is active here, if that side is
// alive and holds the alias blocked.
func (a *alias) passiveThere() (failover.LIMClaim, *failover.Claim, bool) {
	if !a.holds || a.blocked != "" {
		return failover.LIMClaim{}, nil, false
	}
	_, name := a.other(time.Now())
	p := a.peers.all[name]
	if p == nil || p.Claim == nil || p.Liveness != failover.Alive {
		return failover.LIMClaim{}, nil, false
	}
	theirs := p.Claim.LIM(a.lim)
	return theirs, p.Claim, theirs.Holds && theirs.Blocked && !theirs.Absent
}

// blockFailed renews a block here that the other side found ineffective.
func (a *aliases) blockFailed(c *failover.Claim) {
	for _, x := range a.all {
		if !x.passive() || c.LIM(x.lim).OtherBlock != failover.BlockAnswered || time.Since(x.reblocked) < blockWait {
			continue
		}
		x.reblocked = time.Now()
		a.log.Error("the block of an alias does not hold; it is made anew", "lim", x.lim, "alias", x.addr, "found by", c.Server)
		if err := a.deps.Kernel.Block(a.net.ifname, x.addr.Addr()); err != nil {
			a.log.Error("blocking an alias", "lim", x.lim, "alias", x.addr, "err", err)
		}
	}
}
