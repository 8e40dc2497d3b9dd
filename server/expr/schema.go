package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/riposte-soar/riposte/schemas"
)

// maxSchemaNodes bounds what a schema may unfold to through references.
const maxSchemaNodes = 20_000

// Alarm is the type of an alarm as a document, from schemas/alarm.schema.json.
func Alarm() (*Type, error) { return alarm() }

// alarm reads it once: it is large, and every load of rules or runbooks needs it.
var alarm = sync.OnceValues(func() (*Type, error) {
	source, _ := schemas.Source("alarm")
	return FromSchema(source)
})

// FromSchema reads a JSON Schema (draft 2020-12 or 7) as a type. What a type cannot say (ranges, patterns, alternatives of different
// kinds) is left out; references inside the document are followed, recursive ones read as Any. Empty input is Any.
func FromSchema(schema []byte) (*Type, error) {
	if len(bytes.TrimSpace(schema)) == 0 {
		return Of(Any), nil
	}
	var root any
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, fmt.Errorf("schema is not JSON: %w", err)
	}
	r := &schemaReader{root: root, open: map[string]bool{}}
	t := r.read(root)
	if r.nodes > maxSchemaNodes {
		return nil, errors.New("schema is too large: it unfolds to more than 20,000 parts")
	}
	return t, nil
}

type schemaReader struct {
	root  any
	open  map[string]bool // references being followed
	nodes int
}

func (r *schemaReader) read(node any) *Type {
	m, ok := node.(map[string]any)
	if r.nodes++; !ok || r.nodes > maxSchemaNodes {
		return Of(Any)
	}
	if ref, ok := m["$ref"].(string); ok {
		return r.follow(ref)
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		if alts, ok := m[key].([]any); ok && m["properties"] == nil {
			return r.alternatives(alts)
		}
	}
	kind, nullable := schemaKind(m)
	t := r.ofKind(kind, m)
	if nullable {
		t = t.Nullable()
	}
	return t
}

func (r *schemaReader) follow(ref string) *Type {
	path, local := strings.CutPrefix(ref, "#")
	if !local || r.open[ref] {
		return Of(Any)
	}
	r.open[ref] = true
	defer delete(r.open, ref)
	node := r.root
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		if part == "" {
			continue
		}
		m, _ := node.(map[string]any)
		node = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return r.read(node)
}

// alternatives gives the type that all share; null among them makes it nullable.
func (r *schemaReader) alternatives(alts []any) *Type {
	var common *Type
	nullable := false
	for _, a := range alts {
		t := r.read(a)
		switch {
		case t.Kind() == Null:
			nullable = true
		case common == nil:
			common = t
		case common.key() != t.key():
			return Of(Any)
		}
	}
	if common != nil && nullable {
		return common.Nullable()
	}
	return common
}

// schemaKind reads `type`, or infers it from the keywords that only one kind has.
func schemaKind(m map[string]any) (kind string, nullable bool) {
	switch t := m["type"].(type) {
	case string:
		return t, false
	case []any:
		for _, k := range t {
			switch k, _ := k.(string); {
			case k == "null":
				nullable = true
			case kind == "":
				kind = k
			default:
				return "", true
			}
		}
		return kind, nullable
	}
	switch {
	case m["properties"] != nil:
		return "object", false
	case m["items"] != nil:
		return "array", false
	case allStrings(m["enum"]):
		return "string", false
	}
	return "", false
}

func allStrings(enum any) bool {
	values, _ := enum.([]any)
	for _, v := range values {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return len(values) > 0
}

func (r *schemaReader) ofKind(kind string, m map[string]any) *Type {
	switch kind {
	case "string":
		format, _ := m["format"].(string)
		return &Type{kind: String, format: format}
	case "integer":
		return Of(Int)
	case "number":
		return Of(Number)
	case "boolean":
		return Of(Bool)
	case "null":
		return Of(Null)
	case "array":
		return ListOf(r.read(m["items"]))
	case "object":
		return r.object(m)
	}
	return Of(Any)
}

func (r *schemaReader) object(m map[string]any) *Type {
	var rest *Type
	switch extra := m["additionalProperties"].(type) {
	case bool:
		if extra {
			rest = Of(Any)
		}
	case map[string]any:
		rest = r.read(extra)
	}
	props, _ := m["properties"].(map[string]any)
	if len(props) == 0 {
		if rest == nil {
			rest = Of(Any)
		}
		return MapOf(rest)
	}
	fields := make(map[string]*Type, len(props))
	for name, p := range props {
		fields[name] = r.read(p)
	}
	return object(fields, rest)
}
