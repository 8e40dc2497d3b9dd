package host_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// fault runs an action that must end with a fault of the kind, and gives the outcome.
func fault(t *testing.T, h *host.Host, in host.Invocation, kind abi.Kind, message string) host.Outcome {
	t.Helper()
	out := mustRun(t, h, in)
	if out.Fault == nil || out.Fault.Kind != kind || !strings.Contains(out.Fault.Message, message) {
		t.Fatalf("got %v %s, want %s with %q", out.Fault, out.Output, kind, message)
	}
	return out
}

func TestGuestsThatMisbehave(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	in := func(action string) host.Invocation { return host.Invocation{Bundle: b, Action: action} }

	t.Run("panic", func(t *testing.T) {
		out := fault(t, h, in("crash"), abi.Trap, "panic: runtime error: index out of range")
		said := ""
		for _, e := range out.Logs {
			said += e.Message + "\n"
		}
		if !strings.Contains(said, "main.crash") || !strings.Contains(said, "main.go:") {
			t.Errorf("the last lines do not tell where it crashed:\n%s", said)
		}
	})
	t.Run("exit", func(t *testing.T) { fault(t, h, in("exit"), abi.Trap, "ended itself with code 3") })
	t.Run("fault passes through", func(t *testing.T) {
		if out := fault(t, h, in("deny"), abi.NotFound, "no such address"); out.Fault.Hint != "look it up" {
			t.Errorf("hint %q", out.Fault.Hint)
		}
	})
	t.Run("endless loop", func(t *testing.T) {
		out := fault(t, h, in("loop"), abi.Timeout, "did not end in time")
		if len(out.Stack) == 0 || !strings.Contains(out.Stack[len(out.Stack)-1]+out.Stack[0], "loop") {
			t.Errorf("stack %q", out.Stack)
		}
	})
	t.Run("recursion", func(t *testing.T) { fault(t, h, in("recurse"), abi.Limit, "") })
	t.Run("memory", func(t *testing.T) {
		out := fault(t, h, in("devour"), abi.Limit, "more than 16 MiB of memory")
		if out.Stats.Memory > 16<<20 {
			t.Errorf("took %d bytes", out.Stats.Memory)
		}
	})
	t.Run("output", func(t *testing.T) { fault(t, h, in("flood"), abi.Limit, "at most 65536") })
	t.Run("log", func(t *testing.T) {
		if out := mustRun(t, h, in("chatter")); out.Fault != nil || len(out.Logs) != 1000 {
			t.Errorf("%v, %d lines", out.Fault, len(out.Logs))
		}
	})
	t.Run("standard output", func(t *testing.T) {
		out := fault(t, h, in("shout"), abi.Failed, "hoarse")
		if len(out.Logs) == 0 || len(out.Logs) > 20 || !strings.HasPrefix(out.Logs[len(out.Logs)-1].Message, "line 999") {
			t.Errorf("%d lines: %+v", len(out.Logs), out.Logs)
		}
	})
	t.Run("sleep", func(t *testing.T) { fault(t, h, in("doze"), abi.Timeout, "") })
	t.Run("result against its schema", func(t *testing.T) {
		if out := fault(t, h, in("lie"), abi.Trap, "breaks its own schema"); out.Fault.Where != "$.result.score" {
			t.Errorf("where %q", out.Fault.Where)
		}
	})
	t.Run("unknown action", func(t *testing.T) { fault(t, h, in("ecko"), abi.NotFound, "no action") })
	t.Run("parameters that are no object", func(t *testing.T) {
		i := in("echo")
		i.Parameters = json.RawMessage(`{"a":`)
		fault(t, h, i, abi.Invalid, "not valid JSON")
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		out, err := h.Run(ctx, host.Invocation{Bundle: b, Action: "echo"})
		if err != nil || out.Fault == nil || out.Fault.Kind != abi.Cancelled {
			t.Errorf("%v %v", out.Fault, err)
		}
	})
}

// TestLoopsDoNotHoldUpOthers fills every processor with endless loops, and expects other guests to be served meanwhile.
func TestLoopsDoNotHoldUpOthers(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if out, err := h.Run(ctx, host.Invocation{Bundle: b, Action: "loop"}); err != nil || out.Fault == nil {
					t.Errorf("%v %v", out.Fault, err)
				}
			}
		})
	}
	for range 10 {
		if out := mustRun(t, h, host.Invocation{Bundle: b, Action: "echo", Parameters: json.RawMessage(`{"a":1}`)}); string(out.Output) != `{"a":1}` {
			t.Errorf("%s %v", out.Output, out.Fault)
		}
	}
	cancel()
	wg.Wait()
}

