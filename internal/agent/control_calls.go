package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
	"mxcluster/internal/status"
)

var _ control.Backend = (*Agent)(nil)

// Order accepts an order, or forwards it to the server that has to act.
func (a *Agent) Order(ctx context.Context, o control.Order) (*control.OrderResult, error) {
	if o.Kind == control.OrderManagement {
		return on(ctx, a.core, func() (*control.OrderResult, error) { return a.management.order(o) })
	}
	return a.orders.give(ctx, o)
}

// Stop ends the agent: LIMs that run here go on for the stop lease, or are released.
func (a *Agent) Stop(ctx context.Context, r control.StopRequest) (*control.StopResult, error) {
	return a.shutdown.order(ctx, r)
}

// Keys answers `key show`.
func (a *Agent) Keys(ctx context.Context) (*control.KeyInfo, error) { return a.gossipKeys.show(ctx) }

// RotateKey starts a rotation of the gossip key, unless one is in progress.
func (a *Agent) RotateKey(ctx context.Context, r control.KeyRequest) (*control.KeyInfo, error) {
	return a.gossipKeys.rotate(ctx, r)
}

// Exchange makes every server concerned ready for an exchange of addresses, or none of them. The
// exchange itself follows with the document.
func (a *Agent) Exchange(ctx context.Context, r control.ExchangeRequest) error {
	return a.swaps.ask(ctx, r)
}

// Status answers `status`.
func (a *Agent) Status(ctx context.Context) (*status.ClusterStatus, error) {
	return on(ctx, a.core, func() (*status.ClusterStatus, error) {
		st := status.Build(a.statusInput(time.Now()))
		if a.docs.removed != 0 {
			st.Removed, st.Health = a.docs.removedText(), "unknown"
		}
		return st, nil
	})
}

// statusInput is what this agent knows, as input of package status.
func (a *Agent) statusInput(now time.Time) status.Input {
	in := status.Input{Moving: a.aliases.moving(now), Now: now, Observer: a.cfg.Server, Document: a.doc, Servers: map[string]status.Seen{}, Notices: a.alarms.Notices}
	in.Arbiter = a.arbiterKeys.view(now)
	own := a.claim(now)
	in.Servers[a.cfg.Server] = status.Seen{Liveness: failover.Alive, Claim: &own, Alarms: a.alarms.Alarms}
	seen, mates := a.net.detector.Sightings(), a.mates()
	for name, p := range a.peers.all {
		s := status.Seen{Liveness: p.Liveness, Claim: p.Claim, Alarms: p.alarms, Said: p.at, Every: a.beatPeriod(), Program: p.program}
		if p.stale {
			s.Said = p.claimed
		}
		if !slices.Contains(mates, name) {
			s.Every = a.farPeriod()
		}
		if p.clockKnown && p.Liveness == failover.Alive {
			s.ClockOffset = &p.clock
		}
		if g, ok := seen[name]; ok && !g.Heard.IsZero() {
			s.Heard = g.Heard
		} else {
			s.Heard = p.at
		}
		in.Servers[name] = s
	}
	return in
}

// Agent answers `agent status`.
func (a *Agent) Agent(ctx context.Context) (*control.AgentInfo, error) {
	return on(ctx, a.core, func() (*control.AgentInfo, error) {
		info := &control.AgentInfo{
			Server: a.cfg.Server, PID: a.cfg.PID, Version: a.cfg.Version, StartedAt: a.started.UTC(), Revision: a.doc.Revision,
			Ready: a.settled, Isolated: a.link.isolation.Isolated, Lease: a.cfg.Lease, Members: []control.MemberInfo{}, LIMs: []control.LIMInfo{},
			Levels: a.cfg.Levels,
		}
		seen := a.net.detector.Sightings()
		for _, s := range a.doc.Servers {
			if p := a.peers.all[s.Name]; p != nil {
				m := control.MemberInfo{Server: s.Name, Liveness: string(p.Liveness)}
				if g, ok := seen[s.Name]; ok && !g.Heard.IsZero() {
					m.SilentMs = time.Since(g.Heard).Milliseconds()
				}
				if p.Claim != nil {
					m.Revision = p.Claim.Revision
				}
				if p.program != (levels.Program{}) {
					is := p.program
					m.Program = &is
				}
				info.Members = append(info.Members, m)
			}
		}
		if info.Edits = a.docs.shownPlace(time.Now()); a.docs.removed != 0 {
			info.Removed = a.docs.removedText()
		}
		info.Settings = a.fitness.needs.settingsWords(a.cfg.Server)
		info.Takeovers = a.journal.takeovers.info()
		for _, x := range a.sinks.Infos() {
			info.Sinks = append(info.Sinks, control.SinkInfo(x))
		}
		for _, w := range a.docs.steps.Waits {
			info.Pending = append(info.Pending, w.Why)
		}
		for n, l := range a.lims.all {
			info.LIMs = append(info.LIMs, control.LIMInfo{LIM: n, State: string(l.State), Term: l.Term, Reason: l.reason})
		}
		slices.SortFunc(info.LIMs, func(x, y control.LIMInfo) int { return x.LIM - y.LIM })
		return info, nil
	})
}

// LookAtData looks at the data versions here, and returns when decisions, alarms and claims go by
// what was found.
func (a *Agent) LookAtData(ctx context.Context) error {
	for _, first := range []func() (<-chan struct{}, error){
		func() (<-chan struct{}, error) { return a.data.look(a.own(), time.Now()), nil },
		func() (<-chan struct{}, error) { return a.stepped(), nil },
	} {
		done, err := on(ctx, a.core, first)
		if err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.done:
			return fault.New(fault.Unreachable, "", "the agent has stopped")
		}
	}
	return nil
}

// Reload reads the gossip keys and the document from disk again. Its error says why they are not in
// force.
func (a *Agent) Reload(ctx context.Context) error {
	_, err := on(ctx, a.core, func() (struct{}, error) { return struct{}{}, errors.Join(a.gossipKeys.ring.Reload(), a.docs.reload()) })
	return err
}
