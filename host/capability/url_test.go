package capability

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/riposte-soar/riposte/pdk/abi"
)

func httpRight(t testing.TB, pattern string, narrow Narrowing) *HTTP {
	t.Helper()
	r, err := Effective(abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: pattern, Methods: map[string]abi.Effect{"GET": abi.Read, "POST": abi.Unsafe}},
		Grant{"api": narrow}, Network{})
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	return r.HTTP
}

// allow gives the empty reason for what is allowed.
func allow(h *HTTP, method, raw string) Reason {
	target, r := ParseTarget(raw)
	if r != nil {
		return r.Reason
	}
	if _, _, r := h.Allow(method, target); r != nil {
		return r.Reason
	}
	return ""
}

func TestHTTPAllow(t *testing.T) {
	for _, c := range []struct {
		pattern, url string
		want         Reason
	}{
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/v1/x?y=z", ""},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api", ""},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/", ""},
		{"https://fw.corp.test/api/**", "HTTPS://FW.Corp.Test.:443/api/a#fragment", ""},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/apix", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/API/x", Path},
		{"https://fw.corp.test/api/**", "http://fw.corp.test/api/x", Scheme},
		{"https://fw.corp.test/api/**", "https://fw.corp.test:8443/api/x", Port},
		{"https://fw.corp.test/api/**", "https://evil.test/api/x", HostName},
		{"https://fw.corp.test/api/**", "https://fw.corp.test.evil.test/api/x", HostName},
		{"https://fw.corp.test/api/**", "https://fw.corp.test@evil.test/api/x", Malformed},
		{"https://fw.corp.test/api/**", "https://evil.test#@fw.corp.test/api/x", HostName},
		{"https://fw.corp.test/api/**", "https://evil.test\\@fw.corp.test/api/x", Malformed},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/../admin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/%2e%2e/admin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/%2E%2e%2fadmin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/x%2f..%2f..%2fadmin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/%252e%252e/admin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/..;/admin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/..%5cadmin", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/%00", Path},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/x/../api/ok", ""},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/a%2Fb", ""},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/%61pi/x", ""},
		{"https://fw.corp.test/api%2Fx/**", "https://fw.corp.test/api/x/y", Path},
		{"https://fw.corp.test/api/**", "//fw.corp.test/api/x", Scheme},
		{"https://fw.corp.test/api/**", "file:///etc/passwd", Scheme},
		{"https://fw.corp.test/api/**", "https:fw.corp.test/api/x", Malformed},
		{"https://fw.corp.test/api/**", "https://fw.corp.test:/api/x", Port},
		{"https://fw.corp.test/api/**", "https://fw.corp.test:0/api/x", Port},
		{"https://fw.corp.test/api/**", "https://fw.corp.test:99999/api/x", Port},
		{"https://fw.corp.test/api/**", "https://fw.corp.test/api/a\r\nX: y", Malformed},
		{"https://fw.corp.test/hook", "https://fw.corp.test/hook?a=b", ""},
		{"https://fw.corp.test/hook", "https://fw.corp.test/hook/", Path},
		{"https://fw.corp.test", "https://fw.corp.test/", ""},
		{"https://fw.corp.test", "https://fw.corp.test/x", Path},
		{"https://*.vendor.test/**", "https://a.b.vendor.test/", ""},
		{"https://*.vendor.test/**", "https://vendor.test/", HostName},
		{"https://*.vendor.test/**", "https://evilvendor.test/", HostName},
		{"https://*.vendor.test/**", "https://vendor.test.evil.test/", HostName},
		{"https://[10.20.0.0/16]/**", "https://10.20.3.4/x", ""},
		{"https://[10.20.0.0/16]/**", "https://10.21.3.4/x", HostName},
		{"https://[10.20.0.0/16]/**", "https://fw.corp.test/x", HostName},
		{"https://10.20.3.4:8443/**", "https://10.20.3.4:8443/x", ""},
		{"https://10.20.3.4/**", "https://[::ffff:10.20.3.4]/x", ""},
		{"https://[2001:db8::1]/**", "https://[2001:DB8:0::1]/x", ""},
		{"https://[2001:db8::1]/**", "https://[2001:db8::1%25eth0]/x", Malformed},
		{"http://*/**", "http://2130706433/", Malformed},
		{"http://*/**", "http://0x7f000001/", Malformed},
		{"http://*/**", "http://0177.0.0.1/", Malformed},
		{"http://*/**", "http://127.1/", Malformed},
		{"http://*/**", "http://0x7f.1/", Malformed},
		{"http://*/**", "http://①②⑦.⓪.⓪.①/", Malformed},
		{"http://*/**", "http://127。0。0。1/", Malformed},
		{"http://*/**", "http://a..b/", Malformed},
		{"http://*/**", "http://a%00b/", Malformed},
		{"https://xn--bcher-kva.test/**", "https://bücher.test/", ""},
		{"https://bücher.test/**", "https://BÜCHER.test/", ""},
	} {
		if got := allow(httpRight(t, c.pattern, Narrowing{}), "GET", c.url); got != c.want {
			t.Errorf("%s for %s: got %q, want %q", c.url, c.pattern, got, c.want)
		}
	}
}