func TestEachInvocationStartsAnew(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	for turn := range 20 { // among calls that end in every way
		action := []string{"count", "crash", "exit", "devour", "deny"}[turn%5]
		out := mustRun(t, h, host.Invocation{Bundle: b, Action: action})
		if action == "count" && string(out.Output) != "1" {
			t.Fatalf("turn %d counted to %s, %v", turn, out.Output, out.Fault)
		}
	}
	fault(t, h, host.Invocation{Bundle: b, Action: "remember"}, abi.Refused, "not granted")
	first := mustRun(t, h, host.Invocation{Bundle: b, Action: "observe"})
	second := mustRun(t, h, host.Invocation{Bundle: b, Action: "observe"})
	if first.Fault != nil || string(first.Output) != string(second.Output) || first.Stats.Fuel != second.Stats.Fuel {
		t.Errorf("%v\n%s %d\n%s %d", first.Fault, first.Output, first.Stats.Fuel, second.Output, second.Stats.Fuel)
	}
	other := mustRun(t, h, host.Invocation{ID: "inv-2", Key: "key-2", Bundle: b, Action: "observe"})
	if string(other.Output) == string(first.Output) {
		t.Error("another invocation has the same randomness")
	}
	var seen struct {
		Wall, Now        time.Time
		Slept, No_files  bool
		Args, Env, Files int
	}
	if err := json.Unmarshal(first.Output, &seen); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); !seen.Wall.Equal(want) || !seen.Now.Equal(want) {
		t.Errorf("the guest's clock says %v, %v", seen.Wall, seen.Now)
	}
	if !seen.Slept || !seen.No_files || seen.Args != 0 || seen.Env != 0 || seen.Files != 0 {
		t.Errorf("the guest sees %s", first.Output)
	}
}

func TestSettingsComeWithoutSecrets(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	out := mustRun(t, h, host.Invocation{Bundle: b, Action: "settings", Settings: json.RawMessage(`{"url":"http://127.0.0.1:1","token":{"secret":"env:TOKEN"}}`)})
	if string(out.Output) != `{"url":"http://127.0.0.1:1"}` {
		t.Errorf("%s %v", out.Output, out.Fault)
	}
}

func TestEmissions(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	out := mustRun(t, h, host.Invocation{Bundle: b, Action: "find"})
	if out.Fault != nil || len(out.Emissions) != 3 || out.Emissions[0].Value != "203.0.113.9" || string(out.Emissions[1].Data) != "x" || out.Emissions[2].Type != "finding" {
		t.Errorf("%v %+v", out.Fault, out.Emissions)
	}
}

func TestHostCallsAreLimited(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) }))
	t.Cleanup(server.Close)
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	in := host.Invocation{Bundle: b, Action: "fetch", Settings: json.RawMessage(`{"url":"` + server.URL + `"}`), Grant: capability.Grant{"api": {}}}
	in.Parameters = json.RawMessage(`{"url":"` + server.URL + `/x","times":3}`)
	if out := mustRun(t, h, in); string(out.Output) != `"page"` || out.Stats.HostCalls != 3 {
		t.Errorf("%s %v", out.Output, out.Fault)
	}
	in.Parameters = json.RawMessage(`{"url":"` + server.URL + `/x","times":4}`)
	fault(t, h, in, abi.Limit, "host calls")
}

func TestFuelIsLimited(t *testing.T) {
	h := newHost(t, host.Options{Fuel: 20_000_000})
	b := install(t, h, built["trial"])
	fault(t, h, host.Invocation{Bundle: b, Action: "loop", Timeout: time.Minute}, abi.Limit, "instructions")
}

