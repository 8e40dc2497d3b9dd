package tsql

import (
	"fmt"
	"strings"
)

// MaxBatch is the longest batch, in bytes.
const MaxBatch = 1 << 20

type tokenKind uint8

const (
	tokEnd  tokenKind = iota
	tokWord           // a keyword or a name
	tokName           // [a name] or "a name"
	tokVar            // @name or @@name
	tokString
	tokNumber
	tokSign
)

type token struct {
	kind tokenKind
	text string // of names and strings: without their quotes
	line int32
}

// keywords cannot be names without brackets.
const keywords = " select from where and or not in is null like between order by top as asc desc insert update delete merge set exec " +
	"execute create alter drop truncate use with into values escape join inner left right on group having union distinct all "

func (t token) isKeyword() bool {
	return t.kind == tokWord && strings.Contains(keywords, " "+strings.ToLower(t.text)+" ")
}

// is says whether t is this sign or keyword (in lower case).
func (t token) is(text string) bool {
	return (t.kind == tokSign || t.kind == tokWord) && strings.EqualFold(t.text, text)
}

// lex takes batch apart.
func lex(batch string) ([]token, *Error) {
	if len(batch) > MaxBatch {
		return nil, &Error{Number: 701, Class: 17, State: 1, Line: 1, Message: fmt.Sprintf("The batch has %d bytes; this lab takes at most %d.", len(batch), MaxBatch)}
	}
	l := lexer{rest: batch, line: 1}
	var out []token
	for {
		if err := l.space(); err != nil {
			return nil, err
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if t.kind == tokEnd {
			return out, nil
		}
	}
}

type lexer struct {
	rest string
	line int32
}

// take removes n bytes.
func (l *lexer) take(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	l.line += int32(strings.Count(s, "\n"))
	return s
}

// space skips blanks and comments.
func (l *lexer) space() *Error {
	for l.rest != "" {
		switch {
		case strings.IndexByte(" \t\r\n\f\v", l.rest[0]) >= 0:
			l.take(1)
		case strings.HasPrefix(l.rest, "--"):
			n := strings.IndexByte(l.rest, '\n')
			if n < 0 {
				n = len(l.rest)
			}
			l.take(n)
		case strings.HasPrefix(l.rest, "/*"):
			n := strings.Index(l.rest, "*/")
			if n < 0 {
				return &Error{113, 15, 1, l.line, "Missing end comment mark '*/'."}
			}
			l.take(n + 2)
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) next() (token, *Error) {
	if l.rest == "" {
		return token{tokEnd, "", l.line}, nil
	}
	line, c := l.line, l.rest[0]
	switch {
	case c == '\'':
		return l.quoted(tokString, '\'')
	case (c == 'N' || c == 'n') && strings.HasPrefix(l.rest[1:], "'"):
		l.take(1)
		return l.quoted(tokString, '\'')
	case c == '[':
		return l.quoted(tokName, ']')
	case c == '"':
		return l.quoted(tokName, '"')
	case c >= '0' && c <= '9':
		n := span(l.rest, func(c byte) bool { return c >= '0' && c <= '9' || c == '.' })
		return token{tokNumber, l.take(n), line}, nil
	case c == '@':
		n := 1 + span(l.rest[1:], nameByte)
		return token{tokVar, l.take(n), line}, nil
	case nameByte(c):
		return token{tokWord, l.take(span(l.rest, nameByte)), line}, nil
	}
	for _, sign := range []string{"<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ",", ".", "*", ";", "+", "-"} {
		if strings.HasPrefix(l.rest, sign) {
			return token{tokSign, l.take(len(sign)), line}, nil
		}
	}
	return token{}, near(token{tokSign, string([]rune(l.rest)[:1]), line})
}

// quoted reads a string or name that ends with the given byte; the byte twice stands for itself.
func (l *lexer) quoted(kind tokenKind, end byte) (token, *Error) {
	line := l.line
	l.take(1)
	var b strings.Builder
	for {
		n := strings.IndexByte(l.rest, end)
		if n < 0 {
			return token{}, &Error{105, 15, 1, line, "Unclosed quotation mark after the character string '" + clip(b.String()+l.rest) + "'."}
		}
		b.WriteString(l.take(n))
		l.take(1)
		if l.rest == "" || l.rest[0] != end {
			return token{kind, b.String(), line}, nil
		}
		b.WriteByte(end)
		l.take(1)
	}
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@' || c == '#' || c == '$' || c >= 0x80
}

// span counts the leading bytes that ok accepts.
func span(s string, ok func(byte) bool) int {
	for i := range len(s) {
		if !ok(s[i]) {
			return i
		}
	}
	return len(s)
}

// near is the server's syntax error.
func near(t token) *Error {
	if t.isKeyword() {
		return &Error{156, 15, 1, t.line, "Incorrect syntax near the keyword '" + t.text + "'."}
	}
	return &Error{102, 15, 1, t.line, "Incorrect syntax near '" + clip(t.text) + "'."}
}

// clip shortens text for a message.
func clip(s string) string {
	if r := []rune(s); len(r) > 120 {
		return string(r[:120])
	}
	return s
}
