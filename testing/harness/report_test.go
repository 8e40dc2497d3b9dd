package harness_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"

	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/testing/harness"
)

// troubled is a report of everything that can be wrong with a case, beside one that passes.
func troubled(t *testing.T) *harness.Report {
	t.Helper()
	cases := load(t)
	for _, text := range []string{
		"case: it crashes\naction: odd\n" + settings + "parameters: {how: panic}\n",
		"case: lists differ\naction: blocked\n" + settings + "parameters: {ip: 203.0.113.66}\nstubs: [{fn: http.fetch, status: 200, json: {}}]\nexpect: {paths: {$.present: [1, 2]}, calls: 3}\n",
		"case: it is refused\naction: blocked\n" + settings + "grant: []\nparameters: {ip: 203.0.113.66}\n",
		"case: there is no tape\naction: blocked\n" + settings + "tape: none.tape\n",
	} {
		cases = append(cases, parse(t, text))
	}
	report := run(t, harness.Mode{}, cases...)
	if report.Count(harness.Failed) != 3 || report.Count(harness.Broken) != 1 || report.Count(harness.Passed) == 0 {
		t.Fatal(report.Summary())
	}
	return report
}

// What did not pass comes first: with why, in one line that leads to it, and with a link to the file of the case.
func TestPageShowsTroubleFirst(t *testing.T) {
	var b strings.Builder
	if err := harness.WriteHTML(&b, troubled(t), filepath.Join("build", "deep")); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	at := 0
	for _, want := range []string{
		"3 failed, 1 could not be tried", `<a href="#case-`, "the result differs at", "and 1 more", "<h2>Did not pass</h2>", "Stack of the guest", "panic", "the result differs", "- wanted", `href="../../tests/x.yaml"`, "another number of host calls",
		"refused</span>", "<h2>Passed</h2>", "What the cases reach", `class="none"`,
	} {
		next := strings.Index(page[at:], want)
		if next < 0 {
			t.Fatalf("after %d bytes there is no %q:\n%s", at, want, page)
		}
		at += next
	}
	if opened, all := strings.Count(page, `" open>`), strings.Count(page, `<details class="case`); opened != 4 || all <= opened {
		t.Errorf("%d of %d cases are open", opened, all)
	}
}

// On a terminal they come last, where one looks when it is done; a difference of documents is shown line by line.
func TestTerminalShowsTroubleLast(t *testing.T) {
	var b strings.Builder
	if err := harness.WriteTerminal(&b, troubled(t), harness.Style{}); err != nil {
		t.Fatal(err)
	}
	all, rest, found := strings.Cut(b.String(), "\n\n  ✗ ")
	if !found || strings.Count(all, "  ✓ ") == 0 || strings.Contains(rest, "  ✓ ") || !strings.HasPrefix(strings.TrimSpace(rest[strings.LastIndex(rest, "\n\n"):]), "4 passed, 3 failed") {
		t.Errorf("%s", b.String())
	}
	for _, want := range []string{"call 1   http.fetch GET", "→ REFUSED", "stack    main.", "that the crash wrote (-v shows them)", "        - want "} {
		if !strings.Contains(rest, want) {
			t.Errorf("it does not tell %q:\n%s", want, rest)
		}
	}
}

