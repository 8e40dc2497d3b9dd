package harness_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/harness"
)

func exchange(fn, capability string, effect abi.Effect, request string) tape.Exchange {
	return tape.Exchange{Function: fn, Capability: capability, Effect: effect, Request: json.RawMessage(request)}
}

func TestLearn(t *testing.T) {
	settings := json.RawMessage(`{"url": "https://fw.corp.test/", "api": {"base": "https://api.corp.test:8443/v2"}}`)
	manifest := &abi.Manifest{Requires: []abi.Requirement{
		{ID: "fw", Kind: "http", URL: "{settings.url}/**", Methods: map[string]abi.Effect{"GET": abi.Read, "POST": abi.Unsafe, "DELETE": abi.Idempotent}},
		{ID: "api", Kind: "http", URL: "{settings.api.base}/**", Methods: map[string]abi.Effect{"GET": abi.Read}},
		{ID: "any", Kind: "http", URL: "https://*/**", Methods: map[string]abi.Effect{"GET": abi.Read}},
		{ID: "one", Kind: "http", URL: "https://one.corp.test/**", Methods: map[string]abi.Effect{"GET": abi.Read}},
		{ID: "dns", Kind: "dns", Names: []string{"*"}, Types: []string{"A", "MX"}},
		{ID: "tcp", Kind: "tcp", Addresses: []string{"*:43"}},
		{ID: "sql", Kind: "sql", Statements: json.RawMessage(`{"a": {"sql": "SELECT 1"}, "b": {"sql": "SELECT 2"}}`)},
		{ID: "mail", Kind: "mail", Recipients: json.RawMessage(`["*"]`)},
		{ID: "kv", Kind: "kv", MaxBytes: 1 << 20},
		{ID: "unused", Kind: "kv", MaxBytes: 5},
	}}
	refused := exchange("http.fetch", "fw", "", `{"method": "DELETE", "url": "https://fw.corp.test/x"}`)
	refused.Refused = true
	results := []*harness.Result{
		{Action: "block", Settings: settings, Calls: []tape.Exchange{
			exchange("http.fetch", "fw", abi.Read, `{"method": "GET", "url": "https://fw.corp.test/api/tags/1?x=y"}`), exchange("http.fetch", "fw", abi.Unsafe, `{"method": "post", "url": "https://fw.corp.test/api/tags"}`), refused,
			exchange("http.fetch", "api", abi.Read, `{"method": "GET", "url": "https://api.corp.test:8443/v2/hosts"}`),
			exchange("http.fetch", "any", abi.Read, `{"method": "GET", "url": "https://a.test/1"}`), exchange("http.fetch", "any", abi.Read, `{"method": "GET", "url": "https://b.test/1"}`),
			exchange("http.fetch", "one", abi.Read, `{"method": "GET", "url": "https://one.corp.test/a/b"}`), exchange("http.fetch", "one", abi.Read, `{"method": "GET", "url": "https://one.corp.test/a/c/d"}`),
			exchange("kv.put", "kv", abi.Idempotent, `{"key": "abc", "value": [1, 2]}`),
		}},
		{Action: "look", Settings: settings, Calls: []tape.Exchange{
			exchange("dns.resolve", "dns", abi.Read, `{"name": "corp.test", "type": "A"}`), exchange("tcp.exchange", "tcp", abi.Read, `{"address": "whois.corp.test:43"}`),
			exchange("sql.query", "sql", abi.Read, `{"statement": "b"}`), exchange("mail.send", "mail", abi.Keyed, `{"to": ["a@corp.test"], "cc": ["b@partner.example", "c@corp.test"]}`),
		}},
		{Action: "idle"},
	}
	raw, err := json.Marshal(harness.Learn(manifest, results))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"url":"{settings.url}/api/**","methods":{"GET":"read","POST":"write.unsafe"}`, `"url":"{settings.api.base}/hosts"`, `"url":"https://*/**"`, `"url":"https://one.corp.test/a/**"`,
		`"names":["corp.test"],"types":["A"]`, `"addresses":["whois.corp.test:43"]`, `"statements":{"b":{"sql":"SELECT 2"}}`, `"recipients":["*@corp.test","*@partner.example"]`, `"max_bytes":8`,
		`"block":{"effect":"write.unsafe","uses":["any","api","fw","kv","one"]}`, `"look":{"effect":"write.keyed","uses":["dns","mail","sql","tcp"]}`, `"idle":{"effect":"pure","uses":[]}`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s\nis not in %s", want, raw)
		}
	}
	if strings.Contains(string(raw), "unused") || strings.Contains(string(raw), "DELETE") {
		t.Errorf("more was learnt than was needed: %s", raw)
	}
}

func TestBench(t *testing.T) {
	broken := parse(t, "case: x\naction: odd\n"+settings+"parameters: {how: panic}\n")
	list, failed, err := shared.h.Bench(t.Context(), shared.wall, append(load(t), broken), 3, nil)
	if err != nil || len(list) != 4 || len(failed) != 1 {
		t.Fatalf("%v, %d measures, %d failed", err, len(list), len(failed))
	}
	for _, m := range list {
		if m.Times != 3 || m.Wall <= 0 || m.Worst < m.Wall || m.Fuel <= 0 || m.Memory <= 0 {
			t.Errorf("%+v", m)
		}
	}
}

// Every form of report tells of what failed, and of what every case did.
func TestReports(t *testing.T) {
	bad := parse(t, "case: it is <b>bold</b> | odd ]]>\naction: blocked\n"+settings+"parameters: {ip: 203.0.113.66}\nstubs: [{fn: http.fetch, status: 200, text: '<script>alert(1)</script>'}]\nexpect: {result: {present: false}}\n")
	report := run(t, harness.Mode{}, append(load(t), bad)...)
	write := func(w func(*strings.Builder) error) string {
		var b strings.Builder
		if err := w(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	terminal := write(func(b *strings.Builder) error { return harness.WriteTerminal(b, report, harness.Style{Verbose: true}) })
	colored := write(func(b *strings.Builder) error { return harness.WriteTerminal(b, report, harness.Style{Color: true}) })
	page := write(func(b *strings.Builder) error { return harness.WriteHTML(b, report, "build") })
	markdown := write(func(b *strings.Builder) error { return harness.WriteMarkdown(b, report) })
	junit := write(func(b *strings.Builder) error { return harness.WriteJUnit(b, report) })
	asJSON := write(func(b *strings.Builder) error { return harness.WriteJSON(b, report) })
	var again harness.Report
	if err := json.Unmarshal([]byte(asJSON), &again); err != nil || len(again.Results) != 5 || again.Count(harness.Failed) != 1 {
		t.Errorf("%v, %s", err, asJSON)
	}
	for name, text := range map[string]string{"terminal": terminal, "colours": colored, "HTML": page, "Markdown": markdown, "JUnit": junit, "JSON": asJSON} {
		for _, want := range []string{"the result differs", "present", "wall.corp.test/list/203.0.113.66"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not tell %q:\n%s", name, want, text)
			}
		}
	}
	for _, wrong := range []string{"<script>alert", "<b>bold", "http-equiv", `src="`, "url(", "@import"} {
		if strings.Contains(page, wrong) {
			t.Errorf("the page holds %q", wrong)
		}
	}
	for _, want := range []string{"blocked 203.0.113.66", "artifact", "nil map", "no case needs what the plugin asks for: names", "no case calls: unblock", "REFUSED"} {
		if !strings.Contains(terminal, want) || !strings.Contains(page, strings.ReplaceAll(want, "REFUSED", "refused")) {
			t.Errorf("terminal or page do not tell %q:\n%s", want, terminal)
		}
	}
	if !strings.Contains(colored, "\x1b[31m✗") || strings.Contains(terminal, "\x1b") {
		t.Error("colours are not where they are asked for")
	}
	if !strings.Contains(markdown, `\| odd ]]>`) || strings.Contains(markdown, "<b>") {
		t.Errorf("Markdown holds what would break its table:\n%s", markdown)
	}
}

func TestWatch(t *testing.T) {
	_, file := write(t, "x", "case: x\naction: odd\n"+settings)
	dir := filepath.Dir(file)
	ctx, stop := context.WithCancel(t.Context())
	runs := 0
	err := harness.Watch(ctx, dir, []string{"report.html"}, func() {
		switch runs++; runs {
		case 1: // what is written meanwhile counts as a change, but for the reports
			put(t, dir+"/report.html", "a")
			put(t, dir+"/x.wasm", "a")
			put(t, dir+"/y.yaml", "a")
		case 2:
			put(t, dir+"/y.yaml", "ab")
		case 3:
			stop()
		}
	})
	if err != nil || runs != 3 {
		t.Errorf("%v, %d runs", err, runs)
	}
	if err := harness.Watch(t.Context(), dir+"/none", nil, func() {}); err == nil {
		t.Error("a folder that is not there was watched")
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}
