package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// deferredPatience is how long an order is deferred until its document arrives: less than its
// sender waits for the answer.
const deferredPatience = 2 * time.Second

// deferredOrder is an order whose permit was requested before the document arrived that may allow
// it, for instance one that unlocks the LIM.
type deferredOrder struct {
	from string
	m    message
}

// deferOrder defers an order until its sender's document is here. It reports whether it did.
func (a *orders) deferOrder(from string, m message) bool {
	if m.age().Compare(a.doc.Age()) <= 0 {
		return false
	}
	a.docs.requestDocument(from, m.age())
	a.deferred = append(a.deferred, deferredOrder{from, m})
	context.AfterFunc(a.timer(deferredPatience), func() { a.post(func() { a.refuseDeferred(from, m) }) })
	return true
}

// permitDeferred permits the orders whose document has arrived.
func (a *orders) permitDeferred() {
	waiting := a.deferred
	a.deferred = nil
	for _, e := range waiting {
		a.permitAsked(e.from, e.m)
	}
}

// refuseDeferred refuses an order whose document has not arrived in time.
func (a *orders) refuseDeferred(from string, m message) {
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
