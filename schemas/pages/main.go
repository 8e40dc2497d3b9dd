// Command pages writes the reference pages of the documentation: the manifest from its JSON Schema, and the capabilities from that schema and
// the Go types of the host functions. It runs in the folder schemas, by go generate; the pages are never edited by hand.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	s, err := readSchema("manifest.schema.json")
	if err != nil {
		log.Fatal(err)
	}
	types, err := readTypes("../pdk/abi/hostcalls.go", "../pdk/abi/fault.go")
	if err != nil {
		log.Fatal(err)
	}
	for name, page := range map[string]func() ([]byte, error){
		"manifest.md":     func() ([]byte, error) { return s.manifest(), nil },
		"capabilities.md": func() ([]byte, error) { return s.capabilities(types) },
	} {
		text, err := page()
		if err == nil {
			err = os.WriteFile("../docs/reference/"+name, text, 0o644)
		}
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
}

// schema is as much of JSON Schema as the manifest's uses.
type schema struct {
	Ref           string             `json:"$ref"`
	Title         string             `json:"title"`
	Description   string             `json:"description"`
	Type          any                `json:"type"` // a word or several
	Enum          []string           `json:"enum"`
	Const         string             `json:"const"`
	Format        string             `json:"format"`
	Pattern       string             `json:"pattern"`
	Minimum       *int               `json:"minimum"`
	Maximum       *int               `json:"maximum"`
	MaxLength     int                `json:"maxLength"`
	Required      []string           `json:"required"`
	Properties    properties         `json:"properties"`
	Additional    json.RawMessage    `json:"additionalProperties"` // false, or a schema
	PropertyNames *schema            `json:"propertyNames"`
	Items         *schema            `json:"items"`
	AllOf         []condition        `json:"allOf"`
	Defs          map[string]*schema `json:"$defs"`
}

// condition says which keys a kind of requirement must have.
type condition struct {
	If   schema `json:"if"`
	Then schema `json:"then"`
}

// properties keep the order of the file.
type properties []property

type property struct {
	name string
	*schema
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *properties) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		one := property{fmt.Sprint(name), &schema{}}
		if err := d.Decode(one.schema); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

func readSchema(file string) (*schema, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &schema{}
	return s, json.Unmarshal(text, s)
}

// resolve follows a reference; a description beside it wins.
func (s *schema) resolve(p *schema) *schema {
	name, ok := strings.CutPrefix(p.Ref, "#/$defs/")
	if !ok {
		return p
	}
	found := *s.Defs[name]
	if p.Description != "" {
		found.Description = p.Description
	}
	return &found
}

// inner is the schema of the elements of an array or of the values of a map, or nil.
func (s *schema) inner(p *schema) *schema {
	switch {
	case p.Items != nil:
		return s.resolve(p.Items)
	case len(p.Additional) > 0 && p.Additional[0] == '{':
		var values schema
		if err := json.Unmarshal(p.Additional, &values); err != nil {
			return nil
		}
		return s.resolve(&values)
	}
	return nil
}

// kind says in a few words what a value is.
func (s *schema) kind(p *schema) string {
	inner := s.inner(p)
	var words []string
	switch t := p.Type.(type) {
	case string:
		words = append(words, t)
	case []any:
		for _, word := range t {
			words = append(words, fmt.Sprint(word))
		}
	case nil:
		words = append(words, "one of")
		if len(p.Enum) == 0 {
			words[0] = "any"
		}
	}
	for i, word := range words {
		switch {
		case word == "array" && inner != nil:
			words[i] = "list of " + s.kind(inner)
		case word == "object" && inner != nil:
			words[i] = "map to " + s.kind(inner)
		}
	}
	text := strings.Join(words, " or ")
	if len(p.Enum) > 0 {
		text += " `" + strings.Join(p.Enum, "` `") + "`"
	}
	if p.Format != "" {
		text += ", " + p.Format
	}
	if p.Minimum != nil {
		text += fmt.Sprintf(", from %d", *p.Minimum)
	}
	if p.Maximum != nil {
		text += fmt.Sprintf(" to %d", *p.Maximum)
	}
	return text
}

// rows writes the table of an object's keys, and what lies within them behind dots.
func (s *schema) rows(out *bytes.Buffer, prefix string, p *schema, deep bool) {
	for _, one := range p.Properties {
		at := s.resolve(one.schema)
		must := ""
		if slices.Contains(p.Required, one.name) {
			must = "yes"
		}
		fmt.Fprintf(out, "| `%s%s` | %s | %s | %s |\n", prefix, one.name, cell(s.kind(at)), must, cell(at.Description))
		if !deep {
			continue
		}
		if len(at.Properties) > 0 && at.Additional != nil {
			s.rows(out, prefix+one.name+".", at, true)
		}
		if in := s.inner(at); in != nil && len(in.Properties) > 0 {
			mark := ".*."
			if at.Items != nil {
				mark = "[]."
			}
			s.rows(out, prefix+one.name+mark, in, true)
		}
	}
}

