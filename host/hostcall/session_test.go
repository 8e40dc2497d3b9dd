package hostcall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// TestNoFunctionPassesTheAuthoriser walks every host function there is: without a grant, without the action's use, and with the right of
// another kind each is refused, with a typed fault, and the refusal is on the tape. Log and emit need no grant; they have quotas.
func TestNoFunctionPassesTheAuthoriser(t *testing.T) {
	requests := map[string]string{
		"http.fetch":   `{"capability":"%s","method":"GET","url":"http://127.0.0.1:9/"}`,
		"dns.resolve":  `{"capability":"%s","name":"www.corp.test","type":"A"}`,
		"tcp.exchange": `{"capability":"%s","address":"127.0.0.1:9","send":{}}`,
		"sql.query":    `{"capability":"%s","statement":"find"}`,
		"mail.send":    `{"capability":"%s","to":["a@corp.test"],"subject":"s","text":"t"}`,
		"kv.get":       `{"key":"k"}`, "kv.put": `{"key":"k","value":1}`, "kv.delete": `{"key":"k"}`,
	}
	free := map[string]int{"log.write": MaxLogLines, "emit.artifact": MaxEmissions, "emit.evidence": MaxEmissions, "emit.finding": MaxEmissions}
	everything := []abi.Requirement{
		{ID: "http", Kind: "http", Reason: "r", URL: "http://127.0.0.1:9/", Methods: map[string]abi.Effect{"GET": abi.Read}},
		{ID: "dns", Kind: "dns", Reason: "r", Names: []string{"*"}, Types: []string{"A"}},
		{ID: "tcp", Kind: "tcp", Reason: "r", Addresses: []string{"127.0.0.1:9"}},
		{ID: "sql", Kind: "sql", Reason: "r", Driver: "sqlserver", Server: "127.0.0.1:9", Statements: json.RawMessage(`{"find":{"sql":"select 1"}}`)},
		{ID: "mail", Kind: "mail", Reason: "r", Server: "127.0.0.1:9", From: "a@corp.test", Recipients: json.RawMessage(`["*"]`)},
		{ID: "kv", Kind: "kv", Reason: "r"},
	}
	for module, names := range abi.Functions() {
		kind := strings.TrimSuffix(strings.TrimPrefix(module, "riposte:"), "/v1")
		for _, name := range names {
			fn := kind + "." + name
			if quota, ok := free[fn]; ok {
				testQuota(t, fn, quota)
				continue
			}
			request, ok := requests[fn]
			if !ok {
				t.Errorf("%s: this test does not know the function", fn)
				continue
			}
			own := strings.ReplaceAll(request, "%s", kind)
			testRefused(t, fn, "not asked", own, newBench(t))
			b := newBench(t, everything...)
			delete(b.grant, kind)
			testRefused(t, fn, "not granted", own, b)
			b = newBench(t, everything...)
			action := b.manifest.Actions["act"]
			action.Uses = slices.DeleteFunc(action.Uses, func(id string) bool { return id == kind })
			b.manifest.Actions["act"] = action
			testRefused(t, fn, "not used", own, b)
			if kind != "kv" {
				b = newBench(t, everything...)
				action = b.manifest.Actions["act"]
				action.Effect = abi.Pure
				b.manifest.Actions["act"] = action
				testRefused(t, fn, "pure action", own, b)
				other := map[string]string{"http": "tcp"}[kind]
				if other == "" {
					other = "http"
				}
				testRefused(t, fn, "another kind", strings.ReplaceAll(request, "%s", other), newBench(t, everything...))
			}
		}
	}
}

func testRefused(t *testing.T, fn, why, request string, b *bench) {
	t.Helper()
	log := b.tape.(*tape.Memory)
	s := b.session()
	_, fault := call[any](t, s, fn, json.RawMessage(request))
	if fault == nil || fault.Kind != abi.Refused || fault.Message == "" {
		t.Errorf("%s, %s: got %v, want a refusal", fn, why, fault)
	}
	entries := log.Entries()
	if len(entries) != 1 || entries[0].Kind != tape.EndKind || entries[0].Call.Function != fn || !strings.Contains(string(entries[0].Reply.Inline), `"refused"`) {
		t.Errorf("%s, %s: the tape is %+v, want the refusal alone", fn, why, entries)
	}
}

