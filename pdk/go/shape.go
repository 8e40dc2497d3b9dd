package pdk

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
)

// shape is what there is to know of a type before values of it are read or written.
type shape struct {
	of     reflect.Type
	form   form
	whole  bool    // encoding/json must write what such a value is a part of as well
	fields []field // of a struct
	in     *shape  // what a slice or a pointer holds
	next   *shape  // of those that are known
}

// field is a member of a struct.
type field struct {
	*shape
	name      string
	index     int
	omitEmpty bool
}

// form is a way to read and write values.
type form byte

const (
	other form = iota // left to encoding/json
	text
	truth
	integer
	unsigned
	decimal // left to encoding/json where it is written, as are the last three
	object
	list // this and what follows can be nil
	pointer
	raw    // json.RawMessage
	octets // []byte
	texts  // map[string]string
	values // map[string]any
	dynamic
)

// known holds the shapes that were worked out, most of them when the image was made: lists of them, by the addresses of their types.
var known [256]atomic.Pointer[shape]

func shapeOf(t reflect.Type) *shape {
	bucket := &known[reflect.ValueOf(t).Pointer()/64%256]
	first := bucket.Load()
	for s := first; s != nil; s = s.next {
		if s.of == t {
			return s
		}
	}
	s := newShape(t, nil)
	s.next = first
	bucket.CompareAndSwap(first, s) // who comes second works it out once more
	return s
}

// newShape works out the shape of a type that is a part of others.
func newShape(t reflect.Type, within []*shape) *shape {
	s := &shape{of: t}
	for _, outer := range within {
		if outer.of == t {
			outer.whole = true // values may hold each other in a circle
			return outer
		}
	}
	switch self := reflect.PointerTo(t); {
	case t == reflect.TypeFor[json.RawMessage]():
		s.form = raw
		return s
	case writesItself(t) || t == reflect.TypeFor[json.Number]():
		return s
	case writesItself(self) || readsItself(self):
		s.whole = true
		return s
	}
	within = append(within, s)
	switch t.Kind() {
	case reflect.String:
		s.form = text
	case reflect.Bool:
		s.form = truth
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.form = integer
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.form = unsigned
	case reflect.Float32, reflect.Float64:
		s.form = decimal
	case reflect.Pointer:
		s.form, s.in = pointer, newShape(t.Elem(), within)
		s.whole = s.in.whole
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			s.form, s.whole = octets, t.Elem() != reflect.TypeFor[byte]()
			break
		}
		s.form, s.in = list, newShape(t.Elem(), within)
		s.whole = s.in.whole
	case reflect.Struct:
		s.findFields(within)
	case reflect.Map:
		switch t {
		case reflect.TypeFor[map[string]string]():
			s.form = texts
		case reflect.TypeFor[map[string]any]():
			s.form = values
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			s.form = dynamic
		}
	default:
		s.whole = true
	}
	return s
}

func writesItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func readsItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Unmarshaler]()) || t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// findFields makes it the shape of a struct, unless that is one of those for which the rules of encoding/json are longer.
func (s *shape) findFields(within []*shape) {
	var all []field
	whole := false
	for i := range s.of.NumField() {
		f := s.of.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		if !f.Anonymous && (!f.IsExported() || tag == "-") {
			continue
		}
		same := func(other field) bool { return strings.EqualFold(other.name, name) }
		if f.Anonymous || options != "" && options != "omitempty" || strings.ContainsFunc(name, isUnusual) || slices.ContainsFunc(all, same) {
			s.whole = true
			return
		}
		one := field{newShape(f.Type, within), name, i, options != ""}
		all, whole = append(all, one), whole || one.whole
	}
	s.form, s.fields, s.whole = object, all, s.whole || whole
}

// isUnusual says whether a character is seldom met in names.
func isUnusual(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')
}
