package runbook

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

func load(t testing.TB, files ...File) *Set {
	t.Helper()
	set, problems := Load(files, newCatalog(), Options{Lists: []string{"crown_jewels"}})
	if len(problems) > 0 {
		t.Fatal(problems.Report())
	}
	return set
}

func text(lines ...string) File {
	return File{Name: "r.yaml", Data: []byte("runbook: r\nversion: 1\n" + strings.Join(lines, "\n") + "\n")}
}

// one loads a runbook that is called r.
func one(t testing.TB, lines ...string) *Runbook {
	t.Helper()
	rb, ok := load(t, text(lines...)).Get("r")
	if !ok {
		t.Fatal("the runbook is not in the set")
	}
	return rb
}

func example(t testing.TB) *Runbook {
	t.Helper()
	data, err := os.ReadFile("testdata/malicious-outbound.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rb, _ := load(t, File{Name: "content/malicious-outbound.yaml", Data: data}).Get("malicious-outbound")
	return rb
}

func find(t testing.TB, steps []*Step, id string) *Step {
	t.Helper()
	for _, s := range steps {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("there is no step %s", id)
	return nil
}

// The whole example, in its compiled form and as a graph.
func TestExample(t *testing.T) {
	rb := example(t)
	got := dump(rb) + dashes + Mermaid(rb)
	golden := "testdata/malicious-outbound.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// dump writes the compiled form as text.
func dump(rb *Runbook) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s@%d %q labels %v\n", rb.ID, rb.Version, rb.Title, rb.Labels)
	fmt.Fprintf(&b, "guards %v per run %d per hour %d\n", rb.Guards.NeverContain, rb.Guards.PerRun, rb.Guards.PerHour)
	seen := map[*Scope]bool{}
	dumpScope(&b, rb.Body, "", seen)
	fmt.Fprintf(&b, "on failure\n")
	for _, s := range rb.OnFailure {
		dumpStep(&b, s, "  ", seen)
	}
	return b.String()
}

func dumpScope(b *strings.Builder, s *Scope, indent string, seen map[*Scope]bool) {
	if seen[s] {
		fmt.Fprintf(b, "%sscope %q as above\n", indent, s.Name)
		return
	}
	seen[s] = true
	fmt.Fprintf(b, "%sscope %q\n", indent, s.Name)
	for _, in := range s.Inputs {
		fmt.Fprintf(b, "%s  input %s %s %s optional %t default %v\n", indent, in.Name, in.Type, in.Format, in.Optional, in.Default)
	}
	for _, st := range s.Steps {
		dumpStep(b, st, indent+"  ", seen)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		fmt.Fprintf(b, "%s  output %s: %s\n", indent, name, s.Outputs[name].Type())
	}
}

func dumpStep(b *strings.Builder, s *Step, indent string, seen map[*Scope]bool) {
	fmt.Fprintf(b, "%s%s %s line %d needs %v", indent, s.Kind, s.ID, s.Line, s.Needs)
	if s.Gated {
		fmt.Fprintf(b, " gates %v", s.Gates)
	}
	if s.Then != "" {
		fmt.Fprintf(b, " then %s", s.Then)
	}
	if s.Timeout > 0 {
		fmt.Fprintf(b, " timeout %s", s.Timeout)
	}
	if s.Retry.Attempts > 0 {
		fmt.Fprintf(b, " retry %+v", s.Retry)
	}
	if s.Cache > 0 {
		fmt.Fprintf(b, " cache %s", s.Cache)
	}
	fmt.Fprintf(b, " on error %s\n", s.OnError)
	indent += "  "
	if u := s.Uses; u != nil {
		fmt.Fprintf(b, "%s%s/%s@%d by %s, approval %s, targets %v\n", indent, u.Plugin, u.Action, u.Major, u.Connector, u.Approval.Mode, u.Targets)
		dumpWith(b, u.With, indent)
		if u.TTL != nil {
			fmt.Fprintf(b, "%sttl %s verify %s\n", indent, u.TTL, u.Verify)
		}
		if u.Key != nil {
			fmt.Fprintf(b, "%skey %s\n", indent, u.Key)
		}
	}
	if s.Call != nil {
		dumpWith(b, s.Call.With, indent)
		dumpScope(b, s.Call.Scope, indent, seen)
	}
	if f := s.Foreach; f != nil {
		fmt.Fprintf(b, "%sfor each %s (%s) in %s, %d at once, at most %d, on item error %s\n", indent, f.As, f.Items.Type().Elem(), f.Items, f.Concurrency, f.Limit, f.OnItemError)
		dumpStep(b, f.Body, indent, seen)
	}
	for _, c := range s.Parallel {
		dumpStep(b, c, indent, seen)
	}
	for _, c := range s.Decide {
		fmt.Fprintf(b, "%swhen %v go to %s %s\n", indent, c.When, c.Goto, c.Note)
	}
	if s.Set != nil {
		fmt.Fprintf(b, "%sset %s: %s reads %v\n", indent, s.Set, s.Set.Type(), s.Set.Refs())
	}
	if a := s.Approve; a != nil {
		fmt.Fprintf(b, "%sapprove %s need %v not %v expires %s on expire %s on deny %s escalate %v\n", indent, a.Title, a.Need, a.Not, a.Expires, a.OnExpire, a.OnDeny, a.Escalate)
	}
}

func dumpWith(b *strings.Builder, with map[string]*expr.Template, indent string) {
	for _, name := range slices.Sorted(maps.Keys(with)) {
		fmt.Fprintf(b, "%swith %s %s: %s\n", indent, name, with[name].Type(), with[name])
	}
}

// What the steps of the example compute, on results as the plugins would give them.
func TestExampleExpressions(t *testing.T) {
	rb := example(t)
	vars := map[string]any{
		"inputs":   map[string]any{"src_ip": "10.1.2.3", "dst_ip": "192.0.2.66", "block_for": "24h"},
		"incident": map[string]any{"id": "INC-7"},
		"steps": map[string]any{
			"talked_to": map[string]any{"rows": []any{
				map[string]any{"destination_address": "192.0.2.66"}, map[string]any{"destination_address": "198.51.100.1"},
				map[string]any{"destination_address": "198.51.100.2"}, map[string]any{"destination_address": "198.51.100.1"},
				map[string]any{"destination_address": "198.51.100.3"}}},
			"reputation": []any{
				map[string]any{"item": "198.51.100.1", "output": map[string]any{"ip": "198.51.100.1", "malicious": int64(7)}},
				map[string]any{"item": "198.51.100.2", "output": map[string]any{"ip": "198.51.100.2", "malicious": int64(0)}},
				map[string]any{"item": "198.51.100.3", "error": map[string]any{"kind": "timeout", "message": "no answer"}}},
			"malicious": []any{"198.51.100.1"},
			"asset": []any{
				map[string]any{"item": "10.1.2.9", "output": map[string]any{"rows": []any{map[string]any{"owner": "mia@corp.test"}}}},
				map[string]any{"item": "10.1.2.10", "output": map[string]any{"rows": []any{}}},
				map[string]any{"item": "10.1.2.11", "error": map[string]any{"kind": "failed", "message": "no"}}},
		},
	}
	steps := rb.Body.Steps
	eval := func(p interface {
		Eval(context.Context, map[string]any) (any, error)
	}, extra ...any) any {
		t.Helper()
		all := maps.Clone(vars)
		for i := 0; i+1 < len(extra); i += 2 {
			all[extra[i].(string)] = extra[i+1]
		}
		v, err := p.Eval(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", what, got, want)
		}
	}
	check("reputation items", eval(find(t, steps, "reputation").Foreach.Items), []any{"198.51.100.1", "198.51.100.2", "198.51.100.3"})
	check("malicious", eval(find(t, steps, "malicious").Set), []any{"198.51.100.1"})
	decide := find(t, steps, "any_malicious").Decide
	check("first case", eval(decide[0].When), false)
	check("second case", eval(decide[1].When), false)
	check("title", eval(find(t, steps, "mass_block_gate").Approve.Title), "Block 1 addresses?")
	check("query", eval(find(t, steps, "other_hosts").Uses.With["query"]),
		`destination_address in ["198.51.100.1"] -source_address="10.1.2.3" | chart count() by source_address`)
	tell := find(t, steps, "tell").Foreach.Body.Uses
	items := vars["steps"].(map[string]any)["asset"].([]any)
	check("owner", eval(tell.With["to"], "a", items[0]), []any{"mia@corp.test"})
	check("no rows", eval(tell.With["to"], "a", items[1]), []any{"security-managers@corp.test"})
	check("failed item", eval(tell.With["to"], "a", items[2]), []any{"security-managers@corp.test"})
	check("data", eval(tell.With["data"], "a", items[2]), map[string]any{"host": "10.1.2.11", "asset": nil, "addresses": []any{"198.51.100.1"}})
	check("key", eval(tell.Key, "a", items[0]), "INC-7/10.1.2.9")
	check("hosts", eval(rb.Body.Outputs["hosts"]), []any{"10.1.2.9", "10.1.2.10", "10.1.2.11"})
	// The run may have ended at the decision: the outputs hold then too.
	delete(vars["steps"].(map[string]any), "asset")
	check("hosts of a short run", eval(rb.Body.Outputs["hosts"]), []any{})
	check("blocked", eval(rb.Body.Outputs["blocked"]), []any{"192.0.2.66", "198.51.100.1"})
	sub := find(t, steps, "first").Call.Scope
	vars["steps"] = map[string]any{}
	check("country", eval(sub.Outputs["country"]), "unknown")
}

// Reading a result that is absent is an error that names it.
func TestAbsentIsNamed(t *testing.T) {
	rb := example(t)
	_, err := find(t, rb.Body.Steps, "malicious").Set.Eval(t.Context(), map[string]any{"steps": map[string]any{}})
	if err == nil || !strings.Contains(err.Error(), "steps.reputation is absent") {
		t.Errorf("the error is %v", err)
	}
}

func TestBindInputs(t *testing.T) {
	rb := example(t)
	got, fault := rb.BindInputs(map[string]any{"src_ip": "10.1.2.3", "dst_ip": "192.0.2.66", "src_port": "443"})
	want := map[string]any{"src_ip": "10.1.2.3", "dst_ip": "192.0.2.66", "src_port": int64(443), "block_for": "24h"}
	if fault != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, fault)
	}
	good := map[string]any{"src_ip": "10.1.2.3", "dst_ip": "192.0.2.66"}
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"dst_ip":    {nil, "inputs.dst_ip: invalid: the input is required (external address it talked to)"},
		"src_ip":    {"2001:db8::1", `inputs.src_ip: invalid: "2001:db8::1" is not an IPv4 address (internal host that raised the alarm)`},
		"src_port":  {"http", "inputs.src_port: invalid: integer is expected, this is string"},
		"block_for": {"soon", `inputs.block_for: invalid: "soon" is not a duration, such as 90s, 15m, 24h or 7d`},
		"bytes_inn": {int64(1), `inputs.bytes_inn: invalid: there is no such input (did you mean "bytes_in"?)`},
	} {
		given := maps.Clone(good)
		given[name] = c.value
		if _, fault := rb.BindInputs(given); fault == nil || fault.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", name, fault, c.want)
		}
	}
}

