package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/member"
	"mxcluster/internal/rotation"
)

// message is what agents say to one another in person.
type message struct {
	Type     string               `json:"type"`
	ID       string               `json:"id,omitempty"`
	Order    *control.Order       `json:"order,omitempty"`
	Permit   string               `json:"permit,omitempty"`   // of an order, from who carries it out
	Revision uint64               `json:"revision,omitempty"` // of the document that an order is given under, or that a permit is refused under
	Epoch    uint64               `json:"epoch,omitempty"`    // of the same
	Result   *control.OrderResult `json:"result,omitempty"`
	Exchange *exchangeMessage     `json:"exchange,omitempty"`
	Error    *messageError        `json:"error,omitempty"`
	Document []byte               `json:"document,omitempty"` // YAML
	Edit     *editMessage         `json:"edit,omitempty"`
	Edited   *control.EditResult  `json:"edited,omitempty"`
	Proposal *failover.Proposal   `json:"proposal,omitempty"`
	Accepted *failover.Acceptance `json:"accepted,omitempty"` // another proposal, which is in the way
	Events   *eventsMessage       `json:"events,omitempty"`
	Key      *rotation.Message    `json:"key,omitempty"`
}

const (
	typeDocumentRequest = "document-request"
	typeDocument        = "document"
	typePermit          = "order-permit"
	typeOrder           = "order"
	typeNotice          = "order-notice" // for the target of an order: it may forget a failure
	typeReply           = "order-reply"
	typeExchange        = "exchange"
	typeEvents          = "events"
	typeKey             = "key"
	typeEdit            = "edit"
	typeEpoch           = "epoch"
)

// messageError is an error with its exit code, as it travels.
type messageError struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// reply is the answer to an order given to another agent.
type reply struct {
	result   *control.OrderResult
	permit   string
	newer    clusterconf.Age // err: the order was given under an older document than this; zero: not
	events   *eventsMessage
	edit     *control.EditResult
	accepted failover.Acceptance // err: another proposal that is in the way
	err      error
}

// messenger carries what agents say to one another in person.
type messenger struct {
	*core
	waiters map[string]chan reply // for answers, by the identity of the question
}

// orderTimeout bounds how long another agent may take to answer.
const orderTimeout = 3 * time.Second

// editTimeout is the same for an edit, which others may have to agree to first.
const editTimeout = 10 * time.Second

// send sends a message to another agent beside the main loop; failed, if any,
// is called on the main loop when it could not be delivered.
func (a *messenger) send(server string, m message, failed func(error)) {
	raw, err := json.Marshal(m)
	if err != nil {
		a.log.Error("encoding a message", "type", m.Type, "err", err)
		return
	}
	pool := a.net.pool
	a.wg.Go(func() {
		ctx, cancel := a.background(orderTimeout)
		defer cancel()
		if err := pool.Send(ctx, server, raw); err != nil {
			a.log.Debug("sending a message", "to", server, "type", m.Type, "err", err)
			if failed != nil {
				a.post(func() { failed(err) })
			}
		}
	})
}

// messageHeard takes in a message from another agent.
func (a *Agent) messageHeard(ev member.Event) {
	var m message
	if err := json.Unmarshal(ev.Payload, &m); err != nil {
		a.log.Warn("ignoring a message that cannot be read", "from", ev.From, "err", err)
		return
	}
	switch m.Type {
	case typeDocumentRequest:
		a.mail.send(ev.From, message{Type: typeDocument, Document: a.stored.Bytes()}, nil)
	case typeDocument:
		a.documentHeard(ev.From, m.Document)
	case typePermit:
		a.permitAsked(ev.From, m)
	case typeOrder:
		a.orderHeard(ev.From, m)
	case typeNotice:
		a.noticeHeard(ev.From, m)
	case typeExchange:
		a.exchangeHeard(ev.From, m)
	case typeEdit:
		a.editHeard(ev.From, m)
	case typeEpoch:
		a.proposalHeard(ev.From, m)
	case typeKey:
		a.keyHeard(ev.From, m.Key)
	case typeEvents:
		a.eventsHeard(ev.From, m)
	case typeReply:
		if w := a.mail.waiters[m.ID]; w != nil {
			delete(a.mail.waiters, m.ID)
			w <- m.reply()
		}
	}
}

// age is that of the document that a message is about.
func (m message) age() clusterconf.Age { return clusterconf.Age{Epoch: m.Epoch, Revision: m.Revision} }

func (m message) reply() reply {
	if m.Error != nil {
		r := reply{err: &fault.Error{Code: m.Error.Code, Message: m.Error.Message, Hint: m.Error.Hint}}
		if m.Accepted != nil {
			r.accepted = *m.Accepted
		}
		r.newer = m.age()
		return r
	}
	if m.Permit != "" {
		return reply{permit: m.Permit}
	}
	if m.Edited != nil {
		return reply{edit: m.Edited}
	}
	if m.Events != nil {
		return reply{events: m.Events}
	}
	if m.Result == nil {
		return reply{err: fault.New(fault.Failed, "", "the other agent's answer is empty")}
	}
	return reply{result: m.Result}
}

// requestDocument asks a server for its newer document. For one revision it asks one
// server a second, for in a large system hundreds have it before it is here. One that
// cannot be asked does not count.
func (a *Agent) requestDocument(server string, age clusterconf.Age) {
	now := time.Now()
	if a.storing || a.paper.broken != "" || age.Compare(a.askedFor) <= 0 && now.Sub(a.lastAsked) < time.Second {
		return
	}
	a.lastAsked, a.askedFor = now, age
	a.mail.send(server, message{Type: typeDocumentRequest}, func(error) { a.lastAsked = time.Time{} })
}

