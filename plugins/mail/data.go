package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// decodeData reads the data of a template; numbers keep their digits.
func decodeData(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	var data any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		return nil, abi.NewFault(abi.Invalid, "the data are no JSON: "+err.Error(), "")
	}
	return data, nil
}

// lookup finds the value at a path. Its first name belongs to the innermost object that has it.
func lookup(path string, stack []any) (v any, found bool) {
	if path == "." {
		return stack[len(stack)-1], true
	}
	name, rest, more := strings.Cut(path, ".")
	for i := len(stack) - 1; i >= 0 && !found; i-- {
		v, found = member(stack[i], name)
	}
	for more && found {
		name, rest, more = strings.Cut(rest, ".")
		v, found = member(v, name)
	}
	return v, found && v != nil
}

func member(v any, name string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		inner, ok := v[name]
		return inner, ok
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

func isNothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// textOf writes a value for people: a list of simple values with commas, anything deeper as JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		texts := make([]string, 0, len(v))
		for _, item := range v {
			texts = append(texts, textOf(item))
		}
		return strings.Join(texts, ", ")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

// plain writes a value as it is, without control characters other than line ends and tabs.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// literal stands before each character of a value in Markdown that is to become HTML; it means nothing but itself then. It is a control
// character, so it occurs neither in values nor in templates.
const literal = '\x01'

// inert writes a value so that no character of it has a meaning in Markdown.
func inert(s string) string {
	var b strings.Builder
	for _, r := range plain(s) {
		b.WriteByte(literal)
		b.WriteRune(r)
	}
	return b.String()
}
