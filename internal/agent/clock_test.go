package agent

import (
	"testing"
	"time"

	"mxcluster/internal/detector"
)

// A clock that is off raises one alarm, by whoever sees it, and that server sees
// that it is its own; it clears when the clock is right.
func TestClockSkewAlarm(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		skew := func(by, of string, ahead time.Duration) {
			w.servers[by].agent.net.detector.Heard(detector.Word{From: of, At: time.Now(), Sent: time.Now().Add(ahead)})
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
		pass(time.Minute)
		w.awaitAlarms(soon)
	})
}
