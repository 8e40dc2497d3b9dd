package main

import (
	"io"
	"strings"

	"github.com/riposte-soar/riposte/testing/harness"
)

// What alarms, vendors and plugins say is shown on the terminals of people who look into an attack. A terminal takes orders in such text: colours,
// titles, answers typed in the reader's name, lines that are written over. So control characters are shown as pictures, and those that turn
// the direction of writing as replacement characters.

// calmLine is harness.Calm for what must stay on its line.
func calmLine(text string) string {
	return strings.NewReplacer("\n", "\u240a", "\t", " ").Replace(harness.Calm(text))
}

// calmWriter calms what is written to it.
type calmWriter struct{ io.Writer }

// Write implements io.Writer.
func (w calmWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, harness.Calm(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
