package ui

import (
	"fmt"
	"strings"
)

// Key is one that a person presses at a terminal.
type Key string

// The keys that mean something.
const (
	KeyUp       Key = "up"
	KeyDown     Key = "down"
	KeyPageUp   Key = "page up"
	KeyPageDown Key = "page down"
	KeyHome     Key = "home"
	KeyEnd      Key = "end"
	KeyQuit     Key = "q"
	KeyBreak    Key = "ctrl-c"
	KeyOther    Key = "" // asks for a new page
)

// sequences are what terminals send for the keys.
func sequences() map[string]Key {
	return map[string]Key{
		"\x1b[A": KeyUp, "\x1bOA": KeyUp, "k": KeyUp, "\x1b[B": KeyDown, "\x1bOB": KeyDown, "j": KeyDown,
		"\x1b[5~": KeyPageUp, "\x1b[6~": KeyPageDown, "\x1b[H": KeyHome, "\x1bOH": KeyHome, "\x1b[1~": KeyHome,
		"\x1b[F": KeyEnd, "\x1bOF": KeyEnd, "\x1b[4~": KeyEnd, "q": KeyQuit, "Q": KeyQuit, "\x03": KeyBreak,
	}
}

// Keys returns the keys in what a terminal sent at once.
func Keys(sent []byte) []Key {
	var keys []Key
	text, known := string(sent), sequences()
	for text != "" {
		key, length := KeyOther, 1
		for s, k := range known {
			if strings.HasPrefix(text, s) {
				key, length = k, len(s)
			}
		}
		if key == KeyOther && strings.HasPrefix(text, "\x1b") {
			length = len(text) // of a key that means nothing
		}
		keys, text = append(keys, key), text[length:]
	}
	return keys
}

// Viewport shows pages on a terminal, one in the place of the other, and writes the lines alone that
// differ: over a slow line nothing flickers. The last row is a footer. Its zero value is ready.
type Viewport struct {
	columns, rows int
	top           int      // first line of the page that is shown
	lines         int      // of the page
	shown         []string // rows; nil: nothing was drawn in this size
}

// Draw returns what to write for a page in a terminal of a size. The footer is told how many lines of
// the page are below the window.
func (v *Viewport) Draw(page []string, footer func(hidden int) string, columns, rows int) []byte {
	var out strings.Builder
	if v.shown == nil || columns != v.columns || rows != v.rows {
		out.WriteString("\x1b[?7l\x1b[?25l\x1b[H\x1b[2J") // long lines are cut off, no cursor, an empty screen
		v.columns, v.rows, v.shown = columns, rows, make([]string, rows)
	}
	v.lines = len(page)
	v.clamp()
	for row := range rows {
		line := ""
		switch at := v.top + row; {
		case row == rows-1:
			line = footer(v.hides())
		case at < len(page):
			line = page[at]
		}
		if line != v.shown[row] {
			fmt.Fprintf(&out, "\x1b[%d;1H%s\x1b[K", row+1, line)
			v.shown[row] = line
		}
	}
	return []byte(out.String())
}

// Press scrolls by a key.
func (v *Viewport) Press(k Key) {
	window := max(v.rows-1, 1)
	switch k {
	case KeyUp:
		v.top--
	case KeyDown:
		v.top++
	case KeyPageUp:
		v.top -= window
	case KeyPageDown:
		v.top += window
	case KeyHome:
		v.top = 0
	case KeyEnd:
		v.top = v.lines
	}
	v.clamp()
}

// clamp keeps the window on the page.
func (v *Viewport) clamp() { v.top = max(min(v.top, v.lines-(v.rows-1)), 0) }

// hides tells how many lines of the page are below the window.
func (v *Viewport) hides() int { return max(v.lines-v.top-(v.rows-1), 0) }

// End returns what to write when nothing more is shown: the last page stays, the cursor is below it.
func (v *Viewport) End() []byte {
	if v.shown == nil {
		return nil
	}
	return fmt.Appendf(nil, "\x1b[?7h\x1b[?25h\x1b[%d;1H\x1b[K", v.rows)
}
