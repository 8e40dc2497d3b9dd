package capability

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/riposte-soar/riposte/pdk/abi"
)

func effective(t testing.TB, asked abi.Requirement, narrow Narrowing, site Network) *Right {
	t.Helper()
	asked.ID = "it"
	r, err := Effective(asked, Grant{"it": narrow}, site)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reason(r *Refusal) Reason {
	if r == nil {
		return ""
	}
	return r.Reason
}

func TestDNSAllow(t *testing.T) {
	right := effective(t, abi.Requirement{Kind: "dns", Names: []string{"*.corp.test", "10.0.0.0/8"}, Types: []string{"A", "PTR"}},
		Narrowing{Deny: []string{"secret.corp.test"}}, Network{DenyHosts: []string{"*.hidden.corp.test"}}).DNS
	for _, c := range []struct {
		name, kind string
		want       Reason
	}{
		{"www.corp.test", "A", ""},
		{"www.corp.test", "MX", RecordType},
		{"corp.test", "A", HostName},
		{"evilcorp.test", "A", HostName},
		{"secret.corp.test", "A", Denied},
		{"x.hidden.corp.test", "A", Denied},
		{"10.1.1.1", "PTR", ""},
		{"11.1.1.1", "PTR", HostName},
	} {
		host, r := ParseHost(c.name)
		if r != nil {
			t.Fatal(r)
		}
		if got := reason(right.Allow(host, c.kind)); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.name, c.kind, got, c.want)
		}
	}
}

func TestTCPAllow(t *testing.T) {
	right := effective(t, abi.Requirement{Kind: "tcp", Addresses: []string{"*.whois.test:43", "10.0.0.7:43"}}, Narrowing{Deny: []string{"bad.whois.test"}}, Network{}).TCP
	for _, c := range []struct {
		address string
		want    Reason
		named   bool
	}{
		{"eu.whois.test:43", "", false},
		{"EU.whois.test.:43", "", false},
		{"10.0.0.7:43", "", true},
		{"eu.whois.test:44", HostName, false},
		{"bad.whois.test:43", Denied, false},
		{"whois.test:43", HostName, false},
	} {
		address, r := ParseAddress(c.address, 0)
		if r != nil {
			t.Fatal(r)
		}
		named, r := right.Allow(address)
		if reason(r) != c.want || named != c.named {
			t.Errorf("%s: got %q %v, want %q %v", c.address, reason(r), named, c.want, c.named)
		}
	}
}

func TestSQLAllow(t *testing.T) {
	right := effective(t, abi.Requirement{Kind: "sql", Driver: "sqlserver", Server: "db.corp.test", Statements: json.RawMessage(
		`{"find":{"sql":"select 1 where @ip = 1","params":["ip"]},"set":{"sql":"update t","effect":"write.unsafe"},"drop":{"sql":"drop","effect":"write.unsafe"}}`)},
		Narrowing{Statements: []string{"find", "set"}, Deny: []string{"set"}}, Network{}).SQL
	for _, c := range []struct {
		name   string
		params map[string]any
		want   Reason
	}{
		{"find", map[string]any{"ip": "x"}, ""},
		{"find", nil, Parameter},
		{"find", map[string]any{"ip": "x", "more": 1}, Parameter},
		{"set", nil, Denied},
		{"drop", nil, Statement},
		{"select * from t", nil, Statement},
	} {
		if _, r := right.Allow(c.name, c.params); reason(r) != c.want {
			t.Errorf("%s %v: got %q, want %q", c.name, c.params, reason(r), c.want)
		}
	}
	if right.Server.Port != 1433 || right.TLS != "on" {
		t.Errorf("defaults %+v", right)
	}
}

func TestMailAllow(t *testing.T) {
	right := effective(t, abi.Requirement{Kind: "mail", Server: "mx.corp.test", From: "soc@corp.test", Recipients: json.RawMessage(`["*@corp.test","*@*.corp.test","chief@partner.test"]`)},
		Narrowing{Deny: []string{"ceo@corp.test"}}, Network{}).Mail
	for _, c := range []struct {
		recipient string
		want      Reason
	}{
		{"a.b+c@corp.test", ""},
		{"A@CORP.test", ""},
		{"a@eu.corp.test", ""},
		{"chief@partner.test", ""},
		{"other@partner.test", Recipient},
		{"a@evilcorp.test", Recipient},
		{"a@corp.test.evil.test", Recipient},
		{"CEO@corp.test", Denied},
		{"a@corp.test\r\nBcc: x@evil.test", Malformed},
		{"a@corp.test>,<x@evil.test", Malformed},
		{`"a b"@corp.test`, Malformed},
		{"A <a@corp.test>", Malformed},
		{"x@evil.test,a@corp.test", Malformed},
		{"a@b@corp.test", Malformed},
		{"a@10.0.0.1", Malformed},
	} {
		if _, r := right.Allow(c.recipient); reason(r) != c.want {
			t.Errorf("%q: got %q, want %q", c.recipient, reason(r), c.want)
		}
	}
}

