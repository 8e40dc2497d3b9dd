package host_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// asked are requests in the right form for the host functions that need a right; {peer} is an address where somebody counts who comes.
var asked = map[string]string{
	"riposte:http/v1.fetch":        `{"capability":"http","method":"GET","url":"http://{peer}/"}`,
	"riposte:dns/v1.resolve":       `{"capability":"dns","name":"www.corp.test","type":"A"}`,
	"riposte:tcp/v1.exchange":      `{"capability":"tcp","address":"{peer}","send":{}}`,
	"riposte:sql/v1.query":         `{"capability":"sql","statement":"find"}`,
	"riposte:mail/v1.send":         `{"capability":"mail","to":["a@corp.test"],"subject":"s","text":"t"}`,
	"riposte:kv/v1.get":            `{"key":"k"}`,
	"riposte:kv/v1.put":            `{"key":"k","value":1}`,
	"riposte:kv/v1.delete":         `{"key":"k"}`,
	"extism:host/env.http_request": `{"url":"http://{peer}/","method":"GET"}`,
	"riposte:log/v1.write":         `{"level":"info","message":"m"}`,
	"riposte:emit/v1.artifact":     `{"kind":"ip","value":"203.0.113.9"}`,
	"riposte:emit/v1.evidence":     `{"name":"n","data":"AAAA"}`,
	"riposte:emit/v1.finding":      `{"value":"f"}`,
}

// free are modules whose functions reach nothing outside of the invocation, and so need no right. WASI has no sockets here, and no files but
// those of the package.
var free = []string{abi.ModuleMem, abi.ModuleLog, abi.ModuleEmit, abi.ModuleExtism, "wasi_snapshot_preview1", meter.ImportModule}

// counter is somebody who counts who connects.
func counter(t *testing.T) (address string, came *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), came
}

// spiedKV says that it was touched.
type spiedKV struct {
	hostcall.KV
	touched atomic.Int64
}

func (s *spiedKV) Get(namespace, key string) ([]byte, bool, error) {
	s.touched.Add(1)
	return s.KV.Get(namespace, key)
}

func (s *spiedKV) Put(namespace, key string, value []byte, ttl time.Duration, quota int64) error {
	s.touched.Add(1)
	return s.KV.Put(namespace, key, value, ttl, quota)
}

func (s *spiedKV) Delete(namespace, key string) error {
	s.touched.Add(1)
	return s.KV.Delete(namespace, key)
}

