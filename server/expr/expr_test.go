package expr

import (
	"context"
	"testing"
)

func TestScratch(t *testing.T) {
	item := ObjectOf(map[string]*Type{"item": Of(String), "output": ObjectOf(map[string]*Type{"ip": Of(String), "malicious": Of(Int), "score": Of(Number), "rows": ListOf(MapOf(nil))}).Nullable(),
		"error": ObjectOf(map[string]*Type{"kind": Of(String), "message": Of(String)}).Nullable()})
	vars := map[string]*Type{"steps": ObjectOf(map[string]*Type{"rep": ListOf(item)}), "a": item, "lists": ListsOf("partners"), "target": ObjectOf(map[string]*Type{"ip": Of(String)}), "x": nil}
	e, err := NewEnv(vars, Options{})
	if err != nil {
		t.Fatal(err)
	}
	vals := map[string]any{
		"steps":  map[string]any{"rep": []any{map[string]any{"item": "1.2.3.4", "output": map[string]any{"ip": "1.2.3.4", "malicious": int64(5), "score": int64(3)}}, map[string]any{"item": "x", "error": map[string]any{"kind": "failed"}}}},
		"a":      map[string]any{"item": "h"},
		"lists":  map[string]any{"partners": []any{"10.0.0.0/8", "foo"}},
		"target": map[string]any{"ip": "10.2.3.4"},
		"x":      map[string]any{"n": float64(3)},
	}
	for _, src := range []string{
		"steps.rep.filter(r, !has(r.error) && r.output.malicious >= 3).map(r, r.output.ip)",
		"steps.rep.filter(r, has(r.output)).map(r, r.output.score + 1.5)",
		"has(a.output.rows) && a.output.rows.size() > 0 ? [a.output.rows[0].owner] : ['sec@corp.test']",
		"a.output", "a.output.rows", "a.item", "a.itme", "stps.rep", "steps.rp",
		"target.ip in lists.partners", "'foo' in lists.partners", "target.ip in lists.partnrs", "lists.partners.size()",
		"cidr('10.0.0.0/8').containsIP(target.ip)", "[1,2,2,3].distinct()", "['a','b'].map(x, x + '!').distinct()",
		"lp_list(['a\"b', 'c'])", "lp_list(['a\\n'])", "x.n == 3", "x.foo", "steps.rep[0].output.score == 3", "1 + 'a'", "foo(1)", "siz(x)", "a.item +", "steps.rep.map(r, r.output.?ip.orValue('none'))", "{'a': 1, 'b': [true]}", "a.item.startWith('h')", "x.n > 2.5", "true ? a.item : 1",
		"steps.rep.map(r, r.output.malicous)", "[1,2].map(i, [1,2].map(j, i*j)).flatten()", "base64.encode(b'hi')", "duration('90m')", "timestamp('2026-01-02T03:04:05Z') + duration('24h')", "ip('10.0.0.1')", "'%s-%d'.format(['a', 3])",
	} {
		p, err := e.Compile(src)
		if err != nil {
			t.Logf("%-60s COMPILE %v @%d", src, err, err.(*Error).Offset)
			continue
		}
		v, err := p.Eval(context.Background(), vals)
		t.Logf("%-60s %v | %#v | %v | %v", src, p.Type(), v, err, p.Refs())
	}
}
func BenchmarkEnv(b *testing.B) {
	for b.Loop() {
		e, _ := NewEnv(map[string]*Type{"a": MapOf(nil)}, Options{})
		e.Compile("a.b == 3")
	}
}
func BenchmarkCompile(b *testing.B) {
	e, _ := NewEnv(map[string]*Type{"a": MapOf(nil)}, Options{})
	for b.Loop() {
		e.Compile("a.b == 3")
	}
}
func BenchmarkEval(b *testing.B) {
	e, _ := NewEnv(map[string]*Type{"a": MapOf(nil)}, Options{})
	p, _ := e.Compile("a.b == 3")
	v := map[string]any{"a": map[string]any{"b": int64(3)}}
	for b.Loop() {
		p.Eval(context.Background(), v)
	}
}
