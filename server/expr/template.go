package expr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Template is a value with expressions inside: a constant, an expression, text with "${{ … }}" in it, or a list or an object of templates.
type Template struct {
	constant any
	parts    []part // text with expressions; one part that is an expression alone keeps its type
	list     []*Template
	object   map[string]*Template
	source   string
	strict   bool // null inside text is an error
}

// part of a text: literal or expression.
type part struct {
	text string
	prog *Program
}

// Constant makes a template that always gives v, which is in JSON form.
func Constant(v any) *Template { return &Template{constant: v} }

// ListTemplate gives a list of what its elements give.
func ListTemplate(elems []*Template) *Template {
	if elems == nil {
		elems = []*Template{}
	}
	return &Template{list: elems}
}

// ObjectTemplate gives an object of what its members give.
func ObjectTemplate(members map[string]*Template) *Template {
	if members == nil {
		members = map[string]*Template{}
	}
	return &Template{object: members}
}

// Template compiles text with "${{ expression }}" in it. Text that is one expression as a whole keeps the type of its value; otherwise values are
// written into the text as Text does. "$${{" stands for a literal "${{". The error is an *Error whose Source is the whole text.
func (e *Env) Template(text string) (*Template, error) {
	t := &Template{source: text, strict: e.opts.Absent == AbsentError}
	literal := strings.Builder{}
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "$${{"):
			literal.WriteString("${{")
			i += len("$${{")
		case strings.HasPrefix(text[i:], "${{"):
			start := i + len("${{")
			end := expressionEnd(text, start)
			if end < 0 {
				return nil, &Error{Source: text, Offset: i, Message: `"${{" is never closed`, Hint: `end the expression with "}}", or write "$${{" for the text itself`}
			}
			if literal.Len() > 0 {
				t.parts = append(t.parts, part{text: literal.String()})
				literal.Reset()
			}
			p, err := e.compileAt(text, start, end)
			if err != nil {
				return nil, err
			}
			t.parts = append(t.parts, part{prog: p})
			i = end + len("}}")
		default:
			literal.WriteByte(text[i])
			i++
		}
	}
	if len(t.parts) == 0 {
		return &Template{constant: literal.String(), source: text}, nil
	}
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{text: literal.String()})
	}
	return t, nil
}

// Expression compiles "${{ expression }}", or the bare expression, as a Program; for keys whose value is always an expression. The error is
// as of Template.
func (e *Env) Expression(text string) (*Program, error) {
	trimmed := strings.TrimSpace(text)
	if !strings.HasPrefix(trimmed, "${{") {
		return e.compileAt(text, 0, len(text))
	}
	start := strings.Index(text, "${{") + len("${{")
	end := expressionEnd(text, start)
	if end < 0 || strings.TrimSpace(text[end+2:]) != "" {
		return nil, &Error{Source: text, Message: "one expression is expected here, with nothing around it"}
	}
	return e.compileAt(text, start, end)
}

// compileAt compiles text[start:end]; offsets of errors count in text.
func (e *Env) compileAt(text string, start, end int) (*Program, error) {
	src := text[start:end]
	trimmed := strings.TrimLeft(src, " \t\r\n")
	start += len(src) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, " \t\r\n")
	if trimmed == "" {
		return nil, &Error{Source: text, Offset: start, Message: "the expression is empty"}
	}
	p, err := e.Compile(trimmed)
	var problem *Error
	if errors.As(err, &problem) {
		problem.Source, problem.Offset = text, problem.Offset+start
	}
	return p, err
}

// expressionEnd finds the "}}" that closes an expression, past braces and strings inside it; -1 if there is none.
func expressionEnd(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '"':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{':
			depth++
		case '}':
			if depth == 0 && strings.HasPrefix(s[i:], "}}") {
				return i
			}
			depth--
		}
	}
	return -1
}

// Type of the value.
func (t *Template) Type() *Type {
	switch {
	case t.list != nil:
		return ListOf(commonType(t.list))
	case t.object != nil:
		fields := make(map[string]*Type, len(t.object))
		for k, m := range t.object {
			fields[k] = m.Type()
		}
		return ObjectOf(fields)
	case len(t.parts) == 1:
		return t.parts[0].prog.Type()
	case len(t.parts) > 1:
		return Of(String)
	}
	return typeOf(t.constant)
}

func commonType(list []*Template) *Type {
	var common *Type
	for _, e := range list {
		t := e.Type()
		if common != nil && common.key() != t.key() {
			return Of(Any)
		}
		common = t
	}
	return common
}

func typeOf(v any) *Type {
	switch v := v.(type) {
	case nil:
		return Of(Null)
	case bool:
		return Of(Bool)
	case int64, int:
		return Of(Int)
	case float64:
		return Of(Number)
	case string:
		return Of(String)
	case []any:
		elems := make([]*Template, len(v))
		for i, e := range v {
			elems[i] = Constant(e)
		}
		return ListOf(commonType(elems))
	}
	return Of(Any)
}

// Const gives the value of a template without expressions; false if it has some.
func (t *Template) Const() (any, bool) {
	if t.parts != nil || t.list != nil || t.object != nil {
		return nil, false
	}
	return t.constant, true
}

// Members gives the templates of an object's members; nil for another.
func (t *Template) Members() map[string]*Template { return t.object }

// Elements gives the templates of a list; nil for another.
func (t *Template) Elements() []*Template { return t.list }

// String is the source of a text; empty for lists and objects.
func (t *Template) String() string { return t.source }

// Programs lists the expressions inside, in order.
func (t *Template) Programs() []*Program {
	var out []*Program
	for _, p := range t.parts {
		if p.prog != nil {
			out = append(out, p.prog)
		}
	}
	for _, e := range t.list {
		out = append(out, e.Programs()...)
	}
	for _, k := range slices.Sorted(maps.Keys(t.object)) {
		out = append(out, t.object[k].Programs()...)
	}
	return out
}

// Refs lists what all expressions inside read, as of Program.
func (t *Template) Refs() []string {
	var out []string
	for _, p := range t.Programs() {
		out = append(out, p.Refs()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Eval gives the value, in JSON form. The error is as of Program.Eval.
func (t *Template) Eval(ctx context.Context, vars map[string]any) (any, error) {
	switch {
	case t.list != nil:
		out := make([]any, 0, len(t.list))
		for _, e := range t.list {
			v, err := e.Eval(ctx, vars)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case t.object != nil:
		return EvalAll(ctx, t.object, vars)
	case len(t.parts) == 1:
		return t.parts[0].prog.Eval(ctx, vars)
	case len(t.parts) > 1:
		return t.evalText(ctx, vars)
	}
	return t.constant, nil
}

func (t *Template) evalText(ctx context.Context, vars map[string]any) (any, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.prog == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.prog.Eval(ctx, vars)
		if err != nil {
			return nil, err
		}
		if v == nil && t.strict {
			return nil, &Error{Source: p.prog.src, Message: "null cannot stand inside text", Hint: "give a default: has(…) ? … : ''"}
		}
		b.WriteString(Text(v))
	}
	return b.String(), nil
}

// EvalAll evaluates a set of templates, such as the parameters of a step.
func EvalAll(ctx context.Context, set map[string]*Template, vars map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(set))
	for k, t := range set {
		v, err := t.Eval(ctx, vars)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = v
	}
	return out, nil
}
