package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
)

// TestExtismKit runs a plugin that was written with the public extism-pdk crate.
func TestExtismKit(t *testing.T) {
	l, err := author.Find("rust")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Missing(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	p, err := author.Build(t.Context(), "testdata/extism", author.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/people/zoe" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, `{"name":"Zoë 😀"}`)
	}))
	t.Cleanup(directory.Close)
	h := startHost(t)
	if err := h.Install(t.Context(), p.Bundle); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		login, output string
		grant         capability.Grant
		kind          abi.Kind
		says          string
	}{
		{"zoe", `{"name":"Zoë 😀"}`, capability.Grant{"people": {}}, "", ""},
		{"nobody", "", capability.Grant{"people": {}}, abi.Failed, "nobody is called nobody"},
		{"zoe", "", nil, abi.Refused, ""},
	} {
		log := &tape.Memory{}
		in := host.Invocation{ID: "i", Key: "k", Bundle: p.Bundle, Action: "who_is", Parameters: encode(t, object{"login": test.login}),
			Settings: json.RawMessage(`{"url":"` + directory.URL + `"}`), Grant: test.grant, Tape: log}
		for range 2 { // live, and from the tape
			out, err := h.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case test.kind == "" && (out.Fault != nil || string(out.Output) != test.output || len(out.Logs) != 1):
				t.Errorf("%s: gave %s %v, logged %v", test.login, out.Output, out.Fault, out.Logs)
			case test.kind != "" && (out.Fault == nil || out.Fault.Kind != test.kind || !strings.Contains(out.Fault.Message, test.says)):
				t.Errorf("%s: gave %s %v, want a fault of kind %s", test.login, out.Output, out.Fault, test.kind)
			}
			in.Tape = tape.NewReplay(log.Entries(), tape.Exact)
		}
	}
}
