package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds the nesting of every JSON document that a plugin brings.
const maxDepth = 64

var rawMessage = reflect.TypeFor[json.RawMessage]()

// decodeStrict decodes JSON into v as encoding/json does, but refuses unknown and duplicate keys and names the place and the nearest name.
func decodeStrict(raw []byte, v any, report *problems) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := walk(d, reflect.TypeOf(v).Elem(), "$", 0, report); err != nil {
		report.add("$", "not valid JSON: "+err.Error(), "")
		return
	}
	if _, err := d.Token(); err != io.EOF {
		report.add("$", "there is something after the document", "")
		return
	}
	var mismatch *json.UnmarshalTypeError
	switch err := json.Unmarshal(raw, v); {
	case errors.As(err, &mismatch):
		report.add("$."+mismatch.Field, "found "+mismatch.Value+", expected "+mismatch.Type.String(), "")
	case err != nil:
		report.add("$", err.Error(), "")
	}
}

// walk reads one value; t is nil where anything may stand.
func walk(d *json.Decoder, t reflect.Type, path string, depth int, report *problems) error {
	if depth > maxDepth {
		return errors.New("nested too deeply")
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == rawMessage {
		t = nil
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		if err := walkObject(d, t, path, depth, report); err != nil {
			return err
		}
	case json.Delim('['):
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		for i := 0; d.More(); i++ {
			if err := walk(d, element, path+"["+strconv.Itoa(i)+"]", depth+1, report); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = d.Token() // the closing bracket
	return err
}

func walkObject(d *json.Decoder, t reflect.Type, path string, depth int, report *problems) error {
	var fields map[string]reflect.Type
	var element reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		fields = fieldsOf(t)
	}
	if t != nil && t.Kind() == reflect.Map {
		element = t.Elem()
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		inner := path + "." + key
		if seen[key] {
			report.add(inner, "the key occurs twice", "")
		}
		seen[key] = true
		value := element
		if fields != nil {
			var ok bool
			if value, ok = fields[key]; !ok {
				report.add(inner, "unknown key "+strconv.Quote(key), nearest(key, keysOf(fields)))
			}
		}
		if err := walk(d, value, inner, depth+1, report); err != nil {
			return err
		}
	}
	return nil
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = t.Field(i).Type
	}
	return fields
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
