package server

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/store/badgerstore"
)

var goodContent = map[string]string{
	"lists/partners.yaml":  "list: partners\nvalues: [203.0.113.0/24, 7]\n",
	"runbooks/b.yaml":      "runbook: b\nversion: 1\ninputs: {ip: {type: string}}\nsteps: [{id: a, set: \"${{ inputs.ip in lists.partners }}\"}, {id: c, call: shared}]\n",
	"runbooks/shared.yaml": "runbook: shared\nversion: 1\nsteps: [{id: a, set: 1}]\n",
	"runbooks/notice.md":   "# Notice\n",
	"rules/r.yaml":         "rule: r\nwhen: source.ip in lists.partners\ntemplate: t\n",
	"templates/t.yaml":     "template: t\ntype: x\ntitle: t\nseverity: low\nrunbook: b\n",
	"README.md":            "not content",
}

func writeContent(t *testing.T, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := maps.Clone(goodContent)
	maps.Copy(files, changes)
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadContent(t *testing.T) {
	c, err := LoadContent(writeContent(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Runbooks) != 2 || c.Texts["notice"] != "# Notice\n" || len(c.Rules.Rules()) != 1 || len(c.Lists) != 1 {
		t.Errorf("%+v", c)
	}
	old := *c.Runbooks["b"]
	old.Text = strings.Replace(old.Text, "{id: a,", "{id: was,", 1)
	book, err := c.Compile(old)
	if err != nil || book.Body.Steps[0].ID != "was" || book.Digest == c.Runbooks["b"].Runbook.Digest {
		t.Errorf("a runbook as it once was: %+v, %v", book, err)
	}
	old = *c.Runbooks["b"]
	old.Called = []engine.Source{{File: "shared.yaml", Text: strings.Replace(old.Called[0].Text, "set: 1", "set: 2", 1)}}
	book, err = c.Compile(old)
	if err != nil || book.Digest == c.Runbooks["b"].Runbook.Digest || len(book.Body.Steps[1].Call.Scope.Steps) != 1 {
		t.Errorf("with what it once called: %+v, %v", book, err)
	}
	if _, err := c.Compile(engine.Source{File: "b.yaml", Text: "runbook: b\n"}); err == nil {
		t.Error("a damaged runbook was compiled")
	}
}

// Everything that is wrong is told at once, each with its place, and what to do.
func TestContentMistakes(t *testing.T) {
	_, err := LoadContent(writeContent(t, map[string]string{
		"lists/again.yaml":     "list: partners\nvalues: []\n",
		"lists/bad.yaml":       "list: bad\nvaluse: [1]\n",
		"connectors/c.yaml":    "connector: c\nplugin: nothing\n",
		"runbooks/broken.yaml": "runbook: broken\nversion: 1\nsteps: [{id: a, set: \"${{ inputs.nix }}\"}]\n",
		"rules/x.yaml":         "rule: x\nwhen: souce.ip == 'x'\ntemplate: t\n",
		"templates/u.yaml":     "template: u\ntype: x\ntitle: t\nseverity: low\nrunbook: missing\n",
	}), nil)
	var problems document.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"lists/partners.yaml": "exists already", "lists/bad.yaml": "valuse", "connectors/c.yaml": "not installed",
		"runbooks/broken.yaml": "nix", "rules/x.yaml": "souce", "templates/u.yaml": "missing"} {
		if !slices.ContainsFunc(problems, func(p document.Problem) bool {
			return strings.HasSuffix(p.File, file) && strings.Contains(p.Message+p.Hint, want) && p.Line > 0 && p.Column > 0
		}) {
			t.Errorf("%s: nothing is told of %q:\n%s", file, want, problems)
		}
	}
	if _, err := LoadContent(filepath.Join(t.TempDir(), "none"), nil); err == nil || !strings.Contains(err.Error(), "rules/") {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "riposte.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: 127.0.0.1:0\ndata: data\nsyslog: {udp: \":514\", cert: /etc/c.pem}\nnetwork: {allow: [127.0.0.0/8], deny_hosts: [x]}\nlimits: {runs: 3}\n")
	c, err := LoadConfig(file)
	if err != nil || c.Data != filepath.Join(filepath.Dir(file), "data") || c.Syslog.Cert != "/etc/c.pem" || c.Limits.Runs != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	if policy, err := c.Network.policy(); err != nil || len(policy.Allow) != 1 || len(policy.DenyHosts) != 1 {
		t.Errorf("%+v, %v", policy, err)
	}
	if _, err := (NetworkConfig{Deny: []string{"10.0.0.1"}}).policy(); err == nil || !strings.Contains(err.Error(), "network.deny") {
		t.Error(err)
	}
	for text, want := range map[string]string{"listne: x\n": `riposte.yaml:1:1`, "limits: {runs: many}\n": "riposte.yaml:1:16", "listen: [\n": "riposte.yaml:"} {
		write(text)
		if _, err := LoadConfig(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestKV(t *testing.T) {
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	k := &kv{store: store, now: func() time.Time { return now }}
	check := func(namespace, key, want string) {
		t.Helper()
		v, ok, err := k.Get(namespace, key)
		if err != nil || ok != (want != "") || string(v) != want {
			t.Errorf("%s/%s is %q, %t, %v", namespace, key, v, ok, err)
		}
	}
	put := func(namespace, key, value string, ttl time.Duration, quota int64) error {
		return k.Put(namespace, key, []byte(value), ttl, quota)
	}
	if err := errors.Join(put("a", "x", `1`, 0, 100), put("a", "y", `"long"`, time.Minute, 100), put("ab", "x", `3`, 0, 100)); err != nil {
		t.Fatal(err)
	}
	check("a", "x", "1")
	check("ab", "x", "3")
	check("a", "b\x00x", "")
	if err := put("a", "z", `"0123456789"`, 0, 20); !errors.Is(err, hostcall.ErrQuota) {
		t.Errorf("over the quota: %v", err)
	}
	check("a", "z", "")
	now = now.Add(time.Hour)
	check("a", "y", "")
	if err := put("a", "z", `"0123456789"`, 0, 20); err != nil { // what is over counts no more
		t.Error(err)
	}
	if err := put("a", "z", `"9876543210"`, 0, 20); err != nil { // nor what it replaces
		t.Error(err)
	}
	if err := k.Delete("a", "z"); err != nil {
		t.Fatal(err)
	}
	check("a", "z", "")
	check("a", "x", "1")
}
