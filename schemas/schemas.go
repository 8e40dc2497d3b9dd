// Package schemas holds the JSON Schemas of all documents that cross a boundary, embedded, and checks documents against them and against
// the schemas that plugins bring. It is the single door to the JSON Schema library. The schemas are draft 2020-12
// (https://json-schema.org/draft/2020-12); editors read the same files.
package schemas

//go:generate go run ./pages

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

//go:embed *.schema.json
var files embed.FS

const (
	suffix = ".schema.json"
	// maxSchema and maxUnfolded bound the schemas that plugins bring: in bytes, and in parts once their references are followed. A chain of
	// doubled references of fifty lines would keep a validator busy for a minute.
	maxSchema   = 256 << 10
	maxUnfolded = 20_000
	maxDepth    = 64 // of a document
)

// Finding is one thing that is wrong with a document.
type Finding struct {
	Path    string `json:"path"` // JSON pointer (RFC 6901) to the value; "" is the whole document
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Unknown are the keys of the object at Path that it must not have, if that is what is wrong.
	Unknown []string `json:"unknown,omitempty"`
}

// Findings is the error that Validate returns: all that is wrong, by path.
type Findings []Finding

// Error gives one finding a line.
func (f Findings) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Message
		if one.Path != "" {
			lines[i] = one.Path + ": " + one.Message
		}
		if one.Hint != "" {
			lines[i] += " (" + one.Hint + ")"
		}
	}
	return strings.Join(lines, "\n")
}

// Names lists the embedded schemas: alarm, runbook and so on.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // cannot be: the directory is embedded
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), suffix))
	}
	return names
}

// Source gives the text of an embedded schema.
func Source(name string) ([]byte, bool) {
	data, err := files.ReadFile(name + suffix)
	return data, err == nil
}

// embedded compiles the embedded schemas, once.
var embedded = sync.OnceValues(func() (map[string]*Schema, error) {
	all := map[string]*Schema{}
	for _, name := range Names() {
		data, _ := Source(name)
		s, err := compile(name, data)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
		all[name] = s
	}
	return all, nil
})

// Validate checks a document, in JSON form, against the embedded schema of that name. What is wrong with the document comes back as Findings.
func Validate(name string, doc any) error {
	all, err := embedded()
	if err != nil {
		return err
	}
	s, ok := all[name]
	if !ok {
		return fmt.Errorf("there is no schema %q", name)
	}
	return s.Validate(doc)
}

// Schema is a compiled JSON Schema. It may be used by several goroutines.
type Schema struct {
	root     any
	compiled *jsonschema.Schema
}

// Compile reads a schema that somebody else wrote, such as that of a plugin's parameters. It must be self-contained, not recursive and of
// bounded size.
func Compile(name string, schema []byte) (*Schema, error) {
	if len(schema) > maxSchema {
		return nil, fmt.Errorf("schema %s is larger than %d bytes", name, maxSchema)
	}
	var root any
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, fmt.Errorf("schema %s is not JSON: %w", name, err)
	}
	w := weigher{root: root, open: map[string]bool{}}
	if err := w.weigh(root, 0); err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	return compile(name, schema)
}

func compile(name string, schema []byte) (*Schema, error) {
	c := jsonschema.NewCompiler()
	c.Draft = jsonschema.Draft2020
	c.AssertFormat = true
	c.Formats = formats()
	c.LoadURL = func(url string) (io.ReadCloser, error) {
		return nil, fmt.Errorf("%s: a schema must be self-contained", url)
	}
	url := "schema:///" + path.Clean("/" + name)[1:] + suffix
	if err := c.AddResource(url, bytes.NewReader(schema)); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(url)
	if err != nil {
		return nil, err
	}
	s := &Schema{compiled: compiled}
	return s, json.Unmarshal(schema, &s.root)
}

// Validate checks a document, in JSON form (map[string]any, []any, string, numbers, bool, nil). What is wrong with it comes back as Findings.
func (s *Schema) Validate(doc any) error {
	if err := checkForm(doc, 0); err != nil {
		return err
	}
	if surely(s.compiled, doc) {
		return nil
	}
	err := s.compiled.Validate(doc)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var out Findings
	for _, leaf := range leaves(invalid, nil) {
		out = append(out, s.finding(leaf, doc))
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// checkForm refuses what the library would panic at, and what is too deep.
func checkForm(v any, depth int) error {
	if depth > maxDepth {
		return Findings{{Message: fmt.Sprintf("the document is nested deeper than %d levels", maxDepth)}}
	}
	switch v := v.(type) {
	case nil, bool, string, json.Number, float32, float64, int, int8, int32, int64, uint, uint8, uint32, uint64:
	case []any:
		for _, e := range v {
			if err := checkForm(e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkForm(e, depth+1); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("a %T is not a value in JSON form", v)
	}
	return nil
}

// weigher counts the parts of a schema with its references unfolded.
type weigher struct {
	root  any
	open  map[string]bool
	total int
}

func (w *weigher) weigh(node any, depth int) error {
	if w.total++; w.total > maxUnfolded || depth > maxDepth {
		return fmt.Errorf("it unfolds to more than %d parts or %d levels", maxUnfolded, maxDepth)
	}
	switch node := node.(type) {
	case []any:
		for _, e := range node {
			if err := w.weigh(e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
			if ref, ok := node[key].(string); ok {
				if err := w.follow(ref, depth); err != nil {
					return err
				}
			}
		}
		for _, e := range node {
			if err := w.weigh(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *weigher) follow(ref string, depth int) error {
	pointer, local := strings.CutPrefix(ref, "#")
	if !local || (pointer != "" && pointer[0] != '/') {
		return fmt.Errorf("reference %q is refused: only references inside the schema, such as #/$defs/name, are followed", ref)
	}
	if w.open[ref] {
		return fmt.Errorf("reference %q is recursive", ref)
	}
	w.open[ref] = true
	defer delete(w.open, ref)
	return w.weigh(resolve(w.root, pointer), depth+1)
}

// resolve follows a JSON pointer; nil where it leads nowhere.
func resolve(node any, pointer string) any {
	for _, part := range strings.Split(strings.Trim(pointer, "/"), "/") {
		if part == "" {
			continue
		}
		switch n := node.(type) {
		case map[string]any:
			node = n[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i < 0 || i >= len(n) {
				return nil
			}
			node = n[i]
		default:
			return nil
		}
	}
	return node
}
