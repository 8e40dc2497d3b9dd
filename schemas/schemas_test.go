package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func decode(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEmbeddedSchemasCompile(t *testing.T) {
	names := strings.Join(Names(), " ")
	for _, name := range []string{"alarm", "connector", "manifest", "rule", "runbook", "template"} {
		if !strings.Contains(" "+names+" ", " "+name+" ") {
			t.Errorf("there is no schema %s among %s", name, names)
		}
		var findings Findings
		if err := Validate(name, "text"); !errors.As(err, &findings) {
			t.Errorf("%s takes text: %v", name, err)
		}
	}
	if err := Validate("nothing", nil); err == nil || errors.As(err, new(Findings)) {
		t.Errorf("a schema that is not there: %v", err)
	}
}

func TestFindings(t *testing.T) {
	for doc, want := range map[string]string{
		`{"rule": "r", "template": "t", "wehn": "true"}`: `unknown: "wehn" (did you mean "when"?)`,
		`{"rule": "r"}`:                                                          `missing: 'template'`,
		`{"rule": "R!", "template": "t"}`:                                        `/rule: "R!" does not match ^[a-z0-9][a-z0-9-]*$ (Name of the rule; the file is called NAME.yaml.)`,
		`{"rule": "r", "template": "t", "order": "first"}`:                       `/order: integer is expected, this is string`,
		`{"rule": "r", "template": "t", "dedupe": {"by": [], "window": "soon"}}`: "/dedupe/by: minimum 1 items required, but found 0 items\n/dedupe/window: soon is not a duration, such as 90s, 15m, 24h or 7d",
		`{"rule": "r", "template": "t", "when": "true", "order": 3}`:             "",
	} {
		got := ""
		if err := Validate("rule", decode(t, doc)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\n%s\nwant\n%s", doc, got, want)
		}
	}
	err := Validate("template", decode(t, `{"template": "t", "type": "x", "title": "x", "tlp": "AMBR", "artifacts": {"a": {"from": "source.ip", "kind": "ipp"}}}`))
	want := "/artifacts/a/kind: ipp is not one of: ip, domain, url, hash, user, host, process, port, mail, file, mac, number, text (did you mean \"ip\"?)\n" +
		"/tlp: AMBR is not one of: CLEAR, GREEN, AMBER, AMBER+STRICT, RED (did you mean \"AMBER\"?)"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

// Schemas that plugins bring must not reach out, nor keep the validator busy.
func TestCompileRefuses(t *testing.T) {
	doubling := `{"$ref": "#/$defs/a0", "$defs": {`
	for i := range 50 {
		doubling += fmt.Sprintf(`"a%d": {"allOf": [{"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	for name, text := range map[string]string{
		"file":      `{"$ref": "file:///etc/passwd"}`,
		"http":      `{"properties": {"a": {"$ref": "https://192.0.2.1/x.json"}}}`,
		"relative":  `{"$ref": "other.json"}`,
		"recursive": `{"properties": {"a": {"$ref": "#"}}}`,
		"doubling":  doubling + `"a50": {}}}`,
		"deep":      strings.Repeat(`{"not": `, 100) + "{}" + strings.Repeat("}", 100),
		"large":     `{"description": "` + strings.Repeat("x", maxSchema) + `"}`,
		"no JSON":   `{`,
		"no schema": `{"type": "strnig"}`,
		"dangling":  `{"$ref": "#/$defs/gone"}`,
	} {
		if _, err := Compile(name, []byte(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	s, err := Compile("good", []byte(`{"$ref": "#/$defs/ip", "$defs": {"ip": {"type": "string", "format": "ip", "artifact": "ip", "target": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate("192.0.2.1"); err != nil {
		t.Error(err)
	}
	if err := s.Validate("192.0.2.256"); err == nil || err.Error() != "192.0.2.256 is not an IP address" {
		t.Error(err)
	}
	deep := any("x")
	for range 100 {
		deep = []any{deep}
	}
	if err := s.Validate(deep); err == nil {
		t.Error("a deep document was taken")
	}
	if err := s.Validate(struct{}{}); err == nil {
		t.Error("a Go struct was taken")
	}
}

func TestFormats(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "ip ipv4", "2001:db8::1": "ip ipv6", "fe80::1%eth0": "", "192.0.2.0/24": "cidr", "00:00:5e:00:53:01": "mac",
		"90s": "duration", "7d": "duration", "1d12h": "duration", "-3s": "", "30": "", "2026-01-02T03:04:05Z": "date-time",
		"https://corp.test/x": "uri", "mia@corp.test": "email", "Mia <mia@corp.test>": "", "www.corp.test.": "hostname domain",
		"-x.test": "", "d41d8cd98f00b204e9800998ecf8427e": "md5",
	} {
		for _, format := range []string{"ip", "ipv4", "ipv6", "cidr", "mac", "duration", "date-time", "email", "md5"} {
			wanted := strings.Contains(" "+want+" ", " "+format+" ")
			if CheckFormat(format, text) != wanted {
				t.Errorf("%q is %s: %t", text, format, !wanted)
			}
		}
		if strings.Contains(want, "domain") != CheckFormat("domain", text) && strings.Contains(text, "x.test") {
			t.Errorf("%q is a domain: %t", text, CheckFormat("domain", text))
		}
	}
	if CheckFormat("uri", "corp.test/x") || !CheckFormat("uri", "https://corp.test/x") {
		t.Error("uri takes the wrong ones")
	}
	if !CheckFormat("secret", "anything") || KnownFormat("secret") {
		t.Error("a format that is not known is checked")
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0s": 0, "90s": 90 * time.Second, "7d": 168 * time.Hour, "1d1h": 25 * time.Hour, "250ms": 250 * time.Millisecond} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "1", "-1s", "1d-1h", "x", "99999999d", "1.5d", "1w", "9223372036s9223372036s", "NaNs"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`{"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"enum": [1]}}}`, `{"a": 1}`)
	f.Add(`{"anyOf": [{"type": "string"}, {"pattern": "["}]}`, `"x"`)
	f.Fuzz(func(t *testing.T, schema, doc string) {
		s, err := Compile("f", []byte(schema))
		if err != nil {
			return
		}
		var v any
		if json.Unmarshal([]byte(doc), &v) == nil {
			_ = s.Validate(v)
		}
	})
}
