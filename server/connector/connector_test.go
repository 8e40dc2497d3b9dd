package connector

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
)

// A module with the function look, () -> i32.
const module = "\x00asm\x01\x00\x00\x00" + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x02\x01\x00" + "\x05\x03\x01\x00\x01" +
	"\x07\x08\x01\x04look\x00\x00" + "\x0a\x06\x01\x04\x00\x41\x00\x0b"

const manifest = `{"plugin": "trial", "version": "2.1.0", "title": "Trial",
 "settings": {"type": "object", "required": ["url"], "additionalProperties": false, "properties": {
   "url": {"type": "string", "format": "uri"}, "key": {"type": "string", "format": "secret"},
   "tls": {"type": "object", "additionalProperties": false, "properties": {"verify": {"type": "boolean"}}}}},
 "requires": [{"id": "api", "kind": "http", "reason": "ask", "url": "{settings.url}/**", "methods": {"GET": "read"}},
              {"id": "names", "kind": "dns", "reason": "resolve", "names": ["*"], "types": ["A"]}],
 "actions": {"look": {"kind": "enrich", "title": "Look", "effect": "read", "uses": ["api"],
   "parameters": {"type": "object", "properties": {}}, "result": {"type": "object", "properties": {}}}}}`

func trial(t testing.TB) map[string]*bundle.Bundle {
	t.Helper()
	file, err := bundle.Pack([]byte(module), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*bundle.Bundle{"trial": b}
}

const good = `connector: t1
plugin: trial
title: Trial one
settings:
  url: https://trial.corp.test
  key: {secret: "env:TRIAL_KEY"}
grant:
  api: {methods: [GET]}
  names:
`

func TestLoad(t *testing.T) {
	c, problems := Load("connectors/t1.yaml", []byte(good), trial(t))
	if problems != nil {
		t.Fatal(problems)
	}
	if c.ID != "t1" || c.Plugin != "trial" || c.Title != "Trial one" || c.File != "connectors/t1.yaml" || len(c.Digest) != 64 {
		t.Errorf("%+v", c)
	}
	var settings map[string]any
	if err := json.Unmarshal(c.Settings, &settings); err != nil || settings["key"].(map[string]any)["secret"] != "env:TRIAL_KEY" {
		t.Errorf("%s, %v", c.Settings, err)
	}
	if len(c.Grant) != 2 || len(c.Grant["api"].Methods) != 1 {
		t.Errorf("%+v", c.Grant)
	}
	list, problems := Load("t.yaml", []byte("connector: t2\nplugin: trial\nsettings: {url: https://x.corp.test}\ngrant: [api]\n"), trial(t))
	if problems != nil || len(list.Grant) != 1 {
		t.Errorf("%+v, %v", list, problems)
	}
	none, problems := Load("t.yaml", []byte("connector: t2\nplugin: trial\nsettings: {url: https://x.corp.test}\n"), trial(t))
	if problems != nil || len(none.Grant) != 0 {
		t.Errorf("what is not granted is granted: %+v, %v", none, problems)
	}
}

// Whatever an approval must notice changes the digest; comments and order do not.
func TestDigest(t *testing.T) {
	digest := func(text string) string {
		t.Helper()
		c, problems := Load("t.yaml", []byte(text), trial(t))
		if problems != nil {
			t.Fatal(problems)
		}
		return c.Digest
	}
	base := digest(good)
	if digest("# a comment\n"+good) != base {
		t.Error("a comment changes the digest")
	}
	for _, change := range [][2]string{{"trial.corp.test", "other.corp.test"}, {"env:TRIAL_KEY", "env:OTHER"}, {"[GET]", "[]"}, {"  names:\n", ""}, {"connector: t1", "connector: t2"}} {
		if text := strings.Replace(good, change[0], change[1], 1); digest(text) == base {
			t.Errorf("%q for %q leaves the digest as it is", change[1], change[0])
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ change, to, where, message, hint string }{
		{"plugin: trial", "plugin: trail", "c.yaml:2:9", "not installed", `did you mean "trial"?`},
		{"plugin: trial", "plugin: nothing-like-it", "c.yaml:2:9", "not installed", "riposte plugin ls"},
		{"connector: t1", "connector: T 1", "c.yaml:1:12", "name", ""},
		{"title:", "titel:", "c.yaml:3:1", "titel", "title"},
		{"  url: https://trial.corp.test\n", "", "c.yaml:5:", "url", ""},
		{"url: https://trial.corp.test", "url: 7", "c.yaml:5:", "string", ""},
		{"settings:\n", "settings:\n  urll: x\n", "c.yaml:5:", "urll", ""},
		{"settings:\n", "settings:\n  tls: {verify: 3}\n", "c.yaml:5:", "boolean", ""},
		{"  names:\n", "  nams:\n", "c.yaml:", "nams", "api, names"},
		{"methods: [GET]", "method: [GET]", "c.yaml:8:", "method", "narrowing"},
		{"methods: [GET]", "methods: GET", "c.yaml:8:", "", "narrowing"},
		{"grant:\n  api: {methods: [GET]}\n  names:\n", "grant: api\n", "c.yaml:7:", "list", "[api, names]"},
		{"plugin: trial\n", "", "c.yaml:1:1", "plugin", ""},
		{good, "", "c.yaml:", "", ""},
		{good, "a: &x 1\nb: *x\n", "c.yaml:", "", ""},
		{good, "connector: t1\nconnector: t2\n", "c.yaml:2:1", "connector", ""},
	} {
		_, problems := Load("c.yaml", []byte(strings.Replace(good, c.change, c.to, 1)), trial(t))
		if len(problems) == 0 {
			t.Errorf("%q was taken", c.to)
			continue
		}
		p := problems[0]
		if !strings.HasPrefix(p.Where(), c.where) || !strings.Contains(p.Message, c.message) || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%q: %s", c.to, problems)
		}
	}
}

func TestCatalog(t *testing.T) {
	plugins := trial(t)
	c := NewCatalog(plugins, map[string]*Connector{"b": {ID: "b", Plugin: "trial"}, "a": {ID: "a", Plugin: "trial"}, "x": {ID: "x", Plugin: "other"}})
	if got := c.Connectors("trial"); len(got) != 2 || got[0] != "a" {
		t.Error(got)
	}
	for _, x := range []struct {
		plugin, action string
		major          int
		ok             bool
	}{{"trial", "look", 2, true}, {"trial", "look", 1, false}, {"trial", "none", 2, false}, {"none", "look", 2, false}} {
		if _, ok := c.Action(x.plugin, x.action, x.major); ok != x.ok {
			t.Errorf("%+v", x)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("connector: t\nplugin: trial\nsettings: []\ngrant: {api: {url: [1]}}"))
	plugins := trial(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := Load("c.yaml", text, plugins)
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("%+v", p)
			}
		}
		if len(problems) == 0 && (c == nil || c.Digest == "") {
			t.Error("neither a connector nor a problem")
		}
	})
}
