package ui

import (
	"strings"
	"testing"
	"time"
)

func TestWaitTellsForHowLong(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	w := NewWait(&out, "waiting", 10*time.Minute, func() time.Time { return now })
	now = now.Add(12*time.Second + 300*time.Millisecond)
	w.Tick()
	w.Close()
	if got := out.String(); got != "\r\x1b[Kwaiting: 12s of 10m0s\r\x1b[K" {
		t.Errorf("it shows %q", got)
	}
	var none *Wait
	none.Tick()
	none.Close()
	out.Reset()
	NewWait(&out, "waiting", time.Minute, time.Now).Close()
	if out.Len() > 0 {
		t.Errorf("a wait that was over at once shows %q", out.String())
	}
}
