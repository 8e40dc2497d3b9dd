package expr

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/riposte-soar/riposte/schemas"
)

// Error says what is wrong with an expression, and where in it.
type Error struct {
	Source  string
	Offset  int // in bytes of Source
	Message string
	Hint    string
	// Name is what is not known, if that is what is wrong: a variable, a function or a field.
	Name string
}

// Error gives message, hint and source in one line.
func (e *Error) Error() string {
	s := e.Message
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s + " in ${{ " + e.Source + " }}"
}

// explain turns what CEL's checker reports into one error in the words of a runbook's author. Only the first is told: the others are
// often its consequences.
func (e *Env) explain(src string, issues []*cel.Error) *Error {
	first := issues[0]
	for _, i := range issues[1:] {
		if i.Location.Line() < first.Location.Line() ||
			i.Location.Line() == first.Location.Line() && i.Location.Column() < first.Location.Column() {
			first = i
		}
	}
	out := &Error{Source: src, Offset: byteOffset(src, first.Location.Line(), first.Location.Column()), Message: plain(first.Message)}
	switch m := first.Message; {
	case strings.HasPrefix(m, "undefined field '"):
		e.explainField(out, between(m, "'", "'"))
	case strings.HasPrefix(m, "undeclared reference to '"):
		out.Name = between(m, "'", "'")
		e.explainName(out)
	case strings.HasPrefix(m, "found no matching overload for '"):
		explainOverload(out, m)
	case strings.HasPrefix(m, "Syntax error: "):
		out.Message = syntaxMessage(strings.TrimPrefix(m, "Syntax error: "))
		if strings.Contains(m, "token recognition error") {
			out.Hint = "is a quote missing?"
		}
	}
	return out
}

// syntaxMessage leaves out the list of all tokens that the parser would have taken.
func syntaxMessage(m string) string {
	if strings.Contains(m, "'<EOF>'") {
		return "syntax error: the expression ends too early"
	}
	m, _, _ = strings.Cut(m, " expecting {")
	return "syntax error: " + plain(m)
}

func (e *Env) explainField(out *Error, field string) {
	out.Name = field
	out.Message = fmt.Sprintf("there is no field %q here", field)
	if i := strings.Index(out.Source[out.Offset:], field); i >= 0 {
		out.Offset += i
	}
	if e.miss == nil || e.miss.field != field {
		return
	}
	fields := e.miss.of.Fields()
	if near := schemas.Nearest(field, fields); near != "" {
		out.Hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(fields) > 0 && len(fields) <= 12 {
		out.Hint = "known are: " + strings.Join(fields, ", ")
	}
}

func (e *Env) explainName(out *Error) {
	kind, names := "variable", e.Vars()
	// A call is reported at its parenthesis, a variable at its name.
	if strings.HasPrefix(out.Source[out.Offset:], "(") {
		kind, names = "function", nil
		out.Offset = max(strings.LastIndex(out.Source[:out.Offset], out.Name), 0)
		for name := range e.cel.Functions() {
			if !strings.ContainsAny(name, "@_!-") || strings.HasPrefix(name, "lp_") {
				names = append(names, name)
			}
		}
		for _, m := range e.cel.Macros() {
			names = append(names, m.Function())
		}
	}
	out.Message = fmt.Sprintf("there is no %s %q here", kind, out.Name)
	if near := schemas.Nearest(out.Name, names); near != "" {
		out.Hint = fmt.Sprintf("did you mean %q?", near)
	} else if kind == "variable" && len(names) <= 20 {
		out.Hint = "known are: " + strings.Join(names, ", ")
	}
}

// explainOverload names operator and operands: "found no matching overload for '_==_' applied to '(double, int)'".
func explainOverload(out *Error, m string) {
	name, args, _ := strings.Cut(strings.TrimPrefix(m, "found no matching overload for '"), "' applied to '")
	args = strings.Trim(plain(args), "'")
	operator := strings.Trim(strings.Trim(name, "_"), "@")
	if operator == "?_:" {
		out.Message = "the two results of ? : are of different types: " + args
		out.Hint = "dyn(…) around one of them lets them differ"
		return
	}
	out.Message = fmt.Sprintf("%s cannot be applied to %s", operator, args)
	switch {
	case strings.Contains(args, "number") && strings.Contains(args, "integer"):
		out.Hint = "write the whole number with a point, such as 3.0, or convert with int(…) or double(…)"
	case operator == "+" && strings.Contains(args, "string"):
		out.Hint = "convert with string(…)"
	}
}

// plain puts CEL's words for types into ours and leaves out what only concerns CEL.
func plain(m string) string {
	m, _, _ = strings.Cut(m, " (in container '')")
	m = regexp.MustCompile(`(object|lists_object)_[0-9a-f]{16}`).ReplaceAllString(m, "object")
	m = regexp.MustCompile(`\bdyn\b`).ReplaceAllString(m, "any")
	m = regexp.MustCompile(`\bint\b`).ReplaceAllString(m, "integer")
	m = regexp.MustCompile(`\bdouble\b`).ReplaceAllString(m, "number")
	return regexp.MustCompile(`\bbool\b`).ReplaceAllString(m, "boolean")
}

func between(s, open, end string) string {
	_, s, _ = strings.Cut(s, open)
	s, _, _ = strings.Cut(s, end)
	return s
}

// byteOffset turns CEL's position (line from 1, column in code points from 0) into a byte offset.
func byteOffset(src string, line, column int) int {
	start := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(src[start:], '\n')
		if i < 0 {
			break
		}
		start += i + 1
	}
	for i := range src[start:] {
		if column <= 0 {
			return start + i
		}
		column--
	}
	return len(src)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func withArticle(s string) string {
	if s != "" && strings.ContainsRune("aeiou", rune(s[0])) {
		return "an " + s
	}
	return "a " + s
}
