package host_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	extism "github.com/extism/go-sdk"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// theirs reads a module of the Extism SDK's own tests.
func theirs(t testing.TB, name string) []byte {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "wasm", name+".wasm"))
	if err != nil {
		t.Skip("NOT TESTED: the SDK's test modules are not here: ", err)
	}
	return module
}

// reference runs a function under the SDK.
func reference(t *testing.T, module []byte, function, input string, config map[string]string) (string, error) {
	t.Helper()
	plugin, err := extism.NewPlugin(t.Context(), extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: module}}, Config: config,
		AllowedHosts: []string{"127.0.0.1"}}, extism.PluginConfig{EnableWasi: true, EnableHttpResponseHeaders: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close(t.Context())
	_, output, err := plugin.Call(function, []byte(input))
	return string(output), err
}

// ours runs it under the host.
func ours(t *testing.T, h *host.Host, module []byte, function, input string, config map[string]string, requires ...abi.Requirement) host.Outcome {
	t.Helper()
	grant, uses := capability.Grant{}, []string{}
	for _, r := range requires {
		grant[r.ID] = capability.Narrowing{}
		uses = append(uses, r.ID)
	}
	b := install(t, h, pack(t, module, abi.Manifest{Plugin: "theirs", Version: "1.0.0", Title: "Theirs", Requires: requires,
		Actions: map[string]abi.Action{function: {Kind: abi.Enrich, Title: function, Effect: abi.Read, Uses: uses}}}))
	settings, err := json.Marshal(maps.Collect(maps.All(config)))
	if err != nil {
		t.Fatal(err)
	}
	return mustRun(t, h, host.Invocation{Bundle: b, Action: function, Parameters: json.RawMessage(input), Settings: settings, Grant: grant})
}

// text undoes what is done to an output that is not JSON.
func text(out json.RawMessage) string {
	var s string
	if err := json.Unmarshal(out, &s); err != nil {
		return string(out)
	}
	return s
}

// TestSameAsTheSDK runs plugins that were written for Extism, in several languages, under its own SDK and under ours.
func TestSameAsTheSDK(t *testing.T) {
	h := newHost(t, host.Options{})
	for _, test := range []struct {
		module, function, input string
		config                  map[string]string
	}{
		{"alloc", "run_test", `{}`, nil},
		{"config", "run_test", `{}`, map[string]string{"thing": "a value"}},
		{"config", "run_test", `{}`, nil},
		{"count_vowels", "count_vowels", `{"text":"Hello, wörld"}`, nil},
		{"count_vowels", "count_vowels", `{"text":"a"}`, map[string]string{"vowels": "xyz"}},
		{"fail", "run_test", `{}`, nil},
		{"hello", "run_test", `{}`, nil},
		{"hello_haskell", "testing", `{"name":"you"}`, map[string]string{"greeting": "Howdy"}},
		{"input_offset", "input_offset_length", `{"some":"input"}`, nil},
		{"log", "run_test", `{}`, nil},
		{"noop", "run_test", `{}`, nil},
		{"println", "run_test", `{"a":1}`, nil},
		{"replace", "run_test", `{"text":"replace these words"}`, nil},
		{"var", "run_test", `{}`, nil},
	} {
		t.Run(test.module, func(t *testing.T) {
			module := theirs(t, test.module)
			want, wantErr := reference(t, module, test.function, test.input, test.config)
			got := ours(t, h, module, test.function, test.input, test.config)
			switch {
			case wantErr != nil && (got.Fault == nil || !strings.Contains(got.Fault.Message, wantErr.Error())):
				t.Errorf("got %v, the SDK says %q", got.Fault, wantErr)
			case wantErr == nil && got.Fault != nil:
				t.Errorf("got %v, the SDK %q", got.Fault, want)
			case wantErr == nil && text(got.Output) != want:
				t.Errorf("got %q, the SDK %q", text(got.Output), want)
			}
		})
	}
}

func TestHTTPOfExtismPlugins(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Answer", "42")
		w.Header()["Date"] = nil
		fmt.Fprint(w, "page "+r.URL.Path)
	}))
	t.Cleanup(server.Close)
	h := newHost(t, host.Options{})
	module := theirs(t, "http_headers")
	input := `{"url":"` + server.URL + `/x"}`
	api := abi.Requirement{ID: "api", Kind: "http", Reason: "trials", URL: server.URL + "/**", Methods: map[string]abi.Effect{"GET": abi.Read}}
	elsewhere := abi.Requirement{ID: "aside", Kind: "http", Reason: "trials", URL: "http://192.0.2.1/**", Methods: map[string]abi.Effect{"GET": abi.Read}}
	want, err := reference(t, module, "http_get", input, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := ours(t, h, module, "http_get", input, nil, elsewhere, api)
	if got.Fault != nil {
		t.Fatal(got.Fault)
	}
	headers := func(raw string) []string {
		var m map[string]string
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		return slices.Sorted(maps.Keys(m))
	}
	if !slices.Equal(headers(string(got.Output)), headers(want)) || !strings.Contains(string(got.Output), `"x-answer":"42"`) {
		t.Errorf("got %s, the SDK %s", got.Output, want)
	}
	if got.Stats.HostCalls != 2 {
		t.Errorf("%d host calls, want one refusal and one request", got.Stats.HostCalls)
	}
	// What the SDK makes a trap is an empty answer here.
	if refused := ours(t, h, module, "http_get", input, nil, elsewhere); refused.Fault != nil && refused.Fault.Kind != abi.Refused {
		t.Errorf("got %v", refused.Fault)
	}
}
