package harness

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/server/document"
)

// mismatch is one place where a value is not what a case wants.
type mismatch struct {
	at   *document.Node // of the case
	path string         // in the value: $.a.b[0]
	want string
	got  string
}

// matchers are the maps of one member that say something about a value in place of the value itself.
//
//	{$matches: REGEXP}  text that a regular expression (RE2) finds something in
//	{$contains: V}      text with this in it, or a list of which one item is V
//	{$length: N}        a list, a map or a text of so many items, members or characters
//	{$type: T}          string, number, integer, boolean, array, object or null
//	{$absent: true}     there is no such member
//	{$any: true}        anything, but it is there
//	{$not: V}           anything but V
var matchers = []string{"$matches", "$contains", "$length", "$type", "$absent", "$any", "$not"}

// matcher gives the matcher that a node is, or "".
func matcher(n *document.Node) (name string, arg *document.Node) {
	if n.Kind == document.Map && len(n.Members) == 1 && strings.HasPrefix(n.Members[0].Key, "$") {
		return n.Members[0].Key, n.Members[0].Value
	}
	return "", nil
}

// checkPattern finds mistakes in what is wanted, before anything is held against it.
func (r *caseReader) checkPattern(n *document.Node) {
	name, arg := matcher(n)
	switch {
	case name == "":
	case !slices.Contains(matchers, name):
		r.problem(n, fmt.Sprintf("there is no matcher %q", name), "there are: "+strings.Join(matchers, ", "))
	case name == "$matches":
		if _, err := regexp.Compile(arg.Text()); err != nil || arg.Kind != document.String {
			r.problem(arg, "a regular expression is expected here", "its syntax is that of https://github.com/google/re2/wiki/Syntax")
		}
	case name == "$length" && arg.Kind != document.Integer:
		r.problem(arg, "a whole number is expected here", "")
	case name == "$type" && !slices.Contains([]string{"string", "number", "integer", "boolean", "array", "object", "null"}, arg.Text()):
		r.problem(arg, "the name of a JSON type is expected here", "string, number, integer, boolean, array, object or null")
	}
	for _, item := range n.Items {
		r.checkPattern(item)
	}
	for _, m := range n.Members {
		r.checkPattern(m.Value)
	}
}

// match holds a value against what is wanted. Maps may have more members than are wanted, unless exactly; lists have the items that are wanted, in
// this order and no others.
func match(want *document.Node, got any, path string, exactly bool) []mismatch {
	if name, arg := matcher(want); name != "" {
		return matchSpecial(want, name, arg, got, path, exactly)
	}
	differs := func() []mismatch { return []mismatch{{want, path, text(want.JSON()), text(got)}} }
	switch want.Kind {
	case document.Map:
		object, ok := got.(map[string]any)
		if !ok {
			return differs()
		}
		return matchMembers(want, object, path, exactly)
	case document.List:
		list, ok := got.([]any)
		if !ok || len(list) != len(want.Items) {
			return differs()
		}
		var all []mismatch
		for i, item := range want.Items {
			all = append(all, match(item, list[i], fmt.Sprintf("%s[%d]", path, i), exactly)...)
		}
		return all
	}
	if !same(want.Scalar, got) {
		return differs()
	}
	return nil
}

func matchMembers(want *document.Node, got map[string]any, path string, exactly bool) (all []mismatch) {
	for _, m := range want.Members {
		at := path + "." + m.Key
		value, there := got[m.Key]
		name, arg := matcher(m.Value)
		switch absent := name == "$absent" && arg.Scalar != false; {
		case absent && there:
			all = append(all, mismatch{m.Value, at, "nothing", text(value)})
		case !absent && !there:
			all = append(all, mismatch{m.Value, at, text(m.Value.JSON()), "nothing"})
		case !absent:
			all = append(all, match(m.Value, value, at, exactly)...)
		}
	}
	if exactly {
		for key, value := range got {
			if want.Get(key) == nil {
				all = append(all, mismatch{want, path + "." + key, "nothing", text(value)})
			}
		}
	}
	return all
}

