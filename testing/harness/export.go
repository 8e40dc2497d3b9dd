package harness

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/tape"
)

// WriteJSON writes a report for programs.
func WriteJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteMarkdown writes a report for a merge request: a table, and what did not pass.
func WriteMarkdown(w io.Writer, r *Report) error {
	s := &screen{w: w}
	s.printf("# %s %s: %s\n\n", r.Plugin, r.Version, r.Summary())
	if r.Mode != "" {
		s.printf("Mode: %s. ", r.Mode)
	}
	s.printf("They ran %s; package `%s`.\n\n| | case | action | calls | instructions | memory | time |\n|---|---|---|--:|--:|--:|--:|\n", shortly(r.Ran()), r.Digest)
	for _, one := range r.Results {
		mark := map[Verdict]string{Passed: "✅", Failed: "❌", Broken: "⚠️"}[one.Verdict]
		s.printf("| %s | %s: %s | `%s` | %d | %d | %s | %s |\n", mark, cell(one.Name()), cell(one.Title), one.Action, len(one.Calls), one.Fuel, size(one.Memory), shortly(one.Wall))
	}
	for _, note := range r.Notes() {
		s.printf("\n%s\n", note)
	}
	for _, one := range r.Results {
		if one.Verdict == Passed {
			continue
		}
		s.printf("\n## %s\n\n", one.Name())
		for _, f := range one.Failures {
			s.printf("- %s\n", strings.ReplaceAll(strings.TrimRight(f.String(), "\n"), "\n", "\n  "))
		}
		s.printf("\n```\n%s```\n", fenced(one))
	}
	return s.err
}

// cell is text in a table of Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}

// fenced tells a case as the terminal does, so that nothing in it ends the fence.
func fenced(one *Result) string {
	var b bytes.Buffer
	(&screen{w: &b}).details(one)
	return strings.ReplaceAll(b.String(), "```", "'''")
}

// The elements of JUnit's format, as https://github.com/testmoapp/junitxml describes it.
type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Time     string     `xml:"time,attr"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Time      string      `xml:"time,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string    `xml:"name,attr"`
	Class   string    `xml:"classname,attr"`
	File    string    `xml:"file,attr"`
	Time    string    `xml:"time,attr"`
	Failure *junitOut `xml:"failure,omitempty"`
	Error   *junitOut `xml:"error,omitempty"`
	Out     string    `xml:"system-out,omitempty"`
}

type junitOut struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes a report for the servers that build software.
func WriteJUnit(w io.Writer, r *Report) error {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
	suite := junitSuite{Name: r.Plugin, Tests: len(r.Results), Failures: r.Count(Failed), Errors: r.Count(Broken), Timestamp: r.Started.Format(time.RFC3339), Time: seconds(r.Took)}
	for _, one := range r.Results {
		c := junitCase{Name: one.Name(), Class: r.Plugin + "." + one.Action, File: one.File, Time: seconds(one.Wall)}
		if one.Verdict != Passed && len(one.Failures) > 0 {
			var lines []string
			for _, f := range one.Failures {
				lines = append(lines, f.String())
			}
			out := &junitOut{Message: one.Failures[0].Message, Text: strings.Join(lines, "\n")}
			if c.Out = fenced(one); one.Verdict == Failed {
				c.Failure = out
			} else {
				c.Error = out
			}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Name: "riposte plugin test", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: suite.Time, Suite: suite}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

//go:embed report.html
var page string

// WriteHTML writes a report as one page that needs nothing else.
func WriteHTML(w io.Writer, r *Report) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"pretty": pretty, "shortly": shortly, "number": number, "amount": amount, "size": size, "seconds": func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
		"asked": func(x tape.Exchange) string { s, _ := tell(&x); return s }, "answered": func(x tape.Exchange) string { _, s := tell(&x); return s },
		"violation": func(one *Result) bool { return one.violation() }, "either": func(a, b string) string { return cmp.Or(a, b) },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// maxPretty bounds a document in a page.
const maxPretty = 64 << 10

// pretty lays a document out for people.
func pretty(document json.RawMessage) string {
	var b bytes.Buffer
	if len(document) == 0 || json.Indent(&b, document, "", "  ") != nil {
		return string(document)
	}
	if b.Len() > maxPretty {
		return strings.ToValidUTF8(b.String()[:maxPretty], "") + fmt.Sprintf("\n… (%d bytes)", b.Len())
	}
	return b.String()
}
