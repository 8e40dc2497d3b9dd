package schemas

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// leaves gives the errors that have no cause below them: those that say what is wrong. Of alternatives (anyOf, oneOf) the one that got
// furthest into the document is told, since its author most likely meant that one.
func leaves(e *jsonschema.ValidationError, out []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return append(out, e)
	}
	if strings.HasSuffix(e.KeywordLocation, "/anyOf") || strings.HasSuffix(e.KeywordLocation, "/oneOf") {
		var best []*jsonschema.ValidationError
		depth := -1
		for _, c := range e.Causes {
			l := leaves(c, nil)
			d := 0
			for _, one := range l {
				d = max(d, strings.Count(one.InstanceLocation, "/"))
			}
			if d > depth || (d == depth && len(l) < len(best)) {
				best, depth = l, d
			}
		}
		return append(out, best...)
	}
	for _, c := range e.Causes {
		out = leaves(c, out)
	}
	return out
}

func (s *Schema) finding(e *jsonschema.ValidationError, doc any) Finding {
	f := Finding{Path: e.InstanceLocation, Message: e.Message}
	_, pointer, _ := strings.Cut(e.AbsoluteKeywordLocation, "#")
	if p, err := url.PathUnescape(pointer); err == nil {
		pointer = p
	}
	cut := strings.LastIndexByte(pointer, '/')
	if cut < 0 {
		return f
	}
	parent, _ := resolve(s.root, pointer[:cut]).(map[string]any)
	value := resolve(doc, e.InstanceLocation)
	switch pointer[cut+1:] {
	case "additionalProperties":
		s.unknownKey(&f, parent, value)
	case "required":
		f.Message = strings.Replace(f.Message, "missing properties:", "missing:", 1)
	case "type":
		f.Message = strings.Replace(f.Message, ", but got ", " is expected, this is ", 1)
		f.Message = strings.Replace(f.Message, "expected ", "", 1)
	case "enum":
		words := wordsOf(parent["enum"])
		f.Message = fmt.Sprintf("%v is not one of: %s", value, strings.Join(words, ", "))
		if near := Nearest(fmt.Sprint(value), words); near != "" {
			f.Hint = fmt.Sprintf("did you mean %q?", near)
		}
	case "format":
		format, _ := parent["format"].(string)
		f.Message = fmt.Sprintf("%v is not %s", value, DescribeFormat(format))
	case "pattern":
		f.Message = fmt.Sprintf("%q does not match %v", value, parent["pattern"])
		f.Hint, _ = parent["description"].(string)
	}
	return f
}

func (s *Schema) unknownKey(f *Finding, parent map[string]any, value any) {
	known, _ := parent["properties"].(map[string]any)
	object, _ := value.(map[string]any)
	names := slices.Sorted(maps.Keys(known))
	var unknown []string
	for _, k := range slices.Sorted(maps.Keys(object)) {
		if _, ok := known[k]; !ok {
			unknown = append(unknown, fmt.Sprintf("%q", k))
			f.Unknown = append(f.Unknown, k)
			if near := Nearest(k, names); near != "" && f.Hint == "" {
				f.Hint = fmt.Sprintf("did you mean %q?", near)
			}
		}
	}
	f.Message = "unknown: " + strings.Join(unknown, ", ")
	if f.Hint == "" && len(names) > 0 && len(names) <= 20 {
		f.Hint = "known are: " + strings.Join(names, ", ")
	}
}

func wordsOf(enum any) []string {
	values, _ := enum.([]any)
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return words
}
