package ui

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain makes text safe to show, whoever wrote it: users, other servers or software.
// It stays on its line, and what would move the cursor, colour, rename the window or
// turn the direction of writing is shown as Go writes it in a string: \x1b, \u202e, and
// \xe9 for a byte that is no UTF-8. Line breaks and tabs become blanks.
func Plain(text string) string {
	if !strings.ContainsFunc(text, unsafe) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !unsafe(r):
			b.WriteString(text[:size])
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.Write(appendEscape(nil, r, false))
		}
		text = text[size:]
	}
	return b.String()
}

// OneLine folds text into a single line, so that a message stays a message
// whatever a cause brought along. It is plain as well.
func OneLine(text string) string {
	return strings.Join(strings.Fields(Plain(text)), " ")
}

// unsafe reports whether a terminal may take a character for an order, or show it as
// nothing where that hides something. Those that join letters, as some scripts need
// them, are no such.
func unsafe(r rune) bool {
	const nonJoiner, joiner = 0x200c, 0x200d
	return !unicode.IsGraphic(r) && r != nonJoiner && r != joiner
}

// appendEscape writes a character as JSON does, with two escapes for what is beyond 16
// bits, or as Go and YAML do.
func appendEscape(to []byte, r rune, json bool) []byte {
	switch {
	case r <= 0xffff:
		return fmt.Appendf(to, `\u%04x`, r)
	case json:
		r -= 0x10000
		return fmt.Appendf(to, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
	}
	return fmt.Appendf(to, `\U%08x`, r)
}

// escaped replaces what no terminal should get in JSON, or in YAML whose strings with
// such characters stand in double quotes: it means the same there. Encoders have
// replaced what is below a blank and what is no UTF-8.
func escaped(text []byte, json bool) []byte {
	special := func(r rune) bool { return r != '\n' && unsafe(r) }
	if !bytes.ContainsFunc(text, special) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		if special(r) {
			out = appendEscape(out, r, json)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}