func testQuota(t *testing.T, fn string, quota int) {
	t.Helper()
	b := newBench(t)
	s := b.session()
	request := map[string]any{"log.write": abi.LogEntry{Level: "info", Message: "m"}, "emit.artifact": abi.Emission{Kind: "ip", Value: "203.0.113.1"},
		"emit.evidence": abi.Emission{Name: "n", Data: []byte("d")}, "emit.finding": abi.Emission{Value: "f"}}[fn]
	for range quota {
		if _, fault := call[any](t, s, fn, request); fault != nil {
			t.Fatalf("%s: %v", fn, fault)
		}
	}
	if _, fault := call[any](t, s, fn, request); fault == nil || fault.Kind != abi.Limit {
		t.Errorf("%s: one over the quota of %d: %v", fn, quota, fault)
	}
	if len(s.Logs())+len(s.Emissions()) != quota || s.Calls() != 0 || len(b.tape.(*tape.Memory).Entries()) != 0 {
		t.Errorf("%s: %d logs, %d emissions, %d calls", fn, len(s.Logs()), len(s.Emissions()), s.Calls())
	}
}

// TestNonsenseUsesTheQuotaUp: what is not in order takes as long to read as what is.
func TestNonsenseUsesTheQuotaUp(t *testing.T) {
	for fn, times := range map[string]int{"log.write": MaxLogBytes / 60_000, "emit.finding": MaxEmissions, "emit.evidence": 1 + MaxEvidenceBytes/4/60_000} {
		s := newBench(t).session()
		request := []byte(strings.Repeat("[", 60_000))
		if fn == "emit.evidence" {
			request = bytes.Repeat(request, 4)
		}
		var r abi.Reply
		for n := 0; r.Fault == nil || r.Fault.Kind == abi.Invalid; n++ {
			if n > times {
				t.Fatalf("%s: nonsense is read for the %d. time", fn, n)
			}
			r = abi.Reply{}
			if err := json.Unmarshal(s.Call(t.Context(), fn, request), &r); err != nil {
				t.Fatal(err)
			}
		}
		if r.Fault.Kind != abi.Limit {
			t.Errorf("%s: %v", fn, r.Fault)
		}
	}
}

func TestUnknownFunctionsAndRequests(t *testing.T) {
	s := newBench(t, abi.Requirement{ID: "kv", Kind: "kv", Reason: "r"}).session()
	for _, c := range []struct {
		fn, request string
		want        abi.Kind
	}{
		{"exec.run", `{}`, abi.NotFound}, {"emit.other", `{}`, abi.NotFound}, {"kv.list", `{}`, abi.NotFound},
		{"kv.get", `{"key":"k","extra":1}`, abi.Invalid}, {"kv.get", `{"key":"k"} {}`, abi.Invalid}, {"kv.get", `nonsense`, abi.Invalid}, {"kv.get", ``, abi.Invalid},
		{"log.write", `{"level":"loud","message":"m"}`, abi.Invalid}, {"emit.artifact", `{"kind":"ip"}`, abi.Invalid},
		{"emit.finding", `{"value":"x","verdict":"maybe"}`, abi.Invalid}, {"emit.artifact", `{"kind":"ip","value":"` + strings.Repeat("x", MaxEmissionText+1) + `"}`, abi.TooLarge},
		{"emit.evidence", `{"name":"only"}`, abi.Invalid}, {"kv.get", strings.Repeat(" ", MaxRequest+1), abi.TooLarge},
	} {
		var r abi.Reply
		if err := json.Unmarshal(s.Call(t.Context(), c.fn, []byte(c.request)), &r); err != nil || r.Fault == nil || r.Fault.Kind != c.want {
			t.Errorf("%s %.40s: got %v %v, want %s", c.fn, c.request, r.Fault, err, c.want)
		}
	}
}