// documentHeard stores a document from another server, if it goes before ours.
// Another program may be writing, so it waits for that beside the main loop:
// leases are renewed only as long as the loop turns.
func (a *Agent) documentHeard(from string, raw []byte) {
	d, err := clusterconf.ParseEncoded("the document of "+from, raw)
	if err != nil {
		a.log.Error("ignoring a document that is not valid", "from", from, "err", err)
		return
	}
	if d.System != a.doc.System {
		a.log.Error("ignoring the document of another system, which shares a network and a gossip key with this one", "from", from, "system", d.System)
		return
	}
	if a.storing || a.paper.broken != "" || a.paper.busy {
		a.lastAsked = time.Time{} // it is asked for again, when that is done
		return
	}
	a.storing = true
	loser := a.stored.Bytes()
	a.wg.Go(func() {
		ctx, cancel := a.background(5 * time.Second)
		defer cancel()
		res, err := a.deps.Documents.Adopt(ctx, d)
		a.post(func() {
			a.storing, a.kept.room.store = false, words(noRoom(err))
			if err == nil && res.Conflict {
				a.noteConflict(from, d.Document, loser, res)
			}
			switch {
			case err != nil:
				a.log.Error("storing a newer document", "from", from, "revision", d.Revision, "err", err)
			case res.Adopted:
				a.awaited = d.Hash()
				a.log.Info("document taken over", "from", from, "revision", d.Revision)
				if res.TooFar {
					a.recordPaper(slog.LevelWarn, "far", fmt.Sprintf("revision %d of the cluster document came from %s; so much lies between it and revision %d, which %s worked by, that it cannot be seen whether that one was edited apart: `mxcluster config diff %d %d`", d.Revision, from, a.doc.Revision, a.cfg.Server, a.doc.Revision, d.Revision))
				}
				if res.Unkept != nil {
					a.log.Error("the document before it is not in this server's history", "revision", d.Revision, "err", res.Unkept)
				}
				fallthrough
			default:
				a.readDocument()
			}
			a.catchUp()
		})
	})
}

// noteConflict tells of two documents of which neither was edited from the other. The
// server that the one in force came from may not have heard of the other one, and the
// one that carries edits on is to go above both.
func (a *Agent) noteConflict(from string, d *clusterconf.Document, loser []byte, res clusterconf.Adoption) {
	winner, lost := a.doc, d
	if res.Adopted {
		winner, lost = d, a.doc
		a.owed = map[string][]byte{from: loser, d.EditedOn(): loser}
		delete(a.owed, a.cfg.Server)
		a.payOwed()
	}
	text := fmt.Sprintf("the cluster document was edited apart: revision %d, changed on %s, is in force; revision %d, changed on %s, is not, and is kept on %s in %s; the next edit goes above both",
		winner.Revision, changedOn(winner), lost.Revision, changedOn(lost), a.cfg.Server, res.Kept)
	if a.conflict == winner.Revision && a.conflictText == text {
		return
	}
	a.conflict, a.conflictText, a.kept.unsaved = winner.Revision, text, true
	a.recordConflict(0, text)
}

// payOwed sends others the document that lost a conflict here, as soon as they are heard.
func (a *Agent) payOwed() {
	for name, raw := range a.owed {
		if p := a.peers.all[name]; p == nil || p.liveness != failover.Alive {
			continue
		}
		delete(a.owed, name)
		a.mail.send(name, message{Type: typeDocument, Document: raw}, func(error) { a.owed[name] = raw })
	}
}

func changedOn(d *clusterconf.Document) string {
	return cmp.Or(d.Changed.On, "a server that is not known")
}

// orderHeard carries out an order that another agent passed on.
func (a *Agent) orderHeard(from string, m message) {
	if m.Order == nil {
		return
	}
	if why := a.forbids(from, m); why != "" {
		a.answerOrder(from, m.ID, nil, a.forbidden(from, m, why))
		return
	}
	done := a.takeOrder(*m.Order)
	a.wg.Go(func() {
		select {
		case r := <-done:
			a.post(func() { a.answerOrder(from, m.ID, r.result, r.err) })
		case <-a.ctx.Done():
		}
	})
}

// noticeHeard makes an order pending that another server has accepted. One that comes after
// the LIM has moved is late, and not needed any more.
func (a *Agent) noticeHeard(from string, m message) {
	if m.Order != nil && a.concerns(m.Order.LIM) && a.forbids(from, m) == "" {
		a.addOrder(*m.Order)
	}
}

// answerOrder tells another agent what became of its order.
func (a *Agent) answerOrder(to, id string, res *control.OrderResult, err error) {
	answer := message{Type: typeReply, ID: id, Result: res}
	if err != nil {
		answer.Error = &messageError{Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
	}
	a.mail.send(to, answer, nil)
}

// passOn gives an order to the agent of another server; the answer comes over
// the channel.
func (a *messenger) passOn(server string, m message) <-chan reply {
	ch := make(chan reply, 1)
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		ch <- reply{err: fmt.Errorf("making an order's identity: %w", err)}
		return ch
	}
	key := hex.EncodeToString(id)
	a.waiters[key] = ch
	fail := func(err error) {
		if _, waits := a.waiters[key]; waits {
			delete(a.waiters, key)
			ch <- reply{err: err}
		}
	}
	m.ID = key
	a.send(server, m, func(err error) {
		fail(fault.Wrap(err, fault.Unreachable, "look at `mxcluster status`", "the agent of %s cannot be reached", server))
	})
	limit := orderTimeout
	if m.Edit != nil {
		limit = editTimeout
	}
	context.AfterFunc(a.timer(limit), func() {
		a.post(func() {
			fail(fault.New(fault.Unknown, "look at `mxcluster status` before you try again", "the agent of %s did not answer; it may have done what it was asked", server))
		})
	})
	return ch
}
