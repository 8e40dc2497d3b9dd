package tsql

import (
	"slices"
	"strings"
	"unicode"
)

// maxPattern is the longest LIKE pattern, in bytes.
const maxPattern = 8000

// element of a LIKE pattern: any run of characters, or one character out of some.
type element struct {
	run bool
	one func(rune) bool
}

// matches says whether s fits a LIKE pattern: % any run, _ any character, [a-f] and [^a-f] sets, escape before a literal.
func matches(s, pattern string, escape rune) bool {
	elements := compile([]rune(strings.ToLower(pattern)), unicode.ToLower(escape))
	in := []rune(strings.ToLower(s))
	i, e, star, from := 0, 0, -1, 0
	for i < len(in) {
		switch {
		case e < len(elements) && elements[e].run:
			star, from = e, i
			e++
		case e < len(elements) && elements[e].one(in[i]):
			e++
			i++
		case star >= 0: // let the last run take one more
			from++
			i, e = from, star+1
		default:
			return false
		}
	}
	for e < len(elements) && elements[e].run {
		e++
	}
	return e == len(elements)
}

func compile(p []rune, escape rune) []element {
	var out []element
	same := func(r rune) element { return element{one: func(c rune) bool { return c == r }} }
	for i := 0; i < len(p); i++ {
		switch r := p[i]; {
		case escape != 0 && r == escape && i+1 < len(p):
			i++
			out = append(out, same(p[i]))
		case r == '%':
			out = append(out, element{run: true})
		case r == '_':
			out = append(out, element{one: func(rune) bool { return true }})
		case r == '[' && slices.Contains(p[i+1:], ']'):
			n := slices.Index(p[i+1:], ']')
			out = append(out, set(p[i+1:i+1+n]))
			i += n + 1
		default:
			out = append(out, same(r))
		}
	}
	return out
}

// set is the inside of brackets: characters and ranges, after ^ those that must not occur.
func set(p []rune) element {
	negative := len(p) > 0 && p[0] == '^'
	if negative {
		p = p[1:]
	}
	return element{one: func(c rune) bool {
		for i := 0; i < len(p); i++ {
			lo, hi := p[i], p[i]
			if i+2 < len(p) && p[i+1] == '-' {
				hi = p[i+2]
				i += 2
			}
			if lo <= c && c <= hi {
				return !negative
			}
		}
		return negative
	}}
}