const tableHead = "| key | value | required | |\n|---|---|---|---|\n"

// cell makes text safe in a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

func (s *schema) manifest() []byte {
	var out bytes.Buffer
	out.WriteString(`# The manifest, key by key

` + generated + `

A manifest is ` + "`plugin.yaml`" + ` beside the program. ` + "`riposte plugin build`" + ` checks it against
[manifest.schema.json](../../schemas/manifest.schema.json), which editors understand too, and names line and column of what is wrong. What each
kind of capability asks for is on [a page of its own](capabilities.md).

## The plugin

` + tableHead)
	s.rows(&out, "", s, false)
	out.WriteString("\n## Each of `requires`\n\nWhich of these keys a capability has depends on its kind.\n\n" + tableHead)
	s.rows(&out, "", s.Defs["requirement"], true)
	out.WriteString("\n## Each of `actions`\n\n" + tableHead)
	s.rows(&out, "", s.Defs["action"], true)
	out.WriteString(`
## Effects

| effect | what a call does to the world | after a crash in the middle of it |
|---|---|---|
| ` + "`pure`" + ` | nothing, and it asks nobody | runs again |
| ` + "`read`" + ` | nothing | is repeated |
| ` + "`write.idempotent`" + ` | the same, however often it is done | is repeated |
| ` + "`write.keyed`" + ` | it carries a key by which the other side knows a repetition | is repeated with the same key |
| ` + "`write.unsafe`" + ` | it must not be done twice | the ` + "`probe`" + ` is asked; without one it is in doubt, and a person decides |
`)
	return out.Bytes()
}

func (s *schema) capabilities(types map[string]*goType) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(`# Capabilities and host functions

` + generated + `

A plugin reaches the world by host functions only. Each call names a capability that the manifest asks for in ` + "`requires`" + ` (key by key on
[the page of the manifest](manifest.md)) and that the connector grants; anything else is refused, and the refusal is on the tape. A request and
its reply are JSON: ` + "`{\"value\": …}` or `{\"fault\": …}`" + `.
`)
	requirement := s.Defs["requirement"]
	functions := functionsOf(types)
	for _, one := range requirement.Properties {
		if one.name != "kind" {
			continue
		}
		for _, kind := range one.Enum {
			fmt.Fprintf(&out, "\n## %s\n\nIn the manifest, beside `id`, `kind` and `reason`:\n\n", kind)
			out.WriteString(tableHead)
			s.rows(&out, "", s.of(kind), true)
			if err := functions.write(&out, types, kind); err != nil {
				return nil, err
			}
		}
	}
	for _, kind := range []string{"log", "emit"} {
		fmt.Fprintf(&out, "\n## %s\n\nIs always there, with quotas, and asks for nothing in the manifest.\n", kind)
		if err := functions.write(&out, types, kind); err != nil {
			return nil, err
		}
	}
	out.WriteString("\n## Shapes within them\n")
	for _, name := range []string{"Payload", "DNSRecord", "Fault"} {
		if types[name] == nil {
			return nil, fmt.Errorf("there is no type %s", name)
		}
		fmt.Fprintf(&out, "\n**%s** %s\n\n", name, types[name].comment)
		types[name].write(&out)
	}
	return out.Bytes(), nil
}

// of is the requirement of one kind: the keys whose description begins with it.
func (s *schema) of(kind string) *schema {
	all := s.Defs["requirement"]
	mine := &schema{}
	for _, c := range all.AllOf {
		if c.If.Properties[0].Const == kind {
			mine.Required = c.Then.Required
		}
	}
	for _, p := range all.Properties {
		p.schema = s.resolve(p.schema)
		if text, ok := about(p.Description, kind); ok {
			copied := *p.schema
			copied.Description = text
			mine.Properties = append(mine.Properties, property{p.name, &copied})
		}
	}
	return mine
}

// about gives what a description says of one kind: "tcp: on; sql and mail: off or on." is about three.
func about(description, kind string) (string, bool) {
	for clause := range strings.SplitSeq(description, "; ") {
		kinds, text, ok := strings.Cut(clause, ": ")
		words := strings.FieldsFunc(strings.ReplaceAll(kinds, " and ", " "), func(r rune) bool { return r == ',' || r == ' ' })
		if ok && slices.Contains(words, kind) {
			return strings.TrimSuffix(text, ".") + ".", true
		}
	}
	return "", false
}

const generated = "<!-- made by go generate ./schemas; do not edit -->"
