package ui

import (
	"fmt"
	"regexp"
	"time"
)

// Age writes how long ago something was, in a few characters:
// 41s, 12m, 3h05m, 2d4h.
func Age(d time.Duration) string {
	d = max(d, 0)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

var untilTime = regexp.MustCompile(`\buntil (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)`)

// Left returns a text with how long "until 2026-12-03T04:00:00Z" is from now in its place: "for
// 50m more", or "until 5m ago".
func Left(text string, now time.Time) string {
	return untilTime.ReplaceAllStringFunc(text, func(found string) string {
		switch end, err := time.Parse(time.RFC3339, found[len("until "):]); {
		case err != nil:
			return found
		case end.Before(now):
			return "until " + Age(now.Sub(end)) + " ago"
		default:
			return "for " + Age(end.Sub(now)) + " more"
		}
	})
}
