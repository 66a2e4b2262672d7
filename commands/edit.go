package commands

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/explain"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

// undoLimit bounds the undoing after the command was interrupted.
const undoLimit = 10 * time.Second

// edit carries out an edit: it plans, asks, makes every server concerned ready, replaces the
// document, and lets the agent tell the others. It returns which servers were alive before, for
// waiting.
func (s *server) edit(ctx context.Context, e edit) (out outcome, live []string, err error) {
	doc, err := s.read()
	if err != nil {
		return out, nil, err
	}
	place, err := whereToEdit(ctx, s, doc, e.force)
	if err != nil {
		return out, nil, err
	}
	agent := s.agent.Running(ctx)
	lives := aliveCheck(ctx, s)
	if agent {
		e.apply = keepReached(e.apply, lives)
	}
	record := s.record(e)
	plan, err := s.store.Preview(record, e.apply)
	if err != nil {
		return out, nil, err
	}
	out = outcome{Result: plan, agent: agent, lives: lives, place: place}
	if e.wait > 0 {
		if live, err = aliveServers(ctx, s, out.agent); err != nil {
			return out, nil, err
		}
	}
	// For an edit that is refused or done already not even a lock file is created.
	if !plan.Changed {
		return out, live, nil
	}
	if err := s.mustBeRead(ctx, plan); err != nil {
		return out, nil, err
	}
	if err := s.preview(ctx, e, &out); err != nil || e.dryRun {
		return out, live, err
	}
	if err := s.confirm(e, out); err != nil {
		return out, nil, err
	}
	if e.first != nil {
		says, err := e.first(ctx)
		if err != nil {
			return out, nil, err
		}
		out.says = append(says, out.says...)
	}
	return out, live, s.commit(ctx, e, record, &out)
}

// record is the entry of an edit in the history.
func (s *server) record(e edit) clusterconf.Change {
	return clusterconf.Change{By: s.env.User(), On: s.settings.Server, Command: e.command, Reason: e.reason}
}

// preview determines what an edit will do.
func (s *server) preview(ctx context.Context, e edit, out *outcome) error {
	before, after := out.Before.Document, out.After.Document
	if e.first != nil && e.dryRun {
		says, err := e.first(ctx)
		if err != nil {
			return err
		}
		out.says = says
	}
	out.says = append(out.says, clusterconf.Diff(before, after)...)
	if raises(out.Result) {
		out.says = append(out.says, raiseWords(out.Result))
	}
	if st, err := s.agent.Status(ctx); out.agent && err == nil {
		out.stops = explain.Displaced(before, after, st, s.env.Now())
	}
	for _, d := range out.stops {
		out.says = append(out.says, d.String())
	}
	var waiting []xdata.Version
	out.old, waiting = s.outdated(before, after)
	for _, v := range out.old {
		out.says = append(out.says, fmt.Sprintf("data version %s on %s removed: it no longer fits", v.Name, s.settings.Server))
	}
	for _, v := range waiting {
		out.says = append(out.says, fmt.Sprintf("data version %s on %s removed once something newer is on both sides: it no longer fits", v.Name, s.settings.Server))
	}
	return nil
}

// commit carries out an edit: first all servers are made ready for an exchange of their addresses,
// or none; then the document is replaced; then the final steps follow. After a failure before the
// replacement everything is undone.
func (s *server) commit(ctx context.Context, e edit, record clusterconf.Change, out *outcome) error {
	before, after := out.Before.Document, out.After.Document
	planned, exchanges := clusterconf.Diff(before, after), clusterconf.Exchanges(before, after)
	if out.agent {
		if err := refuseLeaving(before, exchanges); err != nil {
			return err
		}
		for _, m := range clusterconf.Moves(before, after) {
			if out.lives(m.Server) { // a server that is down has nothing to make ready
				exchanges = append(exchanges, m)
			}
		}
	}
	// Others may edit at the same time. If something was confirmed, or servers made ready, the edit
	// must still be the same.
	fixed := e.loses || len(exchanges) > 0
	undo := func() {}
	if out.agent && len(exchanges) > 0 {
		if err := s.agent.Exchange(ctx, control.ExchangeRequest{Exchanges: exchanges}); err != nil {
			return err
		}
		undo = func() { s.undoExchange(ctx, exchanges) }
	}
	here := &ownExchange{app: s.app, ctx: ctx}
	r, err := s.storeEdit(ctx, out.place, record, func(d *clusterconf.Document) error {
		before := d.Clone()
		if err := e.apply(d); err != nil {
			return err
		}
		now := clusterconf.Diff(before, d)
		switch {
		case len(now) == 0:
			return nil // somebody else has just done the same
		case fixed && !slices.Equal(now, planned):
			return fault.New(fault.Busy, "try again", "the cluster document was changed meanwhile")
		case out.agent:
			return nil
		}
		return here.makeReady(clusterconf.Exchanges(before, d), s.settings.Server)
	})
	if err != nil {
		undo()
		here.undo()
		return err
	}
	out.Result = r
	if !r.Changed {
		return nil
	}
	s.afterEdit(ctx, here, out)
	return nil
}

// afterEdit runs the final steps, and collects what is left to do.
func (s *server) afterEdit(ctx context.Context, here *ownExchange, out *outcome) {
	out.left = leftToDo(s, *out, here)
	switch {
	case out.place.agents:
		out.says = append(out.says, "it was carried out on "+out.place.server)
	case out.agent:
		s.tellAgent(ctx)
	default:
		here.finish()
		s.removeOutdated(ctx, out.Before.Document, out.After.Document)
		out.left = append(out.left, outdatedElsewhere(out.Before.Document, out.After.Document, s.settings.Server)...)
	}
}

// tellAgent makes the agent read the document, apply it and tell the other servers. It would notice
// the change later by itself.
func (s *server) tellAgent(ctx context.Context) {
	if err := s.agent.Reload(ctx); err != nil {
		s.out.Warn("the document is changed, but the agent was not told: %v", err)
	}
}

// undoExchange makes the servers undo their preparations, also after the command was interrupted.
func (s *server) undoExchange(ctx context.Context, exchanges []clusterconf.Exchange) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if err := s.agent.Exchange(ctx, control.ExchangeRequest{Exchanges: exchanges, Undo: true}); err != nil {
		s.out.Warn("undoing the exchange of addresses: %v; the agents undo by themselves what the document does not follow", err)
	}
}

// holderOfLIM1 returns the server where LIM 1 is active, by the agents, else its regular server,
// else "".
func holderOfLIM1(ctx context.Context, s *server, doc *clusterconf.Document) string {
	if st, err := s.agent.Status(ctx); err == nil {
		if l := st.LIM(1); l != nil && l.ActiveOn != nil {
			return *l.ActiveOn
		}
	}
	if r := doc.RegularOf(1); r != nil {
		return r.Name
	}
	return ""
}
