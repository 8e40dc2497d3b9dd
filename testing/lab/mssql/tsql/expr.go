package tsql

import (
	"strconv"
	"strings"
)

// node is an expression. Conditions evaluate to true, false, or nil for unknown.
type node interface {
	eval(row []any) (any, *Error)
	condition() bool
	typ() Type
}

type (
	literal struct {
		value any
		t     Type
	}
	column struct {
		index int
		t     Type
	}
	concat struct{ a, b node } // a + b
	fold   struct {            // LOWER and UPPER
		arg  node
		with func(string) string
	}
	compare struct {
		op   string
		a, b node
	}
	like struct {
		a, pattern node
		escape     rune
	}
	isNull struct{ a node }
	not    struct{ a node }
	and    struct{ a, b node }
	or     struct{ a, b node }
)

func (n literal) typ() Type { return n.t }
func (n column) typ() Type  { return n.t }
func (n fold) typ() Type    { return NVarChar }
func (n compare) typ() Type { return Bit }
func (n like) typ() Type    { return Bit }
func (n isNull) typ() Type  { return Bit }
func (n not) typ() Type     { return Bit }
func (n and) typ() Type     { return Bit }
func (n or) typ() Type      { return Bit }
func (n concat) typ() Type {
	if rank(n.a.typ()) > rank(n.b.typ()) {
		return n.a.typ()
	}
	return n.b.typ()
}

func (literal) condition() bool { return false }
func (column) condition() bool  { return false }
func (concat) condition() bool  { return false }
func (fold) condition() bool    { return false }
func (compare) condition() bool { return true }
func (like) condition() bool    { return true }
func (isNull) condition() bool  { return true }
func (not) condition() bool     { return true }
func (and) condition() bool     { return true }
func (or) condition() bool      { return true }

// or reads a condition, or a bare operand where parentheses hold one.
func (p *parser) or() (node, *Error) {
	a, err := p.and()
	for err == nil && p.peek().is("or") {
		t := p.next()
		var b node
		if b, err = p.and(); err == nil {
			if !a.condition() || !b.condition() {
				return nil, near(t)
			}
			a = or{a, b}
		}
	}
	return a, err
}

func (p *parser) and() (node, *Error) {
	a, err := p.not()
	for err == nil && p.peek().is("and") {
		t := p.next()
		var b node
		if b, err = p.not(); err == nil {
			if !a.condition() || !b.condition() {
				return nil, near(t)
			}
			a = and{a, b}
		}
	}
	return a, err
}

func (p *parser) not() (node, *Error) {
	negative := false
	for p.peek().is("not") {
		p.next()
		negative = !negative
	}
	at := p.peek()
	a, err := p.predicate()
	if err != nil || !negative {
		return a, err
	}
	if !a.condition() {
		return nil, near(at)
	}
	return not{a}, nil
}

func (p *parser) predicate() (node, *Error) {
	a, err := p.operand()
	if err != nil || a.condition() {
		return a, err
	}
	t := p.peek()
	if t.kind == tokSign && strings.Contains(" = <> != < > <= >= ", " "+t.text+" ") {
		p.next()
		b, err := p.value()
		return compare{t.text, a, b}, err
	}
	if p.accept("is") {
		negative := p.accept("not")
		if err := p.expect("null"); err != nil {
			return nil, err
		}
		return negated(isNull{a}, negative), nil
	}
	negative := p.accept("not")
	switch {
	case p.accept("like"):
		n, err := p.like(a)
		return negated(n, negative), err
	case p.accept("in"):
		n, err := p.in(a)
		return negated(n, negative), err
	case p.accept("between"):
		lo, err := p.value()
		if err == nil {
			err = p.expect("and")
		}
		if err != nil {
			return nil, err
		}
		hi, err := p.value()
		return negated(and{compare{">=", a, lo}, compare{"<=", a, hi}}, negative), err
	case negative:
		return nil, near(p.peek())
	}
	return a, nil
}

func negated(n node, negative bool) node {
	if negative {
		return not{n}
	}
	return n
}

func (p *parser) like(a node) (node, *Error) {
	pattern, err := p.value()
	if err != nil {
		return nil, err
	}
	n := like{a: a, pattern: pattern}
	if p.accept("escape") {
		t := p.next()
		r := []rune(t.text)
		if t.kind != tokString || len(r) != 1 {
			return nil, &Error{506, 16, 1, t.line, "The invalid escape character \"" + clip(t.text) + "\" was specified in a LIKE predicate."}
		}
		n.escape = r[0]
	}
	return n, nil
}

