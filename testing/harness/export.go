package harness

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteJSON writes a report for programs.
func WriteJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteMarkdown writes a report for a merge request: what did not pass, and a table of all cases.
func WriteMarkdown(w io.Writer, r *Report) error {
	s := &screen{w: w}
	s.printf("# %s %s: %s\n\n", r.Plugin, r.Version, r.Summary())
	if r.Mode != "" {
		s.printf("Mode: %s. ", r.Mode)
	}
	s.printf("%s in %s; package `%s`.\n", number(len(r.Results), "case"), shortly(r.Ran()), r.Digest)
	for i, note := range r.Notes() {
		if i == 0 {
			s.printf("\n")
		}
		s.printf("- %s\n", cell(note))
	}
	troubled := r.Troubled()
	for _, one := range troubled {
		s.printf("\n## %s %s\n\n%s\n\n", sign(one.Verdict), cell(one.Name()), cell(one.Title))
		s.printf("```diff\n%s```\n\n<details><summary>What it did</summary>\n\n```\n%s```\n\n</details>\n", differences(one), deeds(one))
	}
	s.printf("\n| | case | action | calls | instructions | memory | time |\n|---|---|---|--:|--:|--:|--:|\n")
	for _, one := range append(troubled, r.Fine()...) {
		s.printf("| %s | %s: %s | `%s` | %d | %d | %s | %s |\n", sign(one.Verdict), cell(one.Name()), cell(one.Title), one.Action, len(one.Calls), one.Fuel, size(one.Memory), shortly(one.Wall))
	}
	return s.err
}

// sign is that of a verdict, as merge requests show it.
func sign(v Verdict) string {
	return map[Verdict]string{Passed: "✅", Failed: "❌", Broken: "⚠️"}[v]
}

// differences tells the failures of a case as a patch, in which lines begin with - where they are wanted and with + where they are there.
func differences(one *Result) string {
	var b strings.Builder
	for _, f := range one.Failures {
		message, rest, _ := strings.Cut(f.Message, "\n")
		fmt.Fprintf(&b, "@@ %s @@ %s\n", f.Where, strings.TrimSpace(message+" "+f.Path))
		if rest != "" {
			b.WriteString(strings.TrimRight(rest, "\n") + "\n")
		}
		lines := f.Diff()
		if lines == nil && (f.Want != "" || f.Got != "") {
			lines = []diffLine{{wantLine, f.Want}, {gotLine, f.Got}}
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "%s %s\n", line.Sign, line.Text)
		}
	}
	return fenced(Calm(b.String()))
}

// deeds tells what a case did, as the terminal does.
func deeds(one *Result) string {
	var b bytes.Buffer
	did := *one
	did.Failures = nil
	(&screen{w: &b, style: Style{Verbose: true}}).details(&did)
	return fenced(strings.TrimSpace(strings.ReplaceAll("\n"+b.String(), "\n"+margin, "\n")) + "\n")
}

// fenced is text that does not end the fence around it.
func fenced(text string) string { return strings.ReplaceAll(text, "```", "'''") }

// cell is text in a table of Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}

// The elements of JUnit's format, as the schema of Jenkins has them, which is the strictest that is in use: junit-10.xsd of
// https://github.com/jenkinsci/xunit-plugin.
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
	Time    string    `xml:"time,attr"`
	Failure *junitOut `xml:"failure,omitempty"`
	Error   *junitOut `xml:"error,omitempty"`
	Out     *junitLog `xml:"system-out,omitempty"`
}

type junitLog struct {
	Text string `xml:",cdata"`
}

type junitOut struct {
	Type    string `xml:"type,attr"` // the kind of the fault, or of the verdict
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

// WriteJUnit writes a report for the servers that build software.
func WriteJUnit(w io.Writer, r *Report) error {
	seconds := func(d time.Duration, digits int) string { return fmt.Sprintf("%.*f", digits, d.Seconds()) }
	suite := junitSuite{Name: r.Plugin, Tests: len(r.Results), Failures: r.Count(Failed), Errors: r.Count(Broken), Timestamp: r.Started.Format(time.RFC3339), Time: seconds(r.Took, 3)} // no more, says the schema
	for _, one := range r.Results {
		c := junitCase{Name: one.Name(), Class: r.Plugin + "." + one.Action, Time: seconds(one.Wall, 6)}
		if one.Verdict != Passed && len(one.Failures) > 0 {
			var lines []string
			for _, f := range one.Failures {
				lines = append(lines, f.String())
			}
			out := &junitOut{Type: string(one.Verdict), Message: one.Trouble(), Text: Calm(strings.Join(lines, "\n"))}
			if one.Fault != nil {
				out.Type = string(one.Fault.Kind)
			}
			if c.Out = (&junitLog{deeds(one)}); one.Verdict == Failed {
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