// TestReportsOrderNothing: what a plugin and its peer say gives no orders to a terminal, and makes no XML that cannot be read.
func TestReportsOrderNothing(t *testing.T) {
	c := parse(t, "case: x\naction: blocked\n"+settings+"parameters: {ip: 203.0.113.66}\nstubs: [{fn: http.fetch, status: 500, text: \"\\e[2J\\e]0;title\\a\\e[31mred ]]>\"}]\nexpect: {fault: {message: \"\\e[8m\"}}\n")
	report := run(t, harness.Mode{}, c)
	for name, write := range map[string]func(io.Writer) error{
		"terminal": func(w io.Writer) error { return harness.WriteTerminal(w, report, harness.Style{}) },
		"colours":  func(w io.Writer) error { return harness.WriteTerminal(w, report, harness.Style{Color: true}) },
		"Markdown": func(w io.Writer) error { return harness.WriteMarkdown(w, report) },
		"JUnit":    func(w io.Writer) error { return harness.WriteJUnit(w, report) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, order := range []string{"\x1b[2J", "\x1b]0", "\x1b[8m", "\a"} {
			if strings.Contains(b.String(), order) {
				t.Errorf("%s holds %q", name, order)
			}
		}
		if !strings.Contains(b.String(), "\u241b[2J") {
			t.Errorf("%s does not show what was ordered:\n%s", name, b.String())
		}
		if name == "JUnit" {
			if err := xml.Unmarshal(b.Bytes(), new(struct{})); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDifferences(t *testing.T) {
	for _, test := range []struct{ want, got, lines string }{
		{"true", "false", ""},
		{`["a","b"]`, `["a","x","b"]`, "  [|    \"a\",|+   \"x\",|    \"b\"|  ]"},
		{`{"a":1,"b":[]}`, `{"a":2,"b":[]}`, "  {|-   \"a\": 1,|+   \"a\": 2,|    \"b\": []|  }"},
		{"nothing", `{"a":1}`, "- nothing|+ {|+   \"a\": 1|+ }"},
		{"one\ntwo", "two", "- one|  two"},
		{"a\nb\nc", "c\nb\na", "- a|- b|  c|+ b|+ a"},
	} {
		var lines []string
		for _, line := range (harness.Failure{Want: test.want, Got: test.got}).Diff() {
			lines = append(lines, line.Sign+" "+line.Text)
		}
		if said := strings.Join(lines, "|"); said != test.lines {
			t.Errorf("%s and %s:\n%s\n%s", test.want, test.got, said, test.lines)
		}
	}
	long := strings.Repeat("a\n", 2000)
	if lines := (harness.Failure{Want: long + "b\n" + long, Got: "c\n" + long + long}).Diff(); len(lines) < 4000 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestReportKeepsToItsSchema(t *testing.T) {
	var b bytes.Buffer
	if err := harness.WriteJSON(&b, troubled(t)); err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(b.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("report", document); err != nil {
		t.Error(err)
	}
}

// TestJUnit holds a report against what the schema of Jenkins lets an element have.
func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := harness.WriteJUnit(&b, troubled(t)); err != nil {
		t.Fatal(err)
	}
	type shape struct{ required, allowed, children string }
	shapes := map[string]shape{
		"testsuites": {"", "name time tests failures errors", "testsuite"},
		"testsuite":  {"name tests failures errors", "time skipped timestamp hostname id package", "properties testcase system-out system-err"},
		"testcase":   {"name", "time classname group", "skipped error failure system-out system-err"},
		"failure":    {"", "type message", ""},
		"error":      {"", "type message", ""},
		"system-out": {},
	}
	counts := map[string]int{}
	var above []string
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			counts[name]++
			s, known := shapes[name]
			if !known || len(above) > 0 && !slices.Contains(strings.Fields(shapes[above[len(above)-1]].children), name) {
				t.Errorf("%s stands in %v", name, above)
			}
			has := map[string]bool{}
			for _, a := range e.Attr {
				if name != "testcase" && a.Name.Local == "time" && !regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{0,3}$`).MatchString(a.Value) {
					t.Errorf("the time of a %s is %s", name, a.Value)
				}
				if has[a.Name.Local] = true; !slices.Contains(strings.Fields(s.required+" "+s.allowed), a.Name.Local) {
					t.Errorf("%s has an attribute %s", name, a.Name.Local)
				}
			}
			for _, a := range strings.Fields(s.required) {
				if !has[a] {
					t.Errorf("%s has no %s", name, a)
				}
			}
			above = append(above, name)
		case xml.EndElement:
			above = above[:len(above)-1]
		}
	}
	if counts["failure"] != 3 || counts["error"] != 1 || counts["testcase"] != 8 {
		t.Errorf("%v", counts)
	}
}
