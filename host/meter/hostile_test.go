package meter_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/meter"
)

// builder writes modules by hand, one function type after the other.
type builder struct {
	types, funcs, exports, code, extra string
	n                                  int
}

// add appends a function; typ is "params:results" in value types, body lacks the end.
func (b *builder) add(name, typ, locals, body string) {
	params, results, _ := strings.Cut(typ, ":")
	b.types += "\x60" + vec(params) + vec(results)
	b.funcs += leb(b.n)
	if name != "" {
		b.exports += vec(name) + "\x00" + leb(b.n)
	}
	b.code += vec(locals + body + "\x0b")
	b.n++
}

// module puts the parts together; table and memory are whole entries or empty.
func (b *builder) module(table, memory string) []byte {
	sec := func(id byte, n int, entries string) string {
		if n == 0 {
			return ""
		}
		return string(id) + vec(leb(n)+entries)
	}
	return []byte("\x00asm\x01\x00\x00\x00" + sec(1, b.n, b.types) + sec(3, b.n, b.funcs) + sec(4, min(1, len(table)), table) +
		sec(5, min(1, len(memory)), memory) + sec(7, b.n, b.exports) + b.extra + sec(10, b.n, b.code))
}

func leb(n int) string {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return string(append(b, byte(n)))
}

func vec(s string) string { return leb(len(s)) + s }

const i32, i64, f32, v128 = "\x7f", "\x7e", "\x7d", "\x7b"

// slow are functions of which n parts take more than n times as long to compile.
var slow = map[string]func(n int) (locals, body string){
	"blocks": func(n int) (string, string) { return "\x00", strings.Repeat("\x02\x40", n) + strings.Repeat("\x0b", n) },
	"loops":  func(n int) (string, string) { return "\x00", strings.Repeat("\x03\x40", n) + strings.Repeat("\x0b", n) },
	"loops with exits": func(n int) (string, string) {
		return i32Locals(1), strings.Repeat("\x03\x40", n) + strings.Repeat("\x20\x00\x0d\x00\x0b", n)
	},
	"branches": func(n int) (string, string) { return i32Locals(1), strings.Repeat("\x02\x40\x20\x00\x0d\x00\x0b", n) },
	"ifs": func(n int) (string, string) {
		return i32Locals(1), strings.Repeat("\x20\x00\x04\x40", n) + strings.Repeat("\x0b", n)
	},
	"locals set in ifs": func(n int) (string, string) {
		var b strings.Builder
		for i := range n {
			b.WriteString("\x20\x00\x04\x40\x41\x01\x21" + leb(i) + "\x0b")
		}
		for i := range n {
			b.WriteString("\x20" + leb(i) + "\x1a")
		}
		return i32Locals(n), b.String()
	},
	"locals counted in loops": func(n int) (string, string) {
		var b strings.Builder
		for i := range n {
			b.WriteString("\x03\x40\x20" + leb(i) + "\x41\x01\x6a\x21" + leb(i) + "\x20\x00\x0d\x00\x0b")
		}
		return i32Locals(n), b.String()
	},
}

func i32Locals(n int) string { return "\x01" + leb(n) + i32 }

// TestWorkIsBounded finds where each slow shape is refused: beyond what compilers make, by an error that says what and where.
func TestWorkIsBounded(t *testing.T) {
	for name, shape := range slow {
		most := 0
		for n := 1 << 8; n <= 1<<18; n *= 2 {
			locals, body := shape(n)
			_, err := meter.Instrument(one(body, locals, "", ""), meter.Options{Limits: meter.Limits{Locals: 1 << 20}})
			if err == nil {
				most = n
				continue
			}
			var refused *meter.Error
			if !errors.As(err, &refused) || refused.Section != "code" || refused.Offset == 0 || refused.Hint == "" || !strings.Contains(refused.Problem, "function 0 would take too long to compile") {
				t.Errorf("%s: %v", name, err)
			}
			break
		}
		if most < 512 || most > 1<<14 {
			t.Errorf("%s: %d are taken", name, most)
		}
	}
	b := &builder{}
	locals, body := slow["branches"](5000)
	for n := range 12 {
		b.add("f"+leb(n), ":", locals, body)
	}
	if _, err := meter.Instrument(b.module("", ""), meter.Options{}); err == nil || !strings.Contains(err.Error(), "the module would take too long") {
		t.Errorf("twelve functions that are slow to compile: %v", err)
	}
}

