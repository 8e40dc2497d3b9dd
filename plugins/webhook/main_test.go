package main

import (
	"encoding/json"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// answering stubs the receiver, and keeps the request.
func answering(t *testing.T, response abi.HTTPResponse, request *abi.HTTPRequest) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		if fn != "http.fetch" {
			t.Errorf("called %s", fn)
		}
		if err := json.Unmarshal(raw, request); err != nil {
			t.Error(err)
		}
		return pdk.Value(response)
	}
}

func TestSend(t *testing.T) {
	for _, test := range []struct {
		name                    string
		settings                settings
		params                  string
		answer                  abi.HTTPResponse
		capability, method, url string
		body                    string
	}{
		{"plain", settings{URL: "https://hooks.corp.test/a"}, `{"body":{"x":1}}`, abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: `{"ok":true}`}},
			"target", "POST", "https://hooks.corp.test/a", `{"ok":true}`},
		{"signed, with path and query", settings{URL: "https://hooks.corp.test/a/", Query: "k=v", Signed: true}, `{"body":[1],"path":"/b","method":"PUT"}`,
			abi.HTTPResponse{Status: 202, Body: abi.Payload{Text: "queued"}}, "signed-target", "PUT", "https://hooks.corp.test/a/b?k=v", `"queued"`},
		{"no body in the answer", settings{URL: "https://hooks.corp.test"}, `{"body":null}`, abi.HTTPResponse{Status: 204}, "target", "POST", "https://hooks.corp.test", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var request abi.HTTPRequest
			got, fault := pdk.Try(send, test.settings, json.RawMessage(test.params), answering(t, test.answer, &request))
			if fault != nil {
				t.Fatal(fault)
			}
			if got.Status != test.answer.Status || string(got.Body) != test.body {
				t.Errorf("result %d %s, want %d %s", got.Status, got.Body, test.answer.Status, test.body)
			}
			if request.Capability != test.capability || request.Method != test.method || request.URL != test.url {
				t.Errorf("request %s %s %s", request.Capability, request.Method, request.URL)
			}
		})
	}
}

func TestRefusalsOfTheReceiver(t *testing.T) {
	var request abi.HTTPRequest
	_, fault := pdk.Try(send, settings{URL: "https://hooks.corp.test"}, params{Body: json.RawMessage("1")},
		answering(t, abi.HTTPResponse{Status: 429, Headers: map[string]string{"retry-after": "3"}}, &request))
	if fault == nil || fault.Kind != abi.RateLimited || fault.RetryAfter != 3000 {
		t.Errorf("got %+v", fault)
	}
}

func TestPathWithQueryIsRefused(t *testing.T) {
	_, fault := pdk.Try(send, settings{URL: "https://hooks.corp.test"}, params{Body: json.RawMessage("1"), Path: "a?b"}, nil)
	if fault == nil || fault.Kind != abi.Invalid || fault.Where != "$.parameters.path" {
		t.Errorf("got %+v", fault)
	}
}
