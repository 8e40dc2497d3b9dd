//go:build unix

package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
)

// One guest written in Go, with a fresh state for each call and one host call in it, under this host and under the SDK of Extism.
const (
	benchInput  = `{"name":"you","list":[1,2,3]}`
	benchOutput = `{"list":[1,2,3],"said":"Hello you"}`
)

func benchInvocation(b *testing.B) (*host.Host, host.Invocation) {
	h := newHost(b, host.Options{})
	in := host.Invocation{ID: "inv", Key: "key", Bundle: install(b, h, built["plain"]), Action: "run", Parameters: json.RawMessage(benchInput),
		Settings: json.RawMessage(`{"greeting":"Hello"}`), Now: time.Unix(1_700_000_000, 0)}
	if out := mustRun(b, h, in); string(out.Output) != benchOutput {
		b.Fatal(out.Fault, string(out.Output))
	}
	return h, in
}

// processor reports the processor time of an operation, garbage collection included, which other programs disturb less than the clock.
func processor(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/op") }
}

func BenchmarkCall(b *testing.B) {
	h, in := benchInvocation(b)
	b.ReportAllocs()
	defer processor(b)()
	for b.Loop() {
		if out, err := h.Run(b.Context(), in); err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
	}
}

func BenchmarkCallWith16InFlight(b *testing.B) {
	h, in := benchInvocation(b)
	b.SetParallelism(8)
	b.ResetTimer()
	defer processor(b)()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if out, err := h.Run(context.Background(), in); err != nil || out.Fault != nil {
				b.Error(out.Fault, err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkSDK is bounded in time, as ours is, or not at all.
func BenchmarkSDK(b *testing.B) {
	for _, timeout := range []uint64{0, 30_000} {
		b.Run(fmt.Sprintf("timeout=%dms", timeout), func(b *testing.B) {
			ctx := b.Context()
			compiled, err := extism.NewCompiledPlugin(ctx, extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: built["plain"]}},
				Config: map[string]string{"greeting": "Hello"}, Timeout: timeout}, extism.PluginConfig{EnableWasi: true}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer compiled.Close(ctx)
			b.ReportAllocs()
			defer processor(b)()
			for b.Loop() {
				plugin, err := compiled.Instance(ctx, extism.PluginInstanceConfig{ModuleConfig: wazero.NewModuleConfig()})
				if err != nil {
					b.Fatal(err)
				}
				if _, out, err := plugin.Call("run", []byte(benchInput)); err != nil || string(out) != benchOutput {
					b.Fatal(string(out), err)
				}
				if err := plugin.Close(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
	stop := processor(b)
	for b.Loop() {
		in.Tape = tape.NewReplay(recorded, tape.Exact)
		out, err := h.Run(b.Context(), in)
		if err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
		fuel = out.Stats.Fuel
	}
	stop()
	b.ReportMetric(float64(fuel), "instructions")
}
