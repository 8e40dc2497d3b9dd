package schemas

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// surely says that a value is valid, where that is plain to see: by the keywords that most schemas are made of, and no others. It is not much slower than
// to look at the value, where the library takes microseconds for each part of it. If it says no, nothing is known: the library finds out what is wrong, if
// anything is.
func surely(s *jsonschema.Schema, v any) bool {
	if s.Always != nil {
		return *s.Always
	}
	if rare(s) || len(s.Types) > 0 && !slices.ContainsFunc(s.Types, func(t string) bool { return isOf(t, v) }) {
		return false
	}
	if len(s.Enum) > 0 {
		if text, ok := v.(string); !ok || !slices.Contains(s.Enum, any(text)) {
			return false
		}
	}
	switch v := v.(type) {
	case string:
		return surelyText(s, v)
	case map[string]any:
		return surelyObject(s, v)
	case []any:
		if s.MinItems != -1 && len(v) < s.MinItems || s.MaxItems != -1 && len(v) > s.MaxItems {
			return false
		}
		for i := range v {
			if s.Items2020 != nil && !surely(s.Items2020, v[i]) {
				return false
			}
		}
		return true
	case nil, bool:
		return true
	}
	if s.Minimum == nil && s.Maximum == nil {
		return true
	}
	n, ok := whole(v)
	return ok && within(s.Minimum, n, -1) && within(s.Maximum, n, 1)
}

// rare says that a schema has a keyword that is left to the library, whatever the value is.
func rare(s *jsonschema.Schema) bool {
	return s.Ref != nil || s.RecursiveRef != nil || s.DynamicRef != nil || s.Not != nil || s.AllOf != nil || s.AnyOf != nil || s.OneOf != nil || s.If != nil ||
		s.Constant != nil || s.PropertyNames != nil || s.RegexProperties || s.PatternProperties != nil || s.Dependencies != nil || s.DependentRequired != nil ||
		s.DependentSchemas != nil || s.UnevaluatedProperties != nil || s.UniqueItems || s.Items != nil || s.AdditionalItems != nil || s.PrefixItems != nil ||
		s.Contains != nil || s.UnevaluatedItems != nil || s.ContentEncoding != "" || s.ContentMediaType != "" || s.ContentSchema != nil ||
		s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MultipleOf != nil || len(s.Extensions) > 0
}

func isOf(kind string, v any) bool {
	switch v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object"
	}
	if kind == "integer" {
		_, ok := whole(v)
		return ok
	}
	return kind == "number"
}

// whole gives a number that is plainly a whole one.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return n, err == nil
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case int64:
		return v, true
	case int:
		return int64(v), true
	}
	return 0, false
}

// within says that a number is not beyond a bound: below it with -1, above it with 1.
func within(bound *big.Rat, n int64, beyond int) bool {
	if bound == nil {
		return true
	}
	if !bound.IsInt() || !bound.Num().IsInt64() {
		return false
	}
	limit := bound.Num().Int64()
	return n == limit || n > limit == (beyond < 0)
}

func surelyText(s *jsonschema.Schema, v string) bool {
	if s.MinLength != -1 || s.MaxLength != -1 {
		if n := utf8.RuneCountInString(v); n < s.MinLength || s.MaxLength != -1 && n > s.MaxLength {
			return false
		}
	}
	if s.Format != "" {
		if f, ok := known()[s.Format]; !ok || !f.ok(v) {
			return false
		}
	}
	return s.Pattern == nil || s.Pattern.MatchString(v)
}

func surelyObject(s *jsonschema.Schema, v map[string]any) bool {
	if s.MinProperties != -1 && len(v) < s.MinProperties || s.MaxProperties != -1 && len(v) > s.MaxProperties {
		return false
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return false
		}
	}
	for name, member := range v {
		if of, ok := s.Properties[name]; ok {
			if !surely(of, member) {
				return false
			}
			continue
		}
		switch others := s.AdditionalProperties.(type) {
		case nil:
		case bool:
			if !others {
				return false
			}
		case *jsonschema.Schema:
			if !surely(others, member) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
