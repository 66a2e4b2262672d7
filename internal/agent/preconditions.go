package agent

import (
	"context"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/services"
)

// softwarePeriod is the time from one look at what could start here to the next, unless
// the document changes.
const softwarePeriod = 2 * time.Second

// preconditions are what a LIM's software needs to start on this server. They are of the
// main loop.
type preconditions struct {
	*core
	unable  map[int]string // LIMs whose software could not start here, and why; nil: not looked yet
	lacking map[int]string // LIMs whose announcement prompts are not here, and why; "": they are
	looks   looks
}

// looks is how far looking at the software is.
type looks struct {
	under bool      // one is under way
	at    time.Time // of the last one
	hash  string    // of the document that it was by
}

// look finds out whether the LIMs' software could start here, beside
// the main loop, one look at a time: who is asked may take long to answer.
func (p *preconditions) look(lims []int, now time.Time) {
	if p.looks.under || p.looks.hash == p.hash && now.Sub(p.looks.at) < softwarePeriod {
		return
	}
	p.looks = looks{under: true, at: now, hash: p.hash}
	doc, side, aliases := p.doc, p.side(), map[int]netip.Addr{}
	for _, n := range lims {
		aliases[n] = p.aliasOf(n).Addr()
	}
	p.wg.Go(func() {
		unable, lacking := map[int]string{}, map[int]string{}
		for _, n := range lims {
			lacking[n] = p.lacksPrompts(doc.LIM(n))
			if err := p.able(p.ctx, doc.LIM(n), side, aliases[n]); err != nil {
				unable[n] = err.Error()
			}
		}
		p.post(func() { p.unable, p.lacking, p.looks.under = unable, lacking, false })
	})
}

// able says what surely keeps a LIM's software from starting on this server.
func (p *preconditions) able(ctx context.Context, entry *clusterconf.LIM, side clusterconf.Side, alias netip.Addr) error {
	if entry == nil {
		return nil
	}
	set, err := p.deps.Software(entry, side)
	if err != nil {
		return err
	}
	return set.Able(ctx, services.Env{LIM: entry.Number, Alias: alias})
}
