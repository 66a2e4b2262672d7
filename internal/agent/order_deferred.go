package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// deferredPatience is how long an order waits here for the document that it was given
// under: less than its sender waits for the answer.
const deferredPatience = 2 * time.Second

// deferredOrder is an order for which a permit was asked before the document came that may
// allow it: a LIM was unlocked a moment ago on the server that passes the order on.
type deferredOrder struct {
	from string
	m    message
}

// cameEarly keeps an order until the document is here that its sender has. It
// reports whether it did.
func (a *orders) cameEarly(from string, m message) bool {
	if m.age().Compare(a.doc.Age()) <= 0 {
		return false
	}
	a.docs.requestDocument(from, m.age())
	a.deferred = append(a.deferred, deferredOrder{from, m})
	context.AfterFunc(a.timer(deferredPatience), func() { a.post(func() { a.giveUpEarly(from, m) }) })
	return true
}

// orderEarly permits the orders whose document has come.
func (a *orders) orderEarly() {
	waiting := a.deferred
	a.deferred = nil
	for _, e := range waiting {
		a.permitAsked(e.from, e.m)
	}
}

// giveUpEarly refuses an order that still waits: what it rests on is not known here.
func (a *orders) giveUpEarly(from string, m message) {
	i := slices.IndexFunc(a.deferred, func(e deferredOrder) bool { return e.from == from && e.m.ID == m.ID })
	if i < 0 {
		return
	}
	a.deferred = slices.Delete(a.deferred, i, i+1)
	a.mail.send(from, message{Type: typeReply, ID: m.ID, Error: &messageError{
		Code: fault.Busy, Hint: "try again; `mxcluster status -o json` shows the revision of each server",
		Message: fmt.Sprintf("%s has not got revision %d of the cluster document yet", a.cfg.Server, m.Revision),
	}}, nil)
}
