package pdk

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// In WebAssembly a call costs a hundred instructions, an allocation a thousand, and encoding/json a hundred and more for each byte and each level of
// documents within documents. So this package reads and writes what is simple by itself, in one pass and without copies, and leaves the whole of
// whatever looks unusual to encoding/json, mistakes included: the outcome is always what encoding/json makes of it.

// reader walks over a JSON document (RFC 8259). Its methods take the index at which something starts and give the index behind it, or -1 for what is
// not JSON or more than they care for.
type reader struct {
	doc    []byte
	depth  int  // of the containers around the place
	spaced bool // white space was met
}

// deepest is how far containers may be nested.
const deepest = 200

// whole says whether what ends at an index is all of the document.
func (r *reader) whole(end int) bool { return end >= 0 && r.space(end) == len(r.doc) }

// space passes over white space.
func (r *reader) space(at int) int {
	if at < len(r.doc) && r.doc[at] > ' ' {
		return at
	}
	return r.spaces(at)
}

// spaces passes over white space: first, at once, over what a line is indented by.
func (r *reader) spaces(at int) int {
	const blank = uint64(1<<' ' | 1<<'\n' | 1<<'\r' | 1<<'\t')
	rest := r.doc[min(at, len(r.doc)):]
	if len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	for n := 8; n == 8 && len(rest) >= 8; rest = rest[n:] {
		n = bits.TrailingZeros64(binary.LittleEndian.Uint64(rest)^' '*ones) / 8
	}
	for len(rest) > 0 && rest[0] <= ' ' && blank>>rest[0]&1 != 0 {
		rest = rest[1:]
	}
	end := len(r.doc) - len(rest)
	r.spaced = r.spaced || end > at
	return end
}

// member passes over what comes before the value of a member: lead, which is the brace before the first one and the comma before others, its name
// and the colon. The name is nil if it holds other characters than ASCII. If there is no more to come it gives the index behind the object.
func (r *reader) member(at int, lead byte) (name []byte, value int, more bool) {
	doc := r.doc
	if at < 0 || at+1 >= len(doc) || r.depth == deepest {
		return r.spacedMember(at, lead)
	}
	if doc[at] == '}' && lead == ',' {
		r.depth--
		return nil, at + 1, false
	}
	if doc[at] != lead || doc[at+1] != '"' {
		return r.spacedMember(at, lead)
	}
	rest := doc[at+2:]
	for len(rest) >= 8 {
		if n := bits.TrailingZeros64(unplain(binary.LittleEndian.Uint64(rest))) / 8; n < 8 {
			rest = rest[n:]
			break
		}
		rest = rest[8:]
	}
	if len(rest) < 3 || rest[0] != '"' || rest[1] != ':' || rest[2] <= ' ' {
		return r.spacedMember(at, lead)
	}
	if lead == '{' {
		r.depth++
	}
	end := len(doc) - len(rest)
	return doc[at+2 : end], end + 2, true
}

// spacedMember is member for one that has white space around it, or a name that does not stand for itself.
func (r *reader) spacedMember(at int, lead byte) (name []byte, value int, more bool) {
	if lead == '{' {
		at, more = r.open(at, '{', '}')
	} else {
		at, more = r.next(at, '}')
	}
	if !more {
		return nil, at, false
	}
	end := closing(r.doc, at+1)
	if end >= 0 && r.doc[at] == '"' {
		name, at = r.doc[at+1:end], end+1
	} else if at = r.skipString(at); at < 0 {
		return nil, -1, false
	}
	if at = r.space(at); at >= len(r.doc) || r.doc[at] != ':' {
		return nil, -1, false
	}
	return name, r.space(at + 1), true
}

// open passes over the beginning of a container, up to its first element. If there is no more to come it gives the index behind the container.
func (r *reader) open(at int, first, last byte) (end int, more bool) {
	if at >= len(r.doc) || r.doc[at] != first || r.depth == deepest {
		return -1, false
	}
	if at = r.space(at + 1); at < len(r.doc) && r.doc[at] == last {
		return at + 1, false
	}
	r.depth++
	return at, true
}

// next passes over what stands between an element and the next one.
func (r *reader) next(at int, last byte) (end int, more bool) {
	if at < 0 {
		return -1, false
	}
	doc := r.doc
	if at = r.space(at); at >= len(doc) {
		return -1, false
	}
	switch doc[at] {
	case ',':
		return r.space(at + 1), true
	case last:
		r.depth--
		return at + 1, false
	}
	return -1, false
}

