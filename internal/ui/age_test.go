package ui

import (
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 41*time.Second + 900*time.Millisecond: "41s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h00m", 23*time.Hour + 5*time.Minute: "23h05m", 24 * time.Hour: "1d0h", 300*24*time.Hour + 23*time.Hour: "300d23h",
	} {
		if got := Age(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
