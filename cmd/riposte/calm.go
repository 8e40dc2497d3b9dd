package main

import (
	"io"
	"strings"
)

// What alarms, vendors and plugins say is shown on the terminals of people who look into an attack. A terminal takes orders in such text: colours,
// titles, answers typed in the reader's name, lines that are written over. So control characters are shown as pictures, and those that turn
// the direction of writing as replacement characters.

// calm gives text that orders nothing. Line feeds and tabs stay.
func calm(text string) string {
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

// calmLine is calm for what must stay on its line.
func calmLine(text string) string {
	return strings.NewReplacer("\n", "\u240a", "\t", " ").Replace(calm(text))
}

// calmWriter calms what is written to it.
type calmWriter struct{ io.Writer }

// Write implements io.Writer.
func (w calmWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, calm(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
