package host_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// assembled is a hostile guest written by hand; its action is "act".
type assembled struct {
	module   assembly
	requires []abi.Requirement
	ends     []abi.Kind
}

// What the shapes import.
var (
	memRead  = hostImport{abi.ModuleMem, "read", vI64 + vI32, ""}
	memWrite = hostImport{abi.ModuleMem, "write", vI32 + vI32, vI64}
	logWrite = hostImport{abi.ModuleLog, "write", vI64, vI64}
)

func fromExtism(name, params, results string) hostImport {
	return hostImport{abi.ModuleExtism, name, params, results}
}

func wasi(name, params string) hostImport {
	return hostImport{"wasi_snapshot_preview1", name, params, vI32}
}

var drop = []byte{opDrop}

// endless repeats code that leaves nothing on the stack.
func endless(code ...[]byte) []byte {
	return join([]byte{opLoop, 0x40}, join(code...), []byte{opBr, 0, opEnd, opI32Const, 0})
}

// fc is an instruction of the bulk memory and table family.
func fc(op byte, operands ...byte) []byte { return append([]byte{0xfc, op}, operands...) }

// goShapes are the actions of the trial plugin that misbehave.
var goShapes = map[string][]abi.Kind{
	"loop": {}, "crash": {abi.Trap}, "exit": {abi.Trap}, "recurse": {abi.Limit},
	"devour": {abi.Limit, abi.Trap}, "flood": {abi.Limit}, "chatter": {""}, "shout": {abi.Failed},
	"doze": {}, "lie": {abi.Trap}, "hoard": {abi.Limit}, "bury": {abi.Limit, abi.Trap},
	"nest": {"", abi.Trap}, "threads": {abi.Limit, abi.Trap},
}

// assembledShapes are the guests written by hand, by name.
func assembledShapes(peer string) map[string]assembled {
	all := map[string]assembled{}
	for _, family := range []func(add func(string, assembly, ...abi.Kind)){controlShapes, memoryShapes, tableShapes, handleShapes, systemShapes, outputShapes} {
		family(func(name string, a assembly, ends ...abi.Kind) { all[name] = assembled{module: a, ends: ends} })
	}
	for name, s := range askingShapes(peer) {
		all[name] = s
	}
	return all
}

// one is a module with one action. It imports one of our modules, so that it is no plugin for Extism.
func one(code []byte, imports ...hostImport) assembly {
	return assembly{imports: append([]hostImport{memRead}, imports...), actions: []action{{"act", code}}}
}

// controlShapes compute for ever, or crash.
func controlShapes(add func(string, assembly, ...abi.Kind)) {
	add("tight loop", one(endless()))
	add("recursion", one(call(1)), abi.Limit)
	wide := one(call(1))
	wide.locals = "\x01\xe8\x07" + vI64 // 1,000
	add("recursion with locals", wide, abi.Limit)
	mutual := assembly{imports: []hostImport{memRead}, actions: []action{{"act", call(2)}, {"", call(1)}}}
	add("mutual recursion", mutual, abi.Limit)
	// Each function calls the one before twice: two to the power of forty calls, without a loop or a recursion.
	tree := assembly{imports: []hostImport{memRead}, actions: []action{{"", i32const(0)}}}
	for n := range byte(40) {
		tree.actions = append(tree.actions, action{map[bool]string{true: "act"}[n == 39], join(call(1+n), drop, call(1+n))})
	}
	add("tree of calls", tree)
	blocks := join(repeat([]byte{opBlock, 0x40}, 5000), repeat([]byte{opEnd}, 5000))
	add("5,000 nested blocks", one(endless(blocks)))
	add("500 nested loops", one(join(repeat([]byte{opLoop, 0x40}, 500), []byte{opBr, 100}, repeat([]byte{opEnd}, 500), i32const(0))))
	targets := join([]byte{opBrTable}, uvar(20_000), repeat([]byte{0}, 20_001))
	add("br_table of 20,000 targets", one(endless([]byte{opBlock, 0x40}, i32const(12345), targets, []byte{opEnd})))
	add("trap", one([]byte{opUnreachable}), abi.Trap)
	add("division by zero", one(join(i32const(1), i32const(0), []byte{0x6d})), abi.Trap)
	add("overflow of a division", one(join(i32const(-1<<31), i32const(-1), []byte{0x6d})), abi.Trap)
	add("overflow of a conversion", one([]byte{0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f, 0xaa}), abi.Trap)
	add("an import for an action", assembly{imports: []hostImport{fromExtism("reset", "", "")}, passed: "act"}, "")
}

