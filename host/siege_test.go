package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// endless repeats code that leaves nothing on the stack.
func endless(code ...[]byte) []byte {
	return join([]byte{opLoop, 0x40}, join(code...), []byte{opBr, 0, opEnd, opI32Const, 0})
}

// hostileModules are modules written by hand; the action to call is "act".
func hostileModules() map[string]assembly {
	mem := hostImport{abi.ModuleMem, "read", vI64 + vI32, ""}
	write := hostImport{abi.ModuleMem, "write", vI32 + vI32, vI64}
	log := hostImport{abi.ModuleLog, "write", vI64, vI64}
	alloc := hostImport{abi.ModuleExtism, "alloc", vI64, vI64}
	store := hostImport{abi.ModuleExtism, "store_u8", vI64 + vI32, ""}
	drop := []byte{opDrop}
	one := func(code []byte, imports ...hostImport) assembly {
		return assembly{imports: append([]hostImport{mem}, imports...), actions: []action{{"act", code}}}
	}
	// Each function calls the one before twice: two to the power of forty calls, without a loop or a recursion.
	tree := assembly{imports: []hostImport{mem}, actions: []action{{"leaf", i32const(0)}}}
	for n := range byte(40) {
		name := fmt.Sprintf("level-%d", n)
		if n == 39 {
			name = "act"
		}
		tree.actions = append(tree.actions, action{name, join(call(1+n), drop, call(1+n))})
	}
	deep := one(join(i32const(0), i32const(4000), call(1), call(2), drop, i32const(0)), write, log)
	for range 4000 {
		deep.data += "["
	}
	return map[string]assembly{
		"tight loop":          one(endless()),
		"tree of calls":       tree,
		"recursion":           one(call(1)),
		"memory.grow":         one(endless(i32const(1), []byte{0x40, 0}, drop)),
		"memory.fill":         one(endless(i32const(0), i32const(1), i32const(65536), []byte{0xfc, 0x0b, 0})),
		"trap":                one([]byte{opUnreachable}),
		"host calls":          one(endless(i64const(0), call(1), drop), log),
		"forged handles":      one(endless(i64const(1<<40), i32const(0), call(0))),
		"blocks without end":  one(endless(i64const(1<<20), call(1), drop), alloc),
		"small blocks":        one(endless(i64const(1), call(1), drop), alloc),
		"stores to nowhere":   one(endless(i64const(-1), i32const(1), call(1)), store),
		"write from nowhere":  one(join(i32const(-1), i32const(-1), call(1), drop, i32const(0)), write),
		"JSON without bottom": deep,
		"log flood":           {imports: []hostImport{write, log}, data: `{"level":"info","message":"x"}`, actions: []action{{"act", endless(i32const(0), i32const(30), call(0), call(1), drop)}}},
		"invalid UTF-8": {imports: []hostImport{write, log}, data: "{\"level\":\"\xff\xfe\",\"message\":\"\xc0\x80\"}", actions: []action{
			{"act", endless(i32const(0), i32const(33), call(0), call(1), drop)}}},
	}
}

// TestHostileGuestsBesideRealWork lets each hostile guest run several times while another plugin is at work. Each must end with a fault by its
// own deadline, the other must be served rightly all the time, and nothing may stay behind. That no goroutine does is seen when the tests end.
func TestHostileGuestsBesideRealWork(t *testing.T) {
	const deadline = 100 * time.Millisecond
	h := newHost(t, host.Options{Memory: 16 << 20})
	trial := install(t, h, built["trial"])
	type shape struct {
		name string
		in   host.Invocation
	}
	var shapes []shape
	for name, a := range hostileModules() {
		shapes = append(shapes, shape{name, host.Invocation{Bundle: install(t, h, a.pack(t)), Action: "act", Timeout: deadline}})
	}
	for _, action := range []string{"loop", "crash", "exit", "recurse", "devour", "flood", "chatter", "shout", "doze", "lie"} {
		shapes = append(shapes, shape{"Go: " + action, host.Invocation{Bundle: trial, Action: action, Timeout: deadline}})
	}
	slices.SortFunc(shapes, func(a, b shape) int { return len(a.name) - len(b.name) })
	for _, giant := range []assembly{{actions: []action{{"act", i32const(0)}}, table: 1 << 28}, {actions: []action{{"act", i32const(0)}}, table: 1 << 31}} {
		b, err := bundle.Open(giant.pack(t))
		if err == nil {
			err = h.Install(t.Context(), b)
		}
		if err == nil {
			t.Errorf("a table of %d elements was taken", giant.table)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	var took []time.Duration
	served := make(chan struct{})
	go func() {
		defer close(served)
		for n := 0; ctx.Err() == nil; n++ {
			document := fmt.Sprintf(`{"n":%d}`, n)
			began := time.Now()
			out, err := h.Run(context.Background(), host.Invocation{ID: "work", Key: "work", Bundle: trial, Action: "echo", Parameters: json.RawMessage(document)})
			took = append(took, time.Since(began))
			if err != nil || out.Fault != nil || string(out.Output) != document {
				t.Errorf("the work beside gave %v %v %s", err, out.Fault, out.Output)
				return
			}
		}
	}()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for _, s := range shapes {
		var longest time.Duration
		for range 3 {
			began := time.Now()
			out := mustRun(t, h, s.in)
			longest = max(longest, time.Since(began))
			if out.Fault == nil && s.name != "Go: chatter" && s.name != "JSON without bottom" {
				t.Errorf("%s gave %s", s.name, out.Output)
			}
			if out.Stats.Memory > 16<<20 {
				t.Errorf("%s had %d bytes", s.name, out.Stats.Memory)
			}
		}
		t.Logf("%-22s ended after %v at the latest", s.name, longest.Round(time.Millisecond))
	}
	stop()
	<-served
	slices.Sort(took)
	t.Logf("%d calls beside: median %v, p99 %v", len(took), took[len(took)/2], took[len(took)*99/100])
	if after := heap(); after > before+(32<<20) {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, after>>20)
	}
}
