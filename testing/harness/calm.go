package harness

import (
	"regexp"
	"strings"
)

// Calm gives text that orders nothing: control characters are shown as pictures, those that turn the direction of writing as replacement characters. What
// plugins and those whom they ask say goes to terminals and into XML, of which one obeys such characters and the other has none. Line feeds and tabs stay.
func Calm(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ':
			return '\u2400' + r // the pictures of the control characters
		case r == 0x7f:
			return '\u2421'
		case r >= 0x80 && r < 0xa0, r == '\u200e', r == '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return '\ufffd'
		}
		return r
	}, text)
}

// colours are those that a report is painted in.
var colours = regexp.MustCompile("\x1b\\[(?:0|1|2|31|32|33|36)m")

// calmReport is Calm for a report, which keeps its colours where it is painted.
func calmReport(text string, painted bool) string {
	if !painted {
		return Calm(text)
	}
	var b strings.Builder
	at := 0
	for _, c := range colours.FindAllStringIndex(text, -1) {
		b.WriteString(Calm(text[at:c[0]]))
		b.WriteString(text[c[0]:c[1]])
		at = c[1]
	}
	b.WriteString(Calm(text[at:]))
	return b.String()
}
