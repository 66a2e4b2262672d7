package commands

import (
	"context"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// textToEdit returns what `config edit` opens: the document, where edits are made, or
// what lies in its place as it is, where that is broken.
func (a *app) textToEdit(ctx context.Context, force bool) (*server, []byte, error) {
	s, err := a.server()
	if err != nil {
		return nil, nil, err
	}
	if found := s.store.Look(); found.Document == nil && found.Text != nil {
		a.out.Warn("the stored document is broken: %v", found.Problem)
		return s, found.Text, nil
	}
	doc, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	if _, err := whereToEdit(ctx, s, doc, force); err != nil {
		return nil, nil, err
	}
	doc.Ancestors = nil // the store writes them
	return s, clusterconf.Encode(doc), nil
}

// storeOrRepair stores an edited document, be the stored one whole or broken by now.
func (s *server) storeOrRepair(ctx context.Context, o change, edited *clusterconf.Document) error {
	if found := s.store.Look(); found.Document == nil && found.Text != nil {
		return s.repair(ctx, o, found, edited)
	}
	return s.storeEdited(ctx, o, edited)
}

// repair puts an edited document in the place of a broken one. What comes to the document
// that is in force is no edit, and right on every server.
func (s *server) repair(ctx context.Context, o change, found clusterconf.Found, edited *clusterconf.Document) error {
	e := edit{
		change: o, command: "config edit", doing: "storing it",
		done: "the edited cluster document is stored in the place of the broken one", would: "the edited cluster document would be stored in the place of the broken one",
		already: "the cluster document is as it was before it was broken",
	}
	if left, err := clusterconf.Parse(s.store.Path, found.Text); err == nil && clusterconf.Hash(left) == clusterconf.Hash(edited) {
		return found.Problem // what is left of it makes sense, and nobody mended it
	}
	s.resolveName(edited)
	record := s.record(e)
	plan, err := s.store.PreviewMend(found, edited, record)
	if err != nil {
		return doing(err, "%s", e.doing)
	}
	if plan.Changed {
		if err := s.mustBeRead(ctx, plan); err != nil {
			return doing(err, "%s", e.doing)
		}
		place, err := whereToEdit(ctx, s, edited, o.force)
		if err == nil && place.agents {
			err = fault.New(fault.Refused, "wait until the agent has put the document here right, half a minute at most, and edit then; or edit on "+place.server,
				"the document on %s is broken, and edits are carried out on %s", s.settings.Server, place.server)
		}
		if err != nil {
			return err
		}
	}
	out := outcome{Result: plan, agent: s.agent.Running(ctx)}
	if plan.Changed && (len(clusterconf.Exchanges(plan.Before.Document, plan.After.Document)) > 0 || len(clusterconf.Moves(plan.Before.Document, plan.After.Document)) > 0) && len(plan.Before.Servers) > 0 {
		return fault.New(fault.Refused, "undo that in the text first, then change it with another 'mxcluster config edit'",
			"the stored document is broken, and the edit besides exchanges addresses of servers")
	}
	if !e.dryRun {
		if out.Result, err = s.store.Mend(ctx, found, edited, record); err != nil {
			return doing(err, "%s", e.doing)
		}
		if out.agent {
			s.tellAgent(ctx)
		}
	}
	return s.tell(out, e)
}
