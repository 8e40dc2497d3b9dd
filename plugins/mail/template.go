package main

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// The language of templates, a small part of Mustache's:
//
//	{{path}}                 the value at a path of names and list indexes with dots between; {{.}} is the value at hand
//	{{#path}} … {{/path}}    the inside once for each item of a list, or once for a value that is there; the item or the
//	                         object is at hand inside, and what it does not have is looked for around it
//	{{^path}} … {{/path}}    the inside if there is nothing: absent, null, false, "", an empty list or object
//
// A section's tag alone on a line takes the line with it. There is nothing else: no code, no inclusion, no comments.

const (
	maxOutput  = 400 << 10 // bytes of a rendered template
	maxSteps   = 200_000   // parts that are rendered
	maxNesting = 16        // of sections
)

// part is a text, a value or a section.
type part struct {
	kind  byte // 0 for a text, 'v' for a value, '#' or '^' for a section
	text  string
	path  string
	parts []part
	at    int // line
}

type template struct{ parts []part }

// parseTemplate reads a template; what is wrong in it has its line.
func parseTemplate(text string) (*template, error) {
	text = plain(strings.ReplaceAll(text, "\r\n", "\n"))
	lineOf := func(pos int) int { return 1 + strings.Count(text[:pos], "\n") }
	open := []part{{}} // the root, and the sections that are open
	add := func(p part) { open[len(open)-1].parts = append(open[len(open)-1].parts, p) }
	for pos := 0; ; {
		begin := strings.Index(text[pos:], "{{")
		if begin < 0 {
			add(part{text: text[pos:]})
			break
		}
		begin += pos
		tag, _, closed := strings.Cut(text[begin+2:], "}}")
		if !closed || strings.Contains(tag, "\n") {
			return nil, wrong(lineOf(begin), "a place begins with {{ and does not end on its line", "close it with }}")
		}
		end := begin + len(tag) + 4
		kind, path := byte('v'), strings.TrimSpace(tag)
		from, to := begin, end
		if path != "" && strings.IndexByte("#^/", path[0]) >= 0 {
			kind, path = path[0], strings.TrimSpace(path[1:])
			from, to = wholeLine(text, begin, end)
		}
		if !isPath(path) {
			return nil, wrong(lineOf(begin), "{{"+tag+"}} is no place", "expected names with dots between, such as {{asset.owner}}, or {{.}}")
		}
		add(part{text: text[pos:from]})
		switch pos = to; kind {
		case 'v':
			add(part{kind: kind, path: path})
		case '/':
			last := open[len(open)-1]
			if len(open) == 1 || last.path != path {
				return nil, wrong(lineOf(begin), "{{/"+path+"}} closes a section that is not open here", "sections close in the reverse order of their opening")
			}
			open = open[:len(open)-1]
			add(last)
		default:
			if len(open) > maxNesting {
				return nil, wrong(lineOf(begin), "the sections are nested too deeply", "")
			}
			open = append(open, part{kind: kind, path: path, at: lineOf(begin)})
		}
	}
	if last := open[len(open)-1]; len(open) > 1 {
		return nil, wrong(last.at, "the section {{"+string(last.kind)+last.path+"}} is not closed", "close it with {{/"+last.path+"}}")
	}
	return &template{open[0].parts}, nil
}

func wrong(line int, message, hint string) error {
	f := abi.NewFault(abi.Invalid, message, hint)
	f.Where = "template:" + strconv.Itoa(line)
	return f
}

// wholeLine widens a tag to its line, with the line's end, if nothing else is on it.
func wholeLine(text string, begin, end int) (from, to int) {
	from = strings.LastIndexByte(text[:begin], '\n') + 1
	to = len(text)
	if i := strings.IndexByte(text[end:], '\n'); i >= 0 {
		to = end + i + 1
	}
	if strings.TrimSpace(text[from:begin]) != "" || strings.TrimSpace(text[end:to]) != "" {
		return begin, end
	}
	return from, to
}

func isPath(path string) bool {
	if path == "." {
		return true
	}
	for name := range strings.SplitSeq(path, ".") {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			return false
		}
	}
	return true
}

// renderer renders a template over data.
type renderer struct {
	out    strings.Builder
	value  func(string) string // how a value is written
	absent []string            // places without data
	steps  int
}

// render fills the places; absent are those that the data do not have.
func (t *template) render(data any, value func(string) string) (text string, absent []string, err error) {
	r := &renderer{value: value}
	err = r.all(t.parts, []any{data})
	return r.out.String(), r.absent, err
}

// all renders parts; stack holds the values at hand, innermost last.
func (r *renderer) all(parts []part, stack []any) error {
	for _, p := range parts {
		if r.steps++; r.steps > maxSteps || r.out.Len() > maxOutput {
			return abi.NewFault(abi.TooLarge, "the template with its data is too long for a mail", "give it less data")
		}
		if p.kind == 0 {
			r.out.WriteString(p.text)
			continue
		}
		v, found := lookup(p.path, stack)
		switch {
		case p.kind == 'v':
			if !found && !slices.Contains(r.absent, p.path) {
				r.absent = append(r.absent, p.path)
			}
			r.out.WriteString(r.value(textOf(v)))
		case (p.kind == '^') != isNothing(v):
		case p.kind == '^':
			if err := r.all(p.parts, stack); err != nil {
				return err
			}
		default:
			items, isList := v.([]any)
			if !isList {
				items = []any{v}
			}
			for _, item := range items {
				if err := r.all(p.parts, append(slices.Clip(stack), item)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