func TestAssembledGuests(t *testing.T) {
	h := newHost(t, host.Options{Memory: 1 << 20})
	extism := func(name, params, results string) hostImport {
		return hostImport{abi.ModuleExtism, name, params, results}
	}
	mem := hostImport{abi.ModuleMem, "read", vI64 + vI32, ""}
	output := extism("output_set", vI64+vI64, "")
	write := hostImport{abi.ModuleMem, "write", vI32 + vI32, vI64}
	said := func(text string) assembly {
		return assembly{imports: []hostImport{write, output}, data: text, actions: []action{{"act",
			join(i32const(0), i32const(int64(len(text))), call(0), i64const(int64(len(text))), call(1), i32const(0))}}}
	}
	for _, test := range []struct {
		name     string
		assembly assembly
		kind     abi.Kind
		message  string
	}{
		{"trap", assembly{imports: []hostImport{mem}, actions: []action{{"act", []byte{opUnreachable}}}}, abi.Trap, "unreachable"},
		{"no output", assembly{imports: []hostImport{mem}, actions: []action{{"act", i32const(0)}}}, abi.Trap, "not a result"},
		{"code", assembly{imports: []hostImport{mem}, actions: []action{{"act", i32const(7)}}}, abi.Trap, "code 7"},
		{"garbage", said("\xff\x00garbage"), abi.Trap, "not a result"},
		{"not JSON alone", said(`{"output":1} 2`), abi.Trap, "something behind its end"},
		{"unknown field", said(`{"output":1,"more":2}`), abi.Trap, "unknown field"},
		{"both", said(`{"output":1,"fault":{"kind":"failed","message":"x"}}`), abi.Trap, "both"},
		{"neither", said(`{}`), abi.Trap, "neither"},
		{"made-up kind of fault", said(`{"fault":{"kind":"sudo","message":"x"}}`), abi.Failed, "x"},
		{"read to nowhere", assembly{imports: []hostImport{mem, extism("alloc", vI64, vI64)}, actions: []action{{"act",
			join(i64const(100), call(1), i32const(-8), call(0), i32const(0))}}}, abi.Trap, "outside of the memory"},
		{"write from nowhere", assembly{imports: []hostImport{write}, actions: []action{{"act",
			join(i32const(65530), i32const(100), call(0), []byte{opDrop}, i32const(0))}}}, abi.Trap, "outside of the memory"},
		{"forged request", assembly{imports: []hostImport{{abi.ModuleLog, "write", vI64, vI64}}, actions: []action{{"act",
			join(i64const(123456), call(0), []byte{opDrop}, i32const(0))}}}, abi.Trap, "handle"},
		{"forged output", assembly{imports: []hostImport{mem, output}, actions: []action{{"act",
			join(i64const(1<<40), i64const(1<<40), call(1), i32const(0))}}}, abi.Trap, "not a result"},
		{"loop", assembly{imports: []hostImport{mem}, actions: []action{{"act", []byte{opLoop, 0x40, opBr, 0, opEnd, opI32Const, 0}}}}, abi.Timeout, ""},
		{"blocks without end", assembly{imports: []hostImport{mem, extism("alloc", vI64, vI64)}, actions: []action{{"act",
			join([]byte{opLoop, 0x40}, i64const(1000), call(1), []byte{opDrop, opBr, 0, opEnd, opI32Const, 0})}}}, abi.Timeout, ""},
		{"recursion", assembly{imports: []hostImport{mem}, actions: []action{{"act", call(1)}}}, abi.Limit, "too deeply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := install(t, h, test.assembly.pack(t))
			fault(t, h, host.Invocation{Bundle: b, Action: "act", Timeout: 300 * time.Millisecond}, test.kind, test.message)
		})
	}
	t.Run("too much memory to begin with", func(t *testing.T) {
		b, err := bundle.Open(assembly{pages: 17, actions: []action{{"act", i32const(0)}}}.pack(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Install(t.Context(), b); abi.AsFault(err).Kind != abi.Limit {
			t.Errorf("got %v", err)
		}
	})
	t.Run("invalid code", func(t *testing.T) {
		b, err := bundle.Open(assembly{actions: []action{{"act", []byte{opDrop}}}}.pack(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Install(t.Context(), b); abi.AsFault(err).Kind != abi.Invalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not installed", func(t *testing.T) {
		b, err := bundle.Open(assembly{actions: []action{{"other", i32const(0)}}}.pack(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Run(t.Context(), host.Invocation{Bundle: b, Action: "other"}); err == nil || !strings.Contains(err.Error(), "not installed") {
			t.Errorf("got %v", err)
		}
	})
}

func TestIdleModulesAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, host.Options{Idle: time.Minute, Resident: 1})
		b := install(t, h, built["trial"])
		other := install(t, h, assembly{imports: []hostImport{{abi.ModuleMem, "read", vI64 + vI32, ""}}, actions: []action{{"act", i32const(0)}}}.pack(t))
		expect := func(when string, want int) {
			t.Helper()
			if got := h.Loaded(); got != want {
				t.Errorf("%s: %d modules are loaded, want %d", when, got, want)
			}
		}
		expect("after install", 0)
		mustRun(t, h, host.Invocation{Bundle: b, Action: "echo"})
		expect("after use", 1)
		mustRun(t, h, host.Invocation{Bundle: other, Action: "act"})
		expect("with one resident", 1)
		time.Sleep(59 * time.Second)
		mustRun(t, h, host.Invocation{Bundle: b, Action: "echo"})
		time.Sleep(59 * time.Second)
		synctest.Wait()
		expect("used meanwhile", 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect("idle", 0)
		mustRun(t, h, host.Invocation{Bundle: b, Action: "echo"})
		expect("loaded again", 1)
	})
}

func TestClosedHost(t *testing.T) {
	h := newHost(t, host.Options{})
	b := install(t, h, built["trial"])
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(t.Context(), host.Invocation{Bundle: b, Action: "echo"}); err != host.ErrClosed {
		t.Errorf("Run: %v", err)
	}
	if err := h.Install(t.Context(), b); err != host.ErrClosed {
		t.Errorf("Install: %v", err)
	}
}

// TestGuestsCannotWriteToTheirTape lets a guest overwrite its request and the reply to it. What is on the tape must be what was asked and answered.
func TestGuestsCannotWriteToTheirTape(t *testing.T) {
	h := newHost(t, host.Options{})
	store := hostImport{abi.ModuleExtism, "store_u8", vI64 + vI32, ""}
	keep := abi.Requirement{ID: "keep", Kind: "kv", Reason: "test", MaxBytes: 1000}
	for _, request := range []string{`{"key":"k"}`, `{"key":1}`} {
		spoil := func(local byte) []byte { return join(get(local), i64const(2), []byte{0x7c}, i32const('!'), call(2)) }
		a := assembly{imports: []hostImport{memWrite, {"riposte:kv/v1", "get", vI64, vI64}, store}, data: request, locals: "\x01\x02" + vI64, actions: []action{{"act",
			join(i32const(0), i32const(int64(len(request))), call(0), []byte{opLocalTee, 0}, call(1), set(1), spoil(0), spoil(1), i32const(0))}}}
		b := install(t, h, a.pack(t, keep))
		log := &tape.Memory{}
		mustRun(t, h, host.Invocation{Bundle: b, Action: "act", Grant: capability.Grant{"keep": {}}, Tape: log})
		said, err := json.Marshal(log.Entries())
		if err != nil || len(log.Entries()) < 2 || strings.Contains(string(said), "!") {
			t.Errorf("%v: the tape holds %s", err, said)
		}
		var again tape.Chain
		for _, e := range log.Entries() {
			was := e.Prev
			if _, err := again.Line(&e); err != nil || e.Prev != was {
				t.Errorf("%v: entry %d was changed after it was written", err, e.Seq)
			}
		}
	}
}

// TestOpenFilesAreFresh lets one invocation close and renumber its standard output; the next must find it as it was.
func TestOpenFilesAreFresh(t *testing.T) {
	h := newHost(t, host.Options{})
	output := hostImport{abi.ModuleExtism, "output_set", vI64 + vI64, ""}
	answer := `{"output":1}`
	say := join(i32const(0), i32const(int64(len(answer))), call(0), i64const(int64(len(answer))), call(1))
	a := assembly{imports: []hostImport{memWrite, output, wasi("fd_write", vI32+vI32+vI32+vI32), wasi("fd_close", vI32), wasi("fd_renumber", vI32+vI32),
		wasi("fd_fdstat_set_flags", vI32+vI32)}, data: answer,
		actions: []action{
			{"speak", join(say, i32const(1), i32const(100), i32const(1), i32const(200), call(2))}, // the error is the code of the action
			{"shut", join(say, i32const(1), call(3))},
			{"swap", join(say, i32const(1), i32const(0), call(4), drop, i32const(0))},
			{"flag", join(say, i32const(1), i32const(4), call(5), drop, i32const(0))},
		}}
	b := install(t, h, a.pack(t))
	for _, before := range []string{"speak", "shut", "swap", "flag"} {
		for _, action := range []string{before, "speak", "speak"} {
			if out := mustRun(t, h, host.Invocation{Bundle: b, Action: action}); string(out.Output) != "1" {
				t.Errorf("after %s, %s gave %s %v", before, action, out.Output, out.Fault)
			}
		}
	}
}
