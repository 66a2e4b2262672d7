package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	for sent, want := range map[string][]Key{
		"":                 nil,
		"q":                {KeyQuit},
		"\x1b[A\x1b[B":     {KeyUp, KeyDown},
		"\x1b[5~\x1b[6~":   {KeyPageUp, KeyPageDown},
		"\x1bOH\x1b[F":     {KeyHome, KeyEnd},
		"x\x03":            {KeyOther, KeyBreak},
		"\x1b[15~":         {KeyOther}, // F5
		"\x1b":             {KeyOther},
		"\xff\x00q":        {KeyOther, KeyOther, KeyQuit},
		"kj \x1b[1~\x1bOF": {KeyUp, KeyDown, KeyOther, KeyHome, KeyEnd},
	} {
		if got := Keys([]byte(sent)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
}

// The terminal ends with what the viewport is to show, whatever was drawn and pressed before.
func TestViewport(t *testing.T) {
	var v Viewport
	screen := []string{}
	page := func(n int, mark string) (lines []string) {
		for i := range n {
			lines = append(lines, fmt.Sprint(mark, i))
		}
		return lines
	}
	for i, step := range []struct {
		key     Key
		page    []string
		footer  string
		rows    int
		want    []string
		hides   int
		written int // most bytes
	}{
		{"", page(3, "a"), "12:00", 6, []string{"a0", "a1", "a2", "", "", "12:00"}, 0, 100},
		{"", page(3, "a"), "12:00", 6, []string{"a0", "a1", "a2", "", "", "12:00"}, 0, 0}, // nothing changed
		{"", page(3, "a"), "12:02", 6, []string{"a0", "a1", "a2", "", "", "12:02"}, 0, 14},
		{"", page(9, "b"), "12:04", 6, []string{"b0", "b1", "b2", "b3", "b4", "12:04"}, 4, 100},
		{KeyDown, page(9, "b"), "12:04", 6, []string{"b1", "b2", "b3", "b4", "b5", "12:04"}, 3, 100},
		{KeyEnd, page(9, "b"), "12:04", 6, []string{"b4", "b5", "b6", "b7", "b8", "12:04"}, 0, 100},
		{KeyDown, page(9, "b"), "12:04", 6, []string{"b4", "b5", "b6", "b7", "b8", "12:04"}, 0, 0},
		{KeyPageUp, page(9, "b"), "12:04", 6, []string{"b0", "b1", "b2", "b3", "b4", "12:04"}, 4, 100},
		{KeyEnd, page(2, "c"), "12:06", 6, []string{"c0", "c1", "", "", "", "12:06"}, 0, 100}, // a page that became shorter
		{"", page(9, "b"), "12:06", 3, []string{"b0", "b1", "12:06"}, 7, 100},                 // a window that did
		{KeyHome, page(9, "b"), "f", 1, []string{"f"}, 9, 100},
	} {
		hides := 0
		v.Press(step.key)
		out := string(v.Draw(step.page, func(n int) string { hides = n; return step.footer }, 80, step.rows))
		if len(out) > step.written {
			t.Errorf("step %d writes %d bytes: %q", i, len(out), out)
		}
		screen = play(screen, step.rows, out)
		if !slices.Equal(screen, step.want) || hides != step.hides {
			t.Errorf("step %d shows %q and hides %d, want %q and %d", i, screen, hides, step.want, step.hides)
		}
	}
	if end := string(v.End()); !strings.Contains(end, "\x1b[?25h") || (&Viewport{}).End() != nil {
		t.Errorf("end %q", end)
	}
}

// play is what a terminal shows after it was sent what a viewport writes.
func play(screen []string, rows int, out string) []string {
	if _, rest, cleared := strings.Cut(out, "\x1b[2J"); cleared {
		screen, out = make([]string, rows), rest
	}
	for _, part := range strings.Split(out, "\x1b[K") {
		at, text, found := strings.Cut(strings.TrimPrefix(part, "\x1b["), ";1H")
		var row int
		if _, err := fmt.Sscan(at, &row); found && err == nil {
			screen[row-1] = text
		}
	}
	return screen
}
