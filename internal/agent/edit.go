package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
)

// editing is the state of editing the document.
type editing struct {
	conflict     uint64              // revision of the document that superseded a conflicting one; 0: no conflict
	conflictText string              // the text for that
	owed         map[string][]byte   // losing documents, for servers that may not have them
	accepted     failover.Acceptance // last accepted epoch of the document
	committing   uint64              // epoch in which an edit is being stored here; 0: none
	self         clusterconf.Server  // this server's last entry in the document
	removed      uint64              // revision that removed this server from the system; 0: it is part of it
}

// editMessage asks the editor's agent to carry out an edit.
type editMessage struct {
	Request control.EditRequest `json:"request"`
}

// proposalTries is how often an epoch is proposed again, above one that was already accepted.
const proposalTries = 3

// editPlace returns which server carries out edits, as this server sees it.
func (a *documents) editPlace(now time.Time) failover.EditorPlace {
	own := a.claim(now)
	return failover.EditPlace(a.view(now), &own)
}

// shownPlace returns the same for commands.
func (a *documents) shownPlace(now time.Time) *control.EditPlace {
	if a.removed != 0 {
		return &control.EditPlace{Why: a.removedText(), Hint: "run it on a server of the system"}
	}
	p := a.editPlace(now)
	return &control.EditPlace{Server: p.Server, Others: p.Raise || p.Server != a.cfg.Server || a.inPlaceOf() != "", Why: p.Why, Hint: p.Hint}
}

// inPlaceOf returns the server whose part of carrying out edits this one has taken over; "": none.
func (a *documents) inPlaceOf() string {
	home := a.doc.Clone()
	home.Editor = ""
	if h := home.EditedOn(); a.doc.Epoch > 0 && h != a.doc.EditedOn() {
		return h
	}
	return ""
}

// Edit carries out an edit of the document, here or on the server that is the editor.
func (a *Agent) Edit(ctx context.Context, r control.EditRequest) (*control.EditResult, error) {
	type step struct {
		place failover.EditorPlace
		reply <-chan reply
	}
	s, err := on(ctx, a.core, func() (step, error) {
		p := a.docs.editPlace(time.Now())
		switch {
		case a.docs.removed != 0:
			return step{}, fault.New(fault.Refused, "run it on a server of the system", "%s", a.docs.removedText())
		case a.stopping:
			return step{}, fault.New(fault.Refused, "", "this agent is stopping")
		case p.Server == "":
			return step{}, fault.New(fault.Refused, p.Hint, "%s", p.Why)
		case p.Server == a.cfg.Server:
			return step{place: p}, nil
		case a.docs.unreadable() != "": // the edit is of a document that is not the newest
			return step{}, fault.New(fault.Refused, "run it on "+p.Server+", or upgrade mxcluster on "+a.cfg.Server+" first",
				"%s cannot read the newest cluster document, and so cannot edit it: %s", a.cfg.Server, a.docs.unreadable())
		}
		return step{place: p, reply: a.mail.passOn(p.Server, message{Type: typeEdit, Edit: &editMessage{r}})}, nil
	})
	switch {
	case err != nil:
		return nil, err
	case s.reply == nil:
		return a.docs.editHere(ctx, r, s.place)
	}
	select {
	case got := <-s.reply:
		if got.err != nil {
			return nil, got.err
		}
		if got.edit == nil {
			return nil, fault.New(fault.Failed, "", "the answer of %s is empty", s.place.Server)
		}
		a.post(func() { a.docs.documentHeard(s.place.Server, got.edit.Document) }) // the caller need not wait for gossip
		return got.edit, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.done:
		return nil, fault.New(fault.Unknown, "look at `mxcluster config history` before you try again", "the agent has stopped; the edit may have been carried out")
	}
}