func (p *parser) in(a node) (node, *Error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var out node
	for {
		b, err := p.value()
		if err != nil {
			return nil, err
		}
		if eq := (compare{"=", a, b}); out == nil {
			out = eq
		} else {
			out = or{out, eq}
		}
		if !p.accept(",") {
			return out, p.expect(")")
		}
	}
}

// value reads an operand that is no condition.
func (p *parser) value() (node, *Error) {
	t := p.peek()
	n, err := p.operand()
	if err == nil && n.condition() {
		return nil, near(t)
	}
	return n, err
}

// operand reads terms joined by +.
func (p *parser) operand() (node, *Error) {
	a, err := p.term()
	for err == nil && !a.condition() && p.peek().is("+") {
		t := p.next()
		var b node
		if b, err = p.term(); err == nil {
			if b.condition() {
				return nil, near(t)
			}
			a = concat{a, b}
		}
	}
	return a, err
}

func (p *parser) term() (node, *Error) {
	t := p.next()
	if p.depth++; p.depth > maxDepth {
		return nil, &Error{191, 15, 1, t.line, "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries."}
	}
	defer func() { p.depth-- }()
	switch {
	case t.is("("):
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	case t.kind == tokString:
		return literal{t.text, NVarChar}, nil
	case t.kind == tokNumber:
		return number(t, "")
	case t.is("-") && p.peek().kind == tokNumber:
		return number(p.next(), "-")
	case t.is("null"):
		return literal{nil, Int}, nil
	case t.kind == tokVar:
		return p.variable(t)
	case t.kind == tokWord && p.peek().is("("):
		return p.function(t)
	case t.kind == tokName || t.kind == tokWord && !t.isKeyword():
		return p.column(t)
	}
	return nil, near(t)
}

func number(t token, sign string) (node, *Error) {
	if n, err := strconv.ParseInt(sign+t.text, 10, 64); err == nil {
		if n == int64(int32(n)) {
			return literal{n, Int}, nil
		}
		return literal{n, BigInt}, nil
	}
	f, err := strconv.ParseFloat(sign+t.text, 64)
	if err != nil {
		return nil, near(t)
	}
	return literal{f, Float}, nil
}

func (p *parser) variable(t token) (node, *Error) {
	switch strings.ToLower(t.text) {
	case "@@version":
		return literal{"Microsoft SQL Server (lab simulation, TDS 7.4)", NVarChar}, nil
	case "@@servername":
		return literal{"LAB", NVarChar}, nil
	}
	v, ok := p.vars[strings.ToLower(t.text)]
	if !ok {
		return nil, &Error{137, 15, 2, t.line, "Must declare the scalar variable \"" + clip(t.text) + "\"."}
	}
	return literal{v, TypeOf(v)}, nil
}

func (p *parser) function(t token) (node, *Error) {
	p.next()
	switch strings.ToLower(t.text) {
	case "db_name":
		return literal{p.db.name, NVarChar}, p.expect(")")
	case "suser_sname":
		return literal{p.session.User, NVarChar}, p.expect(")")
	case "lower", "upper":
		arg, err := p.value()
		if err != nil {
			return nil, err
		}
		with := strings.ToLower
		if strings.EqualFold(t.text, "upper") {
			with = strings.ToUpper
		}
		return fold{arg, with}, p.expect(")")
	}
	return nil, &Error{195, 15, 10, t.line, "'" + clip(t.text) + "' is not a recognized built-in function name."}
}

// column reads name or alias.name.
func (p *parser) column(t token) (node, *Error) {
	full := t.text
	if p.accept(".") {
		name := p.next()
		if name.kind != tokWord && name.kind != tokName {
			return nil, near(name)
		}
		full += "." + name.text
		if p.table == nil || !strings.EqualFold(t.text, p.alias) {
			return nil, &Error{4104, 16, 1, t.line, "The multi-part identifier \"" + clip(full) + "\" could not be bound."}
		}
		t = name
	}
	if p.table != nil {
		for i, c := range p.table.Columns {
			if strings.EqualFold(c.Name, t.text) {
				return column{i, c.Type}, nil
			}
		}
	}
	return nil, &Error{207, 16, 1, t.line, "Invalid column name '" + clip(t.text) + "'."}
}
