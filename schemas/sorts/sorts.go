// Package sorts holds the result schemas that plugins of different vendors share. An action whose manifest says `sort: ip.reputation`
// promises at least the properties of that schema, with the same types, so that one provider can take the place of another without a
// change to any runbook; it may give more of its own.
package sorts

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

//go:embed *.schema.json
var files embed.FS

const suffix = ".schema.json"

// Names lists the sorts, in alphabetical order.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // cannot be: the directory is embedded
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), suffix))
	}
	return names
}

// Source gives the text of a sort's JSON Schema (draft 2020-12).
func Source(name string) ([]byte, bool) {
	text, err := files.ReadFile(name + suffix)
	return text, err == nil
}

// shape is what counts when two schemas are compared.
type shape struct {
	Type       any              `json:"type"`
	Format     string           `json:"format"`
	Enum       []any            `json:"enum"`
	Required   []string         `json:"required"`
	Properties map[string]shape `json:"properties"`
	Items      *shape           `json:"items"`
}

// Check says whether whatever satisfies the result schema can be used as a value of the sort: it has each property of the sort with the
// same type, and requires those that the sort requires. The error joins one for each difference.
func Check(sort string, result json.RawMessage) error {
	text, ok := Source(sort)
	if !ok {
		return fmt.Errorf("there is no sort %q: expected one of %s", sort, strings.Join(Names(), ", "))
	}
	var want, have shape
	if err := errors.Join(json.Unmarshal(text, &want), json.Unmarshal(result, &have)); err != nil {
		return fmt.Errorf("sort %s: %w", sort, err)
	}
	return errors.Join(differences(want, have, "$")...)
}

func differences(want, have shape, where string) []error {
	var all []error
	if !reflect.DeepEqual(want.Type, have.Type) || want.Format != "" && want.Format != have.Format {
		all = append(all, fmt.Errorf("%s: expected %v %s, found %v %s", where, want.Type, want.Format, have.Type, have.Format))
	}
	for _, v := range have.Enum {
		if len(want.Enum) > 0 && !slices.Contains(want.Enum, v) {
			all = append(all, fmt.Errorf("%s: the sort does not know the value %v", where, v))
		}
	}
	if len(want.Enum) > 0 && len(have.Enum) == 0 {
		all = append(all, fmt.Errorf("%s: expected an enum of %v", where, want.Enum))
	}
	for _, name := range want.Required {
		if !slices.Contains(have.Required, name) {
			all = append(all, fmt.Errorf("%s.%s: must be required", where, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Properties)) {
		property, ok := have.Properties[name]
		if !ok {
			all = append(all, fmt.Errorf("%s.%s: is missing", where, name))
			continue
		}
		all = append(all, differences(want.Properties[name], property, where+"."+name)...)
	}
	if want.Items != nil && have.Items != nil {
		all = append(all, differences(*want.Items, *have.Items, where+"[]")...)
	}
	return all
}
