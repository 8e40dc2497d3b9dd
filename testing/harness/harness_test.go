package harness_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/testing/harness"
)

// bench is what all tests use: the plugin of testdata/wall, and a harness whose calls may go to this machine.
type bench struct {
	wall *bundle.Bundle
	h    *harness.Harness
}

var shared bench

const wallFolder = "testdata/wall"

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "harness-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	made, err := author.Build(context.Background(), wallFolder, author.Options{Bare: true})
	if err != nil {
		return 0, err
	}
	shared.wall = made.Bundle
	shared.h, err = harness.Open(harness.Options{CacheDir: dir, Live: true, Secrets: oneKey{}, Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		return 0, err
	}
	code = m.Run()
	return code, shared.h.Close()
}

const key = "the-key-of-the-wall"

type oneKey struct{}

func (oneKey) Resolve(context.Context, secret.Ref) (secret.Secret, error) {
	return secret.New(key, "1"), nil
}

// parse reads a case that must be sound.
func parse(t *testing.T, text string) *harness.Case {
	t.Helper()
	c, problems := harness.Parse("tests/x.yaml", []byte(text), shared.wall)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

func run(t *testing.T, m harness.Mode, cases ...*harness.Case) *harness.Report {
	t.Helper()
	report, err := shared.h.Run(t.Context(), shared.wall, cases, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// passes demands that everything passed.
func passes(t *testing.T, r *harness.Report) {
	t.Helper()
	for _, one := range r.Results {
		if one.Verdict != harness.Passed {
			t.Errorf("%s %s: %v; %s %v %v", one.Name(), one.Verdict, one.Failures, one.Output, one.Fault, one.Logs)
		}
	}
}

func load(t *testing.T) []*harness.Case {
	t.Helper()
	cases, err := harness.Load(filepath.Join(wallFolder, harness.CasesFolder), "", shared.wall)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestCases(t *testing.T) {
	report := run(t, harness.Mode{}, load(t)...)
	passes(t, report)
	if len(report.Results) != 4 || fmt.Sprint(report.Untested, report.Unused) != "[blocked unblock] [names]" {
		t.Errorf("%d results, untested %v, unused %v", len(report.Results), report.Untested, report.Unused)
	}
	for _, one := range report.Results {
		if one.Case == "panic" && len(one.Stack) == 0 {
			t.Errorf("the crash has no stack: %v", one.Fault)
		}
	}
}

// TestInterpreted: what is interpreted comes to the same as what is compiled, instruction by instruction.
func TestInterpreted(t *testing.T) {
	h, err := harness.Open(harness.Options{CacheDir: filepath.Join(t.TempDir(), "cache"), Interpret: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	compiled := run(t, harness.Mode{}, load(t)...)
	interpreted, err := h.Run(t.Context(), shared.wall, load(t), harness.Mode{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range interpreted.Results {
		said := func(r *harness.Result) string {
			return fmt.Sprintf("%s %s %s %v, %d instructions, %d bytes, %d calls, %q %v", r.Case, r.Verdict, r.Output, r.Fault, r.Fuel, r.Memory, len(r.Calls), r.Stack, r.Logs)
		}
		if got, want := said(one), said(compiled.Results[i]); got != want {
			t.Errorf("interpreted: %s\ncompiled:    %s", got, want)
		}
	}
}

const settings = `settings: {url: "https://wall.corp.test", key: {secret: "env:WALL_KEY"}}` + "\n"

// Each case differs in one thing from what happens; the failure names the line, and what is wanted and got.
func TestFailures(t *testing.T) {
	const head = "case: x\naction: block\n" + settings + "parameters: {ip: 203.0.113.66}\n"
	const stubs = "stubs: [{fn: http.fetch, match: {method: GET}, status: 404}, {fn: http.fetch, match: {method: PUT}, status: 201}]\n"
	for _, test := range []struct{ text, want string }{
		{stubs + "expect: {result: {count: 2}}", `x.yaml:6:26: the result differs at $.count: want 2, got 1`},
		{stubs + "expect: {result: {count: {$type: string}}}", `want type "string", got 1`},
		{stubs + "expect: {paths: {$.count: 2}}", `at $.count: want 2, got 1`},
		{stubs + "expect: {paths: {'$.none[0]': 2}}", `at $.none[0]: want 2, got nothing`},
		{stubs + "expect: {result: {}, exactly: true}", `at $.count: want nothing, got 1`},
		{stubs + "expect: {fault: {kind: refused}}", `it did not fail: want {"kind":"refused"}, got {"count":1}`},
		{stubs + "expect: {calls: 3}", `another number of host calls: want 3, got 4: http.fetch GET https://wall.corp.test/list/203.0.113.66; http.fetch PUT`},
		{stubs + "expect: {calls: [{}, {method: PATCH}, {}, {}]}", `host call 2 differs at $.method: want "PATCH", got "PUT"`},
		{stubs + "expect: {refused: 1}", `another number of refused host calls: want 1, got 0`},
		{stubs + "expect: {logs: [unblocked]}", `there is no such log line: want "unblocked", got ["info: blocked 203.0.113.66"]`},
		{stubs + "expect: {emissions: [{type: finding}]}", `there is no such emission`},
		{stubs + "expect: {at_most: {fuel: 5}}", `x.yaml:6:26: too many instructions: want at most 5`},
		{stubs + "expect: {at_most: {bytes: 5B}}", `too many bytes of requests and answers`},
		{"stubs: [{fn: http.fetch, match: {method: GET}, status: 500}]", `it failed, and a result is wanted: want a result, got unavailable: the other side answered 500`},
		{"stubs: [{fn: http.fetch, match: {method: HEAD}, status: 200}]", `call 1 has no stub: http.fetch {"capability":"api","method":"GET","url":"https://wall.corp.test/list/203.0.113.66"}; the nearest wants "HEAD" at $.method, this has "GET"`},
		{"stubs: [{fn: http.fetch, match: {method: GET}, status: 404}, {fn: http.fetch, match: {method: PUT}, status: 201}, {fn: dns.resolve, reply: {rcode: NOERROR, records: []}}]",
			`nobody asked for this stub`},
		{"stubs: [{fn: http.fetch, match: {method: GET}, status: 404, times: 2}, {fn: http.fetch, match: {method: PUT}, status: 201}]", `the stub was asked too seldom: want 2, got 1`},
	} {
		report := run(t, harness.Mode{}, parse(t, head+test.text))
		if said := fmt.Sprint(report.Results[0].Failures); report.OK() || !strings.Contains(said, test.want) {
			t.Errorf("%s\ngives %s\nwant %s", test.text, said, test.want)
		}
	}
}

func TestBadCases(t *testing.T) {
	const head = "case: x\naction: block\n" + settings
	for _, test := range []struct{ text, want string }{
		{"case: x", `the key "action" is missing`},
		{"case: x\naction: blokc\n" + settings, `x.yaml:2:9: wall has no action "blokc" (did you mean "block"?)`},
		{"case: x\naction: page\ncontract: true\n" + settings, `needs a probe and an inverse`},
		{"case: x\naction: block\nsettings: {url: 5}", `x.yaml:3:`},
		{head + "expcet: {}", `x.yaml:4:1: the key "expcet" is not known here (did you mean "expect"?)`},
		{head + "grant: [apo]", `does not ask for a capability "apo"`},
		{head + "now: tomorrow", `x.yaml:4:6: a time is expected here`},
		{head + "tape: ../x.tape", `the name of a file beside the case`},
		{head + "tape: [a.tape, b.tape]", `one tape is expected here`},
		{head + "contract: true\nstubs: [{fn: http.fetch, status: 200}]", `stubs cannot stand for a target that changes`},
		{head + "tape: a.tape\nstubs: [{fn: http.fetch, status: 200}]", `stubs or a tape, not both`},
		{head + "stubs: [{fn: http.fetsh, status: 200}]", `x.yaml:4:14: there is no host function "http.fetsh"`},
		{head + "stubs: [{fn: http.fetch}]", `a stub gives one of`},
		{head + "stubs: [{fn: http.fetch, status: 200, fault: {kind: refused}}]", `a stub gives one of`},
		{head + "stubs: [{fn: dns.resolve, status: 200}]", `belong to http.fetch`},
		{head + "stubs: [{fn: http.fetch, json: {}, text: x}]", `json or text`},
		{head + "stubs: [{fn: dns.resolve, reply: {rcod: NOERROR}}]", `this is not what dns.resolve answers`},
		{head + "stubs: [{fn: http.fetch, fault: {kind: unavailabel}}]", `did you mean "unavailable"?`},
		{head + "stubs: [{fn: http.fetch, match: {url: {$matches: '('}}, status: 200}]\nexpect: {}", `a regular expression is expected here`},
		{head + "stubs: [{fn: http.fetch, match: {url: {$match: x}}, status: 200}]\nexpect: {}", `there is no matcher "$match"`},
		{head + "expect: {fault: {kind: nope}}", `there is no kind "nope" of faults`},
		{head + "expect: {fault: {kind: trap}, result: {}}", `a result or a fault`},
		{head + "expect: {paths: {count: 1}}", `a path begins with $`},
		{head + "expect: {at_most: {memory: 5 elephants}}", `expected a size`},
	} {
		_, problems := harness.Parse("tests/x.yaml", []byte(test.text), shared.wall)
		if !strings.Contains(problems.Error(), test.want) {
			t.Errorf("%s\ngives %v\nwant %s", test.text, problems, test.want)
		}
	}
}

func TestFaultsAndCrashes(t *testing.T) {
	cases := load(t)
	for _, kind := range harness.Injections() {
		report := run(t, harness.Mode{Fault: &harness.Injection{Kind: kind}}, cases...)
		passes(t, report)
		if len(report.Results) < 5 {
			t.Errorf("%s: %d results", kind, len(report.Results))
		}
	}
	for _, when := range []tape.Kind{tape.BeginKind, tape.EndKind} {
		report := run(t, harness.Mode{Crash: &harness.Crash{When: when}}, cases...)
		passes(t, report)
		doubt := 0
		for _, one := range report.Results {
			if one.Fault != nil && one.Fault.Kind == "in_doubt" {
				doubt++
			}
		}
		if want := map[tape.Kind]int{tape.BeginKind: 1, tape.EndKind: 0}[when]; doubt != want {
			t.Errorf("%s: %d results in doubt, want %d", when, doubt, want)
		}
	}
	wrong := parse(t, "case: x\naction: odd\n"+settings+"parameters: {how: wrong}\nstubs: [{fn: http.fetch, status: 200}]")
	report := run(t, harness.Mode{Fault: &harness.Injection{Kind: "429", At: 1}}, wrong)
	if said := fmt.Sprint(report.Results[0].Failures); !strings.Contains(said, "the fault is of another kind than what happened: want rate_limited, got not_found: it is gone") {
		t.Error(said)
	}
}

// The schema, which editors read, takes the cases that the reader takes.
func TestSchemaOfCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(wallFolder, harness.CasesFolder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root, problems := document.Parse(file, text)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		raw, err := json.Marshal(root.JSON())
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate("case", doc); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// What is read from a file ends in a case or in problems.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(wallFolder, harness.CasesFolder, "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("case: x\naction: block\ncontract: true\ntape: [a.tape]\nexpect: {paths: {\"$['a'][0].b\": {$length: 2}}, fault: {kind: trap}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := harness.Parse("x.yaml", text, shared.wall)
		if len(problems) == 0 && c.Action == "" {
			t.Error("a case without an action is sound")
		}
	})
}