func TestParams(t *testing.T) {
	rb := one(t, "inputs:", "  to: {type: string}", "  note: {type: string, optional: true}", "steps:",
		`  - {id: a, uses: mail/send@1, with: {to: ["${{ inputs.to }}"], subject: hello, text: "${{ inputs.note }}"}}`)
	u := rb.Body.Steps[0].Uses
	got, fault := u.Params(t.Context(), map[string]any{"inputs": map[string]any{"to": "soc@corp.test"}})
	if want := (map[string]any{"to": []any{"soc@corp.test"}, "subject": "hello"}); fault != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, fault)
	}
	if fault := u.Check(got); fault != nil {
		t.Error(fault)
	}
	got, fault = u.Params(t.Context(), map[string]any{"inputs": map[string]any{"to": "nobody"}})
	if fault != nil {
		t.Error(fault)
	}
	if fault := u.Check(got); fault == nil || fault.Kind != abi.Invalid || fault.Where != "with.to.0" {
		t.Errorf("a bad address gave %v", fault)
	}
}

func TestGuards(t *testing.T) {
	rb := example(t)
	vars := map[string]any{"lists": map[string]any{"crown_jewels": []any{"192.0.2.1", "198.51.100.0/28"}}}
	for ip, want := range map[string]bool{"10.9.9.9": true, "192.0.2.1": true, "198.51.100.15": true, "198.51.100.16": false, "not an address": true} {
		if fault := rb.Guards.Check(t.Context(), map[string]any{"ip": ip}, vars); (fault != nil) != want {
			t.Errorf("%s: %v", ip, fault)
		} else if fault != nil && fault.Kind != abi.Refused {
			t.Errorf("%s: the fault is of kind %s", ip, fault.Kind)
		}
	}
	if fault := rb.Guards.Check(t.Context(), map[string]any{"user": "mia"}, vars); fault != nil {
		t.Errorf("a target that the guards do not speak of was refused: %v", fault)
	}
	if fault := rb.Guards.Check(t.Context(), map[string]any{"ip": "198.51.100.16"}, nil); fault == nil {
		t.Error("a guard whose list is gone let the containment pass")
	}
}

