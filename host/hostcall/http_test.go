package hostcall

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
)

const apiKey = "s3cr3t-k3y/with+odd=chars"

// vendor starts a device's API and gives a bench for a plugin of it.
func vendor(t *testing.T, handler http.HandlerFunc) (*bench, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	b := newBench(t, abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: "{settings.base_url}/api/**",
		Methods: map[string]abi.Effect{"GET": abi.Read, "POST": abi.Idempotent, "PUT": abi.Keyed, "DELETE": abi.Unsafe}})
	b.settings = `{"base_url":"` + server.URL + `/","api_key":{"secret":"store:key"}}`
	b.services.Secrets = vault{"store:key": apiKey}
	return b, server.URL
}

func get(url string) abi.HTTPRequest {
	return abi.HTTPRequest{Capability: "api", Method: "GET", URL: url}
}

func TestFetch(t *testing.T) {
	b, url := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Header.Get("X-Mine"))
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+string(body))
	})
	s := b.session()
	got, fault := call[abi.HTTPResponse](t, s, "http.fetch", abi.HTTPRequest{Capability: "api", Method: "POST", URL: url + "/api/a?b=c",
		Headers: map[string]string{"x-mine": "yes"}, Body: &abi.Payload{Text: "hello"}})
	if fault != nil {
		t.Fatal(fault)
	}
	if got.Status != 201 || got.Body.Text != "POST /api/a?b=c hello" || got.Headers["x-seen"] != "yes" {
		t.Errorf("got %+v", got)
	}
	if _, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+"/other")); fault == nil || fault.Kind != abi.Refused {
		t.Errorf("a path outside of the right gives %v", fault)
	}
}

// TestFetchMasksEchoes proves that a secret reaches the vendor, and that what the vendor echoes does not reach guest or tape.
func TestFetchMasksEchoes(t *testing.T) {
	b, url := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Pan-Key") != apiKey {
			t.Errorf("the vendor got %q", r.Header)
		}
		w.Header().Set("X-Echo", r.Header.Get("X-Pan-Key"))
		_, _ = io.WriteString(w, "you are "+r.Header.Get("X-Pan-Key"))
	})
	b.manifest.Requires[0].Auth = &abi.Auth{Secret: "api_key", Inject: "header:X-PAN-KEY"}
	s := b.session()
	got, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+"/api/me"))
	if fault != nil {
		t.Fatal(fault)
	}
	if got.Body.Text != "you are [secret]" || got.Headers["x-echo"] != "[secret]" {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(string(s.GuestSettings()), "key") {
		t.Errorf("guest settings %s", s.GuestSettings())
	}
}
