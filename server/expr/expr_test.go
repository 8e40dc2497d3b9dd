package expr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const reportSchema = `{"type": "object", "properties": {
	"ip": {"type": "string", "format": "ip"}, "malicious": {"type": "integer"}, "score": {"type": "number"},
	"scores": {"type": "array", "items": {"type": "number"}},
	"owner": {"type": ["string", "null"]},
	"rows": {"type": "array", "items": {"type": "object"}},
	"geo": {"$ref": "#/$defs/geo"},
	"tags": {"type": "object", "additionalProperties": {"type": "string"}}
}, "$defs": {"geo": {"type": "object", "properties": {"country": {"type": "string"}, "lat": {"type": "number"}}}}}`

func schema(t testing.TB, text string) *Type {
	t.Helper()
	typ, err := FromSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func environment(t testing.TB, absent Absence) *Env {
	t.Helper()
	report := schema(t, reportSchema)
	item := ObjectOf(map[string]*Type{"item": Of(String), "output": report.Nullable(),
		"error": ObjectOf(map[string]*Type{"kind": Of(String), "message": Of(String)}).Nullable()})
	env, err := NewEnv(map[string]*Type{
		"report": report, "items": ListOf(item), "free": nil, "lists": ListsOf("partners", "empty"),
		"ext": schema(t, `{"type": "object", "properties": {"labels": {"type": "object"}}, "additionalProperties": {"type": "string"}}`),
	}, Options{Absent: absent})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func values() map[string]any {
	return map[string]any{
		"report": map[string]any{"ip": "192.0.2.1", "malicious": float64(5), "score": int64(3), "scores": []any{int64(1), 2.5},
			"rows": []any{map[string]any{"name": "a", "n": int64(1)}}, "tags": map[string]any{"env": "prod"}, "geo": map[string]any{"country": "NL"}},
		"items": []any{
			map[string]any{"item": "192.0.2.1", "output": map[string]any{"ip": "192.0.2.1", "malicious": int64(5)}},
			map[string]any{"item": "192.0.2.2", "error": map[string]any{"kind": "timeout", "message": "no answer"}}},
		"free":  map[string]any{"n": 3.0, "deep": map[string]any{"list": []any{"x", "y"}}},
		"lists": map[string]any{"partners": []any{"10.0.0.0/8", "2001:db8::/32", "mia", "192.0.2.9"}, "empty": []any{}},
		"ext":   map[string]any{"sev": "9", "labels": map[string]any{"a b": "c"}},
	}
}

func TestEval(t *testing.T) {
	env := environment(t, AbsentError)
	for src, want := range map[string]any{
		"report.malicious >= 3":         true,
		"report.malicious + 1":          int64(6), // a float64 without fraction, where the schema says integer
		"report.score + 0.5":            3.5,      // an int64, where the schema says number
		"report.scores.map(s, s + 1.0)": []any{2.0, 3.5},
		"report.malicious > 2.5":        true,
		"report.owner":                  nil,
		"report.owner == null":          true,
		"has(report.owner)":             false,
		"report.geo.country":            "NL",
		"has(report.geo.lat)":           false,
		"report.tags.env":               "prod",
		"report.tags['env']":            "prod",
		"report.rows[0].n == 1":         true,
		"'env' in report.tags":          true,
		"free.n == 3":                   true,
		"free.deep.list[1]":             "y",
		"has(free.deep.no.such)":        false,
		"items.filter(i, !has(i.error) && i.output.malicious >= 3).map(i, i.output.ip)": []any{"192.0.2.1"},
		"items.map(i, has(i.output.ip) ? i.output.ip : i.error.message)":                []any{"192.0.2.1", "no answer"},
		"items[1].output":                            nil,
		"items.map(i, i.output.?ip.orValue('-'))":    []any{"192.0.2.1", "-"},
		"'10.9.8.7' in lists.partners":               true,
		"'::ffff:10.9.8.7' in lists.partners":        true,
		"'2001:db8::5' in lists.partners":            true,
		"'mia' in lists.partners":                    true,
		"'192.0.2.10' in lists.partners":             false,
		"lists.partners.size()":                      int64(4),
		"lists.partners.exists(p, p == 'mia')":       true,
		"lists.empty":                                []any{},
		"cidr('192.0.2.0/24').containsIP(report.ip)": true,
		"ip(report.ip).family()":                     int64(4),
		"[3, 1, 3, 2].distinct().sort()":             []any{int64(1), int64(2), int64(3)},
		"[[1], [2, 3]].flatten().slice(1, 3)":        []any{int64(2), int64(3)},
		"'a,b'.split(',').join('-').upperAscii()":    "A-B",
		"'%s has %d'.format(['x', 2])":               "x has 2",
		"['a', '', 'b'].join('-') + ['x'].join() + 'aXbXc'.replace('X', '') + 'aXbX'.replace('X', '.', 1)": "a--bxabca.bX",
		"base64.encode(b'hi')":                                "aGk=",
		"math.greatest(1, 5, 3)":                              int64(5),
		"sets.contains([1, 2], [2])":                          true,
		"timestamp('2026-01-01T00:00:00Z') + duration('36h')": "2026-01-02T12:00:00Z",
		"duration('90m')":                                     "1h30m0s",
		"{'a': [1, 'x', null], 'b': {'c': report.ip}}":        map[string]any{"a": []any{int64(1), "x", nil}, "b": map[string]any{"c": "192.0.2.1"}},
		"lp_list(['a', \"b\\\"c\\\\d\"])":                     `["a", "b\"c\\d"]`,
		"lp_list([1, true, 'x'])":                             `["1", "true", "x"]`,
		"lp_text('x')":                                        `"x"`,
		"ext.sev == '9' && ext.labels['a b'] == 'c'":          true,
		"true ? [free.n] : ['x']":                             []any{3.0},
	} {
		p, err := env.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := p.Eval(t.Context(), values())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", src, got, err, want)
		}
	}
}

func TestAbsentReadsAsZero(t *testing.T) {
	env := environment(t, AbsentZero)
	for src, want := range map[string]any{
		"report.malicious":                  int64(0),
		"report.ip":                         "",
		"report.geo.country == ''":          true,
		"has(report.geo.country)":           false,
		"report.rows.size()":                int64(0),
		"report.tags.env":                   nil,
		"report.owner":                      nil,
		"report.tags.env == 'x'":            false,
		"report.tags == {}":                 true,
		"items.map(i, i.item)":              []any{},
		"free.any.thing":                    nil,
		"free.any == 'x'":                   false,
		"'x' in free.any":                   false,
		"!(free.env == 'test')":             true,
		"has(free.any)":                     false,
		"'10.0.0.1' in lists.partners":      false,
		"ext.nothing == '' && has(ext.sev)": false,
		"ext.labels.nothing == 'x'":         false,
	} {
		p, err := env.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := p.Eval(t.Context(), map[string]any{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", src, got, err, want)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	env := environment(t, AbsentError)
	for src, want := range map[string]string{
		"report.geo.lat > 1.0":       "report.geo.lat is absent",
		"free.nothing == 1":          "free.nothing is absent",
		"items[1].output.malicious":  "malicious is absent",
		"items[7]":                   "index out of bounds: 7",
		"lists.missing":              "", // a compile error: the names are known
		"1 / (report.malicious - 5)": "division by zero",
		"lp_list(['a\\nb'])":         "has a control character",
		"lp_list([{'a': 1}])":        "a query takes text, numbers and booleans",
		"0.0 / (report.score - 3.0)": "result is not a number",
	} {
		p, err := env.Compile(src)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", src, err)
			}
			continue
		}
		_, err = p.Eval(t.Context(), values())
		var e *Error
		if !errors.As(err, &e) || want == "" || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
	p, _ := env.Compile("report.ip")
	if _, err := p.Eval(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "report has no value") {
		t.Errorf("a variable that is not given: %v", err)
	}
}

func TestTypes(t *testing.T) {
	env := environment(t, AbsentError)
	for src, want := range map[string]string{
		"report.malicious": "integer", "report.score": "number", "report.owner": "string", "report.rows": "list of object", "free.x": "any",
		"items.map(i, i.output.ip)": "list of string", "items.map(i, i.output)": "list of object", "report": "object", "null": "null",
		"{'a': 1}": "object", "1 > 0": "boolean", "['a', 1]": "list of any", "report.?ip": "string",
	} {
		p, err := env.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if got := p.Type().String(); got != want {
			t.Errorf("%s is %s, want %s", src, got, want)
		}
	}
	// The type of a result carries its fields into another environment.
	p, _ := env.Compile("items.map(i, i.output)")
	next, err := NewEnv(map[string]*Type{"outputs": p.Type()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Compile("outputs[0].geo.country"); err != nil {
		t.Error(err)
	}
	if _, err := next.Compile("outputs[0].geo.contry"); err == nil || err.(*Error).Hint != `did you mean "country"?` {
		t.Errorf("a misspelt field of a carried type: %v", err)
	}
}

func TestAccepts(t *testing.T) {
	object := ObjectOf(map[string]*Type{"a": Of(Int)})
	for _, c := range []struct {
		want, from *Type
		ok         bool
	}{
		{Of(String), Of(String), true}, {Of(String), Of(Int), false}, {Of(Number), Of(Int), true}, {Of(Int), Of(Number), false},
		{Of(Any), object, true}, {Of(Int), nil, true}, {ListOf(Of(String)), ListOf(Of(Any)), true}, {ListOf(Of(String)), ListOf(Of(Int)), false},
		{object, ObjectOf(map[string]*Type{"a": Of(String)}), false}, {object, MapOf(nil), true}, {MapOf(nil), object, true},
		{Of(String), Of(Null), false}, {Of(String).Nullable(), Of(Null), true}, {Of(String), Of(Duration), true}, {ListOf(nil), Of(String), false},
	} {
		if got := c.want.Accepts(c.from); got != c.ok {
			t.Errorf("%s (%s) accepts %s: %t", c.want, c.want.Kind(), c.from, got)
		}
	}
}

func TestRefs(t *testing.T) {
	env := environment(t, AbsentError)
	for src, want := range map[string]string{
		"items.filter(i, i.item in lists.partners && i.item != report.ip)": "items lists.partners report.ip",
		"has(report.geo.country)": "report.geo report.geo.country",
		"free.deep.list[0]":       "free.deep.list",
		"free['deep'].list":       "free.deep.list",
		"[1].map(report, report)": "",
	} {
		p, err := env.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if got := strings.Join(p.Refs(), " "); got != want {
			t.Errorf("%s reads %q, want %q", src, got, want)
		}
	}
}

func TestNecessary(t *testing.T) {
	env := environment(t, AbsentZero)
	for src, want := range map[string]string{
		`report.ip == "a" && free.x == "b"`:             "[{report.ip [a] } {free.x [b] }]",
		`"a" == report.ip`:                              "[{report.ip [a] }]",
		`report.ip in ["a", "b"] && report.score > 1.0`: "[{report.ip [a b] }]",
		`report.ip.contains("x")`:                       "[{report.ip [] x}]",
		`report.ip == "a" || report.ip == "b"`:          "[]",
		`!(report.ip == "a")`:                           "[]",
		`report.ip == ""`:                               "[]", // absent reads as that
		`report.tags[?"k"].orValue("") == "v"`:          "[{report.tags.k [v] }]",
		`report.tags[?"k"].orValue("v") == "v"`:         "[]", // absent reads as that
	} {
		p, err := env.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if got := fmt.Sprint(p.Necessary()); got != want {
			t.Errorf("%s needs %s, want %s", src, got, want)
		}
	}
}

// Hostile expressions end: by size, by depth, by cost or by the context.
func TestLimits(t *testing.T) {
	env := environment(t, AbsentError)
	for name, src := range map[string]string{
		"long":                    strings.Repeat("1 + ", maxSource) + "1",
		"deep":                    strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500),
		"list":                    strings.Repeat("[", 500) + strings.Repeat("]", 500),
		"huge regular expression": `'a'.matches('((a{1,999}){1,999}){1,999}')`,
	} {
		if _, err := env.Compile(src); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
	// Nine nested loops over ten items.
	src := "1"
	for range 9 {
		src = "[1,2,3,4,5,6,7,8,9,10].map(x, " + src + ")"
	}
	p, err := env.Compile(src + ".size() > 0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Eval(ctx, values()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled evaluation ended with %v", err)
	}
	if _, err := p.Eval(t.Context(), values()); err == nil || !strings.Contains(err.Error(), "costs too much") {
		t.Errorf("a costly evaluation ended with %v", err)
	}
}

// A value that is multiplied in each of forty steps must not fill the memory, whatever multiplies it.
func TestBombs(t *testing.T) {
	env := environment(t, AbsentError)
	for _, c := range []struct{ seed, step, tail string }{
		{"[1, 2]", "a + a", ""}, {"[1, 2]", "a + a", ".sort()"}, {"[1, 2]", "a + a", ".distinct()"}, {"['x']", "a + a", ".join()"},
		{"[1, 2]", "[a, a].flatten()", ""}, {"{'a': dyn(1)}", "{'a': a, 'b': a}", ""}, {"'xxxx'", "a + a", ""}, {"'xxxx'", "a.lowerAscii() + a", ""},
		{"'xxxxxxxxxxxxxxxx'", "a.replace('', a)", ".size()"}, {"'xxxxxxxx'", "[a, a, a, a].join(a)", ""}, {"'xxxxxxxx'", "'%s%s%s'.format([a, a, a])", ""},
		{"['x', 'y']", "a + a", ".map(x, lp_list([x]))"},
	} {
		src := "a"
		for range 40 {
			src = "cel.bind(a, " + c.step + ", " + src + ")"
		}
		p, err := env.Compile("cel.bind(a, " + c.seed + ", " + src + ")" + c.tail)
		if err != nil {
			t.Errorf("%s: %v", c.step, err)
			continue
		}
		if v, err := p.Eval(t.Context(), values()); err == nil {
			t.Errorf("%s %s: came through with %.40v", c.step, c.tail, v)
		}
	}
}

func TestTemplate(t *testing.T) {
	env := environment(t, AbsentError)
	for src, want := range map[string]any{
		"plain":                            "plain",
		"":                                 "",
		"${{ report.scores }}":             []any{1.0, 2.5},
		"${{report.ip}}":                   "192.0.2.1",
		" ${{ report.ip }}":                " 192.0.2.1",
		"a ${{ 1 + 1 }} b ${{ [1, 'x'] }}": `a 2 b [1,"x"]`,
		"$${{ not an expression }}":        "${{ not an expression }}",
		"$${{ ${{ 1 }}":                    "${{ 1",
		"${{ {'a': {'b': 1}} }}":           map[string]any{"a": map[string]any{"b": int64(1)}},
		"${{ '}}' + \"}}\" }}!":            "}}}}!",
		"${{ 'it\\'s }}' }}":               "it's }}",
		"costs $5 and ${ 6 }":              "costs $5 and ${ 6 }",
		"<${{ '<&>' }}>":                   "<<&>>",
	} {
		tmpl, err := env.Template(src)
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		got, err := tmpl.Eval(t.Context(), values())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q = %#v, %v; want %#v", src, got, err, want)
		}
	}
	tmpl, err := env.Template("owner: ${{ report.owner }}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Eval(t.Context(), values()); err == nil || !strings.Contains(err.Error(), "null cannot stand inside text") {
		t.Errorf("null inside text: %v", err)
	}
	_, err = env.Template("söme text ${{ report.malicous }}")
	var e *Error
	if !errors.As(err, &e) || e.Source[e.Offset:] != "malicous }}" {
		t.Errorf("the place of the error is %+v", e)
	}
}

func TestContentList(t *testing.T) {
	l := NewContentList([]string{"0.0.0.0/0", "2001:db8::/32", "corp.test", "192.0.2.7/33"})
	for value, want := range map[string]bool{"198.51.100.1": true, "2001:db8::1": true, "2001:db9::1": false, "corp.test": true, "x": false, "": false,
		"192.0.2.7/33": true, "fe80::1%eth0": false} {
		if l.Has(value) != want {
			t.Errorf("%q: %t", value, !want)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	got, err := DecodeJSON([]byte(`{"a": 1, "b": [1.0, 1.5, 9007199254740993], "c": null}`))
	want := map[string]any{"a": int64(1), "b": []any{int64(1), 1.5, int64(9007199254740993)}, "c": nil}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, %v", got, err)
	}
	for _, bad := range []string{"", "{", "1 2", "1e999", "nul"} {
		if v, err := DecodeJSON([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, v)
		}
	}
	if _, err := Normalize(math.Inf(1)); err != nil {
		t.Error(err)
	}
}

func TestDistinctOfManyIsQuick(t *testing.T) {
	env := environment(t, AbsentError)
	p, err := env.Compile("free.rows.map(r, r.ip).distinct().size()")
	if err != nil {
		t.Fatal(err)
	}
	var rows []any
	for i := range 20_000 {
		rows = append(rows, map[string]any{"ip": fmt.Sprint(i % 15_000)})
	}
	// Pair by pair this would cost 150 million comparisons, far over the cost limit.
	if v, err := p.Eval(t.Context(), map[string]any{"free": map[string]any{"rows": rows}}); err != nil || v != int64(15_000) {
		t.Errorf("%v, %v", v, err)
	}
}

func TestSchemas(t *testing.T) {
	for text, want := range map[string]string{
		`{"type": "object", "properties": {"self": {"$ref": "#"}}}`: "object",
		`{"anyOf": [{"type": "string"}, {"type": "null"}]}`:         "string",
		`{"oneOf": [{"type": "string"}, {"type": "integer"}]}`:      "any",
		`{"enum": ["a", "b"]}`:                                      "string",
		`{"type": ["string", "integer"]}`:                           "any",
		`{"items": {"type": "boolean"}}`:                            "list of boolean",
		`true`:                                                      "any",
		``:                                                          "any",
		`{"$ref": "https://corp.test/x"}`:                           "any",
	} {
		if got := schema(t, text).String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	doubling := `{"$ref": "#/$defs/a0", "$defs": {`
	for i := range 40 {
		doubling += fmt.Sprintf(`"a%d": {"type": "object", "properties": {"x": {"$ref": "#/$defs/a%d"}, "y": {"$ref": "#/$defs/a%d"}}},`, i, i+1, i+1)
	}
	if _, err := FromSchema([]byte(doubling + `"a40": {}}}`)); err == nil {
		t.Error("a schema that doubles forty times was taken")
	}
	if _, err := FromSchema([]byte("{")); err == nil {
		t.Error("a schema that is no JSON was taken")
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"a ${{ report.ip }} b", "${{ items.map(i, i.output.?ip) }}", "$${{", "${{ '}}' }}", "${{ free.a[0]['x'] == lists.partners }}",
		"${{ lp_list(free) }}", "${{ [1].distinct() }}", "${{ has(free.a.b) ? 1 : 'x' }}", "${{ cidr(free.x).containsIP(report.ip) }}"} {
		f.Add(s)
	}
	env := environment(f, AbsentError)
	loose := environment(f, AbsentZero)
	vars := values()
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range []*Env{env, loose} {
			tmpl, err := e.Template(text)
			if err != nil {
				var problem *Error
				if !errors.As(err, &problem) || problem.Offset < 0 || problem.Offset > len(problem.Source) {
					t.Errorf("%q: %#v", text, err)
				}
				continue
			}
			v, err := tmpl.Eval(t.Context(), vars)
			if err == nil {
				if !isJSON(v) {
					t.Errorf("%q gave %#v", text, v)
				}
			}
			_, _ = tmpl.Eval(t.Context(), nil)
		}
	})
}

// isJSON says whether a value is in JSON form.
func isJSON(v any) bool {
	switch v := v.(type) {
	case nil, bool, string, int64, float64:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !isJSON(e) })
	case map[string]any:
		for _, e := range v {
			if !isJSON(e) {
				return false
			}
		}
		return true
	}
	return false
}

func BenchmarkCompile(b *testing.B) {
	env := environment(b, AbsentError)
	for b.Loop() {
		_, _ = env.Compile("report.malicious >= 3 && report.ip != ''")
	}
}

func BenchmarkEval(b *testing.B) {
	env := environment(b, AbsentError)
	p, err := env.Compile("report.malicious >= 3 && report.ip != ''")
	if err != nil {
		b.Fatal(err)
	}
	vars := values()
	for b.Loop() {
		_, _ = p.Bool(b.Context(), vars)
	}
}

func BenchmarkNewEnv(b *testing.B) {
	for b.Loop() {
		environment(b, AbsentError)
	}
}
