package commands

import (
	"context"
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

const (
	passLimit = 15 * time.Second // how long an edit that collides with others is retried
	passPause = 100 * time.Millisecond
	homeLimit = 5 * time.Second // how long its document may take to arrive here
)

// editPlace is where an edit is carried out: in this server's file, or by the agents.
type editPlace struct {
	agents bool
	server string // with agents: the server that carries it out
}

// whereToEdit returns where an edit is carried out. With an agent here, the agents find the right
// server; without one the edit is refused on all servers but the editor, so that there are no two
// documents of one revision.
func whereToEdit(ctx context.Context, s *server, doc *clusterconf.Document, force bool) (editPlace, error) {
	if force {
		return editPlace{}, nil
	}
	info, err := s.agent.Agent(ctx)
	if err != nil || info.Edits == nil {
		return editPlace{}, mayEditHere(ctx, s, doc)
	}
	switch p := info.Edits; {
	case p.Server == "":
		return editPlace{}, fault.New(fault.Refused, p.Hint, "%s", p.Why)
	case p.Others:
		return editPlace{agents: true, server: p.Server}, nil
	}
	return editPlace{}, nil
}

// mayEditHere refuses edits without an agent on all servers but the editor.
func mayEditHere(ctx context.Context, s *server, doc *clusterconf.Document) error {
	holder := holderOfLIM1(ctx, s, doc)
	if holder == "" || holder == s.settings.Server {
		return nil
	}
	hint := fmt.Sprintf("start the agent here, which passes it on; or run it on %s, or with --force if that is out of reach", holder)
	return fault.New(fault.Refused, hint, "this is %s, and no agent here passes the edit on to %s, where the document is edited", s.settings.Server, holder)
}

// editable returns this server if the document may be edited here.
func (a *app) editable(ctx context.Context, force bool) (*server, error) {
	s, err := a.server()
	if err != nil {
		return nil, err
	}
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	place, err := whereToEdit(ctx, s, doc, force)
	if err == nil && place.agents && place.server != s.settings.Server {
		err = fault.New(fault.Refused, fmt.Sprintf("run it on %s, or with --force if that is out of reach", place.server),
			"this is %s, but the document is edited on %s", s.settings.Server, place.server)
	}
	return s, err
}

// storeEdit carries out an edit. If another server does it, the new document is here when it
// returns.
func (s *server) storeEdit(ctx context.Context, p editPlace, record clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error) {
	if !p.agents {
		return s.store.Edit(ctx, record, fn)
	}
	ctx, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	for {
		plan, err := s.store.Preview(record, fn)
		if err != nil || !plan.Changed {
			return plan, err
		}
		res, err := s.agent.Edit(ctx, control.EditRequest{Base: plan.Before.Hash(), Document: plan.After.Bytes(), Change: record})
		if err == nil {
			plan.After, err = clusterconf.ParseEncoded("the document of "+res.Server, res.Document)
			if err == nil {
				s.awaitHere(ctx, res.Server, plan.After.Document)
			}
			return plan, err
		}
		if fault.CodeOf(err) != fault.Busy || !pause(ctx, passPause) {
			return clusterconf.Result{}, err
		}
	}
}

// pause waits for d; false if the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitHere waits until a document stored on another server is here, so that the next command on
// this server uses it.
func (s *server) awaitHere(ctx context.Context, from string, d *clusterconf.Document) {
	ctx, cancel := context.WithTimeout(ctx, homeLimit)
	defer cancel()
	for {
		if here, err := s.store.Read(); err == nil && here.Age().Compare(d.Age()) >= 0 {
			return
		}
		if !pause(ctx, pollEvery) {
			s.out.Warn("revision %d is stored on %s, and has not come here yet", d.Revision, from)
			return
		}
	}
}