// TestEveryDoorLeadsToTheAuthoriser calls every function that the engine offers to guests, from a plugin that asks for a capability of each kind
// and was granted none: with a request in the right form, with zeros, and with numbers out of all bounds. Nothing may be reached, no call may
// begin on the tape, and each function that could reach something must have left a refusal there. A function that this test does not know fails it.
func TestEveryDoorLeadsToTheAuthoriser(t *testing.T) {
	peer, came := counter(t)
	kv := &spiedKV{KV: hostcall.NewMemoryKV(nil)}
	services := hostcall.NewServices(hostcall.ServicesOptions{Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, KV: kv})
	t.Cleanup(services.Close)
	h := newHost(t, host.Options{Services: services, CacheDir: t.TempDir()})
	everything := []abi.Requirement{
		{ID: "http", Kind: "http", Reason: "test", URL: "http://" + peer + "/**", Methods: map[string]abi.Effect{"GET": abi.Read}},
		{ID: "dns", Kind: "dns", Reason: "test", Names: []string{"*"}, Types: []string{"A"}},
		{ID: "tcp", Kind: "tcp", Reason: "test", Addresses: []string{peer}},
		{ID: "sql", Kind: "sql", Reason: "test", Driver: "sqlserver", Server: peer, Statements: json.RawMessage(`{"find":{"sql":"select 1"}}`)},
		{ID: "mail", Kind: "mail", Reason: "test", Server: peer, From: "a@corp.test", Recipients: json.RawMessage(`["*"]`)},
		{ID: "kv", Kind: "kv", Reason: "test", MaxBytes: 1000},
	}
	run := func(door string, f api.FunctionDefinition, value int64, grant capability.Grant) (refusals int) {
		t.Helper()
		module, name, _ := strings.Cut(door, "|")
		request := strings.ReplaceAll(asked[module+"."+name], "{peer}", peer)
		a := calling(hostImport{module, name, types(f.ParamTypes()), types(f.ResultTypes())}, request, value)
		b := install(t, h, a.pack(t, everything...))
		log := &tape.Memory{}
		mustRun(t, h, host.Invocation{Bundle: b, Action: "act", Tape: log, Grant: grant, Timeout: 200 * time.Millisecond})
		for _, e := range log.Entries() {
			switch {
			case e.Kind == tape.BeginKind && grant == nil:
				t.Errorf("%s began %s", door, e.Call.Function)
			case e.Kind == tape.EndKind && e.Call != nil && strings.Contains(string(e.Document(e.Reply)), `"kind":"refused"`):
				refusals++
			}
		}
		return refusals
	}
	doors := 0
	for module, functions := range h.Doors() {
		if module == meter.ImportModule {
			continue // no package can import from it: see TestSiegeOfTheLoader
		}
		for name, f := range functions {
			doors++
			_, known := asked[module+"."+name]
			if !known && !slices.Contains(free, module) {
				t.Errorf("this test does not know %s.%s", module, name)
			}
			needed := 0
			if known && !slices.Contains(free, module) || name == "http_request" {
				needed = 1
			}
			for _, value := range []int64{good, 0, -1} {
				got := run(module+"|"+name, f, value, nil)
				if value == good && got != needed || value != good && got > 0 && needed == 0 {
					t.Errorf("%s.%s, called with %d, left %d refusals on the tape, not %d", module, name, value, got, needed)
				}
			}
		}
	}
	if came.Load() != 0 || kv.touched.Load() != 0 {
		t.Errorf("%d connections were made, values were touched %d times", came.Load(), kv.touched.Load())
	}
	// The same calls with a grant show that something would have been noticed.
	for _, door := range []string{"riposte:http/v1|fetch", "riposte:tcp/v1|exchange", "extism:host/env|http_request", "riposte:kv/v1|get"} {
		before := came.Load() + kv.touched.Load()
		module, name, _ := strings.Cut(door, "|")
		if run(door, h.Doors()[module][name], good, capability.Grant{"http": {}, "tcp": {}, "kv": {}}); came.Load()+kv.touched.Load() == before {
			t.Errorf("with a grant %s reached nothing either", door)
		}
	}
	t.Logf("%d functions", doors)
}

// good stands for arguments in the right form.
const good = 1

// types gives value types in bytes.
func types(list []api.ValueType) string { return string(list) }

// calling is a module that calls a function: with the handle of a request for each 64-bit parameter and the address 0 for each 32-bit one, or with
// value for all.
func calling(f hostImport, request string, value int64) assembly {
	request = strings.ReplaceAll(request, "\n", "")
	code := join(i32const(0), i32const(int64(len(request))), call(0), set(0))
	for _, p := range []byte(f.params) {
		switch {
		case value == good && p == vI64[0]:
			code = join(code, get(0))
		case p == vI64[0]:
			code = join(code, i64const(value))
		case value == good:
			code = join(code, i32const(0))
		default:
			code = join(code, i32const(value))
		}
	}
	code = join(code, call(1))
	if f.results != "" {
		code = join(code, drop)
	}
	return assembly{imports: []hostImport{memWrite, f}, data: request, locals: "\x01\x01" + vI64, actions: []action{{"act", join(code, i32const(0))}}}
}

// TestWhatCanBeImported holds the engine against the loader: what a package may import is what there is.
func TestWhatCanBeImported(t *testing.T) {
	h := newHost(t, host.Options{})
	for module, functions := range h.Doors() {
		for name, f := range functions {
			kind, _, _ := strings.Cut(strings.TrimPrefix(module, "riposte:"), "/")
			a := calling(hostImport{module, name, types(f.ParamTypes()), types(f.ResultTypes())}, "", 0)
			_, err := bundle.Open(a.pack(t, abi.Requirement{ID: "kv", Kind: "kv", Reason: "test", MaxBytes: 1}, abi.Requirement{ID: "dns", Kind: "dns", Reason: "test", Names: []string{"*"}, Types: []string{"A"}}))
			if open := err == nil; open != (module != meter.ImportModule && !slices.Contains([]string{"http", "tcp", "sql", "mail"}, kind)) {
				t.Errorf("%s.%s: %v", module, name, err)
			}
		}
	}
}