// tree is functions of which each calls the next one twice, and has something behind that: 2 to the power of the depth calls without a recursion.
func tree(depth int, behind string) []byte {
	b := &builder{}
	for i := range depth {
		b.add("f"+leb(i), ":", "\x00", "\x10"+leb(i+1)+"\x10"+leb(i+1)+behind)
	}
	b.add("leaf", ":", "\x00", "")
	return b.module("", "")
}

func one(body, locals, table, memory string) []byte {
	b := &builder{}
	b.add("f\x00", ":", locals, body)
	return b.module(table, memory)
}

// hostile modules; "f\x00" is what is called.
var hostile = map[string]struct {
	bin  []byte
	stop error // what ends it before the deadline, if anything does
}{
	"endless loop":           {bin: one("\x03\x40\x0c\x00\x0b", "\x00", "", "")},
	"endless loop of blocks": {bin: one("\x03\x40\x02\x40\x41\x00\x0e\x01\x00\x01\x0b\x0c\x00\x0b", "\x00", "", "")},
	"tree of calls":          {bin: tree(60, "")},
	"tree before loops":      {bin: tree(60, "\x03\x40\x10\x3c\x0b")},     // loop, call of the leaf, end
	"tree without its loops": {bin: tree(60, "\x0f\x03\x40\x10\x3c\x0b")}, // return before it
	"recursion before loops": {bin: one("\x10\x00\x03\x40\x10\x00\x0c\x00\x0b", "\x00", "", ""), stop: errStack},
	"recursion":              {bin: one("\x10\x00", "\x00", "", ""), stop: errStack},
	"recursion with locals":  {bin: one("\x10\x00", "\x01\xe8\x07\x7e", "", ""), stop: errStack},
	"memory.fill": {bin: one("\x03\x40\x41\x00\x41\x01\x41\x80\x80\x80\x20\xfc\x0b\x00\x0c\x00\x0b", "\x00", "",
		"\x00\x80\x08")},
	"memory.copy": {bin: one("\x03\x40\x41\x01\x41\x00\x41\xff\xff\xff\x1f\xfc\x0a\x00\x00\x0c\x00\x0b", "\x00", "",
		"\x00\x80\x08")},
	"table.grow":  {bin: one("\x03\x40\xd0\x70\x41\x80\x80\xc0\x00\xfc\x0f\x00\x1a\x0c\x00\x0b", "\x00", "\x70\x00\x00", "")},
	"table.fill":  {bin: one("\x03\x40\x41\x00\xd0\x70\x41\x80\x80\x10\xfc\x11\x00\x0c\x00\x0b", "\x00", "\x70\x00\x80\x80\x10", "")},
	"memory.grow": {bin: one("\x03\x40\x41\x01\x40\x00\x1a\x0c\x00\x0b", "\x00", "", "\x00\x01")},
}

// TestHostile runs each module with more fuel than it can spend, and expects the deadline to end it, while garbage is collected again
// and again. Without the meter the first one would block the collector for good.
func TestHostile(t *testing.T) {
	for name, tc := range hostile {
		t.Run(name, func(t *testing.T) {
			s := &supply{left: 1 << 60, slice: 1 << 20}
			m := instance(t, newRuntime(t, s), instrument(t, tc.bin, meter.Options{}))
			ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
			defer cancel()
			longest := watchCollector(t)
			start := time.Now()
			_, err := m.ExportedFunction("f\x00").Call(ctx)
			took, pause := time.Since(start), longest()
			want := tc.stop
			if want == nil {
				want = context.DeadlineExceeded
			}
			if !errors.Is(err, want) {
				t.Errorf("ended with %q, %q is expected", firstLine(err), want)
			}
			t.Logf("ended after %v, asked for fuel %d times, longest collection %v", took, s.asked, pause)
		})
	}
}

