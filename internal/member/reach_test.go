package member

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Numbers beyond reason are refused and told; the greatest that is taken, put under
// another's name, is outlived by that.
func TestNumbersBeyondReason(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		a.Publish([]byte(`"true"`))
		b.take()
		lie := func(seq uint64) []Event {
			return b.receive(incoming{at: time.Now(), from: "a", body: fmt.Appendf(nil, `{"k":"state","o":"a","s":%d,"p":"lie"}`, seq)})
		}
		if got := lie(highest(time.Now()) + 1); len(got) != 2 || got[0].Kind != BeatHeard || got[1].Kind != Refused || got[1].From != "a" || got[1].Refusal.Remedy == "" {
			t.Errorf("a number beyond reason: %v", got)
		}
		if got := lie(highest(time.Now())); len(got) != 1 || got[0].Kind != StateHeard {
			t.Fatalf("the greatest number: %v", got)
		}
		<-time.After(time.Second)
		a.Beat("b")
		synctest.Wait()
		if got := states(b.take())["a"]; got != `"true"` {
			t.Errorf("b has state %q of a", got)
		}
		a.Publish([]byte(`"newer"`))
		b.hears(t, Event{Kind: StateHeard, From: "a", At: time.Now(), Payload: []byte(`"newer"`)})
	})
}

// Names that one server makes up take no room without end, and do not travel on.
func TestInventedNames(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		a.Publish([]byte(`1`))
		b.take()
		for i := range 10 * maxStrangers {
			name := fmt.Sprintf("x%d", i)
			b.receive(incoming{at: time.Now(), from: name, source: addr("192.0.2.9"), body: fmt.Appendf(nil, `{"k":"state","o":%q,"a":"192.0.2.9:7946","s":1,"p":1}`, name)})
		}
		b.mu.Lock()
		states, heard, own := len(b.states), len(b.heard), b.states["a"]
		b.mu.Unlock()
		if states > maxStrangers+2 || heard > maxStrangers+2 || string(own.Payload) != "1" {
			t.Errorf("%d states, %d addresses, and %q of a", states, heard, own.Payload)
		}
		if text := (&delegate{b.Pool}).LocalState(false); len(text) > 200 {
			t.Errorf("invented names are passed on: %d bytes", len(text))
		}
	})
}