// memoryShapes go for linear memory. The engine gives at most siegeMemory of it.
func memoryShapes(add func(string, assembly, ...abi.Kind)) {
	pages := func(n byte, code []byte) assembly {
		a := one(code)
		a.pages = n
		return a
	}
	const whole = 100 << 16
	add("memory.grow", one(endless(i32const(1), []byte{0x40, 0}, drop)))
	add("memory.grow by 4 GiB", one(endless(i32const(65535), []byte{0x40, 0}, drop)))
	add("memory.grow to the limit, touched", one(join(i32const(255), []byte{0x40, 0}, drop, i32const(0), i32const(1), i32const(siegeMemory), fc(0x0b, 0), i32const(0))), abi.Trap)
	add("memory.fill", pages(100, endless(i32const(0), i32const(1), i32const(whole), fc(0x0b, 0))))
	add("memory.fill beyond the end", one(join(i32const(1), i32const(1), i32const(-1), fc(0x0b, 0), i32const(0))), abi.Trap)
	add("memory.copy over itself", pages(100, endless(i32const(1), i32const(0), i32const(whole-1), fc(0x0a, 0, 0))))
	passive := pages(100, endless(i32const(0), i32const(0), i32const(1<<20), fc(0x08, 0, 0)))
	passive.passive = strings.Repeat("x", 1<<20)
	add("memory.init", passive)
	add("load beyond the end", one(join(i32const(-4), []byte{0x28, 2, 0})), abi.Trap)
	// A store to each page, over and over, so that none stays shared.
	touch := one(endless(get(0), i32const(1), []byte{0x3a, 0, 0}, get(0), i32const(4096), []byte{0x6a}, i32const(whole-1), []byte{0x71}, set(0)))
	touch.pages, touch.locals = 100, "\x01\x01"+vI32
	add("every page written", touch)
}

// tableShapes go for tables and indirect calls.
func tableShapes(add func(string, assembly, ...abi.Kind)) {
	table := func(code []byte, elements ...byte) assembly {
		a := one(code)
		a.table, a.elements = 1000, elements
		return a
	}
	indirect := []byte{opIndirect, 1, 0} // type () -> i32, table 0
	add("table.grow", table(endless([]byte{0xd0, 0x70}, i32const(10_000), fc(0x0f, 0), drop)))
	add("table.fill", table(endless(i32const(0), []byte{0xd0, 0x70}, i32const(1000), fc(0x11, 0))))
	add("table.copy", table(endless(i32const(1), i32const(0), i32const(999), fc(0x0e, 0, 0))))
	storm := table(endless(i32const(0), indirect, drop), 2)
	storm.actions = append(storm.actions, action{"", i32const(0)})
	add("call_indirect", storm)
	add("call_indirect to itself", table(join(i32const(0), indirect), 1), abi.Limit)
	add("call_indirect to nothing", table(join(i32const(1), indirect), 1), abi.Trap)
	add("call_indirect beyond the table", table(join(i32const(-1), indirect), 1), abi.Trap)
	add("call_indirect of another type", table(join(i64const(0), i32const(0), i32const(0), []byte{opIndirect, 0, 0}, i32const(0)), 1), abi.Trap)
}

