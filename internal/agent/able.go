package agent

import (
	"net/netip"

	"mxcluster/clusterconf"
	"mxcluster/internal/services"
)

// lookAtSoftware finds out whether the LIMs' software could start here, beside
// the main loop.
func (a *Agent) lookAtSoftware(lims []int) {
	doc, side, aliases := a.doc, a.side(), map[int]netip.Addr{}
	for _, n := range lims {
		aliases[n] = a.aliasOf(n).Addr()
	}
	a.wg.Go(func() {
		unable, lacking := map[int]string{}, map[int]string{}
		for _, n := range lims {
			lacking[n] = a.lacksPrompts(doc.LIM(n))
			if err := a.able(doc.LIM(n), side, aliases[n]); err != nil {
				unable[n] = err.Error()
			}
		}
		a.post(func() { a.unable, a.lacking = unable, lacking })
	})
}

// able says what surely keeps a LIM's software from starting on this server.
func (a *Agent) able(entry *clusterconf.LIM, side clusterconf.Side, alias netip.Addr) error {
	if entry == nil {
		return nil
	}
	set, err := a.deps.Software(entry, side)
	if err != nil {
		return err
	}
	return set.Able(services.Env{LIM: entry.Number, Alias: alias})
}