func TestNewSessionFindsMistakes(t *testing.T) {
	requirement := abi.Requirement{ID: "api", Kind: "http", Reason: "r", URL: "{settings.base_url}/**", Methods: map[string]abi.Effect{"GET": abi.Read}}
	schema := json.RawMessage(`{"required":["base_url"],"properties":{"base_url":{},"api_key":{"format":"secret"},"login":{"required":["user"],"properties":{"password":{"format":"secret"}}}}}`)
	for _, c := range []struct{ name, settings, says string }{
		{"required", `{}`, "base_url is required"},
		{"nested required", `{"base_url":"https://a.test","login":{}}`, "login.user is required"},
		{"plain secret", `{"base_url":"https://a.test","api_key":"hunter2"}`, "api_key must refer to a secret"},
		{"plain nested secret", `{"base_url":"https://a.test","login":{"user":"u","password":"hunter2"}}`, "login.password must refer to a secret"},
		{"secret source", `{"base_url":"https://a.test","api_key":{"secret":"vault:x"}}`, "must refer to a secret"},
		{"not a URL", `{"base_url":"a.test"}`, "base_url"},
		{"no object", `[]`, "no JSON object"},
	} {
		b := newBench(t, requirement)
		b.manifest.Settings, b.settings = schema, c.settings
		_, fault := b.try()
		if fault == nil || fault.Kind != abi.Invalid || !strings.Contains(fault.Message, c.says) || strings.Contains(fault.Error(), "hunter2") {
			t.Errorf("%s: got %v, want invalid with %q", c.name, fault, c.says)
		}
	}
	b := newBench(t)
	b.grant["other"] = capability.Narrowing{}
	if _, fault := b.try(); fault == nil || !strings.Contains(fault.Message, "does not ask for") {
		t.Errorf("a grant for nothing: %v", fault)
	}
	b = newBench(t, requirement)
	b.manifest.Requires[0].Auth = &abi.Auth{Secret: "k", Inject: "cookie:x"}
	b.settings = `{"base_url":"https://a.test"}`
	if _, fault := b.try(); fault == nil || !strings.Contains(fault.Message, "auth.inject") {
		t.Errorf("an unknown way of auth: %v", fault)
	}
}

// An optional setting that is missing makes one capability unusable, not the connector.
func TestOptionalSetting(t *testing.T) {
	b := newBench(t, abi.Requirement{ID: "kv", Kind: "kv", Reason: "r"},
		abi.Requirement{ID: "api", Kind: "http", Reason: "r", URL: "{settings.proxy_url}/**", Methods: map[string]abi.Effect{"GET": abi.Read}})
	b.services.KV = NewMemoryKV(nil)
	s := b.session()
	if _, fault := call[any](t, s, "http.fetch", get("http://127.0.0.1:9/")); fault == nil || fault.Kind != abi.Refused || !strings.Contains(fault.Message, "proxy_url") {
		t.Errorf("got %v", fault)
	}
	if _, fault := call[any](t, s, "kv.get", abi.KVRequest{Key: "k"}); fault != nil {
		t.Errorf("got %v", fault)
	}
}

