package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Schema is a JSON Schema (draft 2020-12) of a manifest. Formats are asserted; beyond those of the standard it knows ip (either version) and
// cidr. References stay within the document, are not recursive, and unfold to a bounded size: a plugin cannot make validation slow.
type Schema struct {
	compiled *jsonschema.Schema
}

const (
	maxSchemaBytes = 256 << 10
	maxSchemaNodes = 50_000 // after all references are unfolded
)

// compileSchema compiles a schema; an empty one accepts everything.
func compileSchema(raw json.RawMessage) (*Schema, error) {
	if len(raw) == 0 {
		return &Schema{}, nil
	}
	if len(raw) > maxSchemaBytes {
		return nil, fmt.Errorf("a schema has at most %d KiB", maxSchemaBytes>>10)
	}
	document, err := decodeValue(raw)
	if err != nil {
		return nil, err
	}
	if _, ok := document.(map[string]any); !ok {
		return nil, errors.New("a schema is an object")
	}
	size := unfolding{root: document, sizes: map[string]int{}}
	if _, err := size.of(document, 0); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.Draft = jsonschema.Draft2020
	c.AssertFormat = true
	c.Formats["ip"] = isString(func(s string) error { _, err := netip.ParseAddr(s); return err })
	c.Formats["cidr"] = isString(func(s string) error { _, err := netip.ParsePrefix(s); return err })
	c.LoadURL = func(url string) (io.ReadCloser, error) {
		return nil, errors.New("a schema refers to nothing outside of itself")
	}
	const name = "mem:///schema.json"
	if err := c.AddResource(name, bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(name)
	if err != nil {
		var wrong *jsonschema.ValidationError
		if errors.As(err, &wrong) {
			wrong = leaf(wrong)
			return nil, fmt.Errorf("at %s: %s", jsonPath("$", wrong.InstanceLocation), wrong.Message)
		}
		return nil, err
	}
	return &Schema{compiled}, nil
}

func isString(check func(string) error) func(any) bool {
	return func(v any) bool {
		s, ok := v.(string)
		return !ok || check(s) == nil
	}
}

// Validate holds a document against the schema; root is the name of the document in the Fault's place, such as "$.parameters".
func (s *Schema) Validate(document json.RawMessage, root string) *abi.Fault {
	value, err := decodeValue(document)
	if err != nil {
		return invalid(root, err.Error(), "")
	}
	if s.compiled == nil {
		return nil
	}
	err = s.compiled.Validate(value)
	if err == nil {
		return nil
	}
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return invalid(root, err.Error(), "")
	}
	wrong = leaf(wrong)
	return invalid(jsonPath(root, wrong.InstanceLocation), wrong.Message, "")
}

// leaf is the first cause that has none itself.
func leaf(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	return e
}

// jsonPath turns a JSON Pointer (RFC 6901) into the notation that people read.
func jsonPath(root, pointer string) string {
	path := root
	for _, part := range strings.Split(pointer, "/")[min(1, len(pointer)):] {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch {
		case part == "":
		case strings.Trim(part, "0123456789") == "":
			path += "[" + part + "]"
		default:
			path += "." + part
		}
	}
	return path
}

// decodeValue decodes one JSON document of bounded depth; numbers keep their digits.
func decodeValue(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		raw = []byte("null")
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something after the document")
	}
	if !shallow(value, maxDepth) {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	return value, nil
}

func shallow(v any, left int) bool {
	if left == 0 {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if !shallow(inner, left-1) {
				return false
			}
		}
	case []any:
		for _, inner := range v {
			if !shallow(inner, left-1) {
				return false
			}
		}
	}
	return true
}

// unfolding computes how large a schema gets when its references are put in place of themselves.
type unfolding struct {
	root  any
	sizes map[string]int // of a referenced part; -1 while it is being computed
}

func (u *unfolding) of(v any, depth int) (int, error) {
	if depth > maxDepth {
		return 0, errors.New("the schema is nested too deeply")
	}
	total := 1
	add := func(inner any) error {
		n, err := u.of(inner, depth+1)
		if total += n; err == nil && total > maxSchemaNodes {
			err = errors.New("the schema is too large once its references are unfolded")
		}
		return err
	}
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			text, isText := inner.(string)
			var err error
			switch {
			case key == "const" || key == "enum" || key == "default" || key == "examples":
			case isText && (key == "$id" || key == "$anchor" || key == "$dynamicRef" || key == "$dynamicAnchor" || key == "$recursiveRef"):
				err = fmt.Errorf("%s is not supported in a schema of a plugin; use $ref with #/$defs", key)
			case isText && key == "$ref":
				var n int
				n, err = u.ref(text, depth)
				total += n
			default:
				err = add(inner)
			}
			if err != nil {
				return 0, err
			}
		}
	case []any:
		for _, inner := range v {
			if err := add(inner); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

func (u *unfolding) ref(ref string, depth int) (int, error) {
	switch size, ok := u.sizes[ref]; {
	case ok && size < 0:
		return 0, fmt.Errorf("the reference %q is recursive", ref)
	case ok:
		return size, nil
	}
	pointer, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return 0, fmt.Errorf("the reference %q leads out of the document", ref)
	}
	target := u.root
	for _, part := range strings.Split(pointer, "/") {
		object, ok := target.(map[string]any)
		if target, ok = object[strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")]; !ok {
			return 0, fmt.Errorf("the reference %q leads nowhere", ref)
		}
	}
	u.sizes[ref] = -1
	n, err := u.of(target, depth+1)
	if err == nil && n > maxSchemaNodes {
		err = errors.New("the schema is too large once its references are unfolded")
	}
	u.sizes[ref] = n
	return n, err
}
