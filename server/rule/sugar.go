package rule

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

// operators of `match`, for hints.
var operators = []string{"contains", "startswith", "endswith", "in", "cidr", "re", "gt", "gte", "lt", "lte", "exists", "not", "nocase"}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// sugar turns one entry of `match` into CEL; problem says why it cannot.
func sugar(m document.Member, alarm *expr.Type) (cel, problem, hint string) {
	parts := strings.Split(m.Key, "|")
	f, near := findField(parts[0], alarm)
	if f == nil {
		return "", fmt.Sprintf("the alarm has no field %q", parts[0]), near
	}
	e := entry{field: *f, op: "eq"}
	negate := false
	for _, op := range parts[1:] {
		switch {
		case op == "not":
			negate = true
		case op == "nocase":
			e.nocase = true
		case !slices.Contains(operators, op):
			if near := schemas.Nearest(op, operators); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return "", fmt.Sprintf("there is no operator %q", op), hint
		case e.op != "eq":
			return "", fmt.Sprintf("%q and %q cannot stand together", e.op, op), "one operator, and not or nocase"
		default:
			e.op = op
		}
	}
	cel, problem = e.compile(m.Value)
	if negate {
		cel = "!(" + cel + ")"
	}
	return cel, problem, ""
}

// field is a field of the alarm, in CEL.
type field struct {
	cel     string
	present string // the question whether it is there; empty if it cannot be asked
	t       *expr.Type
}

// findField resolves a dotted path; nil if the alarm has no such field, and near is a hint.
func findField(path string, alarm *expr.Type) (f *field, near string) {
	f = &field{t: alarm}
	for rest := path; rest != ""; {
		head, tail, _ := strings.Cut(rest, ".")
		declared := slices.Contains(f.t.Fields(), head)
		if !declared && f.t.Kind() == expr.Object && f.cel != "" || f.t.Kind() == expr.Map {
			head, tail = rest, "" // a free key, dots and all
		}
		next, ok := f.t.Field(head)
		if !ok {
			if n := schemas.Nearest(head, f.t.Fields()); n != "" {
				near = strings.TrimSuffix(path, rest) + n
				if whole, _ := findField(strings.TrimSuffix(near+"."+tail, "."), alarm); whole != nil && tail != "" {
					near += "." + tail
				}
				near = fmt.Sprintf("did you mean %q?", near)
			}
			return nil, near
		}
		f.step(head, next)
		rest = tail
	}
	if f.cel == "" {
		return nil, ""
	}
	return f, ""
}

// step goes on to a member.
func (f *field) step(name string, t *expr.Type) {
	switch {
	case f.cel == "" && t.Kind() == expr.String:
		f.cel, f.present = name, name+` != ""`
	case f.cel == "" && t.Kind() == expr.List:
		f.cel, f.present = name, "size("+name+") > 0"
	case f.cel == "":
		f.cel = name
	case f.t.Kind() == expr.Map && t.Kind() == expr.String:
		// A member of a map has no zero of its own: without the default its absence would be no text.
		f.cel, f.present = fmt.Sprintf(`%s[?%s].orValue("")`, f.cel, quote(name)), quote(name)+" in "+f.cel
	case f.t.Kind() == expr.Map:
		f.cel, f.present = fmt.Sprintf("%s[%s]", f.cel, quote(name)), quote(name)+" in "+f.cel
	default:
		if !identifier.MatchString(name) {
			name = "`" + name + "`"
		}
		f.cel += "." + name
		f.present = "has(" + f.cel + ")"
	}
	f.t = t
}

// entry is one field with its operator.
type entry struct {
	field
	op     string
	nocase bool
}

func (e entry) compile(value *document.Node) (cel, problem string) {
	if e.op == "exists" {
		want, ok := value.Scalar.(bool)
		if !ok {
			return "", "exists takes true or false"
		}
		if e.present == "" {
			return "", "this is an object: ask for one of its fields"
		}
		if want {
			return e.present, ""
		}
		return "!(" + e.present + ")", ""
	}
	if e.op == "in" && value.Kind == document.String && strings.HasPrefix(value.Text(), "lists.") {
		return e.cel + " in " + value.Text(), ""
	}
	values := []*document.Node{value}
	if value.Kind == document.List {
		values = value.Items
	}
	var any []string
	for _, v := range values {
		one, problem := e.one(v)
		if problem != "" {
			return "", problem
		}
		any = append(any, one)
	}
	if len(any) == 0 {
		return "", "no value is given"
	}
	if e.op == "eq" && len(any) > 1 && e.t.Kind() != expr.List && !e.nocase {
		// One membership instead of many comparisons: the index understands it.
		var list []string
		for _, v := range values {
			l, _ := literalOf(v)
			list = append(list, l)
		}
		return fmt.Sprintf("%s in [%s]", e.cel, strings.Join(list, ", ")), ""
	}
	if len(any) == 1 {
		return any[0], ""
	}
	return "(" + strings.Join(any, " || ") + ")", ""
}

// one writes the comparison with one value.
func (e entry) one(v *document.Node) (cel, problem string) {
	lit, ok := literalOf(v)
	if !ok {
		return "", "text, a number or true or false is expected here, this is " + string(v.Kind)
	}
	field := e.cel
	isList := e.t.Kind() == expr.List
	if isList {
		field = "x"
	}
	if e.nocase {
		field, lit = field+".lowerAscii()", quote(strings.ToLower(v.Text()))
	}
	switch e.op {
	case "eq", "in":
		if isList && !e.nocase {
			return lit + " in " + e.cel, ""
		}
		cel = field + " == " + lit
	case "contains":
		cel = field + ".contains(" + lit + ")"
	case "startswith":
		cel = field + ".startsWith(" + lit + ")"
	case "endswith":
		cel = field + ".endsWith(" + lit + ")"
	case "re":
		if _, err := regexp.Compile(v.Text()); err != nil {
			return "", "not a regular expression: " + err.Error()
		}
		cel = field + ".matches(" + lit + ")"
	case "cidr":
		if _, err := netip.ParsePrefix(v.Text()); err != nil {
			return "", fmt.Sprintf("%q is not a network in CIDR notation, such as 192.0.2.0/24", v.Text())
		}
		cel = fmt.Sprintf("isIP(%s) && cidr(%s).containsIP(%s)", field, lit, field)
	default:
		sign := map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[e.op]
		return fmt.Sprintf("%s && %s %s %s", e.present, field, sign, lit), ""
	}
	if isList {
		cel = fmt.Sprintf("%s.exists(x, %s)", e.cel, cel)
	}
	return cel, ""
}

// literalOf writes a scalar as a CEL literal.
func literalOf(n *document.Node) (string, bool) {
	switch v := n.Scalar.(type) {
	case string:
		return quote(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// quote writes a CEL string literal: Go's escapes are CEL's too, except for bytes that are not UTF-8, which documents do not have.
func quote(s string) string { return strconv.Quote(s) }
