package logpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The part of LogPoint's search language that the simulator understands:
//
//	query  = [ filter ] { "|" pipe }
//	filter = term { [ "and" | "or" ] term }                  no word between means and, which binds closer than or
//	term   = ( "-" | "not" ) term | "(" filter ")" | field test | text
//	test   = ( "=" | "!=" | ">" | ">=" | "<" | "<=" ) value | [ "not" ] "in" ( list | NAME )
//	list   = "[" value { "," value } "]"                     NAME is a list of the LogPoint, such as HOMENET
//	pipe   = "chart" call { "," call } [ "by" field { "," field } ]
//	       | "order by" column [ "asc" | "desc" ] | "limit" n | "fields" field { "," field }
//	call   = ( "count" | "sum" | "max" | "min" | "distinct_count" ) "(" [ field ] ")" [ "as" name ]
//
// A value is a word or "quoted", with \" and \\ inside; * in it stands for any characters. A value of a list may be a network
// such as 10.0.0.0/8. Text without a field is looked for in the raw log. Anything else is an error with its place.

const (
	maxQuery = 64 << 10
	maxDepth = 64
)

// plan is a query that was understood.
type plan struct {
	where func(event) bool
	chart *chart
	by    string // column to order by, "" for none
	desc  bool
	limit int      // of the pipe, 0 for none
	only  []string // fields of the pipe, nil for all
}

type chart struct {
	calls []call
	group []string
}

type call struct{ fn, field, name string }

// parse reads a query; lists are the named lists.
func parse(query string, lists map[string][]netip.Prefix) (*plan, error) {
	if len(query) > maxQuery {
		return nil, fmt.Errorf("longer than %d bytes", maxQuery)
	}
	tokens, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, lists: lists}
	out := &plan{where: func(event) bool { return true }}
	if !p.at("|") && !p.at("") {
		if out.where, err = p.filter(0); err != nil {
			return nil, err
		}
	}
	for p.take("|") {
		if err := p.pipe(out); err != nil {
			return nil, err
		}
	}
	if !p.at("") {
		return nil, p.expected("and, or, | or the end")
	}
	return out, nil
}

type token struct {
	text   string // as written; of a quoted one, what is inside
	quoted bool
	at     int // byte offset
}

const symbols = `()[],|=<>!"`

func lex(q string) ([]token, error) {
	var out []token
	for i := 0; i < len(q); {
		switch c := q[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '"':
			text, n, err := unquote(q[i:])
			if err != nil {
				return nil, fmt.Errorf("column %d: %w", i+1, err)
			}
			out = append(out, token{text, true, i})
			i += n
		case strings.ContainsRune("<>!", rune(c)) && strings.HasPrefix(q[i+1:], "="):
			out = append(out, token{q[i : i+2], false, i})
			i += 2
		case strings.IndexByte(symbols, c) >= 0:
			out = append(out, token{q[i : i+1], false, i})
			i++
		case c == '-' && (len(out) == 0 || !isOperator(out[len(out)-1])):
			out = append(out, token{"-", false, i})
			i++
		default:
			end := strings.IndexAny(q[i:], symbols+" \t\r\n")
			if end < 0 {
				end = len(q) - i
			}
			out = append(out, token{q[i : i+end], false, i})
			i += end
		}
	}
	return append(out, token{at: len(q)}), nil
}

// isOperator says whether a value follows, which may begin with a minus.
func isOperator(t token) bool {
	return !t.quoted && slices.Contains([]string{"=", "!=", "<", "<=", ">", ">="}, t.text)
}

func unquote(s string) (text string, n int, err error) {
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return out.String(), i + 1, nil
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		out.WriteByte(s[i])
	}
	return "", 0, errors.New(`a quote is not closed`)
}

type parser struct {
	tokens []token // the last one is the end, with an empty text
	pos    int
	lists  map[string][]netip.Prefix
}

