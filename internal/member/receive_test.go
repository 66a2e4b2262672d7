package member

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/compat"
	"mxcluster/internal/member/membernet"
)

// TestMalformed feeds what no server sends: nothing is heard of it, and it does
// no harm.
func TestMalformed(t *testing.T) {
	tests := []struct {
		name, body string
		states     bool
		want       EventKind // 0: nothing
	}{
		{name: "empty"},
		{name: "not JSON", body: "\x00\xff"},
		{name: "not an object", body: `[1]`},
		{name: "half of a message", body: `{"k":"state","o":"b","s":1,"p":{"x"`},
		{name: "no origin", body: `{"k":"beat"}`},
		{name: "our own name", body: `{"k":"state","o":"a","s":1,"p":1}`},
		{name: "a kind of a later version", body: `{"k":"later","o":"b","s":1,"p":{"x":1},"new":[1]}`, want: LaterHeard},
		{name: "no kind", body: `{"o":"b"}`, want: LaterHeard},
		{name: "an address that is none", body: `{"k":"beat","o":"b","a":"192.0.2.256:1"}`},
		{name: "a negative number", body: `{"k":"beat","o":"b","s":-1}`},
		{name: "a state without content", body: `{"k":"state","o":"b","s":1}`, want: BeatHeard},
		{name: "a state past all numbers", body: fmt.Sprintf(`{"k":"state","o":"b","s":%d,"p":1}`, uint64(math.MaxUint64)), want: BeatHeard},
		{name: "a question that knows too much", body: fmt.Sprintf(`{"k":"ask","o":"b","n":%d}`, uint64(math.MaxUint64)), want: BeatHeard},
		{name: "push/pull: not JSON", body: `{`, states: true},
		{name: "push/pull: not a list", body: `{"o":"b"}`, states: true},
		{name: "push/pull: nothing", body: `null`, states: true},
		{name: "push/pull: no origin, no content", body: `[{},{"o":"b","s":2},{"s":3,"p":1}]`, states: true},
		{name: "push/pull: past all numbers", body: fmt.Sprintf(`[{"o":"a","s":%d},{"o":"b","s":%[1]d,"p":1}]`, uint64(math.MaxUint64)), states: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSegment(t, func(t *testing.T, s *segment) {
				a := s.open("a", "192.0.2.1")
				before := a.own.Seq
				got := a.receive(incoming{at: time.Now(), body: []byte(tt.body), states: tt.states, from: "b"})
				if tt.want == 0 && len(got) > 0 || tt.want != 0 && (len(got) < 1 || got[0].Kind != tt.want || len(got) > 1 && got[1].Kind != Refused) {
					t.Errorf("heard %s", show(got))
				}
				if a.own.Seq != before || len(a.states) > 0 {
					t.Errorf("it changed our number from %d to %d, or the states: %v", before, a.own.Seq, a.states)
				}
			})
		})
	}
}

// FuzzReceive gives arbitrary bytes to a pool, as datagrams and as push/pull
// states. They come from holders of the key alone; yet no version of the
// program may bring another one down.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{
		`{"k":"state","o":"b","a":"192.0.2.2:7946","s":7,"p":{"x":1}}`, `{"k":"ask","o":"b","s":7,"n":9}`, `{"k":"beat","o":"b","s":8}`,
		`{"k":"message","o":"b","p":null}`, `[{"o":"b","s":9,"p":1},{"o":"a","s":3}]`, `{"k":"beat","o":"b","a":"[::1%x]:0"}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	for _, in := range append(compat.Recorded(f, "gossip"), compat.OfTheFuture(f, "gossip")...) {
		f.Add(in.Content, strings.HasSuffix(in.Name, "-states.json"))
	}
	end, err := membernet.New().Open(addr("192.0.2.1"))
	if err != nil {
		f.Fatal(err)
	}
	cfg := testConfig("a", addr("192.0.2.1"))
	cfg.Transport = end
	p, err := Open(cfg)
	if err != nil {
		f.Fatal(err)
	}
	defer p.Close()
	p.Publish([]byte(`1`))
	f.Fuzz(func(t *testing.T, body []byte, states bool) {
		before := p.published()
		for _, ev := range p.receive(incoming{at: time.Now(), body: body, states: states, from: "b"}) {
			if ev.From == "" || ev.From == "a" {
				t.Errorf("heard %q of itself or nobody", ev.From)
			}
			if ev.Kind == StateHeard && !json.Valid(ev.Payload) {
				t.Errorf("state %q", ev.Payload)
			}
		}
		if after := p.published(); after < before || after > highest(time.Now())+1 {
			t.Errorf("our own number went from %d to %d", before, after)
		}
		var all []record
		if err := json.Unmarshal((&delegate{p}).LocalState(false), &all); err != nil || len(all) == 0 {
			t.Errorf("the next push/pull carries nothing: %v", err)
		}
	})
}

// A note comes in a datagram, and is a sign of life besides. Over a connection it is none.
func TestNote(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a := s.open("a", "192.0.2.1")
		body := []byte(`{"k":"note","o":"b","t":5,"p":{"x":1}}`)
		at := time.Now()
		got := a.receive(incoming{at: at, body: body, from: "b"})
		if len(got) != 1 || got[0].Kind != NoteHeard || got[0].From != "b" || string(got[0].Payload) != `{"x":1}` || !got[0].At.Equal(at) {
			t.Errorf("heard %s", show(got))
		}
		if got := a.receive(incoming{at: at, body: body, from: "c"}); got != nil {
			t.Errorf("under another name: %s", show(got))
		}
		if got := a.receive(incoming{at: at, body: body}); got != nil {
			t.Errorf("over a connection: %s", show(got))
		}
	})
}
