package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/member"
	"mxcluster/internal/rotation"
)

// message is a message from one agent to another.
type message struct {
	Type     string               `json:"type"`
	ID       string               `json:"id,omitempty"`
	Order    *control.Order       `json:"order,omitempty"`
	Permit   string               `json:"permit,omitempty"`   // for the order, given by the server that carries it out
	Drains   bool                 `json:"drains,omitempty"`   // with a permit: calls are drained if the order asks for it
	Revision uint64               `json:"revision,omitempty"` // of the document under which an order is given, or a permit refused
	Epoch    uint64               `json:"epoch,omitempty"`    // of the same document
	Result   *control.OrderResult `json:"result,omitempty"`
	Exchange *exchangeMessage     `json:"exchange,omitempty"`
	Error    *messageError        `json:"error,omitempty"`
	Document []byte               `json:"document,omitempty"` // YAML
	Edit     *editMessage         `json:"edit,omitempty"`
	Edited   *control.EditResult  `json:"edited,omitempty"`
	Proposal *failover.Proposal   `json:"proposal,omitempty"`
	Accepted *failover.Acceptance `json:"accepted,omitempty"` // the proposal that is in the way
	Events   *eventsMessage       `json:"events,omitempty"`
	Key      *rotation.Message    `json:"key,omitempty"`
}

const (
	typeDocumentRequest = "document-request"
	typeDocument        = "document"
	typePermit          = "order-permit"
	typeOrder           = "order"
	typeNotice          = "order-notice" // tells the target of an order, which may then forget a failure
	typeDrainWaits      = "drain-waits"  // the caller of an order that drains calls is still waiting
	typeDrainOff        = "drain-off"    // it no longer is
	typeReply           = "order-reply"
	typeExchange        = "exchange"
	typeEvents          = "events"
	typeKey             = "key"
	typeEdit            = "edit"
	typeEpoch           = "epoch"
)

// messageError is an error on the wire, with its exit code.
type messageError struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// reply is the answer to a message.
type reply struct {
	result   *control.OrderResult
	permit   string
	drains   bool            // with a permit: the server can drain calls
	newer    clusterconf.Age // with err: age of the newer document that the order was refused by; zero: it was not
	events   *eventsMessage
	edit     *control.EditResult
	accepted failover.Acceptance // with err: the proposal that is in the way
	err      error
}

// messenger sends messages to other agents, and matches answers to them.
type messenger struct {
	*core
	waiters map[string]chan reply // by the ID of the message that is answered
}

// orderTimeout bounds the time for another agent's answer.
const orderTimeout = 3 * time.Second

// editTimeout bounds it for an edit, which others may have to accept first.
const editTimeout = 10 * time.Second

// send sends a message to another agent beside the main loop. If it cannot be delivered, failed is
// called on the main loop; it may be nil.
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

// messageHeard handles a message from another agent.
func (a *Agent) messageHeard(ev member.Event) {
	var m message
	if err := json.Unmarshal(ev.Payload, &m); err != nil {
		a.refusals.unread(ev.From, "a message", err)
		return
	}
	switch m.Type {
	case typeDocumentRequest:
		a.mail.send(ev.From, message{Type: typeDocument, Document: a.docs.stored.Bytes()}, nil)
	case typeDocument:
		a.docs.documentHeard(ev.From, m.Document)
	case typePermit:
		a.orders.permitAsked(ev.From, m)
	case typeOrder:
		a.orders.orderHeard(ev.From, m)
	case typeNotice:
		a.orders.noticeHeard(ev.From, m)
	case typeDrainWaits:
		a.orders.drainKept(ev.From, m)
	case typeDrainOff:
		a.orders.drainCalledOff(ev.From, m)
	case typeExchange:
		a.swaps.heard(ev.From, m)
	case typeEdit:
		a.docs.editHeard(ev.From, m)
	case typeEpoch:
		a.docs.proposalHeard(ev.From, m)
	case typeKey:
		a.gossipKeys.heard(ev.From, m.Key)
	case typeEvents:
		a.eventsHeard(ev.From, m)
	case typeReply:
		if w := a.mail.waiters[m.ID]; w != nil {
			delete(a.mail.waiters, m.ID)
			w <- m.reply()
		}
	default:
		a.refusals.unknown(ev.From, "type", m.Type)
		if m.ID != "" { // it waits for an answer
			a.mail.send(ev.From, message{Type: typeReply, ID: m.ID, Error: &messageError{Code: fault.Refused,
				Message: fmt.Sprintf("the agent of %s, of version %s, does not know what it is asked for", a.cfg.Server, a.cfg.Version), Hint: "upgrade mxcluster on " + a.cfg.Server}}, nil)
		}
	}
}

// age is the age of the document that a message refers to.
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
		return reply{permit: m.Permit, drains: m.Drains}
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

// passOn sends a message to the agent of another server. The answer is sent to the channel.
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
	switch {
	case m.Edit != nil:
		limit = editTimeout
	case m.Type == typeOrder && drains(*m.Order):
		limit += m.Order.DrainCalls + drainEnds
	}
	context.AfterFunc(a.timer(limit), func() {
		a.post(func() {
			fail(fault.New(fault.Unknown, "look at `mxcluster status` before you try again", "the agent of %s did not answer; it may have done what it was asked", server))
		})
	})
	return ch
}