func TestGuestSettingsHoldNoSecrets(t *testing.T) {
	b := newBench(t)
	b.settings = `{"base_url":"https://a.test","n":12345678901234567890,"api_key":{"secret":"env:A"},"login":{"user":"u","password":{"secret":"env:B"}}}`
	if got, want := string(b.session().GuestSettings()), `{"base_url":"https://a.test","login":{"user":"u"},"n":12345678901234567890}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKV(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBench(t, abi.Requirement{ID: "state", Kind: "kv", Reason: "r", MaxBytes: 64})
	b.services.KV = NewMemoryKV(func() time.Time { return now })
	s := b.session()
	put := func(key, value string, ttl int64) *abi.Fault {
		_, fault := call[abi.KVResponse](t, s, "kv.put", abi.KVRequest{Key: key, Value: json.RawMessage(value), TTL: ttl})
		return fault
	}
	if fault := put("a", `{"n":1}`, 60); fault != nil {
		t.Fatal(fault)
	}
	if got, fault := call[abi.KVResponse](t, s, "kv.get", abi.KVRequest{Key: "a"}); fault != nil || !got.Found || string(got.Value) != `{"n":1}` {
		t.Errorf("got %+v %v", got, fault)
	}
	if fault := put("b", `"`+strings.Repeat("x", 64)+`"`, 0); fault == nil || fault.Kind != abi.Limit {
		t.Errorf("over the quota: %v", fault)
	}
	now = now.Add(time.Minute)
	if got, _ := call[abi.KVResponse](t, s, "kv.get", abi.KVRequest{Key: "a"}); got.Found {
		t.Error("the value outlived its time")
	}
	if fault := put("c", `1`, 0); fault != nil {
		t.Error(fault)
	}
	if _, fault := call[abi.KVResponse](t, s, "kv.delete", abi.KVRequest{Key: "c"}); fault != nil {
		t.Error(fault)
	}
	if got, _ := call[abi.KVResponse](t, s, "kv.get", abi.KVRequest{Key: "c"}); got.Found {
		t.Error("the deleted value is there")
	}
	if fault := put("", `1`, 0); fault == nil || fault.Kind != abi.Invalid {
		t.Errorf("an empty key: %v", fault)
	}
}

func TestMaxCalls(t *testing.T) {
	b := newBench(t, abi.Requirement{ID: "kv", Kind: "kv", Reason: "r"})
	b.services.KV, b.max = NewMemoryKV(nil), 2
	s := b.session()
	for range 2 {
		if _, fault := call[any](t, s, "kv.get", abi.KVRequest{Key: "k"}); fault != nil {
			t.Fatal(fault)
		}
	}
	if _, fault := call[any](t, s, "kv.get", abi.KVRequest{Key: "k"}); fault == nil || fault.Kind != abi.Limit {
		t.Errorf("got %v", fault)
	}
	if _, fault := call[any](t, s, "log.write", abi.LogEntry{Message: "still"}); fault != nil {
		t.Errorf("log: %v", fault)
	}
}

// brokenTape cannot be written.
type brokenTape struct{ tape.Memory }

func (*brokenTape) Append(tape.Entry, bool) error { return errors.New("disk full") }

// What cannot be recorded does not happen.
func TestNothingHappensWithoutTape(t *testing.T) {
	b := newBench(t, abi.Requirement{ID: "kv", Kind: "kv", Reason: "r"})
	kv := NewMemoryKV(nil)
	b.services.KV, b.tape = kv, &brokenTape{}
	s := b.session()
	if _, fault := call[any](t, s, "kv.put", abi.KVRequest{Key: "k", Value: json.RawMessage("1")}); fault == nil || fault.Kind != abi.Internal || strings.Contains(fault.Message, "disk") {
		t.Errorf("got %v", fault)
	}
	if _, ok, _ := kv.Get("trial", "k"); ok {
		t.Error("it happened")
	}
	if s.Fault() == nil {
		t.Error("the session does not say so")
	}
}

// order is a tape that notes what is durable when.
type order struct {
	tape.Memory
	events []string
}

func (o *order) Append(e tape.Entry, durable bool) error {
	o.events = append(o.events, fmt.Sprintf("%s %v", e.Kind, durable))
	return o.Memory.Append(e, durable)
}

// noted is a KV that notes when it is written.
type noted struct {
	*MemoryKV
	log *order
}

func (n noted) Put(namespace, key string, value []byte, ttl time.Duration, quota int64) error {
	n.log.events = append(n.log.events, "put")
	return n.MemoryKV.Put(namespace, key, value, ttl, quota)
}

// A write is on disk as begun before it happens.
func TestBeginIsDurableBeforeTheWrite(t *testing.T) {
	b := newBench(t, abi.Requirement{ID: "kv", Kind: "kv", Reason: "r"})
	log := &order{}
	b.tape, b.services.KV = log, noted{NewMemoryKV(nil), log}
	s := b.session()
	_, _ = call[any](t, s, "kv.get", abi.KVRequest{Key: "k"})
	_, _ = call[any](t, s, "kv.put", abi.KVRequest{Key: "k", Value: json.RawMessage("1")})
	if got, want := strings.Join(log.events, ", "), "begin false, end false, begin true, put, end false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkNewSession(b *testing.B) {
	requirement := abi.Requirement{ID: "api", Kind: "http", Reason: "r", URL: "{settings.base_url}/api/**", Methods: map[string]abi.Effect{"GET": abi.Read}}
	manifest := &abi.Manifest{Plugin: "trial", Requires: []abi.Requirement{requirement}, Actions: map[string]abi.Action{"act": {Effect: abi.Read, Uses: []string{"api"}}}}
	services := NewServices(ServicesOptions{})
	defer services.Close()
	options := SessionOptions{ID: "i", Key: "k", Manifest: manifest, Action: "act", Settings: json.RawMessage(`{"base_url":"https://fw.corp.test","api_key":{"secret":"env:KEY"}}`),
		Grant: capability.Grant{"api": {Methods: []string{"GET"}}}, Services: services, Tape: &tape.Memory{}}
	b.ReportAllocs()
	for b.Loop() {
		s, fault := NewSession(options)
		if fault != nil {
			b.Fatal(fault)
		}
		s.Close()
	}
}

func BenchmarkNewPlan(b *testing.B) {
	requirement := abi.Requirement{ID: "api", Kind: "http", Reason: "r", URL: "{settings.base_url}/api/**", Methods: map[string]abi.Effect{"GET": abi.Read}}
	manifest := &abi.Manifest{Plugin: "trial", Requires: []abi.Requirement{requirement}, Actions: map[string]abi.Action{"act": {Effect: abi.Read, Uses: []string{"api"}}}}
	options := SessionOptions{Manifest: manifest, Action: "act", Settings: json.RawMessage(`{"base_url":"https://fw.corp.test"}`), Grant: capability.Grant{"api": {}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := newPlan(options, capability.Network{}); fault != nil {
			b.Fatal(fault)
		}
	}
}

func BenchmarkLog(b *testing.B) {
	services := NewServices(ServicesOptions{})
	defer services.Close()
	manifest := &abi.Manifest{Plugin: "trial", Actions: map[string]abi.Action{"act": {}}}
	s, fault := NewSession(SessionOptions{Manifest: manifest, Action: "act", Services: services})
	if fault != nil {
		b.Fatal(fault)
	}
	request := []byte(`{"level":"info","message":"blocked","fields":{"ip":"203.0.113.7"}}`)
	b.ReportAllocs()
	for b.Loop() {
		s.output = output{}
		s.Call(b.Context(), "log.write", request)
	}
}

func TestDescribe(t *testing.T) {
	b := newBench(t)
	b.settings, b.services.Secrets = `{"key":{"secret":"store:key"},"lost":{"secret":"store:lost"}}`, vault{"store:key": apiKey}
	var h tape.Header
	b.session().Describe(t.Context(), &h)
	if h.Invocation != "inv-1" || h.Key != "key-1" || h.Plugin != "trial" || h.Action != "act" || h.Settings == "" || h.Grant == "" || len(h.Secrets) != 1 || h.Secrets["store:key"] != "1" {
		t.Errorf("got %+v", h)
	}
}

// A secret that cannot be had is missed only where it is injected.
func TestSecretThatCannotBeHad(t *testing.T) {
	for value, want := range map[string]abi.Kind{"": abi.Unavailable, "abc": abi.Invalid, "with\nline": abi.Invalid} {
		b, url := vendor(t, nil)
		b.services.Secrets = vault{}
		if value != "" {
			b.services.Secrets = vault{"store:key": value}
		}
		b.manifest.Requires[0].Auth = &abi.Auth{Secret: "api_key", Inject: "bearer"}
		if _, fault := call[any](t, b.session(), "http.fetch", get(url+"/api/x")); fault == nil || fault.Kind != want || value != "" && strings.Contains(fault.Error(), value) {
			t.Errorf("%q: %v", value, fault)
		}
	}
}
