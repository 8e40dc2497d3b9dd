package expr

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// What is evaluated directly comes to what CEL makes of it, whatever is in the variables.
func TestDirect(t *testing.T) {
	leaves := []any{nil, "", "192.0.2.1", "c", true, false, int64(1), 2.5, []any{"c"}, map[string]any{}, map[string]any{"country": "c", "labels": "c"}, strings.Repeat("x", longestDirect+1)}
	var documents []map[string]any
	for _, leaf := range leaves {
		documents = append(documents,
			map[string]any{"report": leaf, "free": leaf, "ext": leaf},
			map[string]any{"report": func() any { return map[string]any{"ip": leaf, "geo": leaf} }, "free": map[string]any{"ip": leaf}, "ext": map[string]any{"labels": leaf, "sev": leaf}},
			map[string]any{"report": map[string]any{"ip": "192.0.2.1", "owner": leaf, "geo": map[string]any{"country": leaf}, "tags": map[string]any{"env": leaf}},
				"free": map[string]any{"ip": "c", "deep": map[string]any{"x": leaf}}, "ext": map[string]any{"labels": map[string]any{"a": leaf}, "sev": "9"}})
	}
	documents = append(documents, values(), map[string]any{})
	expressions := []string{
		`report.ip`, `report.owner`, `report.geo.country`, `report.tags.env`, `free`, `free.ip`, `free.deep.x`, `ext.sev`, `ext.labels.a`,
		`report.ip == "192.0.2.1"`, `"c" == report.geo.country`, `report.ip != "c"`, `report.ip == ""`, `ext.sev == free.ip`, `free.ip == free.deep.x`,
		`report.ip == "192.0.2.1" && report.geo.country == "c"`, `report.ip == "c" || free.ip == "c" || ext.sev == "9"`, `!(ext.sev == "9") && free.ip == "c"`,
		`has(report.ip)`, `has(report.geo.country)`, `has(free.ip) && free.ip == "c"`, `!has(ext.labels.a)`, `has(free.deep.x) || report.ip == "c"`,
		`free.deep.x && report.ip == "192.0.2.1"`, `free.ip || free.ip`, `!free.deep.x`,
	}
	plain := 0
	for _, absent := range []Absence{AbsentError, AbsentZero} {
		env := environment(t, absent)
		for _, source := range expressions {
			p, err := env.Compile(source)
			if err != nil {
				t.Fatal(err)
			}
			if p.direct == nil {
				t.Errorf("%s has no direct form", source)
				continue
			}
			by := *p
			by.direct = nil
			for _, vars := range documents {
				got, err := p.Eval(t.Context(), vars)
				want, wrong := by.Eval(t.Context(), vars)
				if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wrong) {
					t.Errorf("%s with %.200v: %v, %v; CEL says %v, %v", source, vars, got, err, want, wrong)
				}
				if _, ok := p.direct(vars); ok {
					plain++
				}
			}
		}
		for _, source := range []string{`"constant"`, `report.malicious + 1 > 2`, `report.scores[0]`, `items.map(i, i.item)`, `report.ip.startsWith("1")`, `report.ip == "c" ? 1 : 2`} {
			if p, err := env.Compile(source); err != nil || p.direct != nil {
				t.Errorf("%s: %v, has a direct form", source, err)
			}
		}
	}
	if all := 2 * len(expressions) * len(documents); plain < all/5 || plain == all {
		t.Errorf("%d of %d were evaluated directly", plain, all)
	}
}

func BenchmarkSelection(b *testing.B) {
	p, err := environment(b, AbsentError).Compile(`report.geo.country == "NL"`)
	if err != nil {
		b.Fatal(err)
	}
	vars := values()
	by := *p
	by.direct = nil
	for name, p := range map[string]*Program{"direct": p, "CEL": &by} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if yes, err := p.Bool(b.Context(), vars); err != nil || !yes {
					b.Fatal(yes, err)
				}
			}
		})
	}
}
