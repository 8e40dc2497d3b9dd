package hostcall

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Whatever a guest asks, the reply is an abi.Reply, and the tape can be verified.
func FuzzCall(f *testing.F) {
	var functions []string
	for module, names := range abi.Functions() {
		for _, name := range names {
			functions = append(functions, module[len("riposte:"):len(module)-len("/v1")]+"."+name)
		}
	}
	slices.Sort(functions)
	for i, request := range []string{`{"capability":"http","method":"GET","url":"http://a.test/","headers":{"a":"b"},"body":{"base64":"AAA="}}`, `{"capability":"dns","name":"a.test","type":"A"}`,
		`{"capability":"tcp","address":"a.test:1","send":{"text":"x"}}`, `{"key":"k","value":{},"ttl_s":1}`, `{"kind":"ip","value":"v","data":"AAA="}`, `{"level":"info","message":"m","fields":{}}`,
		`{"capability":"mail","to":["a@corp.test"],"subject":"s","text":"t"}`, `{"capability":"sql","statement":"q","params":{"p":1e400}}`} {
		f.Add(uint8(i), []byte(request))
	}
	requires := []abi.Requirement{
		// Nothing of these can be reached: there is no name server, and loopback is refused.
		{ID: "http", Kind: "http", Reason: "r", URL: "http://127.0.0.1:9/**", Methods: map[string]abi.Effect{"GET": abi.Read}},
		{ID: "dns", Kind: "dns", Reason: "r", Names: []string{"*"}, Types: []string{"A", "PTR"}},
		{ID: "tcp", Kind: "tcp", Reason: "r", Addresses: []string{"127.0.0.1:9"}},
		{ID: "sql", Kind: "sql", Reason: "r", Driver: "sqlserver", Server: "127.0.0.1:9", Statements: json.RawMessage(`{"q":{"sql":"select @p","params":["p"]}}`)},
		{ID: "mail", Kind: "mail", Reason: "r", Server: "127.0.0.1:9", From: "a@corp.test", Recipients: json.RawMessage(`["*@corp.test"]`)},
		{ID: "kv", Kind: "kv", Reason: "r"},
	}
	grant, action := capability.Grant{}, abi.Action{Effect: abi.Unsafe}
	for _, r := range requires {
		grant[r.ID] = capability.Narrowing{}
		action.Uses = append(action.Uses, r.ID)
	}
	manifest := &abi.Manifest{Plugin: "trial", Requires: requires, Actions: map[string]abi.Action{"act": action}}
	services := NewServices(ServicesOptions{KV: NewMemoryKV(nil), ResolvConf: os.DevNull})
	defer services.Close()
	f.Fuzz(func(t *testing.T, which uint8, request []byte) {
		log := &tape.Memory{}
		s, fault := NewSession(SessionOptions{Key: "k", Manifest: manifest, Action: "act", Grant: grant, Services: services, Tape: log})
		if fault != nil {
			t.Fatal(fault)
		}
		fn := functions[int(which)%len(functions)]
		var r abi.Reply
		if answer := s.Call(t.Context(), fn, request); json.Unmarshal(answer, &r) != nil {
			t.Fatalf("%s %q: the reply is %q", fn, request, answer)
		}
		if r.Fault != nil && r.Fault.Kind == abi.Internal {
			t.Fatalf("%s %q: %v", fn, request, r.Fault)
		}
		var chain tape.Chain
		for _, e := range log.Entries() {
			if _, err := chain.Line(&e); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A secret lands where the pointer says, and the rest of the document stays.
func FuzzInjectJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1},"n":12345678901234567890}`), "/a/c", "value")
	f.Add([]byte(`[]`), "/0", "value")
	f.Add([]byte(``), "/~1/~0", "va\"lue")
	f.Fuzz(func(t *testing.T, body []byte, pointer, value string) {
		if pointer == "" || pointer[0] != '/' {
			return
		}
		out, fault := injectJSON(body, pointer, value)
		if fault == nil && !json.Valid(out) {
			t.Fatalf("%q at %q gives %q", body, pointer, out)
		}
	})
}