func TestHTTPNarrowing(t *testing.T) {
	const asked = "https://*.vendor.test/**"
	for _, c := range []struct {
		name        string
		narrow      Narrowing
		method, url string
		want        Reason
	}{
		{"as asked", Narrowing{}, "POST", "https://eu.vendor.test/x", ""},
		{"method not asked", Narrowing{}, "DELETE", "https://eu.vendor.test/x", Method},
		{"method not granted", Narrowing{Methods: []string{"GET"}}, "POST", "https://eu.vendor.test/x", Method},
		{"path", Narrowing{URL: "https://eu.vendor.test/v3/**"}, "GET", "https://eu.vendor.test/v2/x", Path},
		{"never more than asked", Narrowing{URL: "https://other.test/**"}, "GET", "https://other.test/x", HostName},
		{"host", Narrowing{Hosts: []string{"eu.vendor.test", "us.vendor.test"}}, "GET", "https://us.vendor.test/x", ""},
		{"other host", Narrowing{Hosts: []string{"eu.vendor.test"}}, "GET", "https://us.vendor.test/x", HostName},
		{"deny wins", Narrowing{Hosts: []string{"eu.vendor.test"}, Deny: []string{"*.vendor.test"}}, "GET", "https://eu.vendor.test/x", Denied},
	} {
		if got := allow(httpRight(t, asked, c.narrow), c.method, c.url); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEffectiveMistakes(t *testing.T) {
	get := map[string]abi.Effect{"GET": abi.Read}
	zero := 0
	for _, c := range []struct {
		name   string
		asked  abi.Requirement
		narrow Narrowing
		says   string
	}{
		{"kind", abi.Requirement{Kind: "exec"}, Narrowing{}, "is not known"},
		{"attribute of another kind", abi.Requirement{Kind: "http", URL: "https://a.test/", Methods: get, Names: []string{"*"}}, Narrowing{}, `"names" does not belong`},
		{"grant of another kind", abi.Requirement{Kind: "http", URL: "https://a.test/", Methods: get}, Narrowing{Recipients: []string{"*"}}, `"recipients" does not belong`},
		{"no methods", abi.Requirement{Kind: "http", URL: "https://a.test/"}, Narrowing{}, "expected at least one"},
		{"pure method", abi.Requirement{Kind: "http", URL: "https://a.test/", Methods: map[string]abi.Effect{"GET": abi.Pure}}, Narrowing{}, "has the effect"},
		{"granted method", abi.Requirement{Kind: "http", URL: "https://a.test/", Methods: get}, Narrowing{Methods: []string{"PUT"}}, "does not ask for"},
		{"star in the path", abi.Requirement{Kind: "http", URL: "https://a.test/*/x", Methods: get}, Narrowing{}, "inside the path"},
		{"query", abi.Requirement{Kind: "http", URL: "https://a.test/?x", Methods: get}, Narrowing{}, "characters"},
		{"half a star", abi.Requirement{Kind: "http", URL: "https://*a.test/", Methods: get}, Narrowing{}, "host pattern"},
		{"no scheme", abi.Requirement{Kind: "http", URL: "a.test/", Methods: get}, Narrowing{}, "scheme"},
		{"secret to anywhere", abi.Requirement{Kind: "http", URL: "https://*/**", Methods: get, Auth: &abi.Auth{Secret: "k", Inject: "bearer"}}, Narrowing{Redirects: &zero}, "needs a destination"},
		{"tls", abi.Requirement{Kind: "http", URL: "https://a.test/", Methods: get}, Narrowing{TLS: &TLS{Min: "1.0"}}, "expected 1.2"},
		{"driver", abi.Requirement{Kind: "sql", Driver: "mysql", Server: "a.test"}, Narrowing{}, "driver"},
	} {
		c.asked.ID = "api"
		_, err := Effective(c.asked, Grant{"api": c.narrow}, Network{})
		var refusal *Refusal
		if err == nil || errors.As(err, &refusal) && refusal.Reason == NotGranted || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want a mistake with %q", c.name, err, c.says)
		}
	}
	var refusal *Refusal
	if _, err := Effective(abi.Requirement{ID: "api", Kind: "http"}, nil, Network{}); !errors.As(err, &refusal) || refusal.Reason != NotGranted {
		t.Errorf("without a grant: got %v", err)
	}
}

func TestGrantIsStrict(t *testing.T) {
	var n Narrowing
	if err := n.UnmarshalJSON([]byte(`{"method":["GET"]}`)); err == nil {
		t.Error("an unknown attribute was taken")
	}
}

// Whatever a granted URL looks like, what is sent for it lies below the granted prefix of the granted host, in the eyes of net/url too.
func TestAllowedStaysInPlace(t *testing.T) {
	right := httpRight(t, "https://*.vendor.test/api/**", Narrowing{})
	piece := rapid.SampledFrom([]string{"/", "..", ".", "%2e", "%2E", "%2f", "%5c", "%252e", "\\", "api", "a", ";", "@", ":", "#", "?", "*", "%", "vendor.test",
		"evil.test", ".", "https://", "443", "%00", "ⓐ", "[", "]", "x.vendor.test"})
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SampledFrom([]string{"https://x.vendor.test/api/", "https://x.vendor.test/", "https://", ""}).Draw(t, "start") +
			strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "rest"), "")
		target, r := ParseTarget(raw)
		if r != nil {
			return
		}
		again, r := ParseTarget(target.String())
		if r != nil || again != target {
			t.Fatalf("%q: the canonical URL %q is read as %+v, not %+v (%v)", raw, target.String(), again, target, r)
		}
		if _, _, r := right.Allow("GET", target); r != nil {
			return
		}
		u, err := url.Parse(target.String())
		if err != nil || !strings.HasSuffix(u.Hostname(), ".vendor.test") || u.User != nil || u.Scheme != "https" {
			t.Fatalf("%q is allowed as %q", raw, target.String())
		}
		clean := u.JoinPath().Path
		if clean != "/api" && !strings.HasPrefix(clean, "/api/") {
			t.Fatalf("%q is allowed, and leads to the path %q", raw, clean)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"https://fw.corp.test/api/%2e%2e/x?q=1", "http://[::ffff:127.0.0.1]:80/", "http://①②⑦.⓪.⓪.①/", "https://a@b/", "http://h//a/..;/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, r := ParseTarget(raw)
		if r != nil {
			return
		}
		again, r := ParseTarget(target.String())
		if r != nil || again != target {
			t.Fatalf("%q: canonical %q is not stable: %+v %v", raw, target.String(), again, r)
		}
	})
}

func FuzzURLPattern(f *testing.F) {
	for _, s := range []string{"https://*.vendor.test/api/**", "https://[10.0.0.0/8]:8443/**", "http://fw.corp.test", "https://[2001:db8::/32]/x"} {
		f.Add(s, "https://fw.corp.test/x")
	}
	f.Fuzz(func(t *testing.T, pattern, raw string) {
		p, err := parseURLPattern(pattern)
		target, r := ParseTarget(raw)
		if err != nil || r != nil {
			return
		}
		if p.match(target) == nil && (target.Scheme != p.scheme || !strings.HasPrefix(target.Path, p.path)) {
			t.Fatalf("%q covers %q", pattern, raw)
		}
	})
}