// skip passes over a value.
func (r *reader) skip(at int) int {
	if at >= len(r.doc) {
		return -1
	}
	switch r.doc[at] {
	case '"':
		return r.skipString(at)
	case '{':
		_, at, more := r.member(at, '{')
		for more {
			_, at, more = r.member(r.skip(at), ',')
		}
		return at
	case '[':
		at, more := r.open(at, '[', ']')
		for more {
			at, more = r.next(r.skip(at), ']')
		}
		return at
	case 't':
		return r.word(at, "true")
	case 'f':
		return r.word(at, "false")
	case 'n':
		return r.word(at, "null")
	}
	return r.number(at)
}

// word passes over one of the three names that JSON has.
func (r *reader) word(at int, word string) int {
	if end := at + len(word); end <= len(r.doc) && string(r.doc[at:end]) == word {
		return end
	}
	return -1
}

// number passes over a number.
func (r *reader) number(at int) int {
	doc := r.doc
	if at < len(doc) && doc[at] == '-' {
		at++
	}
	zero := at < len(doc) && doc[at] == '0'
	end := r.digits(at)
	if end < 0 || zero && end > at+1 {
		return -1
	}
	if end < len(doc) && doc[end] == '.' {
		if end = r.digits(end + 1); end < 0 {
			return -1
		}
	}
	if end < len(doc) && doc[end]|' ' == 'e' {
		if end++; end < len(doc) && (doc[end] == '+' || doc[end] == '-') {
			end++
		}
		return r.digits(end)
	}
	return end
}

// digits passes over one digit or more.
func (r *reader) digits(at int) int {
	from := at
	for at < len(r.doc) && r.doc[at]-'0' <= 9 {
		at++
	}
	if at == from {
		return -1
	}
	return at
}

// integer reads a whole number of up to 18 digits.
func (r *reader) integer(at int) (n int64, end int) {
	digits := r.doc[min(at, len(r.doc)):]
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	read := 0
	for read < len(digits) && digits[read]-'0' <= 9 {
		n = 10*n + int64(digits[read]-'0')
		read++
	}
	switch {
	case read == 0 || read > 18 || read > 1 && digits[0] == '0':
		return 0, -1
	case read < len(digits) && (digits[read] == '.' || digits[read]|' ' == 'e'):
		return 0, -1
	}
	if end = len(r.doc) - len(digits) + read; negative {
		return -n, end
	}
	return n, end
}

// Eight characters are looked at together, as one number.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// stops marks, in its lowest bit that is set, the first of eight characters that cannot stand for itself in a string: a quote, a backslash or a
// control character. It is zero if there is none.
func stops(eight uint64) uint64 {
	return ((eight ^ '"'*ones - ones) | (eight ^ '\\'*ones - ones) | (eight - ' '*ones)) &^ eight & tops
}

// unplain marks, in the same way, the first that is one of those or not ASCII.
func unplain(eight uint64) uint64 {
	return ((eight ^ '"'*ones - ones) | (eight ^ '\\'*ones - ones) | (eight - ' '*ones) | eight) & tops
}

// few gives less than eight characters as one number, with zeros in place of those that are not there.
func few(s []byte) uint64 {
	switch n := len(s); {
	case n >= 4: // two halves, which may overlap
		return uint64(binary.LittleEndian.Uint32(s)) | uint64(binary.LittleEndian.Uint32(s[n-4:]))<<(8*n-32)
	case n >= 2:
		return uint64(binary.LittleEndian.Uint16(s)) | uint64(s[n-1])<<(8*n-8)
	case n == 1:
		return uint64(s[0])
	}
	return 0
}

// verbatim counts the characters that stand for themselves, up to the first that does not or the end. If none has its top bit in all they are ASCII.
func verbatim(s []byte) (n int, all uint64) {
	for ; n+8 <= len(s); n += 8 {
		eight := binary.LittleEndian.Uint64(s[n:])
		all |= eight
		if stop := stops(eight); stop != 0 {
			return n + bits.TrailingZeros64(stop)/8, all
		}
	}
	eight := few(s[n:]) // the end is a stop too
	return n + bits.TrailingZeros64(stops(eight))/8, all | eight
}