// handleShapes lie about handles and places to the host functions that move bytes.
func handleShapes(add func(string, assembly, ...abi.Kind)) {
	alloc, free, length := fromExtism("alloc", vI64, vI64), fromExtism("free", vI64, ""), fromExtism("length", vI64, vI64)
	store, load := fromExtism("store_u8", vI64+vI32, ""), fromExtism("load_u64", vI64, vI64)
	add("forged handles to read", one(endless(i64const(1<<40), i32const(0), call(0))))
	add("forged request", one(join(i64const(123456), call(1), drop, i32const(0)), logWrite), abi.Trap)
	add("unaligned handle", one(join(i32const(0), i32const(64), call(1), i64const(1), []byte{0x7c}, call(2), drop, i32const(0)), memWrite, logWrite), abi.Trap)
	add("handle used twice", one(join(i32const(0), i32const(64), call(1), set(0), get(0), call(3), get(0), call(2), drop, i32const(0)), memWrite, logWrite, free).with("\x01\x01"+vI64), abi.Trap)
	add("read to nowhere", one(join(i64const(100), call(1), i32const(-8), call(0), i32const(0)), alloc), abi.Trap)
	add("write from nowhere", one(join(i32const(-1), i32const(-1), call(1), drop, i32const(0)), memWrite), abi.Trap)
	noMemory := one(join(i32const(0), i32const(4), call(1), drop, i32const(0)), memWrite)
	noMemory.bare = true
	add("write without a memory", noMemory, abi.Trap)
	readNone := one(join(i64const(100), call(1), i32const(0), call(0), i32const(0)), alloc)
	readNone.bare = true
	add("read without a memory", readNone, abi.Trap)
	add("blocks without end", one(endless(i64const(1<<20), call(1), drop), alloc))
	add("small blocks", one(endless(i64const(1), call(1), drop), alloc))
	add("blocks made and freed", one(endless(i64const(8<<20), call(1), call(2)), alloc, free))
	add("free of what is not", one(endless(i64const(-1), call(1)), free))
	add("lengths of what is not", one(endless(i64const(77), call(1), drop), length))
	add("stores to nowhere", one(endless(i64const(-1), i32const(1), call(1)), store))
	add("loads from nowhere", one(endless(i64const(-3), call(1), drop), load))
	add("memory written to blocks", one(endless(i32const(0), i32const(65536), call(1), drop), memWrite))
	add("reset in the middle", one(join(i64const(64), call(1), drop, call(2), i32const(0)), alloc, fromExtism("reset", "", "")), abi.Trap)
}

// with gives the actions locals.
func (a assembly) with(locals string) assembly { a.locals = locals; return a }