func TestSiteDeniesServers(t *testing.T) {
	for _, asked := range []abi.Requirement{
		{ID: "it", Kind: "sql", Driver: "sqlserver", Server: "DB.hidden.test", Statements: json.RawMessage(`{"q":{"sql":"select 1"}}`)},
		{ID: "it", Kind: "mail", Server: "mx.hidden.test:25", From: "a@corp.test", Recipients: json.RawMessage(`["*"]`)},
		{ID: "it", Kind: "dns", Server: "ns.hidden.test", Names: []string{"*"}, Types: []string{"A"}},
	} {
		_, err := Effective(asked, Grant{"it": {}}, Network{DenyHosts: []string{"*.hidden.test"}})
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Reason != Denied {
			t.Errorf("%s: %v", asked.Kind, err)
		}
	}
}

func settings(t testing.TB, text string) Settings {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var s Settings
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestResolve(t *testing.T) {
	s := settings(t, `{"base":"https://FW.corp.test:443/root/","host":"fw.corp.test","v6":"2001:db8::1","port":8443,"part":"a/../b ?#","list":["*@corp.test","x@corp.test"],
		"names":["*.corp.test"],"stmts":{"q":{"sql":"select 1"}},"star":"*","evil":"evil.test/","query":"https://a.test/?x=","login":{"user":"svc"}}`)
	for _, c := range []struct{ text, want string }{
		{"{settings.base}/api/**", "https://fw.corp.test/root/api/**"},
		{"{settings.base}", "https://fw.corp.test/root/"},
		{"https://{settings.host}/x", "https://fw.corp.test/x"},
		{"https://{settings.host}:{settings.port}/x", "https://fw.corp.test:8443/x"},
		{"https://{settings.v6}/x", "https://[2001:db8::1]/x"},
		{"https://a.test/{settings.part}/**", "https://a.test/a%2F..%2Fb%20%3F%23/**"},
	} {
		got, err := Resolve(abi.Requirement{ID: "x", URL: c.text}, s)
		if err != nil || got.URL != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.text, got.URL, err, c.want)
		}
	}
	for _, text := range []string{"{settings.none}/x", "{settings.base}x", "{settings.query}/x", "https://{settings.evil}/x", "https://{settings.star}/x",
		"https://a.test/{settings.star}", "{settings.host}/x", "{other}/x", "https://a.test/{settings.list}", "{settings.host}://a.test/", "https://{settings.host"} {
		if got, err := Resolve(abi.Requirement{ID: "x", URL: text}, s); err == nil {
			t.Errorf("%s was resolved to %q", text, got.URL)
		}
	}
	got, err := Resolve(abi.Requirement{ID: "x", Names: []string{"{settings.names}", "www.{settings.host}"}, Addresses: []string{"{settings.host}:43"},
		Recipients: json.RawMessage(`"{settings.list}"`), Statements: json.RawMessage(`"{settings.stmts}"`), From: "{settings.login.user}@corp.test"}, s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got.Names, " ") != "*.corp.test www.fw.corp.test" || got.Addresses[0] != "fw.corp.test:43" ||
		string(got.Recipients) != `["*@corp.test","x@corp.test"]` || string(got.Statements) != `{"q":{"sql":"select 1"}}` || got.From != "svc@corp.test" {
		t.Errorf("got %+v", got)
	}
}

// A setting in a path stays one segment of it, and one in a host never brings a path, user or query.
func TestSettingStaysInPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.SampledFrom([]rune(`a./\:@?#%2e*{} é[]`))).Draw(t, "value")
		s := Settings{"x": value}
		if got, err := Resolve(abi.Requirement{ID: "r", URL: "https://a.test/p/{settings.x}/end"}, s); err == nil {
			if strings.Count(got.URL, "/") != 5 || !strings.HasPrefix(got.URL, "https://a.test/p/") || strings.ContainsAny(got.URL[8:], "?#*\\") {
				t.Fatalf("%q in a path gives %q", value, got.URL)
			}
		}
		if got, err := Resolve(abi.Requirement{ID: "r", URL: "https://{settings.x}.vendor.test/p"}, s); err == nil {
			if p, err := parseURLPattern(got.URL); err == nil && (!strings.HasSuffix(p.host.name, ".vendor.test") || p.path != "/p" || p.port != 443) {
				t.Fatalf("%q in a host gives %q", value, got.URL)
			}
		}
	})
}

func FuzzResolve(f *testing.F) {
	f.Add("{settings.a}/api/**", "https://fw.corp.test")
	f.Add("https://{settings.a}/x", "fw.corp.test:8443")
	f.Add("https://x.test/{settings.a}", "..")
	f.Fuzz(func(t *testing.T, text, value string) {
		got, err := Resolve(abi.Requirement{ID: "x", URL: text, Addresses: []string{text}}, Settings{"a": value})
		if err != nil {
			return
		}
		if strings.Contains(value, "*") && strings.Contains(text, "{settings.a}") && strings.Count(got.URL, "*") > strings.Count(text, "*") {
			t.Fatalf("%q with %q brings a wildcard: %q", text, value, got.URL)
		}
	})
}

func BenchmarkHTTPAllow(b *testing.B) {
	right := httpRight(b, "https://fw.corp.test/api/**", Narrowing{})
	b.ReportAllocs()
	for b.Loop() {
		if got := allow(right, "GET", "https://fw.corp.test/api/v1/objects?name=x"); got != "" {
			b.Fatal(got)
		}
	}
}
