package harness

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Style is how a report looks on a terminal.
type Style struct {
	Color bool
	// Verbose shows inputs, outputs, calls and logs of every case, and not only of those that did not pass.
	Verbose bool
}

// The colours, as SGR codes of ECMA-48.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// screen writes to a terminal, and keeps the first error.
type screen struct {
	w     io.Writer
	style Style
	err   error
}

func (s *screen) paint(code, text string) string {
	if !s.style.Color || code == plain {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) printf(format string, args ...any) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, calmReport(fmt.Sprintf(format, args...), s.style.Color))
	}
}

// WriteTerminal writes a report for people at a terminal: a line for each case, everything about those that did not pass, and the sum.
func WriteTerminal(w io.Writer, r *Report, style Style) error {
	s := &screen{w: w, style: style}
	s.printf("%s  %s", s.paint(bold, r.Plugin+" "+r.Version), s.paint(dim, r.Title))
	if r.Mode != "" {
		s.printf("  %s", s.paint(yellow, r.Mode))
	}
	s.printf("\n\n")
	name, action := 0, 0
	for _, one := range r.Results {
		name, action = max(name, utf8.RuneCountInString(one.Name())), max(action, len(one.Action))
	}
	for _, one := range r.Results {
		s.line(one, name, action)
		if style.Verbose && one.Verdict == Passed {
			s.details(one)
			s.printf("\n")
		}
	}
	for _, one := range r.Troubled() { // at the end, where one looks
		s.printf("\n  %s %s  %s\n", s.mark(one.Verdict), s.paint(bold, one.Name()), s.paint(dim, one.Title))
		s.details(one)
	}
	s.foot(r)
	return s.err
}

// WriteLine writes the line of one case.
func WriteLine(w io.Writer, r *Result, style Style) error {
	s := &screen{w: w, style: style}
	s.line(r, utf8.RuneCountInString(r.Name()), len(r.Action))
	return s.err
}

func (s *screen) mark(v Verdict) string {
	switch v {
	case Passed:
		return s.paint(green, "✓")
	case Failed:
		return s.paint(red, "✗")
	}
	return s.paint(yellow, "!")
}

func (s *screen) line(r *Result, name, action int) {
	pad := func(text string, width int) string {
		return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	}
	s.printf("  %s %s  %s  %s  %s\n", s.mark(r.Verdict), pad(r.Name(), name), s.paint(cyan, pad(r.Action, action)),
		s.paint(dim, fmt.Sprintf("%-8s %7s %8s", number(len(r.Calls), "call"), amount(r.Fuel), shortly(r.Wall))), s.paint(dim, r.Title))
}

// number counts things.
func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// amount shortens a number of instructions.
func amount(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}

func shortly(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// details tells everything about a case.
func (s *screen) details(r *Result) {
	s.failures(r)
	s.printf("%s%s %s\n", margin, s.paint(dim, "input   "), oneLine(r.Parameters))
	switch {
	case r.Fault != nil:
		s.printf("%s%s %s\n", margin, s.paint(dim, "fault   "), s.paint(yellow, r.Fault.Error()))
	case r.Verdict != Broken:
		s.printf("%s%s %s\n", margin, s.paint(dim, "output  "), oneLine(r.Output))
	}
	for i, frame := range r.Stack {
		label := "        "
		if i == 0 {
			label = "stack   "
		}
		s.printf("%s%s %s\n", margin, s.paint(dim, label), frame)
	}
	for i := range r.Calls {
		x := &r.Calls[i]
		asked, answered := tell(x)
		if x.Refused {
			answered = s.paint(red, answered)
		}
		s.printf("%s%s %s\n%s         %s\n", margin, s.paint(dim, fmt.Sprintf("call %-3d", x.Seq)), asked, margin, s.paint(dim, "→ ")+answered)
	}
	if n := len(logLines(r, true)); n > 0 && !s.style.Verbose {
		s.printf("%s%s %s that the crash wrote (-v shows them)\n", margin, s.paint(dim, "log     "), number(n, "line"))
	}
	for _, l := range r.Logs {
		if crashWrote(r, l) && !s.style.Verbose {
			continue
		}
		s.printf("%s%s %s: %s\n", margin, s.paint(dim, "log     "), l.Level, l.Message)
	}
	for _, e := range r.Emissions {
		s.printf("%s%s %s %s\n", margin, s.paint(dim, "emits   "), e.Type, cmp.Or(e.Value, e.Name))
	}
	if r.Verdict != Broken {
		s.printf("%s%s %s of memory, %d instructions, %s\n", margin, s.paint(dim, "took    "), size(r.Memory), r.Fuel, shortly(r.Wall))
	}
}

// crashWrote says that a line is the stack once more, as the guest wrote it when it crashed.
func crashWrote(r *Result, l abi.LogEntry) bool {
	return len(r.Stack) > 0 && l.Fields["stream"] == "stderr"
}

// logLines are the lines that a crash wrote, or the others.
func logLines(r *Result, ofCrash bool) []abi.LogEntry {
	return slices.DeleteFunc(slices.Clone(r.Logs), func(l abi.LogEntry) bool { return crashWrote(r, l) != ofCrash })
}

// margin is left of what belongs to a case.
const margin = "      "

// failures tells what is not as it is wanted: place, message and path, and the difference.
func (s *screen) failures(r *Result) {
	for _, f := range r.Failures {
		message, rest, _ := strings.Cut(f.Message, "\n")
		if f.Path != "" {
			message += " at " + f.Path
		}
		s.printf("%s%s  %s\n", margin, s.paint(dim, f.Where), s.paint(bold, message))
		s.block(margin+"  ", rest)
		lines := f.Diff()
		switch {
		case r.saysFault(f):
		case lines != nil:
			s.printf("%s  %s  %s\n", margin, s.paint(red, "- want"), s.paint(green, "+ got"))
		case f.Want != "" || f.Got != "":
			s.printf("%s  %s %s\n%s  %s %s\n", margin, s.paint(red, "- want"), f.Want, margin, s.paint(green, "+ got "), f.Got)
		}
		for _, line := range lines {
			s.block(margin+"  ", line.Sign+" "+line.Text)
		}
	}
}

// block writes lines, those of a comparison in colour.
func (s *screen) block(indent, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		code := plain
		switch {
		case strings.HasPrefix(line, "-"):
			code = red
		case strings.HasPrefix(line, "+"):
			code = green
		}
		s.printf("%s%s\n", indent, s.paint(code, line))
	}
}

