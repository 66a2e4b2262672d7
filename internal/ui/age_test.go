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

func TestLeft(t *testing.T) {
	now := time.Date(2026, 12, 3, 4, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"srv1 is drained until 2026-12-03T04:50:20Z by root (fan)":       "srv1 is drained for 50m more by root (fan)",
		"frozen until 2026-12-03T03:55:00Z":                              "frozen until 5m ago",
		"a until 2026-12-03T04:00:09Z, b until 2026-12-04T04:00:00Z":     "a for 9s more, b for 1d0h more",
		"until 2026-13-03T04:00:00Z":                                     "until 2026-13-03T04:00:00Z",
		"runs here until it can move to sb1, since 2026-12-03T03:00:00Z": "runs here until it can move to sb1, since 2026-12-03T03:00:00Z",
	} {
		if got := Left(text, now); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