// watchCollector collects garbage over and over until the returned function is called, which gives the longest time it took.
func watchCollector(t *testing.T) func() time.Duration {
	t.Helper()
	var stop atomic.Bool
	var longest time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			start := time.Now()
			runtime.GC()
			longest = max(longest, time.Since(start))
		}
	}()
	return func() time.Duration {
		stop.Store(true)
		<-done
		return longest
	}
}

// TestFuelEnds: without a deadline the same modules end when their fuel does, at the same point whatever the slices.
func TestFuelEnds(t *testing.T) {
	for name, tc := range hostile {
		t.Run(name, func(t *testing.T) {
			out := instrument(t, tc.bin, meter.Options{})
			var used []int64
			for _, slice := range []int64{1000, 12_345, 1 << 40} {
				supply := &supply{left: 3_000_000, slice: slice}
				m := instance(t, newRuntime(t, supply), out)
				_, err := call(m, "f\x00")
				want := tc.stop
				if want == nil {
					want = errFuel
				}
				if !errors.Is(err, want) {
					t.Fatalf("slices of %d: ended with %q, %q is expected", slice, firstLine(err), want)
				}
				used = append(used, 3_000_000-supply.left-int64(m.ExportedGlobal(meter.GlobalFuel).Get()))
			}
			if used[0] != used[1] || used[0] != used[2] {
				t.Errorf("fuel spent depends on the slices: %d", used)
			}
		})
	}
}

// TestTables: tables are refused or capped by what they may hold.
func TestTables(t *testing.T) {
	big := one("", "\x00", "\x70\x00\xff\xff\xff\x3f", "")
	var e *meter.Error
	if _, err := meter.Instrument(big, meter.Options{}); !errors.As(err, &e) || e.Section != "table" {
		t.Errorf("table of 134 million elements: %v", err)
	}
	b := &builder{}
	b.add("grow", i32+":"+i32, "\x00", "\xd0\x70\x20\x00\xfc\x0f\x00")
	m := instance(t, newRuntime(t, plenty()), instrument(t, b.module("\x70\x00\x00", ""), meter.Options{Limits: meter.Limits{TableGrown: 1000}}))
	for _, tc := range []struct{ by, want uint64 }{{1000, 0}, {1, 1<<32 - 1}, {0, 1000}} {
		if r, err := call(m, "grow", tc.by); err != nil || r[0] != tc.want {
			t.Errorf("grow by %d: %v %v, %d is expected", tc.by, r, err, tc.want)
		}
	}
}

// TestStackIsWoundBack: the counter is where it was after calls that return in every way.
func TestStackIsWoundBack(t *testing.T) {
	m := instance(t, guestRuntime(t, plenty()), instrument(t, guest(t), meter.Options{}))
	for _, fn := range []string{"work", "state", "recurse"} {
		if _, err := call(m, fn, 100); err != nil {
			t.Fatal(fn, err)
		}
		if got := m.ExportedGlobal(meter.GlobalStack).Get(); got != meter.DefaultStack {
			t.Errorf("after %s: %d bytes of stack left of %d", fn, got, meter.DefaultStack)
		}
	}
}

// TestNames: a trap names the functions of the module, and those that were injected.
func TestNames(t *testing.T) {
	m := instance(t, guestRuntime(t, plenty()), instrument(t, guest(t), meter.Options{}))
	_, err := call(m, "fail")
	if err == nil || !strings.Contains(err.Error(), "main.fail") {
		t.Errorf("the trace of a panic does not name main.fail: %v", err)
	}
	bin := one("\x41\x7f\x41\x00\x41\x08\xfc\x0b\x00", "\x00", "", "\x00\x01")
	m = instance(t, newRuntime(t, plenty()), instrument(t, bin, meter.Options{}))
	if _, err := call(m, "f\x00"); err == nil || !strings.Contains(err.Error(), meter.ImportModule+".memory.fill") {
		t.Errorf("the trace does not name the injected function: %v", err)
	}
}

