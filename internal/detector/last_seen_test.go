package detector

import (
	"testing"
	"time"
)

// A heartbeat like the one before is no news; the first one is, and one that tells
// of another state.
func TestLastSeenTellsNews(t *testing.T) {
	var e lastSeen
	at := time.Unix(0, 0)
	for i, step := range []struct{ stale, news bool }{{true, true}, {true, false}, {false, true}, {false, false}, {true, true}} {
		at = at.Add(time.Second)
		if news := e.hear(Word{From: "srv1", At: at, Stale: step.stale}); news != step.news {
			t.Errorf("step %d: news is %v", i, news)
		}
	}
	if r, ok := e.of("srv1"); !ok || !r.At.Equal(at) || r.Clocks {
		t.Errorf("kept %+v, %v", r, ok)
	}
	if _, ok := e.of("srv2"); ok {
		t.Error("a server that never spoke was heard")
	}
}

// The least delayed message tells the offset; an old estimate is given up.
func TestClockOffset(t *testing.T) {
	var e lastSeen
	at, ahead := time.Unix(0, 0), 5*time.Second
	heard := func(delay time.Duration) time.Duration {
		at = at.Add(time.Second)
		e.hear(Word{From: "srv1", At: at, Sent: at.Add(ahead - delay)})
		r, _ := e.of("srv1")
		return r.Clock
	}
	for _, delay := range []time.Duration{30 * time.Millisecond, 2 * time.Millisecond, time.Second, 0, 700 * time.Millisecond} {
		heard(delay)
	}
	if got := heard(time.Minute); got != ahead {
		t.Errorf("offset %s, want %s", got, ahead)
	}
	ahead = 0 // somebody set the clock right
	for range int(3 * offsetWindow / time.Second) {
		heard(time.Millisecond)
	}
	if got := heard(time.Millisecond); got != -time.Millisecond {
		t.Errorf("offset %s a while after the clock was set", got)
	}
}
