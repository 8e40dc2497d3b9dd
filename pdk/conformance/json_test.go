package conformance_test

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
)

// FuzzJSON holds the kits that read and write JSON by themselves against encoding/json, in the sandbox.
func FuzzJSON(f *testing.F) { fuzzJSON(f, "c", "ts", "lua") }

// FuzzPerlJSON does the same with Perl, whose engine takes some seconds to compile in each worker.
func FuzzPerlJSON(f *testing.F) { fuzzJSON(f, "perl") }

func fuzzJSON(f *testing.F, languages ...string) {
	f.Helper()
	for _, seed := range []string{
		``, ` `, `null`, `true`, `fals`, `0`, `-0`, `01`, `-`, `1.`, `.5`, `1e5`, `1E+5`, `1e-7`, `0.1`, `1e999`, `123456789012345678901234567890`, `5e-324`, `2.2250738585072014e-308`,
		`"a"`, `"\u0000\u0001"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\u12"`, `"\x"`, `"\`, `"`, "\"\t\"", `"é😀\/\b\f\n\r\t\"\\"`, "\"\x7f\u2028\"",
		`[]`, `[ ]`, `[1,2 , 3]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `{}`, `{"a":1}`, `{"a":1,"a":2}`, `{"a" : {"b":[{}]}}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1,}`, `{"\u0000":1}`, `{} {}`, `1 2`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100), strings.Repeat("[", 101) + strings.Repeat("]", 101), strings.Repeat("[", 5000), strings.Repeat(`{"a":`, 5000), "\ufeff1",
	} {
		f.Add(seed)
	}
	h := startHost(f)
	kits := map[string]*bundle.Bundle{}
	for _, name := range languages {
		l, err := author.Find(name)
		if err != nil {
			f.Fatal(err)
		}
		if err := l.Missing(); err != nil {
			f.Log("NOT TESTED: ", err)
			continue
		}
		kits[name] = build(f, l, 1)
		if err := h.Install(f.Context(), kits[name]); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 1<<20 {
			return
		}
		var want any
		err := json.Unmarshal([]byte(text), &want)
		for name, b := range kits {
			out, failed := h.Run(t.Context(), host.Invocation{ID: "i", Key: "k", Bundle: b, Action: "parse", Parameters: encode(t, object{"text": text}), Settings: json.RawMessage(`{"url":"http://127.0.0.1:1"}`)})
			if failed != nil {
				t.Fatal(failed)
			}
			switch {
			case err == nil && depth(want) > 63: // a result may have 64 levels
				if out.Fault == nil {
					t.Errorf("%s: %.200q gave %.300s", name, text, out.Output)
				}
			case err != nil:
				if out.Fault == nil || out.Fault.Kind != abi.Invalid {
					t.Errorf("%s: %.200q is no JSON, but gave %.200s %v", name, text, out.Output, out.Fault)
				}
			case out.Fault != nil:
				t.Errorf("%s: %.200q gave %v", name, text, out.Fault)
			default:
				if got := decode(t, out.Output); !near(got, object{"value": want}) {
					t.Errorf("%s: %.200q gave %.300s", name, text, out.Output)
				}
			}
		}
	})
}

// near says whether two documents are the same, but for the last bit of a number: AssemblyScript's parseFloat does not round correctly where there
// are many digits or large exponents.
func near(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= math.Abs(b)*1e-15
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, near)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, near)
	}
	return reflect.DeepEqual(a, b)
}

// depth is how many arrays and objects lie within each other.
func depth(v any) int {
	most := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	case map[string]any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	default:
		return 0
	}
	return most + 1
}
