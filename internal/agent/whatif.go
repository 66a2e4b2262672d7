package agent

import (
	"context"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/whatif"
)

// Simulate answers `simulate` by a simulation from the present state.
func (a *Agent) Simulate(ctx context.Context, s whatif.Scenario) (*whatif.Result, error) {
	present, err := on(ctx, a.core, func() (whatif.Present, error) {
		return a.present(), s.Check(a.doc)
	})
	if err != nil {
		return nil, err
	}
	return whatif.Simulate(present, s), nil // beside the main loop, as it takes a while
}

// present returns what this server knows of all servers. Documents and claims are replaced as a
// whole and never changed, so they can be read beside the main loop.
func (a *Agent) present() whatif.Present {
	own := a.claim(time.Now())
	p := whatif.Present{Now: time.Now(), Document: a.doc, FirstHold: a.cfg.FirstHold, FromLoad: a.cfg.FromLoad, Arbiter: a.keeper != nil,
		Servers: map[string]whatif.Server{a.cfg.Server: {Liveness: failover.Alive, Claim: &own}}}
	for name, x := range a.peers.all {
		p.Servers[name] = whatif.Server{Liveness: x.Liveness, Claim: x.Claim}
	}
	if keys := a.arbiterKeys.view(p.Now); keys != nil {
		p.Keys = map[int]string{}
		for lim, v := range keys.LIMs {
			if v.Word == failover.Held {
				p.Keys[lim] = v.Holder
			}
		}
	}
	return p
}