func matchSpecial(want *document.Node, name string, arg *document.Node, got any, path string, exactly bool) []mismatch {
	ok := false
	said := name[1:] + " " + text(arg.JSON())
	switch name {
	case "$any":
		ok = true
	case "$matches":
		s, isText := got.(string)
		found, err := regexp.MatchString(arg.Text(), s)
		ok = isText && err == nil && found
	case "$contains":
		switch v := got.(type) {
		case string:
			ok = arg.Kind == document.String && strings.Contains(v, arg.Text())
		case []any:
			ok = slices.ContainsFunc(v, func(item any) bool { return len(match(arg, item, path, exactly)) == 0 })
		}
	case "$length":
		n, counted := length(got)
		ok, said = counted && int64(n) == arg.Scalar, "a length of "+text(arg.JSON())
	case "$type":
		ok = slices.Contains(typesOf(got), arg.Text())
	case "$not":
		ok = len(match(arg, got, path, exactly)) > 0
	}
	if ok {
		return nil
	}
	return []mismatch{{want, path, said, text(got)}}
}

func length(v any) (int, bool) {
	switch v := v.(type) {
	case string:
		return len([]rune(v)), true
	case []any:
		return len(v), true
	case map[string]any:
		return len(v), true
	}
	return 0, false
}

func typesOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"null"}
	case string:
		return []string{"string"}
	case bool:
		return []string{"boolean"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return []string{"number", "integer"}
		}
	}
	return []string{"number"}
}

// same compares a scalar of a case with one of a JSON document.
func same(want, got any) bool {
	n, isNumber := got.(json.Number)
	if !isNumber {
		return want == got
	}
	switch want := want.(type) {
	case int64:
		i, err := n.Int64()
		f, err2 := n.Float64()
		return err == nil && i == want || err != nil && err2 == nil && f == float64(want)
	case float64:
		f, err := n.Float64()
		return err == nil && f == want
	}
	return false
}

// text writes a value in one line, for people.
func text(v any) string {
	raw, err := plainJSON(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

// find follows a path into a value: $.member, ['member'] and [index], where a negative index counts from the end (the singular queries of RFC
// 9535).
func find(v any, path string) (value any, there bool, err error) {
	steps, err := parsePath(path)
	if err != nil {
		return nil, false, err
	}
	for _, s := range steps {
		switch at := v.(type) {
		case map[string]any:
			if v, there = at[s.name]; !there || s.indexed {
				return nil, false, nil
			}
		case []any:
			i := s.index
			if i < 0 {
				i += len(at)
			}
			if !s.indexed || i < 0 || i >= len(at) {
				return nil, false, nil
			}
			v = at[i]
		default:
			return nil, false, nil
		}
	}
	return v, true, nil
}

// step is one part of a path.
type step struct {
	name    string
	index   int
	indexed bool
}

// maxPath bounds a path.
const maxPath = 1000

func parsePath(path string) ([]step, error) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok || len(path) > maxPath {
		return nil, fmt.Errorf("a path begins with $, such as $.hosts[0].name")
	}
	var steps []step
	for rest != "" {
		var s step
		switch {
		case strings.HasPrefix(rest, "['") || strings.HasPrefix(rest, "[\""):
			end := strings.Index(rest[2:], rest[1:2]+"]")
			if end < 0 {
				return nil, fmt.Errorf("the name behind %q has no end", rest[:2])
			}
			s.name, rest = rest[2:2+end], rest[2+end+2:]
		case rest[0] == '[':
			digits, after, closed := strings.Cut(rest[1:], "]")
			i, err := strconv.Atoi(digits)
			if err != nil || !closed {
				return nil, fmt.Errorf("%q is no index, such as [0] or [-1]", rest)
			}
			s, rest = step{index: i, indexed: true}, after
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			if s.name, rest = rest[1:1+end], rest[1+end:]; s.name == "" {
				return nil, fmt.Errorf("a name is missing behind a dot")
			}
		default:
			return nil, fmt.Errorf("%q cannot follow here", rest)
		}
		steps = append(steps, s)
	}
	return steps, nil
}
