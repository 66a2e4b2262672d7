package fault

import (
	"strings"
	"unicode"
)

// MaxText is the most bytes of a text of somebody else's that are shown.
const MaxText = 2 << 10

// Plain bounds a text that a person is shown and that somebody else wrote, to MaxText
// bytes, and replaces what is not printable.
func Plain(text string) string {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(text, "?"))
}
