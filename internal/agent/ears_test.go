package agent

import (
	"testing"
	"time"

	"mxcluster/internal/member"
)

// A heartbeat like the one before is no news; the first one is, and one that tells
// of another state.
func TestEarsTellNews(t *testing.T) {
	var e ears
	at := time.Unix(0, 0)
	for i, step := range []struct{ stale, news bool }{{true, true}, {true, false}, {false, true}, {false, false}, {true, true}} {
		at = at.Add(time.Second)
		if news := e.hear(member.Event{Kind: member.BeatHeard, From: "srv1", At: at, Stale: step.stale}); news != step.news {
			t.Errorf("step %d: news is %v", i, news)
		}
	}
	if r, ok := e.of("srv1"); !ok || !r.at.Equal(at) || r.clocks {
		t.Errorf("kept %+v, %v", r, ok)
	}
	if _, ok := e.of("srv2"); ok {
		t.Error("a server that never spoke was heard")
	}
}

// The least delayed message tells the offset; an old estimate is given up.
func TestClockOffset(t *testing.T) {
	var e ears
	at, ahead := time.Unix(0, 0), 5*time.Second
	heard := func(delay time.Duration) time.Duration {
		at = at.Add(time.Second)
		e.hear(member.Event{Kind: member.BeatHeard, From: "srv1", At: at, Sent: at.Add(ahead - delay)})
		r, _ := e.of("srv1")
		return r.clock.value()
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

// A clock that is off raises one alarm, by whoever sees it, and that server sees
// that it is its own; it clears when the clock is right.
func TestClockSkewAlarm(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		skew := func(by, of string, ahead time.Duration) {
			w.servers[by].agent.net.ears.hear(member.Event{Kind: member.BeatHeard, From: of, At: time.Now(), Sent: time.Now().Add(ahead)})
		}
		skew("sb1", "srv1", 5*time.Second)
		skew("srv2", "srv1", 5*time.Second)
		skew("srv1", "sb1", 3*time.Second)
		skew("srv1", "srv2", 3*time.Second)
		w.awaitAlarms(soon, "clock-skew lim 0 srv1 warning")
		for _, s := range w.status("sb1").Clusters[0].Servers {
			if s.Name == "srv1" && (s.ClockOffsetMs == nil || *s.ClockOffsetMs != 5000) {
				t.Errorf("clock offset of srv1 is %v", s.ClockOffsetMs)
			}
		}
		pass(2 * offsetWindow)
		w.awaitAlarms(soon)
	})
}