// TestReserved: a module that already talks to the meter is refused.
func TestReserved(t *testing.T) {
	out := instrument(t, one("", "\x00", "", ""), meter.Options{})
	var e *meter.Error
	if _, err := meter.Instrument(out, meter.Options{}); !errors.As(err, &e) || e.Section != "import" {
		t.Errorf("instrumented twice: %v", err)
	}
	b := &builder{}
	b.add(meter.GlobalFuel, ":", "\x00", "")
	if _, err := meter.Instrument(b.module("", ""), meter.Options{}); !errors.As(err, &e) || e.Section != "export" {
		t.Errorf("module with a reserved export: %v", err)
	}
	component := []byte("\x00asm\x0d\x00\x01\x00")
	if _, err := meter.Instrument(component, meter.Options{}); !errors.As(err, &e) || !strings.Contains(e.Hint, "wasm32-wasip1") {
		t.Errorf("component: %v", err)
	}
}

// TestGoGuest: a Go guest computes the same before and after, and costs the same fuel in every run.
func TestGoGuest(t *testing.T) {
	plain, metered := instance(t, guestRuntime(t, plenty()), guest(t)), instrument(t, guest(t), meter.Options{})
	var fuel []int64
	for _, slice := range []int64{50_000, 1 << 21, 1 << 40} {
		s := &supply{left: 1 << 50, slice: slice}
		m := instance(t, guestRuntime(t, s), metered)
		want, _ := call(plain, "work", 20)
		if got, err := call(m, "work", 20); err != nil || got[0] != want[0] {
			t.Errorf("%x %v, the original gave %x", got, err, want)
		}
		fuel = append(fuel, 1<<50-s.left-int64(m.ExportedGlobal(meter.GlobalFuel).Get()))
	}
	if fuel[0] != fuel[1] || fuel[0] != fuel[2] {
		t.Errorf("fuel depends on the slices: %d", fuel)
	}
}

// TestSplit: overlapping segments, the later one wins; a start function; and what must stay as it is.
func TestSplit(t *testing.T) {
	seg := func(at int, data string) string { return "\x00\x41" + leb(at) + "\x0b" + vec(data) }
	with := func(body, extra string, n int, segments string) []byte {
		b := &builder{extra: extra}
		b.add("f\x00", ":", "\x00", body)
		bin := b.module("", "\x00\x01")
		return append(bin, "\x0b"+vec(leb(n)+segments)...)
	}
	split := func(bin []byte) meter.Parts {
		p, err := meter.Split(bin)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	data := seg(8, "aaaa") + seg(10, "bbbb") + seg(9, "c") + seg(20, "dd") + seg(60, "e")
	for name, bin := range map[string][]byte{
		"no start": with("", "", 5, data),
		"start":    with("\x41\x0b\x41\x2a\x3a\x00\x00", "\x08\x01\x00", 5, data), // writes a * behind the c
	} {
		p := split(bin)
		if p.Obstacle != "" || len(p.Segments) != 5 || strings.Contains(string(p.Code), "bbbb") {
			t.Errorf("%s: %d segments, obstacle %q", name, len(p.Segments), p.Obstacle)
		}
		a := instance(t, newRuntime(t, plenty()), bin)
		b, err := joined(newRuntime(t, plenty()), p, "")
		if err != nil || string(memory(a)) != string(memory(b)) || !strings.Contains(string(memory(b)), "acb") {
			t.Errorf("%s: memory differs: %q %q %v", name, memory(a)[:64], memory(b)[:64], err)
		}
	}
	for name, bin := range map[string][]byte{
		"outside": with("", "", 2, seg(8, "aaaa")+"\x00\x41\x7f\x0b\x01x"),
		"passive": with("", "", 2, seg(8, "aaaa")+"\x01\x01x"),
	} {
		if p := split(bin); p.Obstacle == "" || string(p.Code) != string(bin) {
			t.Errorf("%s: it was taken apart", name)
		}
	}
	one, two := split(with("", "", 1, seg(8, "one"))), split(append(with("", "", 1, seg(9, "two")), "\x00\x04\x01xyz"...))
	if string(one.Code) != string(two.Code) {
		t.Error("modules that differ in their data and in a custom section differ in their code")
	}
	metered := instrument(t, guest(t), meter.Options{ExportGlobals: true})
	a := instance(t, guestRuntime(t, plenty()), metered)
	b, err := joined(guestRuntime(t, plenty()), split(metered), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(b, "_initialize"); err != nil || string(memory(a)) != string(memory(b)) {
		t.Errorf("memory of the Go guest differs after it was taken apart: %v", err)
	}
}