// editHeard carries out an edit for another agent.
func (a *documents) editHeard(from string, m message) {
	if m.Edit == nil {
		return
	}
	p := a.editPlace(time.Now())
	a.wg.Go(func() {
		ctx, cancel := a.background(editTimeout - time.Second)
		defer cancel()
		answer := message{Type: typeReply, ID: m.ID}
		var err error
		switch p.Server {
		case a.cfg.Server:
			answer.Edited, err = a.editHere(ctx, m.Edit.Request, p)
		case "":
			err = fault.New(fault.Refused, p.Hint, "%s: %s", a.cfg.Server, p.Why)
		default:
			err = fault.New(fault.Busy, "try again", "by %s edits are carried out on %s; the servers do not agree yet", a.cfg.Server, p.Server)
		}
		if err != nil {
			answer.Error = &messageError{Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
		}
		a.post(func() { a.mail.send(from, answer, nil) })
	})
}

// editHere carries out an edit that a command or another agent sent. It runs beside the main loop.
func (a *documents) editHere(ctx context.Context, r control.EditRequest, p failover.EditorPlace) (*control.EditResult, error) {
	next, err := clusterconf.Parse("the edited document", r.Document)
	if err != nil {
		return nil, err
	}
	stored, err := a.storeEdit(ctx, r.Base, r.Change, next, p)
	if err != nil {
		return nil, err
	}
	return &control.EditResult{Server: a.cfg.Server, Document: stored.Bytes()}, nil
}

// storeEdit stores the servers, LIMs and clusters of next, which it takes over, as the revision
// after the document with the hash base. It runs beside the main loop.
func (a *documents) storeEdit(ctx context.Context, base string, change clusterconf.Change, next *clusterconf.Document, p failover.EditorPlace) (*clusterconf.Encoded, error) {
	epoch := uint64(0)
	if p.Raise {
		var err error
		if epoch, err = a.raise(ctx, base, p); err != nil {
			return nil, err
		}
		defer a.post(func() { a.committing = 0 })
	}
	heard, err := on(ctx, a.core, func() (map[string]bool, error) { return a.heardNow(epoch) })
	if err != nil {
		return nil, err
	}
	programs, err := on(ctx, a.core, func() (map[string]levels.Program, error) { return a.peers.programs(), nil })
	if err != nil {
		return nil, err
	}
	res, err := a.deps.Documents.EditFrom(ctx, base, change, func(d *clusterconf.Document) error {
		if heard != nil {
			if err := touchesHeard(d, next, heard, a.cfg.Server); err != nil {
				return err
			}
		}
		before := d.Clone()
		d.Level, d.Servers, d.LIMs, d.Clusters, d.Management, d.Others = next.Level, next.Servers, next.LIMs, next.Clusters, next.Management, next.Others
		if shut := clusterconf.Shuts(before, d, programs); len(shut) > 0 {
			return fault.New(fault.Refused, "upgrade mxcluster there first; `mxcluster config show --levels` shows the versions", "the change needs level %d of the cluster document, which %s cannot read", d.AtLevel(), strings.Join(shut, " and "))
		}
		if epoch > 0 {
			d.Epoch, d.Editor = epoch, a.cfg.Server
		}
		if d.Server(d.Editor) == nil {
			d.Editor = ""
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := a.Reload(ctx); err != nil {
		a.log.Error("putting an edit into force", "revision", res.After.Revision, "err", err)
	}
	return res.After, nil
}

// heardNow returns the servers that are heard, if only these may be edited; nil: no restriction.
// epoch is the one being raised; 0: none is.
func (a *documents) heardNow(epoch uint64) (map[string]bool, error) {
	if epoch > 0 {
		if a.accepted != (failover.Acceptance{Epoch: epoch, By: a.cfg.Server}) {
			return nil, fault.New(fault.Busy, "try again", "meanwhile %s was accepted as the place of edits", a.accepted.By)
		}
		a.committing = epoch
	} else if a.inPlaceOf() == "" {
		return nil, nil
	}
	heard := map[string]bool{a.cfg.Server: true}
	for name, p := range a.peers.all {
		heard[name] = p.Liveness == failover.Alive
	}
	return heard, nil
}

// touchesHeard refuses an edit, in the place of a gone editor, that changes a server which is not
// heard: otherwise both sides of a network partition could give away one address.
func touchesHeard(before, after *clusterconf.Document, heard map[string]bool, here string) error {
	for _, name := range clusterconf.Touches(before, after) {
		if !heard[name] {
			return fault.New(fault.Refused, fmt.Sprintf("start its agent; where it is lost for good remove it: mxcluster remove-lim or delete with --server-is-dead %s, then mxcluster server remove %s", name, name),
				"it changes what %s is, which is not heard, while edits are carried out on %s in the place of a server that is gone", name, here)
		}
	}
	return nil
}

// raise makes every server that is heard accept this server as the editor in a new epoch, and
// returns the epoch. It runs beside the main loop.
func (a *documents) raise(ctx context.Context, base string, p failover.EditorPlace) (uint64, error) {
	if p.Probe {
		editor, err := on(ctx, a.core, func() (string, error) { return a.doc.EditedOn(), nil })
		if err != nil {
			return 0, err
		}
		if err := a.mustBeSilent(ctx, editor); err != nil {
			return 0, fault.Wrap(err, fault.CodeOf(err), "start its agent there", "edits are carried out on %s, whose agent is silent", editor)
		}
	}
	above := uint64(0)
	for range proposalTries {
		epoch, refused, err := a.propose(ctx, base, above)
		if err == nil {
			return epoch, nil
		}
		if refused.Epoch < epoch {
			return 0, err
		}
		above = refused.Epoch // accepted before; its proposer may be gone
	}
	return 0, fault.New(fault.Busy, "try again", "another server is about to become the place of edits")
}

// propose asks for acceptance of an epoch above the given one. refused is the acceptance of another
// server that stands in the way.
func (a *documents) propose(ctx context.Context, base string, above uint64) (epoch uint64, refused failover.Acceptance, err error) {
	type asked struct {
		epoch   uint64
		saved   <-chan error
		answers map[string]<-chan reply
	}
	q, err := on(ctx, a.core, func() (asked, error) {
		switch p := a.editPlace(time.Now()); {
		case p.Server != a.cfg.Server || !p.Raise:
			return asked{}, fault.New(fault.Busy, "try again", "the place of edits has just changed")
		case a.hash != base:
			return asked{}, fault.New(fault.Busy, "try again", "the cluster document was changed meanwhile")
		case a.committing != 0:
			return asked{}, fault.New(fault.Busy, "try again", "another edit is being stored")
		}
		out := asked{epoch: max(a.doc.Epoch, a.accepted.Epoch, above) + 1, answers: map[string]<-chan reply{}}
		if a.accepted.By == a.cfg.Server && a.accepted.Epoch > max(a.doc.Epoch, above) {
			out.epoch = a.accepted.Epoch // proposed before, and not used
		}
		a.accepted = failover.Acceptance{Epoch: out.epoch, By: a.cfg.Server}
		out.saved, _ = a.kept.save()
		m := message{Type: typeEpoch, Proposal: &failover.Proposal{Epoch: out.epoch, Age: a.doc.Age(), Hash: a.hash}}
		for _, s := range a.doc.Servers {
			if p := a.peers.all[s.Name]; p != nil && p.Liveness == failover.Alive {
				out.answers[s.Name] = a.mail.passOn(s.Name, m)
			}
		}
		return out, nil
	})
	if err != nil {
		return 0, refused, err
	}
	if err := <-q.saved; err != nil {
		return q.epoch, refused, fmt.Errorf("keeping the epoch of the document: %w", err)
	}
	for name, answer := range q.answers {
		select {
		case r := <-answer:
			if r.accepted.Epoch > refused.Epoch {
				refused = r.accepted
			}
			if r.err != nil {
				err = fault.Wrap(r.err, fault.CodeOf(r.err), fault.HintOf(r.err), "%s does not accept that edits are carried out on %s", name, a.cfg.Server)
			}
		case <-ctx.Done():
			return q.epoch, refused, ctx.Err()
		}
	}
	return q.epoch, refused, err
}

// proposalHeard accepts or refuses another server as the editor. An acceptance is durable before it
// is answered.
func (a *documents) proposalHeard(from string, m message) {
	if m.Proposal == nil {
		return
	}
	answer := message{Type: typeReply, ID: m.ID, Result: &control.OrderResult{Accepted: true}}
	now := time.Now()
	own := a.claim(now)
	why := failover.Accept(a.view(now), &own, a.accepted, *m.Proposal, from)
	if why == "" && a.committing != 0 {
		why = a.cfg.Server + " stores an edit of its own"
	}
	if why != "" {
		answer.Result, answer.Error = nil, &messageError{Code: fault.Busy, Message: why, Hint: "try again in a moment; `mxcluster status` shows who hears whom"}
		if a.accepted.Epoch >= m.Proposal.Epoch {
			last := a.accepted
			answer.Accepted = &last
		}
		a.mail.send(from, answer, nil)
		return
	}
	a.accepted = failover.Acceptance{Epoch: m.Proposal.Epoch, By: from}
	saved, _ := a.kept.save()
	a.wg.Go(func() {
		if err := <-saved; err != nil {
			answer.Result, answer.Error = nil, &messageError{Code: fault.Failed, Message: fmt.Sprintf("%s cannot keep what it accepts: %v", a.cfg.Server, err)}
		}
		a.post(func() { a.mail.send(from, answer, nil) })
	})
}
