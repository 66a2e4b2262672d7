package member

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/compat"
)

// incomingOf is a recorded datagram, message or state of a push/pull, as it comes now.
func incomingOf(t testing.TB, in compat.Input) (incoming, envelope) {
	t.Helper()
	out := incoming{at: time.Now(), body: in.Content, states: strings.HasSuffix(in.Name, "-states.json")}
	var e envelope
	if !out.states {
		if err := json.Unmarshal(in.Content, &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != kindMessage {
			out.from, out.source = e.Origin, e.Addr
		}
	}
	return out, e
}

// What earlier versions send is what it was meant to be, and its content arrives as it was sent.
func TestEnvelopesOfEarlierVersions(t *testing.T) {
	compat.Each(t, compat.Recorded(t, "gossip"), func(t *testing.T, in compat.Input) {
		onSegment(t, func(t *testing.T, s *segment) {
			a := s.open("a", "192.0.2.1")
			body, e := incomingOf(t, in)
			// States are numbered by a clock, and this one begins in the year 2000.
			a.cfg.Now = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
			got := a.receive(body)
			want := map[string]EventKind{kindState: StateHeard, kindBeat: BeatHeard, kindAsk: BeatHeard, kindMessage: MessageHeard, kindNote: NoteHeard, "": StateHeard}[e.Kind]
			if len(got) == 0 {
				t.Fatal("nothing is heard")
			}
			for _, ev := range got {
				if ev.Kind != want || e.Origin != "" && (ev.From != e.Origin || ev.Sent.IsZero()) {
					t.Errorf("heard %s", show(got))
				}
			}
			switch {
			case body.states:
				var all []record
				if err := json.Unmarshal(in.Content, &all); err != nil || len(got) != len(all) {
					t.Errorf("heard %s of %d states, %v", show(got), len(all), err)
				}
			case want != BeatHeard && (len(got) != 1 || !bytes.Equal(got[0].Payload, e.Payload)):
				t.Errorf("heard %s", show(got))
			}
			if want == BeatHeard && !got[0].Stale {
				t.Error("its state is known, though it was not heard")
			}
		})
	})
}

// Of what a later version sends, a kind that is not known is a sign of life alone, and more keys
// are no harm.
func TestEnvelopesOfTheFuture(t *testing.T) {
	compat.Each(t, compat.OfTheFuture(t, "gossip"), func(t *testing.T, in compat.Input) {
		onSegment(t, func(t *testing.T, s *segment) {
			a := s.open("a", "192.0.2.1")
			a.cfg.Now = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
			body, e := incomingOf(t, in)
			got := a.receive(body)
			if want := map[string]EventKind{kindState: StateHeard, kindMessage: MessageHeard, kindNote: NoteHeard}[e.Kind]; want == 0 {
				if len(got) != 1 || got[0].Kind != LaterHeard || got[0].Form != e.Kind || got[0].Payload != nil {
					t.Errorf("heard %s", show(got))
				}
			} else if len(got) != 1 || got[0].Kind != want || !bytes.Equal(got[0].Payload, e.Payload) {
				t.Errorf("heard %s", show(got))
			}
		})
	})
}