// systemShapes abuse the system interface.
func systemShapes(add func(string, assembly, ...abi.Kind)) {
	fdWrite := wasi("fd_write", vI32+vI32+vI32+vI32)
	random := wasi("random_get", vI32+vI32)
	poll := wasi("poll_oneoff", vI32+vI32+vI32+vI32)
	big := func(a assembly, pages byte, data string) assembly {
		a.pages, a.data = pages, data
		return a
	}
	vectors := func(n int, at, length uint32) string {
		return strings.Repeat(string(le32(at, length)), n)
	}
	write := func(count int64) []byte {
		return join(i32const(1), i32const(0), i32const(count), i32const(60<<10), call(1), drop)
	}
	add("standard output flooded", big(one(endless(write(1)), fdWrite), 1, vectors(1, 0, 4096)))
	add("standard output, 8 MiB at once", big(one(endless(write(1)), fdWrite), 200, vectors(1, 0, 8<<20)))
	add("standard output, 5,000 times 8 MiB", big(one(join(write(5000), i32const(0)), fdWrite), 200, vectors(5000, 0, 8<<20)))
	add("standard output from nowhere", big(one(join(write(-1), i32const(0)), fdWrite), 1, ""), abi.Trap)
	add("random numbers, 8 MiB at once", big(one(endless(i32const(0), i32const(8<<20), call(1), drop), random), 200, ""))
	add("clock", one(endless(i32const(0), i64const(1), i32const(8), call(1), drop), wasi("clock_time_get", vI32+vI64+vI32)))
	add("yield", one(endless(call(1), drop), wasi("sched_yield", "")))
	subscription := func(kind byte, rest ...byte) string { // see the WASI preview 1 documents, type subscription
		s := make([]byte, 48)
		s[8] = kind
		copy(s[16:], rest)
		return string(s)
	}
	clock := subscription(0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
	wait := func(n int64) []byte {
		return join(i32const(0), i32const(4<<20), i32const(n), i32const(15<<20), call(1), drop)
	}
	add("sleep for ever", big(one(join(wait(1), i32const(0)), poll), 250, clock))
	add("sleep with standard input", big(one(endless(wait(2)), poll), 250, clock+subscription(1)))
	add("80,000 subscriptions", big(one(endless(wait(80_000)), poll), 250, strings.Repeat(subscription(1), 80_000)))
	add("subscriptions beyond all numbers", big(one(join(wait(89478486), i32const(0)), poll), 250, clock), abi.Trap, abi.Internal)
	add("exit with 0", one(join(i32const(0), call(1), i32const(0)), hostImport{"wasi_snapshot_preview1", "proc_exit", vI32, ""}), abi.Trap)
	add("exit with -1", one(join(i32const(-1), call(1), i32const(0)), hostImport{"wasi_snapshot_preview1", "proc_exit", vI32, ""}), abi.Trap)
	// A random number chooses how to crash.
	end := []byte{opEnd}
	traps := one(join([]byte{opBlock, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40}, i32const(0), i32const(1), call(1), drop,
		i32const(0), []byte{0x2d, 0, 0}, i32const(3), []byte{0x71, opBrTable, 3, 0, 1, 2, 3}, end,
		[]byte{opUnreachable}, end, i32const(1), i32const(0), []byte{0x70}, drop, end, i32const(-1), []byte{0x28, 2, 0}, drop, end, call(2)), random)
	add("a random trap", traps, abi.Trap, abi.Limit)
}

func le32(values ...uint32) (out []byte) {
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	return out
}

// outputShapes give results that are none.
func outputShapes(add func(string, assembly, ...abi.Kind)) {
	output := fromExtism("output_set", vI64+vI64, "")
	said := func(text string) assembly {
		a := one(join(i32const(0), i32const(int64(len(text))), call(1), i64const(int64(len(text))), call(2), i32const(0)), memWrite, output)
		a.pages, a.data = byte(1+len(text)>>16), text
		return a
	}
	add("output of 4 MiB", said(`{"output":"`+strings.Repeat("x", 4<<20)+`"}`), abi.Limit)
	add("output nested 400,000 deep", said(`{"output":`+strings.Repeat("[", 400_000)), abi.Trap)
	add("output of 100,000 keys", said(`{"output":{`+strings.Repeat(`"k":{},`, 100_000)+`"k":1}}`), "")
	add("output that is not UTF-8", said("{\"output\":\"\xff\xfe\xc0\x80\xed\xa0\x80\"}"), "", abi.Trap)
	add("output twice", said(`{"output":1,"output":2,"fault":null}`), "", abi.Trap)
	add("output of a number without end", said(`{"output":1e999999999}`), "", abi.Trap)
	add("fault of 1 MiB", said(`{"fault":{"kind":"failed","message":"`+strings.Repeat("x", 1<<19)+`","hint":"`+strings.Repeat("\xff", 1<<18)+`"}}`), abi.Failed)
	add("fault that asks to be retried for ever", said(`{"fault":{"kind":"rate_limited","message":"x","retry_after_ms":-9223372036854775808}}`), abi.RateLimited)
	add("forged output", one(join(i64const(1<<40), i64const(1<<40), call(1), i32const(0)), output), abi.Trap)
	add("no output", one(i32const(0)), abi.Trap)
	add("a code", one(i32const(-7)), abi.Trap)
}

// askingShapes call host functions that do something, over and over.
func askingShapes(peer string) map[string]assembled {
	all := map[string]assembled{}
	api := abi.Requirement{ID: "api", Kind: "http", Reason: "siege", URL: "{settings.url}/**", Methods: map[string]abi.Effect{"GET": abi.Read}}
	keep := abi.Requirement{ID: "keep", Kind: "kv", Reason: "siege", MaxBytes: 10_000}
	ask := func(name, module, op, request string, requires ...abi.Requirement) {
		free := fromExtism("free", vI64, "")
		a := one(endless(i32const(0), i32const(int64(len(request))), call(1), []byte{opLocalTee, 0}, call(2), call(3), get(0), call(3)),
			memWrite, hostImport{module, op, vI64, vI64}, free).with("\x01\x01" + vI64)
		a.pages, a.data = byte(1+len(request)>>16), request
		all[name] = assembled{module: a, requires: requires}
	}
	ask("log flood", abi.ModuleLog, "write", `{"level":"info","message":"x"}`)
	ask("log of invalid UTF-8", abi.ModuleLog, "write", "{\"level\":\"\xff\xfe\",\"message\":\"\xc0\x80\"}")
	ask("log of JSON without bottom", abi.ModuleLog, "write", strings.Repeat("[", 60_000))
	ask("log of 3 MiB", abi.ModuleLog, "write", `{"level":"info","message":"`+strings.Repeat("x", 3<<20)+`"}`)
	ask("log of 50,000 fields", abi.ModuleLog, "write", `{"level":"info","message":"x","fields":{`+strings.Repeat(`"a":[],`, 30_000)+`"b":1}}`)
	ask("findings", abi.ModuleEmit, "finding", `{"value":"x"}`)
	ask("evidence of 2 MiB", abi.ModuleEmit, "evidence", `{"name":"x","data":"`+strings.Repeat("AAAA", 700<<10)+`"}`)
	ask("artifacts of 3 MiB", abi.ModuleEmit, "artifact", `{"kind":"ip","value":"`+strings.Repeat("x", 3<<20)+`"}`)
	ask("values kept", "riposte:kv/v1", "put", `{"key":"k","value":"`+strings.Repeat("x", 5000)+`"}`, keep)
	ask("values too large", "riposte:kv/v1", "put", `{"key":"k","value":"`+strings.Repeat("x", 2<<20)+`"}`, keep)
	ask("host calls by the thousand", "riposte:kv/v1", "get", `{"key":"k"}`, keep)
	ask("requests that are refused", "riposte:http/v1", "fetch", `{"capability":"other","method":"GET","url":"http://169.254.169.254/"}`, api)
	fetch := func(path, headers string) string {
		return `{"capability":"api","method":"GET","url":"` + peer + path + `","headers":{` + headers + `}}`
	}
	ask("header bomb", "riposte:http/v1", "fetch", fetch("/ok", strings.Repeat(`"X-A":"`+strings.Repeat("x", 60)+`",`, 20_000)+`"X-B":"y"`), api)
	for _, path := range []string{"drip", "silent", "endless", "headers", "hangup", "ok"} {
		ask("peer: "+path, "riposte:http/v1", "fetch", fetch("/"+path, ""), api)
	}
	return all
}

// hostilePeer is a server that misbehaves, each path in another way.
func hostilePeer(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte("x")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			<-tick.C
		}
	})
	zeros := make([]byte, 64<<10)
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(zeros); err != nil {
				return
			}
		}
	})
	var headers strings.Builder // made once: it is not the peer's memory that is looked at
	headers.WriteString("HTTP/1.1 200 OK\r\n")
	for n := range 20_000 {
		fmt.Fprintf(&headers, "X-%d: %s\r\n", n, strings.Repeat("x", 100))
	}
	headers.WriteString("\r\n")
	head := []byte(headers.String())
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = conn.Write(head) // the other side hangs up
		_ = conn.Close()
	})
	mux.HandleFunc("/hangup", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
