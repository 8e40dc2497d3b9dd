package pdk

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
)

// Unmarshal is json.Unmarshal for fewer instructions: errors are the same, but after one v may be filled in part. Strings and raw messages in v may be
// parts of the document: neither must be changed any more.
func Unmarshal(document []byte, v any) error {
	if to := reflect.ValueOf(v); to.Kind() == reflect.Pointer && !to.IsNil() {
		r := reader{doc: document}
		if r.whole(r.into(r.space(0), to.Elem(), shapeOf(to.Type().Elem()))) {
			return nil
		}
	}
	return json.Unmarshal(document, v)
}

// into reads a value into a place. Places that hold something already, which encoding/json would add to, are left to it.
func (r *reader) into(at int, to reflect.Value, s *shape) int {
	if at >= len(r.doc) {
		return -1
	}
	if r.doc[at] == 'n' && s.form != raw && s.form != other {
		if s.form >= list {
			to.SetZero()
		}
		return r.word(at, "null")
	}
	if s.form >= list && s.form != raw && !to.IsNil() {
		return -1
	}
	switch s.form {
	case text:
		value, end := r.text(at)
		if end >= 0 {
			to.SetString(value)
		}
		return end
	case truth:
		end := max(r.word(at, "true"), r.word(at, "false"))
		if end >= 0 {
			to.SetBool(r.doc[at] == 't')
		}
		return end
	case integer, unsigned, decimal:
		return r.intoNumber(at, to, s.form)
	case object:
		name, at, more := r.member(at, '{')
		for more {
			name, at, more = r.member(r.intoMember(name, at, to, s.fields), ',')
		}
		return at
	case list:
		return r.intoList(at, to, s)
	case pointer:
		to.Set(reflect.New(s.in.of))
		return r.into(at, to.Elem(), s.in)
	case texts, values, dynamic:
		return r.intoAny(at, to, s.form)
	case octets:
		value, end := r.text(at)
		b, err := base64.StdEncoding.DecodeString(value)
		if end < 0 || err != nil {
			return -1
		}
		to.SetBytes(b)
		return end
	}
	end := r.skip(at)
	switch {
	case end < 0:
	case s.form == raw:
		to.SetBytes(r.doc[at:end:end])
	case json.Unmarshal(r.doc[at:end], to.Addr().Interface()) != nil:
		return -1
	}
	return end
}

// intoMember reads the value of a member into the field of its name. A name that differs in case only is left to encoding/json.
func (r *reader) intoMember(name []byte, at int, to reflect.Value, fields []field) int {
	if name == nil {
		return -1
	}
	for i := range fields {
		if f := &fields[i]; len(f.name) == len(name) {
			switch {
			case f.name == string(name):
				return r.into(at, to.Field(f.index), f.shape)
			case sameFold(f.name, name):
				return -1
			}
		}
	}
	return r.skip(at)
}

func (r *reader) intoNumber(at int, to reflect.Value, f form) int {
	if f == decimal {
		n, end := r.decimal(at, to.Type().Bits())
		if end >= 0 {
			to.SetFloat(n)
		}
		return end
	}
	n, end := r.integer(at)
	switch {
	case end < 0:
	case f == integer && !to.OverflowInt(n):
		to.SetInt(n)
	case f == unsigned && n >= 0 && !to.OverflowUint(uint64(n)):
		to.SetUint(uint64(n))
	default:
		return -1
	}
	return end
}

func (r *reader) intoList(at int, to reflect.Value, s *shape) int {
	at, more := r.open(at, '[', ']')
	if !more && at >= 0 {
		to.Set(reflect.MakeSlice(s.of, 0, 0))
	}
	for n := 0; more; n++ {
		if n == to.Cap() {
			to.Grow(1)
		}
		to.SetLen(n + 1)
		at, more = r.next(r.into(at, to.Index(n), s.in), ']')
	}
	return at
}

func (r *reader) intoAny(at int, to reflect.Value, f form) (end int) {
	var value any
	if f == texts {
		value, end = r.texts(at)
	} else if value, end = r.dynamic(at); f == values && end >= 0 && r.doc[at] != '{' {
		return -1
	}
	if end >= 0 {
		to.Set(reflect.ValueOf(value))
	}
	return end
}

// texts reads an object of strings.
func (r *reader) texts(at int) (map[string]string, int) {
	m := map[string]string{}
	name, at, more := r.member(at, '{')
	for more {
		value, end := r.text(at)
		if name == nil {
			return m, -1
		}
		m[view(name)] = value
		name, at, more = r.member(end, ',')
	}
	return m, at
}

// dynamic reads any value but null.
func (r *reader) dynamic(at int) (value any, end int) {
	switch r.doc[at] {
	case '"':
		return r.text(at)
	case 't':
		return true, r.word(at, "true")
	case 'f':
		return false, r.word(at, "false")
	case '{':
		m := map[string]any{}
		name, at, more := r.member(at, '{')
		for more {
			if name == nil {
				return m, -1
			}
			m[view(name)], end = r.dynamicOrNull(at)
			name, at, more = r.member(end, ',')
		}
		return m, at
	case '[':
		l := []any{}
		at, more := r.open(at, '[', ']')
		for more {
			value, end = r.dynamicOrNull(at)
			l = append(l, value)
			at, more = r.next(end, ']')
		}
		return l, at
	}
	return r.decimal(at, 64)
}

func (r *reader) dynamicOrNull(at int) (value any, end int) {
	switch {
	case at >= len(r.doc):
		return nil, -1
	case r.doc[at] == 'n':
		return nil, r.word(at, "null")
	}
	return r.dynamic(at)
}

// decimal reads a number.
func (r *reader) decimal(at, bits int) (float64, int) {
	end := r.number(at)
	if end < 0 {
		return 0, -1
	}
	n, err := strconv.ParseFloat(view(r.doc[at:end]), bits)
	if err != nil {
		return 0, -1
	}
	return n, end
}

// sameFold says whether two names of ASCII, equally long, differ at most in case.
func sameFold(a string, b []byte) bool {
	for i := range b {
		x, y := a[i], b[i]
		if x != y && (x|' ' != y|' ' || x|' ' < 'a' || x|' ' > 'z') {
			return false
		}
	}
	return true
}
