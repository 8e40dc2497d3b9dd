package hostcall

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func TestInjection(t *testing.T) {
	type seen struct{ header, query, body string }
	var got seen
	b, base := vendor(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Header.Get("Authorization"), r.URL.RawQuery, string(body)}
	})
	b.settings = strings.Replace(b.settings, "{", `{"user":"svc",`, 1)
	escaped := url.QueryEscape(apiKey)
	for _, c := range []struct {
		inject, contentType, body string
		want                      seen
		fault                     abi.Kind
	}{
		{"bearer", "", "", seen{"Bearer " + apiKey, "a=b", ""}, ""},
		{"basic:user", "", "", seen{"Basic " + base64.StdEncoding.EncodeToString([]byte("svc:"+apiKey)), "a=b", ""}, ""},
		{"basic:none", "", "", seen{}, abi.Refused},
		{"query:key", "", "", seen{"", "a=b&key=" + escaped, ""}, ""},
		{"query:a", "", "", seen{}, abi.Refused},
		{"form:key", "application/x-www-form-urlencoded; charset=utf-8", "x=y", seen{"", "a=b", "x=y&key=" + escaped}, ""},
		{"form:key", "application/x-www-form-urlencoded", "key=mine", seen{}, abi.Invalid},
		{"form:key", "application/json", "{}", seen{}, abi.Invalid},
		{"json:/login/pass~1word", "application/json", `{"n":12345678901234567890}`, seen{"", "a=b", `{"login":{"pass/word":"` + apiKey + `"},"n":12345678901234567890}`}, ""},
		{"json:/a/b", "application/json", `{"a":[]}`, seen{}, abi.Invalid},
		{"json:/a", "application/json", `no json`, seen{}, abi.Invalid},
	} {
		got = seen{}
		manifest := b.manifest
		manifest.Requires = append([]abi.Requirement(nil), manifest.Requires...)
		manifest.Requires[0].Auth = &abi.Auth{Secret: "api_key", Inject: c.inject}
		session := *b
		session.manifest, session.svc = manifest, nil
		log := &tape.Memory{}
		session.tape = log
		request := abi.HTTPRequest{Capability: "api", Method: "POST", URL: base + "/api/x?a=b", Headers: map[string]string{}}
		if c.body != "" {
			request.Headers["Content-Type"], request.Body = c.contentType, &abi.Payload{Text: c.body}
		}
		_, fault := call[any](t, session.session(), "http.fetch", request)
		if c.fault == "" && (fault != nil || got != c.want) || c.fault != "" && (fault == nil || fault.Kind != c.fault) {
			t.Errorf("%s: got %+v, %v; want %+v %s", c.inject, got, fault, c.want, c.fault)
		}
		for _, e := range log.Entries() {
			line, _ := json.Marshal(e)
			if bytes.Contains(line, []byte("s3cr3t")) {
				t.Errorf("%s: the tape holds the secret: %s", c.inject, line)
			}
		}
	}
}

// A vendor that echoes the secret in every coding it can think of teaches neither guest nor tape anything.
func TestEchoesAreMasked(t *testing.T) {
	inJSON, _ := json.Marshal(map[string]string{"you sent": apiKey})
	inJSON, _ = json.Marshal(string(inJSON))
	echoes := []string{apiKey, url.QueryEscape(apiKey), url.PathEscape(apiKey), base64.StdEncoding.EncodeToString([]byte("u:" + apiKey)), fmt.Sprintf("%x", apiKey), string(inJSON), "\xff" + apiKey}
	b, base := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		for i, echo := range echoes[:5] {
			w.Header().Set(fmt.Sprintf("X-Echo-%d", i), echo)
		}
		w.Header().Set("Location", "/?key="+url.QueryEscape(apiKey))
		_, _ = io.WriteString(w, strings.Join(echoes, "\n"))
	})
	b.manifest.Requires[0].Auth = &abi.Auth{Secret: "api_key", Inject: "query:key"}
	s := b.session()
	document, _ := json.Marshal(get(base + "/api/x"))
	answer := s.Call(t.Context(), "http.fetch", document)
	var r struct{ Value abi.HTTPResponse }
	if err := json.Unmarshal(answer, &r); err != nil {
		t.Fatal(err)
	}
	lines, _ := json.Marshal(b.tape.(*tape.Memory).Entries())
	for i, text := range []string{string(answer), string(r.Value.Body.Base64), string(lines), fmt.Sprint(r.Value.Headers)} {
		for _, echo := range append(echoes[:5:5], "s3cr3t", "k3y") {
			if strings.Contains(text, echo) {
				t.Errorf("%d: %q shows in %q", i, echo, text)
			}
		}
	}
	if strings.Count(string(r.Value.Body.Base64), "[secret]") != len(echoes) {
		t.Errorf("body %q", r.Value.Body.Base64)
	}
}
