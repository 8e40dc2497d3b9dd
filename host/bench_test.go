//go:build unix

package host_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// processorTime is what this process used of the processor, garbage collection included. Other programs disturb it less than the clock.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// guests are modules that know Extism only, which make one host call, but for hello, which says the same to everyone.
var guests = []struct {
	name, module, function, input, output string
	config                                map[string]string
	wanted                                float64 // times cheaper than under the SDK
}{
	{"go", "plain", "run", `{"name":"you","list":[1,2,3]}`, `{"list":[1,2,3],"said":"Hello you"}`, map[string]string{"greeting": "Hello"}, 25},
	{"rust", "count_vowels", "count_vowels", `{"text":"Hello, world"}`, `{"count":4,"total":4,"vowels":"aeiouAEIOU"}`, nil, 5},
	{"c", "hello", "run_test", `{}`, `"Hello, world!"`, nil, 5},
}

// BenchmarkAgainstTheSDK compares, in one run, what a call with a fresh state takes of the processor here and under the SDK of Extism, where that
// is an instance, a call, and its end.
func BenchmarkAgainstTheSDK(b *testing.B) {
	for _, guest := range guests {
		b.Run(guest.name, func(b *testing.B) {
			ours, theirs := callOf(b, guest.module, guest.function, guest.input, guest.output, guest.config), sdkCallOf(b, guest.module, guest.function, guest.input, guest.config)
			turn := func(call func(), times int, spent *time.Duration) { // in turns, so that what disturbs one disturbs the other
				runtime.GC() // of what the other one left
				began := processorTime(b)
				for range times {
					call()
				}
				*spent += (processorTime(b) - began) / time.Duration(times)
			}
			var here, there time.Duration
			n := 0
			for b.Loop() {
				turn(ours, 200, &here)
				turn(theirs, 20, &there)
				n++
			}
			b.ReportMetric(float64(here.Microseconds())/float64(n), "cpu-µs/call")
			b.ReportMetric(float64(there.Microseconds())/float64(n), "sdk-cpu-µs/call")
			b.ReportMetric(float64(there)/float64(here), "times-cheaper")
			b.ReportMetric(guest.wanted, "times-wanted")
		})
	}
}

// module gives a module that was built for these tests, or one of the SDK's own.
func module(b *testing.B, name string) []byte {
	if m := built[name]; m != nil {
		return m
	}
	return theirs(b, name)
}

// callOf makes a call under this host.
func callOf(b *testing.B, name, function, input, output string, config map[string]string) func() {
	h := newHost(b, host.Options{})
	file := built[name]
	if file == nil {
		file = pack(b, module(b, name), abi.Manifest{Plugin: "theirs", Version: "1.0.0", Title: "Theirs",
			Actions: map[string]abi.Action{function: {Kind: abi.Enrich, Title: function, Effect: abi.Read}}})
	}
	settings, err := json.Marshal(config)
	if err != nil {
		b.Fatal(err)
	}
	in := host.Invocation{ID: "inv", Key: "key", Bundle: install(b, h, file), Action: function, Parameters: json.RawMessage(input), Settings: settings, Now: time.Unix(1_700_000_000, 0)}
	if config == nil {
		in.Settings = nil
	}
	if out := mustRun(b, h, in); string(out.Output) != output {
		b.Fatal(out.Fault, string(out.Output))
	}
	return func() {
		if out, err := h.Run(context.Background(), in); err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
	}
}

// sdkCallOf makes the same call under the SDK.
func sdkCallOf(b *testing.B, name, function, input string, config map[string]string) func() {
	ctx := b.Context()
	compiled, err := extism.NewCompiledPlugin(ctx, extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: module(b, name)}}, Config: config},
		extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { compiled.Close(context.Background()) })
	return func() {
		plugin, err := compiled.Instance(ctx, extism.PluginInstanceConfig{ModuleConfig: wazero.NewModuleConfig()})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := plugin.Call(function, []byte(input)); err != nil {
			b.Fatal(err)
		}
		if err := plugin.Close(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is one call after the other, BenchmarkCalls16InFlight sixteen at a time.
func BenchmarkCall(b *testing.B) {
	g := guests[0]
	call := callOf(b, g.module, g.function, g.input, g.output, g.config)
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime(b)
	for b.Loop() {
		call()
	}
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

func BenchmarkCalls16InFlight(b *testing.B) {
	g := guests[0]
	call := callOf(b, g.module, g.function, g.input, g.output, g.config)
	b.SetParallelism(max(16/runtime.GOMAXPROCS(0), 1))
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			call()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// written is a tape of which only the lines are made, as by a store.
type written struct {
	chain tape.Chain
	line  []byte
}

// Append implements tape.Log.
func (w *written) Append(e tape.Entry, _ bool) (err error) {
	w.line, err = w.chain.Append(w.line[:0], &e)
	return err
}

// Recorded implements tape.Log.
func (w *written) Recorded() []tape.Entry { return nil }

// BenchmarkPost is a shipped plugin with one request, which is authorised, recorded and answered by a peer: everything but the network.
func BenchmarkPost(b *testing.B) {
	h := newHost(b, host.Options{})
	answer := &hostcall.Answer{Took: time.Millisecond, Reply: json.RawMessage(`{"value":{"status":200,"headers":{"content-type":"application/json"},"body":{"text":"{\"ok\":true}"}}}`)}
	in := host.Invocation{ID: "inv", Key: "key", Bundle: install(b, h, built["webhook"]), Action: "post", Connector: "bench", Incident: "INC-000001", Run: "RUN-000001-1", Step: "post",
		Parameters: json.RawMessage(`{"body":{"alarm":"a-1","address":"192.0.2.1","text":"a connection to a server that is known"},"path":"in"}`), Checked: true,
		Settings: json.RawMessage(`{"url":"http://192.0.2.9/hook"}`), Grant: capability.Grant{"target": {}}, Now: time.Unix(1_700_000_000, 0),
		Peer: func(context.Context, int, *tape.Call, []byte) *hostcall.Answer { return answer }}
	log := &written{}
	in.Tape = log
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime(b)
	for b.Loop() {
		log.chain = tape.Chain{}
		if out, err := h.Run(b.Context(), in); err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkWebhook is a shipped plugin with one request, which is answered from a tape: what remains is the sandbox, the kit and the dispatcher.
func BenchmarkWebhook(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	defer server.Close()
	h := newHost(b, host.Options{})
	log := &tape.Memory{}
	in := host.Invocation{ID: "inv", Key: "key", Bundle: install(b, h, built["webhook"]), Action: "post", Tape: log, Now: time.Unix(1_700_000_000, 0),
		Parameters: json.RawMessage(`{"body":{"alarm":"a-1","address":"192.0.2.1","text":"a connection to a server that is known"},"path":"in"}`),
		Settings:   json.RawMessage(`{"url":"` + server.URL + `/hook","signed":true,"token":{"secret":"env:TOKEN"}}`),
		Grant:      capability.Grant{"signed-target": {}}}
	if out := mustRun(b, h, in); out.Fault != nil {
		b.Fatal(out.Fault)
	}
	recorded := log.Entries()
	var fuel int64
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime(b)
	for b.Loop() {
		in.Tape = tape.NewReplay(recorded, tape.Exact)
		out, err := h.Run(b.Context(), in)
		if err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
		fuel = out.Stats.Fuel
	}
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(fuel), "instructions")
}
