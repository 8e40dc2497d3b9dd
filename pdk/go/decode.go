package pdk

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// decode does what json.Unmarshal does with a document that the host wrote, in a third of the time where v is a struct of strings, truths and raw
// documents mostly. Whatever is not as simple as that, mistakes included, is left to json.Unmarshal.
func decode(document []byte, v any) error {
	if into := reflect.ValueOf(v); into.Kind() == reflect.Pointer && !into.IsNil() {
		if fields := fieldsOf(into.Type().Elem()); fields != nil && utf8.Valid(document) && decodeFields(document, into.Elem(), fields) {
			return nil
		}
	}
	return json.Unmarshal(document, v)
}

func decodeFields(document []byte, into reflect.Value, fields []field) bool {
	return members(document, func(name string, value []byte) bool {
		for i := range fields {
			f := &fields[i]
			if f.name != name {
				if strings.EqualFold(f.name, name) {
					return false
				}
				continue
			}
			to := into.Field(f.index)
			switch {
			case f.kind == reflect.String && value[0] == '"':
				s, ok := text(value)
				to.SetString(s)
				return ok
			case f.kind == reflect.Bool && (string(value) == "true" || string(value) == "false"):
				to.SetBool(value[0] == 't')
				return true
			case f.kind == reflect.Slice:
				to.SetBytes(append([]byte(nil), value...))
				return true
			}
			return json.Unmarshal(value, to.Addr().Interface()) == nil
		}
		return true
	})
}

// field is one of a struct. Its kind is String, Bool, Slice for json.RawMessage, or Invalid for all that is left to json.Unmarshal.
type field struct {
	name  string
	index int
	kind  reflect.Kind
}

// known are the fields of struct types, none for a type that is not simple. They are worked out when the image is made.
var known sync.Map

func fieldsOf(t reflect.Type) []field {
	if list, ok := known.Load(t); ok {
		return list.([]field)
	}
	list := findFields(t)
	known.Store(t, list)
	return list
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
	rawType    = reflect.TypeFor[json.RawMessage]()
)

func reads(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonReader) || p.Implements(textReader)
}

func findFields(t reflect.Type) []field {
	if t.Kind() != reflect.Struct || reads(t) {
		return nil
	}
	list := []field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous || options != "" && options != "omitempty" && options != "omitzero":
			return nil
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		for _, other := range list {
			if strings.EqualFold(other.name, name) {
				return nil
			}
		}
		one := field{name: name, index: i}
		switch {
		case f.Type == rawType:
			one.kind = reflect.Slice
		case (f.Type.Kind() == reflect.String || f.Type.Kind() == reflect.Bool) && !reads(f.Type):
			one.kind = f.Type.Kind()
		}
		list = append(list, one)
	}
	return list
}