func TestOrder(t *testing.T) {
	rb := one(t, "steps:",
		"  - {id: a, set: 1}",
		"  - {id: b, set: 2}",
		"  - {id: at_once, needs: [], set: 3}",
		"  - {id: both, needs: [a, at_once], set: 4}",
		`  - {id: choose, decide: [{when: "${{ steps.both == 4 }}", then: x}, {else: y}]}`,
		"  - {id: x, set: 5, then: z}",
		"  - {id: y, needs: [b], set: 6}",
		`  - {id: z, set: "${{ has(steps.x) }}"}`,
		"  - {id: after, set: 7}")
	var got []string
	for _, s := range rb.Body.Steps {
		got = append(got, fmt.Sprintf("%s needs %v gates %v", s.ID, s.Needs, s.Gates))
	}
	want := []string{"a needs [] gates []", "b needs [a] gates []", "at_once needs [] gates []", "both needs [a at_once] gates []",
		"choose needs [both] gates []", "x needs [] gates [choose]", "y needs [b] gates [choose]", "z needs [] gates [x]", "after needs [z] gates []"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOtherKinds(t *testing.T) {
	rb := one(t, "steps:",
		"  - {id: pause, wait: 10m}",
		`  - {id: later, wait: "${{ alarm.received }}"}`,
		`  - {id: sometimes, if: "${{ run.version > 1 }}", fail: "version ${{ run.version }}"}`,
		"  - {id: block, uses: paloalto/block-ip@1, with: {ip: 192.0.2.1}, approval: {group: soc-lead, count: 2}}",
		"  - {id: ask, approve: {title: Sure?, need: {group: soc-lead}}}",
		`  - {id: done, end: "decided by ${{ steps.ask.by.join(', ') }}"}`)
	s := rb.Body.Steps
	if v, _ := s[0].Wait.Const(); v != "10m" {
		t.Errorf("wait is %v", v)
	}
	if got := s[3].Uses.Approval; got.Mode != ByGroup || !reflect.DeepEqual(got.Need, []Need{{"soc-lead", 2}}) {
		t.Errorf("approval is %+v", got)
	}
	if a := s[4].Approve; a.Expires != DefaultExpiry || a.OnExpire != OnErrorFail || a.Need[0].Count != 1 {
		t.Errorf("approve is %+v", a)
	}
	v, err := s[5].End.Eval(t.Context(), map[string]any{"steps": map[string]any{"ask": map[string]any{"decision": "granted", "by": []any{"mia", "tom"}}}})
	if err != nil || v != "decided by mia, tom" {
		t.Errorf("end gives %v, %v", v, err)
	}
}

// A shared runbook is called by name and version, and brings its guards along.
func TestSharedRunbooks(t *testing.T) {
	shared := File{Name: "block.yaml", Data: []byte(`
runbook: block
version: 2
guards: {never_contain: ["${{ target.ip == '192.0.2.1' }}"]}
inputs: {ip: {type: string, format: ip}}
steps:
  - {id: b, uses: paloalto/block-ip@1, with: {ip: "${{ inputs.ip }}"}}
outputs: {present: "${{ steps.b.present }}"}
`)}
	set := load(t, text("steps:", "  - {id: a, call: block@2, with: {ip: 192.0.2.2}}", `  - {id: c, if: "${{ steps.a.present }}", call: block, with: {ip: 192.0.2.3}}`), shared)
	rb, _ := set.Get("r")
	scope := rb.Body.Steps[0].Call.Scope
	other, _ := set.Get("block")
	if scope.Name != "block@2" || len(scope.Guards.NeverContain) != 1 || scope.Digest != other.Digest || scope != rb.Body.Steps[1].Call.Scope {
		t.Errorf("the scope is %+v", scope)
	}
	changed := File{Name: shared.Name, Data: bytes.Replace(shared.Data, []byte("192.0.2.1"), []byte("192.0.2.9"), 1)}
	again, _ := load(t, text("steps:", "  - {id: a, call: block@2, with: {ip: 192.0.2.2}}", `  - {id: c, if: "${{ steps.a.present }}", call: block, with: {ip: 192.0.2.3}}`), changed).Get("r")
	if !slices.Equal(rb.Calls, []string{"block"}) || again.Digest == rb.Digest {
		t.Errorf("calls %v; with another guard in what it calls the digest is %s, was %s", rb.Calls, again.Digest, rb.Digest)
	}
	_, problems := Load([]File{text("steps:", "  - {id: a, call: block@3, with: {ip: 192.0.2.2}}"), shared}, newCatalog(), Options{})
	if len(problems) != 1 || problems[0].Hint != "there is version 2" {
		t.Errorf("problems are %v", problems)
	}
	broken := File{Name: "block.yaml", Data: bytes.Replace(shared.Data, []byte("paloalto"), []byte("palealto"), 1)}
	set, problems = Load([]File{text("steps:", "  - {id: a, call: block, with: {ip: 192.0.2.2}}"), broken}, newCatalog(), Options{})
	if len(problems) != 2 || len(set.All()) != 0 {
		t.Errorf("problems are %v, runbooks %v", problems, set.All())
	}
}

func TestDigest(t *testing.T) {
	a := one(t, "steps:", "  - {id: a, set: 1}")
	for same, lines := range map[bool][]string{
		true:  {"# a comment", "steps:", "  - set: 1", "    id: a"},
		false: {"steps:", "  - {id: a, set: 2}"},
	} {
		if got := one(t, lines...).Digest == a.Digest; got != same {
			t.Errorf("%v: the digest is the same: %t", lines, got)
		}
	}
}

// The example also satisfies the schema that editors use, and the schema knows the same keys as the reader.
func TestSchemaAgrees(t *testing.T) {
	data, err := os.ReadFile("testdata/malicious-outbound.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n, problems := document.Parse("malicious-outbound.yaml", data)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if err := schemas.Validate("runbook", n.JSON()); err != nil {
		t.Error(err)
	}
	source, _ := schemas.Source("runbook")
	schema, err := expr.DecodeJSON(source)
	if err != nil {
		t.Fatal(err)
	}
	properties := func(path ...string) []string {
		node := schema
		for _, p := range append(path, "properties") {
			node = node.(map[string]any)[p]
		}
		return slices.Sorted(maps.Keys(node.(map[string]any)))
	}
	for _, c := range []struct {
		doc  any
		path []string
	}{
		{fileDoc{}, nil}, {stepDoc{}, []string{"$defs", "step"}}, {retryDoc{}, []string{"$defs", "retry"}},
		{inputDoc{}, []string{"$defs", "inputs", "additionalProperties"}}, {approveDoc{}, []string{"$defs", "step", "properties", "approve"}},
		{caseDoc{}, []string{"$defs", "step", "properties", "decide", "items"}}, {scopeDoc{}, []string{"properties", "runbooks", "additionalProperties"}},
		{guardsDoc{}, []string{"properties", "guards"}}, {defaultsDoc{}, []string{"properties", "defaults"}},
	} {
		var keys []string
		for i := range reflect.TypeOf(c.doc).NumField() {
			key, _, _ := strings.Cut(reflect.TypeOf(c.doc).Field(i).Tag.Get("yaml"), ",")
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if got := properties(c.path...); !slices.Equal(got, keys) {
			t.Errorf("%T reads %v, the schema has %v", c.doc, keys, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), dashes)
		f.Add([]byte(input))
	}
	f.Add([]byte("runbook: r\nversion: 1\nsteps:\n  - {id: a, foreach: '${{ [1] }}', uses: whois/lookup@1}\n"))
	catalog := newCatalog()
	f.Fuzz(func(t *testing.T, data []byte) {
		set, problems := Load([]File{{Name: "r.yaml", Data: data}}, catalog, Options{})
		if len(problems) == 0 && len(set.All()) != 1 {
			t.Error("no problem and no runbook")
		}
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 {
				t.Errorf("a problem without place or words: %+v", p)
			}
		}
	})
}

func BenchmarkLoadExample(b *testing.B) {
	data, err := os.ReadFile("testdata/malicious-outbound.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		Load([]File{{Name: "malicious-outbound.yaml", Data: data}}, newCatalog(), Options{})
	}
}
