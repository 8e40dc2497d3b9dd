package logpoint

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// filter reads terms up to a pipe, a closing parenthesis or the end.
func (p *parser) filter(depth int) (func(event) bool, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("parentheses and negations nest deeper than %d", maxDepth)
	}
	either, err := p.all(depth)
	if err != nil {
		return nil, err
	}
	for p.take("or") {
		left := either
		right, err := p.all(depth)
		if err != nil {
			return nil, err
		}
		either = func(e event) bool { return left(e) || right(e) }
	}
	return either, nil
}

func (p *parser) all(depth int) (func(event) bool, error) {
	both, err := p.term(depth)
	if err != nil {
		return nil, err
	}
	for p.take("and") || !p.at("or") && !p.at("|") && !p.at(")") && !p.at("") {
		left := both
		right, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		both = func(e event) bool { return left(e) && right(e) }
	}
	return both, nil
}

func (p *parser) term(depth int) (func(event) bool, error) {
	switch {
	case p.take("-"), p.take("not"):
		if depth++; depth > maxDepth {
			return nil, fmt.Errorf("parentheses and negations nest deeper than %d", maxDepth)
		}
		of, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		return func(e event) bool { return !of(e) }, nil
	case p.take("("):
		of, err := p.filter(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.expected(")")
		}
		return of, nil
	}
	quoted := p.peek().quoted
	word, err := p.word("a field, text, - or (", true)
	if err != nil {
		return nil, err
	}
	if !quoted {
		for _, op := range []string{"=", "!=", ">", ">=", "<", "<="} {
			if p.take(op) {
				return p.compare(word, op)
			}
		}
		if not := p.take("not"); p.take("in") {
			return p.in(word, not)
		} else if not {
			return nil, p.expected("in")
		}
	}
	like := newGlob("*" + word + "*")
	return func(e event) bool { return like.match(e.fields["msg"]) }, nil
}

func (p *parser) compare(field, op string) (func(event) bool, error) {
	value, err := p.word("a value", true)
	if err != nil {
		return nil, err
	}
	if op == "=" || op == "!=" {
		is := newGlob(value)
		return func(e event) bool {
			v, ok := e.fields[field]
			return ok && is.match(v) == (op == "=")
		}, nil
	}
	bound, err := strconv.ParseFloat(value, 64)
	if err != nil {
		p.pos--
		return nil, p.expected("a number")
	}
	return func(e event) bool {
		v, err := strconv.ParseFloat(e.fields[field], 64)
		if err != nil {
			return false
		}
		switch op {
		case ">":
			return v > bound
		case ">=":
			return v >= bound
		case "<":
			return v < bound
		default:
			return v <= bound
		}
	}, nil
}

// in reads a list in brackets or the name of one.
func (p *parser) in(field string, not bool) (func(event) bool, error) {
	var has func(v string) bool
	if p.take("[") {
		values, err := p.words("a value", true)
		if err != nil {
			return nil, err
		}
		if !p.take("]") {
			return nil, p.expected(", or ]")
		}
		has = anyOf(values)
	} else {
		name, err := p.word("[ or the name of a list", false)
		if err != nil {
			return nil, err
		}
		prefixes, ok := p.lists[name]
		if !ok {
			p.pos--
			return nil, p.expected("the name of a list that exists")
		}
		has = func(v string) bool { return within(v, prefixes) }
	}
	return func(e event) bool {
		v, ok := e.fields[field]
		return ok && has(v) != not
	}, nil
}

// anyOf tells values that are patterns from those that are networks.
func anyOf(values []string) func(v string) bool {
	var (
		patterns []glob
		prefixes []netip.Prefix
	)
	for _, value := range values {
		if prefix, err := netip.ParsePrefix(value); err == nil {
			prefixes = append(prefixes, prefix)
			continue
		}
		patterns = append(patterns, newGlob(value))
	}
	return func(v string) bool {
		for _, pattern := range patterns {
			if pattern.match(v) {
				return true
			}
		}
		return within(v, prefixes)
	}
}

func within(v string, prefixes []netip.Prefix) bool {
	ip, err := netip.ParseAddr(v)
	if err != nil {
		return false
	}
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// glob is a value in lower case, cut at its stars.
type glob []string

func newGlob(value string) glob { return strings.Split(strings.ToLower(value), "*") }

// match compares the whole of v, in any case; a star stands for any characters.
func (g glob) match(v string) bool {
	v = strings.ToLower(v)
	first, last := g[0], g[len(g)-1]
	if len(g) == 1 {
		return v == first
	}
	if len(v) < len(first)+len(last) || !strings.HasPrefix(v, first) || !strings.HasSuffix(v, last) {
		return false
	}
	v = v[len(first) : len(v)-len(last)]
	for _, part := range g[1 : len(g)-1] {
		i := strings.Index(v, part)
		if i < 0 {
			return false
		}
		v = v[i+len(part):]
	}
	return true
}