func (s *screen) foot(r *Report) {
	color := green
	if !r.OK() {
		color = red
	}
	s.printf("\n  %s %s\n", s.paint(color, r.Summary()), s.paint(dim, "in "+shortly(r.Ran())))
	for _, note := range r.Notes() {
		s.printf("  %s\n", s.paint(yellow, note))
	}
}

// Notes tells what the cases leave open, one sentence each.
func (r *Report) Notes() (notes []string) {
	var broke []string
	for _, one := range r.Results {
		if one.Violation() {
			broke = append(broke, one.Name())
		}
	}
	if len(broke) > 0 {
		notes = append(notes, "the result breaks the plugin's own schema: "+strings.Join(broke, ", "))
	}
	if len(r.Untested) > 0 {
		notes = append(notes, "no case calls: "+strings.Join(r.Untested, ", "))
	}
	if len(r.Unused) > 0 {
		notes = append(notes, "no case needs what the plugin asks for: "+strings.Join(r.Unused, ", "))
	}
	return notes
}

func size(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", (n+1023)>>10)
}

// maxLine bounds what a terminal is shown of a document.
const maxLine = 2000

func oneLine(document json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, document) != nil {
		return string(document)
	}
	if b.Len() > maxLine {
		return strings.ToValidUTF8(b.String()[:maxLine], "") + fmt.Sprintf(" … (%d bytes)", b.Len())
	}
	return b.String()
}

// tell gives a call in two lines.
func tell(x *tape.Exchange) (asked, answered string) {
	asked = x.Function + " " + cmp.Or(x.Summary, oneLine(x.Request))
	if x.Effect != "" && x.Effect != abi.Read && x.Effect != abi.Pure {
		asked += "  " + string(x.Effect)
	}
	if x.Key != "" {
		asked += "  key " + x.Key
	}
	var reply abi.Reply
	switch err := json.Unmarshal(x.Reply, &reply); {
	case x.Open:
		return asked, "(it never ended)"
	case err != nil:
		return asked, oneLine(x.Reply)
	case reply.Fault != nil && x.Refused:
		return asked, "REFUSED " + reply.Fault.Error()
	case reply.Fault != nil:
		return asked, reply.Fault.Error()
	}
	var response abi.HTTPResponse
	if x.Function == "http.fetch" && json.Unmarshal(reply.Value, &response) == nil {
		body := response.Body.Text
		if len(response.Body.Base64) > 0 {
			body = fmt.Sprintf("%d bytes", len(response.Body.Base64))
		}
		return asked, fmt.Sprintf("%d %s", response.Status, brief(body))
	}
	return asked, oneLine(reply.Value)
}

// brief is the beginning of a text, in one line.
func brief(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}
