package schemas

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

var sureSchemas = []string{
	`true`, `false`, `{}`, `{"type": "object", "required": ["status"], "properties": {"status": {"type": "integer"}, "body": {"title": "any"}}}`,
	`{"type": "object", "additionalProperties": false, "properties": {"ip": {"type": "string", "format": "ip"}, "n": {"type": ["integer", "null"], "minimum": 0, "maximum": 9}, "on": {"type": "boolean"}}}`,
	`{"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^é"}}`,
	`{"additionalProperties": {"enum": ["a", "b", 3]}, "minProperties": 1, "maxProperties": 2}`, `{"type": "number", "minimum": 0.5, "maximum": 1e30}`, `{"type": "integer", "minimum": -3}`,
	`{"format": "uuid"}`, `{"format": "none"}`, `{"format": "md5"}`, `{"type": "object", "minItems": 3, "minLength": 3, "minimum": 3}`, `{"required": ["a"], "maxLength": 1}`,
}

var rareSchemas = []string{
	`{"const": "a"}`, `{"const": null}`, `{"not": {"type": "string"}}`, `{"allOf": [{"minimum": 5}]}`, `{"anyOf": [{"type": "string"}, {"minimum": 5}]}`,
	`{"oneOf": [{"type": "string"}]}`, `{"if": {"type": "string"}, "then": {"minLength": 9}}`, `{"$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}}`, `{"uniqueItems": true}`, `{"multipleOf": 2}`,
	`{"exclusiveMinimum": 3}`, `{"exclusiveMaximum": 3}`, `{"propertyNames": {"maxLength": 1}}`, `{"patternProperties": {"^a": {"type": "null"}}}`, `{"dependentRequired": {"a": ["b"]}}`,
	`{"dependentSchemas": {"a": {"required": ["b"]}}}`, `{"prefixItems": [{"type": "null"}]}`, `{"contains": {"type": "null"}}`, `{"unevaluatedProperties": false}`, `{"unevaluatedItems": false}`,
	`{"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}], "additionalItems": false}`, `{"$schema": "http://json-schema.org/draft-07/schema#", "items": {"type": "null"}}`,
	`{"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}}`, `{"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 3, "exclusiveMinimum": true}`,
	`{"contentEncoding": "base64", "contentMediaType": "application/json"}`,
}

var sureDocuments = []string{
	`null`, `true`, `"a"`, `"éa"`, `"192.0.2.1"`, `"d41d8cd98f00b204e9800998ecf8427e"`, `""`, `0`, `3`, `-4`, `9`, `10`, `5.0`, `5.5`, `1e2`, `1e400`, `12345678901234567890`, `[]`, `["éa"]`, `["éa", "éab"]`, `["x", "x"]`, `[null]`, `[null, 1]`,
	`{}`, `{"status": 200}`, `{"status": 200, "body": [1, {"a": null}]}`, `{"status": "200"}`, `{"status": 2.5}`, `{"ip": "192.0.2.1", "n": 4, "on": true}`, `{"ip": "192.0.2"}`, `{"n": 12}`, `{"n": null}`, `{"other": 1}`,
	`{"x": "a", "y": "b"}`, `{"x": 3}`, `{"x": "a", "y": "b", "z": "a"}`, `{"a": null}`, `{"a": 1, "b": 2}`, `{"ab": 1}`,
}

// FuzzSurely: what is taken without the library is what the library takes, with numbers in each of their forms.
func FuzzSurely(f *testing.F) {
	for _, schema := range slices.Concat(sureSchemas, rareSchemas) {
		for _, document := range sureDocuments {
			f.Add(schema, document)
		}
	}
	f.Fuzz(func(t *testing.T, schema, document string) {
		s, err := Compile("fuzz", []byte(schema))
		if err != nil {
			return
		}
		for _, digits := range []bool{true, false} {
			d := json.NewDecoder(strings.NewReader(document))
			if digits {
				d.UseNumber()
			}
			var v any
			if d.Decode(&v) != nil || checkForm(v, 0) != nil {
				return
			}
			if surely(s.compiled, v) {
				if err := s.compiled.Validate(v); err != nil {
					t.Errorf("%s surely takes %s: %v", schema, document, err)
				}
			}
		}
	})
}

// Nearly all that is valid by the common keywords is surely so, and a rare one leaves it to the library.
func TestSurely(t *testing.T) {
	sure, valid := 0, 0
	for _, schema := range sureSchemas {
		s, err := Compile("test", []byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range sureDocuments {
			v := any(json.Number(document))
			if document != "1e400" {
				v = decode(t, document)
			}
			if s.compiled.Validate(v) == nil {
				valid++
			}
			if surely(s.compiled, v) {
				sure++
			}
		}
	}
	if sure < valid*9/10 {
		t.Errorf("%d of %d valid documents are surely so", sure, valid)
	}
	for _, schema := range rareSchemas {
		s, err := Compile("test", []byte(schema))
		if err != nil || !rare(s.compiled) {
			t.Errorf("%s is not known to be rare: %v", schema, err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	s, err := Compile("bench", []byte(sureSchemas[3]))
	if err != nil {
		b.Fatal(err)
	}
	v := decode(b, `{"status": 200}`)
	for name, validate := range map[string]func(any) error{"surely": s.Validate, "library": s.compiled.Validate} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := validate(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
