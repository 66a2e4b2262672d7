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

// looks is how far looking at the software is.
type looks struct {
	under bool      // one is under way
	at    time.Time // of the last one
	hash  string    // of the document that it was by
}

// lookAtSoftware finds out whether the LIMs' software could start here, beside
// the main loop, one look at a time: who is asked may take long to answer.
func (a *Agent) lookAtSoftware(lims []int, now time.Time) {
	if a.looks.under || a.looks.hash == a.hash && now.Sub(a.looks.at) < softwarePeriod {
		return
	}
	a.looks = looks{under: true, at: now, hash: a.hash}
	doc, side, aliases := a.doc, a.side(), map[int]netip.Addr{}
	for _, n := range lims {
		aliases[n] = a.aliasOf(n).Addr()
	}
	a.wg.Go(func() {
		unable, lacking := map[int]string{}, map[int]string{}
		for _, n := range lims {
			lacking[n] = a.lacksPrompts(doc.LIM(n))
			if err := a.able(a.ctx, doc.LIM(n), side, aliases[n]); err != nil {
				unable[n] = err.Error()
			}
		}
		a.post(func() { a.unable, a.lacking, a.looks.under = unable, lacking, false })
	})
}

// able says what surely keeps a LIM's software from starting on this server.
func (a *Agent) able(ctx context.Context, entry *clusterconf.LIM, side clusterconf.Side, alias netip.Addr) error {
	if entry == nil {
		return nil
	}
	set, err := a.deps.Software(entry, side)
	if err != nil {
		return err
	}
	return set.Able(ctx, services.Env{LIM: entry.Number, Alias: alias})
}