func (p *parser) peek() token { return p.tokens[p.pos] }

// at says whether the next token is this symbol or word, "" being the end.
func (p *parser) at(text string) bool {
	t := p.peek()
	return !t.quoted && strings.EqualFold(t.text, text)
}

func (p *parser) take(text string) bool {
	if !p.at(text) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) expected(what string) error {
	t := p.peek()
	found := strconv.Quote(t.text)
	if t.text == "" && !t.quoted {
		found = "the end"
	}
	return fmt.Errorf("column %d: expected %s, found %s", t.at+1, what, found)
}

// word takes a token that is no symbol.
func (p *parser) word(what string, quotedToo bool) (string, error) {
	t := p.peek()
	if t.quoted && quotedToo {
		p.pos++
		return t.text, nil
	}
	if t.quoted || t.text == "" || t.text == "-" || strings.Contains(symbols+"!=<=>=", t.text) {
		return "", p.expected(what)
	}
	p.pos++
	return t.text, nil
}

// words takes one or more, with commas between.
func (p *parser) words(what string, quotedToo bool) ([]string, error) {
	var out []string
	for {
		w, err := p.word(what, quotedToo)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
		if !p.take(",") {
			return out, nil
		}
	}
}

func (p *parser) pipe(out *plan) (err error) {
	switch {
	case p.take("chart"):
		if out.chart != nil {
			return errors.New("chart is given twice")
		}
		out.chart, err = p.chart()
		return err
	case p.take("order"):
		if !p.take("by") {
			return p.expected("by")
		}
		return p.orderBy(out)
	case p.take("limit"):
		w, err := p.word("a number", false)
		if err != nil {
			return err
		}
		if out.limit, err = strconv.Atoi(w); err != nil || out.limit < 1 {
			p.pos--
			return p.expected("a positive number")
		}
		return nil
	case p.take("fields"):
		out.only, err = p.words("a field", false)
		return err
	}
	return p.expected("chart, order by, limit or fields")
}

func (p *parser) chart() (*chart, error) {
	c := &chart{}
	for {
		one, err := p.call()
		if err != nil {
			return nil, err
		}
		c.calls = append(c.calls, one)
		if !p.take(",") {
			break
		}
	}
	if p.take("by") {
		var err error
		if c.group, err = p.words("a field", false); err != nil {
			return nil, err
		}
	}
	if len(c.group)+len(c.calls) > maxFields {
		return nil, fmt.Errorf("a chart has at most %d fields", maxFields)
	}
	return c, nil
}

// call reads fn(field) and gives it the name that the rows have it under.
func (p *parser) call() (call, error) {
	const known = "count, sum, max, min or distinct_count"
	fn, err := p.word(known, false)
	if err != nil {
		return call{}, err
	}
	c := call{fn: strings.ToLower(fn)}
	if !slices.Contains([]string{"count", "sum", "max", "min", "distinct_count"}, c.fn) {
		p.pos--
		return call{}, p.expected(known)
	}
	if !p.take("(") {
		return call{}, p.expected("(")
	}
	if !p.at(")") {
		if c.field, err = p.word("a field or )", false); err != nil {
			return call{}, err
		}
	} else if c.fn != "count" {
		return call{}, p.expected("a field")
	}
	if !p.take(")") {
		return call{}, p.expected(")")
	}
	c.name = c.fn + "(" + c.field + ")"
	if p.take("as") {
		if c.name, err = p.word("a name", false); err != nil {
			return call{}, err
		}
	}
	return c, nil
}

// orderBy reads a column, which may be written as a call.
func (p *parser) orderBy(out *plan) (err error) {
	if out.by, err = p.word("a column", false); err != nil {
		return err
	}
	if p.at("(") {
		p.pos--
		c, err := p.call()
		if err != nil {
			return err
		}
		out.by = c.name
	}
	out.desc = p.take("desc")
	if !out.desc {
		p.take("asc")
	}
	return nil
}
