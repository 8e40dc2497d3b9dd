package trust

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

const manifest = `plugin: trial
version: 1.0.0
title: Trial
settings:
  type: object
  properties:
    url: {type: string, format: uri}
    key: {type: string, format: secret}
    other: {type: string, format: secret}
    to: {type: array, items: {type: string}}
requires:
  - id: api
    kind: http
    reason: look up and tag addresses
    url: "{settings.url}/api/**"
    methods: {GET: read, PUT: write.idempotent}
    auth: {secret: key, inject: bearer}
  - id: names
    kind: dns
    reason: resolve names
    names: ["*.corp.test"]
    types: [A, AAAA]
  - id: inventory
    kind: sql
    reason: look hosts up
    driver: sqlserver
    server: db.corp.test:1433
    database: inventory
    tls: "on"
    statements: {host: {sql: "SELECT 1"}}
    max_rows: 10
  - id: post
    kind: mail
    reason: tell people
    server: mail.corp.test:25
    from: soc@corp.test
    recipients: ["*@corp.test"]
  - id: memory
    kind: kv
    reason: remember
    max_bytes: 1000
actions:
  look:
    kind: enrich
    title: Look
    effect: read
    uses: [api]
`

func asksOf(t *testing.T, yaml string) Asks {
	t.Helper()
	raw, err := bundle.ManifestFromYAML([]byte(yaml), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := bundle.ParseManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	return AsksOf(m)
}

func TestWords(t *testing.T) {
	want := []string{
		"api: HTTP to {settings.url}/api/**: GET reads, PUT writes (repeatable); with the secret key as bearer – look up and tag addresses",
		"names: DNS names *.corp.test, types A, AAAA, at the system's resolvers – resolve names",
		`inventory: SQL (sqlserver) at db.corp.test:1433, database inventory, TLS on, statements {"host":{"sql":"SELECT 1"}} – look hosts up`,
		`post: mail through mail.corp.test:25 from soc@corp.test to ["*@corp.test"], TLS by default – tell people`,
		"memory: keeps up to 1000 bytes of its own – remember",
		"action look: enrich, reads, uses api",
	}
	if got := asksOf(t, manifest).Words(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	hostile := Asks{Requires: []abi.Requirement{{ID: "x", Kind: "kv", Reason: "nothing\x1b[2K\r\u202eharmless"}}}
	if got := hostile.Words()[0]; strings.ContainsAny(got, "\x1b\r\u202e") {
		t.Errorf("%q can pretend to be another line", got)
	}
}

// TestCompare holds each way to ask for more, or less, against what is told of it. MORE marks what needs somebody's word.
func TestCompare(t *testing.T) {
	const action = "\n    kind: enrich\n    title: Look\n    effect: read\n    uses: [api]\n"
	for _, test := range []struct {
		from, to string
		want     []string
	}{
		{"reason: look up", "reason: please look up", nil},
		{"title: Trial", "title: Trial of fire", nil},
		{"url: \"{settings.url}/api/**\"", "url: \"{settings.url}/**\"", []string{"MORE api: URL {settings.url}/**, was {settings.url}/api/**"}},
		{"url: \"{settings.url}/api/**\"", "url: \"{settings.url}/api/v1/**\"", []string{"less api: URL {settings.url}/api/v1/**, was {settings.url}/api/**"}},
		{"url: \"{settings.url}/api/**\"", "url: \"https://evil.test/api/**\"", []string{"MORE api: URL https://evil.test/api/**, was {settings.url}/api/**"}},
		{"GET: read, PUT", "GET: read, DELETE: write.unsafe, PUT", []string{"MORE api: new method DELETE, writes (repeating it does it twice)"}},
		{"GET: read, PUT: write.idempotent", "GET: read", []string{"less api: method PUT is no longer asked for"}},
		{"GET: read", "GET: write.keyed", []string{"MORE api: GET writes (once for each key), was: reads"}},
		{"PUT: write.idempotent", "PUT: read", []string{"less api: PUT reads, was: writes (repeatable)"}},
		{"    auth: {secret: key, inject: bearer}\n", "", []string{"less api: credentials: none, was the secret key as bearer"}},
		{"secret: key, inject", "secret: other, inject", []string{"MORE api: credentials: the secret other as bearer, was the secret key as bearer"}},
		{"inject: bearer}", "inject: bearer}\n    redirects: 3", []string{"MORE api: up to 3 redirects, was 0"}},
		{`names: ["*.corp.test"]`, `names: ["*.corp.test", "*"]`, []string{"MORE names: new names *"}},
		{"types: [A, AAAA]", "types: [AAAA]", []string{"less names: record types A are no longer asked for"}},
		{"types: [A, AAAA]", "types: [A, AAAA]\n    server: 192.0.2.53:53", []string{"MORE names: server 192.0.2.53:53, was by default"}},
		{"db.corp.test:1433", "db.evil.test:1433", []string{"MORE inventory: server db.evil.test:1433, was db.corp.test:1433"}},
		{"database: inventory", "database: payroll", []string{"MORE inventory: database payroll, was inventory"}},
		{`tls: "on"`, `tls: "off"`, []string{"MORE inventory: TLS off, was on"}},
		{"SELECT 1", "DELETE FROM hosts", []string{`MORE inventory: statement host: {"sql":"DELETE FROM hosts"}, was {"sql":"SELECT 1"}`}},
		{`host: {sql: "SELECT 1"}`, `host: {sql: "SELECT 1"}, all: {sql: "SELECT 2"}`, []string{`MORE inventory: new statement all: {"sql":"SELECT 2"}`}},
		{"max_rows: 10", "max_rows: 100", []string{"MORE inventory: up to 100 rows, was 10"}},
		{`["*@corp.test"]`, `["*@corp.test", "*@evil.test"]`, []string{"MORE post: new recipients *@evil.test"}},
		{`["*@corp.test"]`, `"{settings.to}"`, []string{`MORE post: recipients {settings.to}, was ["*@corp.test"]`}},
		{"from: soc@corp.test", "from: ceo@corp.test", []string{"MORE post: sender ceo@corp.test, was soc@corp.test"}},
		{"max_bytes: 1000", "max_bytes: 10", []string{"less memory: up to 10 bytes, was 1000"}},
		{"  - id: memory\n    kind: kv\n    reason: remember\n    max_bytes: 1000\n", "", []string{"less no longer asks for memory: keeps up to 1000 bytes of its own – remember"}},
		{"  - id: memory", "  - id: store", []string{"MORE new capability store: keeps up to 1000 bytes of its own – remember", "less no longer asks for memory: keeps up to 1000 bytes of its own – remember"}},
		{action, strings.Replace(action, "[api]", "[api, post]", 1), []string{"MORE action look: uses post as well"}},
		{action, strings.Replace(action, "effect: read", "effect: write.unsafe", 1), []string{"MORE action look: writes (repeating it does it twice), was: reads"}},
		{action, strings.Replace(action, "enrich", "notify", 1), []string{"MORE action look: notify, was enrich"}},
		{action, action + "  tell:\n    kind: notify\n    title: Tell\n    effect: write.keyed\n    uses: [post]\n", []string{"less new action tell: notify, writes (once for each key), uses post"}},
	} {
		changed := strings.Replace(manifest, test.from, test.to, 1)
		if changed == manifest {
			t.Fatalf("%q changes nothing", test.from)
		}
		var got []string
		for _, c := range Compare(asksOf(t, manifest), asksOf(t, changed)) {
			mark := "less "
			if c.Wider {
				mark = "MORE "
			}
			got = append(got, mark+c.Text)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s → %s:\ngot  %q\nwant %q", test.from, test.to, got, test.want)
		}
	}
}

// TestEveryFieldCounts changes each field of a requirement: none but the reason may change unseen.
func TestEveryFieldCounts(t *testing.T) {
	for i := range reflect.TypeFor[abi.Requirement]().NumField() {
		name := reflect.TypeFor[abi.Requirement]().Field(i).Name
		r := abi.Requirement{ID: "x", Kind: "http"}
		switch f := reflect.ValueOf(&r).Elem().Field(i).Addr().Interface().(type) {
		case *string:
			*f += "changed"
		case *int:
			*f = 7
		case *int64:
			*f = 7
		case *[]string:
			*f = []string{"changed"}
		case *map[string]abi.Effect:
			*f = map[string]abi.Effect{"GET": abi.Read}
		case **abi.Auth:
			*f = &abi.Auth{Secret: "key", Inject: "bearer"}
		case *json.RawMessage:
			*f = json.RawMessage(`{"changed":{}}`)
		default:
			t.Fatalf("this test does not know how to change %s", name)
		}
		widens := Widens(Compare(Asks{Requires: []abi.Requirement{{ID: "x", Kind: "http"}}}, Asks{Requires: []abi.Requirement{r}}))
		if widens == (name == "Reason") {
			t.Errorf("a change of %s: wider is %t", name, widens)
		}
	}
}

func TestCoversURL(t *testing.T) {
	for _, test := range []struct {
		was, now string
		want     bool
	}{
		{"https://a.test/**", "https://a.test/x", true},
		{"https://a.test/**", "https://a.test.evil.test/x", false},
		{"https://a.test/api/**", "https://a.test/apix/**", false},
		{"https://a.test/api/**", "https://a.test/api/../admin", false},
		{"https://a.test/api/**", "https://a.test/api/%2e%2e/admin", false},
		{"https://a.test/api/**", "https://a.test/api/{settings.path}", false},
		{"https://a.test/**", "http://a.test/**", false},
		{"https://a.test/api", "https://a.test/api/**", false},
	} {
		if got := coversURL(test.was, test.now); got != test.want {
			t.Errorf("%s covers %s: %t", test.was, test.now, got)
		}
	}
}