// closing gives the index of the quote that ends a string, or -1 if there is anything but plain ASCII before.
func closing(doc []byte, at int) int {
	rest := doc[min(at, len(doc)):]
	for len(rest) >= 8 {
		if n := bits.TrailingZeros64(unplain(binary.LittleEndian.Uint64(rest))) / 8; n < 8 {
			if rest[n] == '"' {
				return len(doc) - len(rest) + n
			}
			return -1
		}
		rest = rest[8:]
	}
	if n := bits.TrailingZeros64(unplain(few(rest))) / 8; n < len(rest) && rest[n] == '"' {
		return len(doc) - len(rest) + n
	}
	return -1
}

// skipString passes over a string.
func (r *reader) skipString(at int) int {
	doc := r.doc
	if at >= len(doc) || doc[at] != '"' {
		return -1
	}
	if end := closing(doc, at+1); end >= 0 {
		return end + 1
	}
	for at++; ; {
		n, _ := verbatim(doc[at:])
		if at += n; at >= len(doc) || doc[at] < ' ' {
			return -1
		}
		if doc[at] == '"' {
			return at + 1
		}
		_, size := escape(doc[at:])
		if size == 0 {
			return -1
		}
		at += size
	}
}

// text reads a string.
func (r *reader) text(at int) (string, int) {
	doc := r.doc
	if at >= len(doc) || doc[at] != '"' {
		return "", -1
	}
	if end := closing(doc, at+1); end >= 0 {
		return view(doc[at+1 : end]), end + 1
	}
	inside := doc[at+1:]
	n, all := verbatim(inside)
	end := at + n + 2
	if n >= len(inside) || inside[n] < ' ' {
		return "", -1
	}
	if inside[n] == '"' {
		inside = inside[:n]
	} else if inside, end = r.unescape(at+1, n); end < 0 {
		return "", -1
	} else {
		all = tops // what comes behind the first escape may be anything
	}
	if all&tops != 0 && !utf8.Valid(inside) {
		return "", -1
	}
	return view(inside), end
}

// unescape reads a string from its first character on; so many of them stand for themselves.
func (r *reader) unescape(at, begun int) (s []byte, end int) {
	doc := r.doc
	s = append(make([]byte, 0, 2*begun+64), doc[at:at+begun]...)
	for at += begun; ; {
		if cap(s)-len(s) < 64 {
			s = slices.Grow(s, min(3*len(s), len(doc)-at)+64)
		}
		room := s[len(s):cap(s)]
		read, written := unescapeRuns(room, doc[at:])
		s = s[:len(s)+written]
		if at += read; len(room)-written < 8 {
			continue
		}
		n, _ := verbatim(doc[at:])
		s = append(s, doc[at:at+n]...)
		switch at += n; {
		case at >= len(doc) || doc[at] < ' ':
			return nil, -1
		case doc[at] == '"':
			return s, at + 1
		}
		c, size := escape(doc[at:])
		if size == 0 || utf16.IsSurrogate(c) {
			return nil, -1
		}
		s = utf8.AppendRune(s, c)
		at += size
	}
}

// unescapeRuns does most of the work: it goes on as long as there is room for eight characters, and no escape but the frequent ones. It calls nothing,
// since around calls everything is kept in memory.
func unescapeRuns(to, s []byte) (read, written int) {
	read, written = len(s), len(to)
	for len(s) >= 8 && len(to) >= 8 {
		eight := binary.LittleEndian.Uint64(s)
		binary.LittleEndian.PutUint64(to, eight)
		n := bits.TrailingZeros64(stops(eight)) / 8 // 8 if there is nothing to stop at
		if s, to = s[n:], to[n:]; n == 8 {
			continue
		}
		if len(s) < 2 || s[0] != '\\' {
			break
		}
		c := s[1]
		if c == 'n' {
			c = '\n'
		} else if c != '"' && c != '\\' {
			break
		}
		to[0] = c
		s, to = s[2:], to[1:]
	}
	return read - len(s), written - len(to)
}

// escape reads an escape; its size is 0 if it is none.
func escape(s []byte) (c rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'u':
		if len(s) < 6 {
			return 0, 0
		}
		for _, d := range s[2:6] {
			switch {
			case d-'0' <= 9:
				c = c<<4 | rune(d-'0')
			case d|' ' >= 'a' && d|' ' <= 'f':
				c = c<<4 | rune(d|' '-'a'+10)
			default:
				return 0, 0
			}
		}
		return c, 6
	}
	return 0, 0
}

// Bytes and strings as each other, without a copy. It is done with what the host gave to this package or this package made, and nobody changes that.

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func octetsOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
