package clusterconf

import (
	"fmt"
	"strings"
	"time"

	"mxcluster/internal/fault"
)

// always is the word for a window that never closes.
const always = "always"

// Window is a span of each day, in minutes from midnight; it may pass midnight. The zero
// value is open always. It is written as HH:MM-HH:MM.
type Window struct {
	From, To int
}

// ParseWindow reads HH:MM-HH:MM, or "always". Anything else is fault.Usage.
func ParseWindow(text string) (Window, error) {
	if text == always {
		return Window{}, nil
	}
	from, to, _ := strings.Cut(text, "-")
	w := Window{minuteOfDay(from), minuteOfDay(to)}
	switch {
	case w.From < 0 || w.To < 0:
		return Window{}, fault.New(fault.Usage, "write HH:MM-HH:MM, e.g. 22:00-05:00, or always", "%q is no time of day from one to another", text)
	case w.From == w.To:
		return Window{}, fault.New(fault.Usage, "write always for the whole day", "the window %s has no length", text)
	}
	return w, nil
}

// minuteOfDay reads HH:MM; -1: it is none.
func minuteOfDay(text string) int {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return -1
	}
	return t.Hour()*60 + t.Minute()
}

// IsZero reports whether the window is open always.
func (w Window) IsZero() bool { return w == Window{} }

// String writes what ParseWindow reads.
func (w Window) String() string {
	if w.IsZero() {
		return always
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.From/60, w.From%60, w.To/60, w.To%60)
}

// MarshalText writes what String returns.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads what ParseWindow reads.
func (w *Window) UnmarshalText(text []byte) (err error) {
	*w, err = ParseWindow(string(text))
	return err
}

// Opens returns when the window is open next, at t or after, in the time zone of t.
func (w Window) Opens(t time.Time) time.Time {
	minute := t.Hour()*60 + t.Minute()
	inside := minute >= w.From && minute < w.To
	if w.To <= w.From {
		inside = minute >= w.From || minute < w.To
	}
	if inside || w.IsZero() {
		return t
	}
	opens := time.Date(t.Year(), t.Month(), t.Day(), 0, w.From, 0, 0, t.Location())
	if minute >= w.From {
		opens = time.Date(t.Year(), t.Month(), t.Day()+1, 0, w.From, 0, 0, t.Location())
	}
	return opens
}
