package agent

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/compat"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/internal/rotation"
)

// FuzzHeard has an agent hear anything of another server of the system, in each of the
// ways in which it can come. A member that lies may do much, but it does not end an agent.
func FuzzHeard(f *testing.F) {
	doc := worldDocument(manual)
	w := newWorldOf(f, doc)
	w.start("srv1")
	m := w.servers["srv1"]
	f.Cleanup(func() {
		m.cancel()
		<-m.ended
	})
	kinds := []member.EventKind{member.StateHeard, member.MessageHeard, member.NoteHeard}
	add := func(kind int, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kind, raw)
	}
	add(0, statement{Claim: failover.Claim{Server: "sb1", Run: "x", Revision: 2, LIMs: []failover.LIMClaim{{LIM: 1, State: failover.Running, Term: 3, Holds: true}}}})
	order := control.Order{Kind: control.OrderFailover, LIM: 1, Now: true}
	for _, x := range []message{
		{Type: typeDocumentRequest},
		{Type: typeDocument, Document: clusterconf.Encode(doc)},
		{Type: typePermit, ID: "1", Order: &order, Revision: 1},
		{Type: typeOrder, ID: "1", Order: &order, Permit: "x"},
		{Type: typeNotice, Order: &order},
		{Type: typeExchange, ID: "1", Exchange: &exchangeMessage{Exchange: clusterconf.Exchange{Server: "srv1", LIM: 1}}},
		{Type: typeEdit, ID: "1", Edit: &editMessage{Request: control.EditRequest{Base: "x", Document: clusterconf.Encode(doc)}}},
		{Type: typeEpoch, ID: "1", Proposal: &failover.Proposal{Epoch: 1}},
		{Type: typeKey, Key: &rotation.Message{Secret: make([]byte, 32), Made: time.Now()}},
		{Type: typeEvents, ID: "1", Events: &eventsMessage{}},
		{Type: typeReply, ID: "1", Error: &messageError{Code: 3}},
	} {
		add(1, x)
	}
	add(2, aliasQuery{ID: 1, LIM: 1, Answer: &failover.AliasAnswer{Holds: true}})
	for _, in := range append(compat.Recorded(f, "gossip"), compat.OfTheFuture(f, "gossip")...) {
		for _, ev := range gossipOf(f, in) {
			f.Add(slices.Index(kinds, ev.Kind), ev.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, kind int, raw []byte) {
		ev := member.Event{Kind: kinds[int(uint(kind)%uint(len(kinds)))], From: "sb1", At: time.Now(), Payload: slices.Clone(raw)} //nolint:gosec // below three
		if _, err := on(t.Context(), m.agent.core, func() (struct{}, error) { m.agent.heard(m.agent.net, ev); return struct{}{}, nil }); err != nil {
			t.Error(err)
		}
	})
}
