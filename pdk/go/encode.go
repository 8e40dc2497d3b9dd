package pdk

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Marshal is json.Marshal for fewer instructions.
func Marshal(v any) ([]byte, error) { return encode(nil, v) }

// encode appends what json.Marshal makes of v.
func encode(b []byte, v any) ([]byte, error) {
	if value := reflect.ValueOf(v); value.IsValid() {
		if s := shapeOf(value.Type()); !s.whole {
			if longer, ok := s.append(b, value); ok {
				return longer, nil
			}
		}
	}
	raw, err := json.Marshal(v)
	return append(b, raw...), err
}

// append appends a value of the shape; false if encoding/json cannot write it.
func (s *shape) append(b []byte, v reflect.Value) ([]byte, bool) {
	if s.form >= list && v.IsNil() {
		return append(b, "null"...), true
	}
	switch s.form {
	case text:
		return appendText(b, v.String()), true
	case truth:
		return strconv.AppendBool(b, v.Bool()), true
	case integer:
		return strconv.AppendInt(b, v.Int(), 10), true
	case unsigned:
		return strconv.AppendUint(b, v.Uint(), 10), true
	case octets:
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes()), '"'), true
	case pointer:
		return s.in.append(b, v.Elem())
	case list:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var ok bool
			if b, ok = s.in.append(b, v.Index(i)); !ok {
				return b, false
			}
		}
		return append(b, ']'), true
	case object:
		return s.appendFields(b, v)
	case raw:
		if document, ok := canonical(v.Bytes()); ok {
			return append(b, document...), true
		}
	}
	document, err := json.Marshal(v.Interface())
	return append(b, document...), err == nil
}

func (s *shape) appendFields(b []byte, v reflect.Value) ([]byte, bool) {
	b = append(b, '{')
	before := len(b)
	for i := range s.fields {
		f := &s.fields[i]
		value := v.Field(f.index)
		if f.omitEmpty && f.isEmpty(value) {
			continue
		}
		if len(b) > before {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.name...), '"', ':')
		var ok bool
		if b, ok = f.append(b, value); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// isEmpty says whether omitempty leaves a value out.
func (s *shape) isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// canonical gives a document without the white space around it, and whether encoding/json would write it so.
func canonical(document []byte) ([]byte, bool) {
	r := reader{doc: document}
	from := r.space(0)
	r.spaced = false
	end := r.skip(from)
	if end < 0 || r.spaced || !r.whole(end) {
		return nil, false
	}
	document = document[from:end]
	for _, c := range document {
		if c >= utf8.RuneSelf || c == '<' || c == '>' || c == '&' {
			return nil, false
		}
	}
	return document, true
}

// odd marks, in its lowest bit that is set, the first of eight characters that encoding/json does not write as it is, or that is not ASCII.
func odd(eight uint64) uint64 {
	quote, angle, backslash := (eight|4*ones)^'&'*ones, (eight|2*ones)^'>'*ones, eight^'\\'*ones // '"' is '&' but for one bit, and '<' is '>'
	return ((quote - ones) | (angle - ones) | (backslash - ones) | (eight - ' '*ones) | eight) & tops
}

// appendText writes a string as encoding/json does.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for s := octetsOf(text); len(s) > 0; {
		b = slices.Grow(b, len(s)+16)
		read, written := appendRuns(b[len(b):cap(b)], s)
		b, s = b[:len(b)+written], s[read:]
		if read == 0 {
			b, read = appendOdd(b, s)
			s = s[read:]
		}
	}
	return append(b, '"')
}

// appendRuns writes on as long as there is room, and nothing odd but quotes and backslashes. Its loop calls nothing, since around calls everything is
// kept in memory.
func appendRuns(to, s []byte) (read, written int) {
	var last uint64
	if len(s) >= 8 {
		last = binary.LittleEndian.Uint64(s[len(s)-8:])
	} else {
		last = few(s) << (64 - 8*len(s))
	}
	read, written = len(s), len(to)
	for len(to) >= 10 {
		eight := last >> uint(64-8*len(s)) // with zeros behind the end, which are odd
		if len(s) >= 8 {
			eight = binary.LittleEndian.Uint64(s)
		}
		binary.LittleEndian.PutUint64(to, eight)
		n := bits.TrailingZeros64(odd(eight)) / 8 // 8 if none is odd
		if s, to = s[n:], to[n:]; n == 8 {
			continue
		}
		if len(s) == 0 || s[0] != '"' && s[0] != '\\' {
			break
		}
		to[0], to[1] = '\\', s[0]
		s, to = s[1:], to[2:]
	}
	return read - len(s), written - len(to)
}

// appendOdd writes an odd character, and gives its size.
func appendOdd(b, s []byte) ([]byte, int) {
	switch c := s[0]; {
	case c == '"' || c == '\\':
		return append(b, '\\', c), 1
	case c >= utf8.RuneSelf:
		r, size := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && size == 1:
			return append(b, `\ufffd`...), size
		case r == '\u2028' || r == '\u2029':
			return append(append(b, `\u202`...), '8'+byte(r&1)), size
		}
		return append(b, s[:size]...), size
	case strings.IndexByte("\b\f\n\r\t", c) >= 0:
		return append(b, '\\', "btn.fr"[c-'\b']), 1
	default:
		return append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15]), 1
	}
}
