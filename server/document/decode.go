package document

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/schemas"
)

// Decode fills out, a pointer to a struct, from the node, and reports all that does not fit. Fields are named by their tag `yaml:"name"`, or
// `yaml:"name,required"`; a key without a field is a problem. Fields may be strings, booleans, integers, float64, time.Duration (as
// schemas.ParseDuration reads it), structs, pointers, slices and maps of these, `any` (the JSON form) and *Node, which keeps the place.
func (n *Node) Decode(out any) Problems {
	d := &decoder{}
	d.value(n, reflect.ValueOf(out).Elem())
	return d.problems
}

type decoder struct{ problems Problems }

func (d *decoder) expected(n *Node, what string) {
	d.problems = append(d.problems, n.Problem(fmt.Sprintf("%s is expected here, this is %s", what, n.Kind), quoteHint(n, what)))
}

func quoteHint(n *Node, what string) string {
	switch {
	case what == string(String) && (n.Kind == Integer || n.Kind == Number || n.Kind == Bool):
		return "put quotes around it"
	case what == string(List) && n.Kind == String:
		return "put brackets around it: [" + n.Text() + "]"
	}
	return ""
}

func (d *decoder) value(n *Node, v reflect.Value) {
	switch v.Interface().(type) {
	case *Node:
		v.Set(reflect.ValueOf(n))
		return
	case time.Duration:
		d.duration(n, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem())
		v.Set(p)
	case reflect.Interface:
		if j := n.JSON(); j != nil {
			v.Set(reflect.ValueOf(j))
		}
	case reflect.Struct:
		d.object(n, v)
	case reflect.Slice:
		d.list(n, v)
	case reflect.Map:
		d.dictionary(n, v)
	default:
		d.scalar(n, v)
	}
}

func (d *decoder) duration(n *Node, v reflect.Value) {
	if n.Kind != String {
		d.problems = append(d.problems, n.Problem(fmt.Sprintf("a duration is expected here, this is %s", n.Kind), "write it with its unit, such as 30s, 15m, 24h or 7d"))
		return
	}
	t, err := schemas.ParseDuration(n.Text())
	if err != nil {
		d.problems = append(d.problems, n.Problem(err.Error(), ""))
		return
	}
	v.SetInt(int64(t))
}

func (d *decoder) scalar(n *Node, v reflect.Value) {
	switch k := v.Kind(); {
	case k == reflect.String:
		if n.Kind != String {
			d.expected(n, string(String))
			return
		}
		v.SetString(n.Text())
	case k == reflect.Bool:
		b, ok := n.Scalar.(bool)
		if !ok {
			d.expected(n, string(Bool))
			return
		}
		v.SetBool(b)
	case k >= reflect.Int && k <= reflect.Int64:
		i, ok := n.Scalar.(int64)
		if !ok || v.OverflowInt(i) {
			d.expected(n, string(Integer))
			return
		}
		v.SetInt(i)
	case k == reflect.Float64:
		switch f := n.Scalar.(type) {
		case float64:
			v.SetFloat(f)
		case int64:
			v.SetFloat(float64(f))
		default:
			d.expected(n, string(Number))
		}
	default:
		d.problems = append(d.problems, n.Problem(fmt.Sprintf("nothing can be read into a %s", v.Type()), ""))
	}
}

func (d *decoder) list(n *Node, v reflect.Value) {
	if n.Kind != List {
		d.expected(n, string(List))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, e := range n.Items {
		d.value(e, out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) dictionary(n *Node, v reflect.Value) {
	if n.Kind != Map {
		d.expected(n, string(Map))
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Members))
	for _, m := range n.Members {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(m.Value, e)
		out.SetMapIndex(reflect.ValueOf(m.Key), e)
	}
	v.Set(out)
}

func (d *decoder) object(n *Node, v reflect.Value) {
	if n.Kind != Map {
		d.expected(n, string(Map))
		return
	}
	fields, required := fieldsOf(v.Type())
	for _, m := range n.Members {
		i, ok := fields[m.Key]
		if !ok {
			d.problems = append(d.problems, n.unknownKey(m.Key, names(fields)))
			continue
		}
		d.value(m.Value, v.Field(i))
	}
	for _, name := range required {
		if n.Get(name) == nil {
			d.problems = append(d.problems, n.Problem(fmt.Sprintf("the key %q is missing", name), ""))
		}
	}
}

// unknownKey makes the problem of a key that is not known.
func (n *Node) unknownKey(key string, known []string) Problem {
	hint := ""
	if near := schemas.Nearest(key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) <= 30 {
		hint = "known are: " + strings.Join(known, ", ")
	}
	return n.KeyProblem(key, fmt.Sprintf("the key %q is not known here", key), hint)
}

func fieldsOf(t reflect.Type) (fields map[string]int, required []string) {
	fields = make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" {
			continue
		}
		fields[name] = i
		if option == "required" {
			required = append(required, name)
		}
	}
	return fields, required
}

func names(fields map[string]int) []string {
	out := make([]string, 0, len(fields))
	for name := range fields {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
