package main

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/riposte-soar/riposte/server/journal"
)

// Texts of alarms reach the terminal without the orders in them.
func TestTextsOrderNothing(t *testing.T) {
	const evil = "a\x1b[2J\x1b]0;title\x07\r\u009b31m\u202eb\x7f\nc"
	const want = "a␛[2J␛]0;title␇␍\ufffd31m\ufffdb␡"
	var out strings.Builder
	c := &client{out: &out, format: "table"}
	if err := c.show(nil, func(w *tabwriter.Writer) { fmt.Fprintf(w, "TITLE\tSTATE\n%s\topen\n", evil) }); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "\n"+want+"\nc  ") || strings.ContainsAny(got, "\x1b\x07\r\x7f\u009b\u202e") {
		t.Errorf("a table holds %q", got)
	}
	out.Reset()
	printer{w: &out}.fact(journal.Fact{}, evil)
	if got := out.String(); !strings.HasSuffix(got, want+"␊c\n") {
		t.Errorf("a timeline holds %q", got)
	}
	if err := (&client{out: &out, format: "json"}).show(evil, nil); err != nil || !strings.Contains(out.String(), `\u001b`) {
		t.Errorf("JSON keeps the text as it is: %q, %v", out.String(), err)
	}
}
