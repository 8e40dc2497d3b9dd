package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/host/snapshot"
)

// guest is the Go guest of the meter's tests.
var guest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", file, "../meter/testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(err.Error() + ": " + string(out))
	}
	return os.ReadFile(file)
})

func goGuest(t testing.TB) []byte {
	t.Helper()
	bin, err := guest()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// prepared is made once, it takes seconds.
var prepared = sync.OnceValues(func() (*snapshot.Prepared, error) {
	bin, err := guest()
	if err != nil {
		return nil, err
	}
	return snapshot.Prepare(context.Background(), bin, snapshot.Options{})
})

func goPrepared(t testing.TB) *snapshot.Prepared {
	t.Helper()
	p, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	if !p.Resettable {
		t.Fatal("not resettable: ", p.Why)
	}
	return p
}

// cache spares the tests compiling the same guest again.
var cache = wazero.NewCompilationCache()

// house is a host for prepared modules: WASI with nothing in it, and fuel.
type house struct {
	rt   wazero.Runtime
	tank *meter.Tank
}

func newHouse(t testing.TB) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{rt: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(1024).WithCompilationCache(cache)), tank: &meter.Tank{Limit: 1 << 50}}
	t.Cleanup(func() { h.rt.Close(ctx) })
	b := h.rt.NewHostModuleBuilder(meter.ImportModule)
	b.NewFunctionBuilder().WithFunc(func(ctx context.Context, fuel int64) int64 {
		fuel, err := h.tank.Refill(ctx, fuel)
		if err != nil {
			panic(err)
		}
		return fuel
	}).Export(meter.ImportRefill)
	b.NewFunctionBuilder().WithFunc(func() { panic(meter.ErrStack) }).Export(meter.ImportOverflow)
	if _, err := b.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	wasi_snapshot_preview1.MustInstantiate(ctx, h.rt)
	return h
}

func (h *house) compile(t testing.TB, bin []byte) wazero.CompiledModule {
	t.Helper()
	c, err := h.rt.CompileModule(context.Background(), bin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// zeros is a source of random numbers without state.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (h *house) instance(t testing.TB, c wazero.CompiledModule) api.Module {
	t.Helper()
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").WithRandSource(zeros{}).
		WithWalltime(func() (int64, int32) { return 1_800_000_000, 0 }, 1000).WithNanotime(func() int64 { return 1 }, 1000)
	m, err := h.rt.InstantiateModule(context.Background(), c, config)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func call(t testing.TB, m api.Module, fn string, args ...uint64) uint64 {
	t.Helper()
	r, err := m.ExportedFunction(fn).Call(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	if len(r) == 0 {
		return 0
	}
	return r[0]
}

// stateOf reads memory and mutable globals of an instance.
func stateOf(t testing.TB, p *snapshot.Prepared, m api.Module) ([]byte, []uint64) {
	t.Helper()
	info, err := meter.Inspect(p.Module)
	if err != nil {
		t.Fatal(err)
	}
	var globals []uint64
	for _, i := range info.Globals {
		globals = append(globals, m.ExportedGlobal(meter.GlobalName(i)).Get())
	}
	globals = append(globals, m.ExportedGlobal(meter.GlobalFuel).Get(), m.ExportedGlobal(meter.GlobalStack).Get())
	if reflect.ValueOf(m.Memory()).IsNil() {
		return nil, globals
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return bytes.Clone(b), globals
}

func TestPrepareIsDeterministic(t *testing.T) {
	a := goPrepared(t)
	b, err := snapshot.Prepare(context.Background(), goGuest(t), snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Module, b.Module) {
		t.Error("two preparations of the same module differ")
	}
	t.Logf("module %d bytes, prepared %d bytes", len(goGuest(t)), len(a.Module))
}

// TestWarm: what a warming call did is part of the state; one that fails leaves no trace.
func TestWarm(t *testing.T) {
	warm, err := snapshot.Prepare(context.Background(), goGuest(t), snapshot.Options{Warm: []string{"warm"}})
	if err != nil || !warm.Resettable {
		t.Fatal(err, warm)
	}
	h := newHouse(t)
	if got := call(t, h.instance(t, h.compile(t, warm.Module)), "warmed"); got != 1 {
		t.Errorf("the guest was warmed %d times, not once", got)
	}
	failed, err := snapshot.Prepare(context.Background(), goGuest(t), snapshot.Options{Warm: []string{"warm", "fail"}})
	if err != nil || !bytes.Equal(failed.Module, goPrepared(t).Module) {
		t.Errorf("a warming call that failed left something behind: %v", err)
	}
}

// TestReset runs a guest with state in globals, heap and goroutines 2,000 times.
func TestReset(t *testing.T) {
	p := goPrepared(t)
	h := newHouse(t)
	c := h.compile(t, p.Module)
	fresh := h.instance(t, c)
	memory, globals := stateOf(t, p, fresh)
	want := call(t, fresh, "state", 7)
	if again := call(t, fresh, "state", 7); again == want {
		t.Fatal("the guest has no state, the test shows nothing")
	}
	used := h.instance(t, c)
	for i := range 2000 {
		*h.tank = meter.Tank{Limit: 1 << 40}
		if got := call(t, used, "state", 7); got != want {
			t.Fatalf("call %d: %x, a fresh instance gave %x", i, got, want)
		}
		if i%3 == 0 {
			call(t, used, "work", 3)
		}
		if err := p.Reset(used); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			m, g := stateOf(t, p, used)
			if !bytes.Equal(m, memory) || !reflect.DeepEqual(g, globals) {
				t.Fatalf("call %d: state after the reset differs from that of a new instance", i)
			}
		}
	}
}

// TestFuelAfterReset: the same call costs the same in a new and in a reset instance, whatever the slices.
func TestFuelAfterReset(t *testing.T) {
	p := goPrepared(t)
	h := newHouse(t)
	c := h.compile(t, p.Module)
	inst := h.instance(t, c)
	var want int64
	for i := range 20 {
		*h.tank = meter.Tank{Limit: 1 << 40}
		call(t, inst, "work", 5)
		used := h.tank.Used(int64(inst.ExportedGlobal(meter.GlobalFuel).Get()))
		if i == 0 {
			want = used
		}
		if used != want || used <= 0 {
			t.Fatalf("call %d used %d, the first %d", i, used, want)
		}
		if err := p.Reset(inst); err != nil {
			t.Fatal(err)
		}
	}
}

// TestResetAfterTrap: an instance is as good as new after a trap, after it ran out of fuel, and after it overflowed its stack.
func TestResetAfterTrap(t *testing.T) {
	p := goPrepared(t)
	h := newHouse(t)
	c := h.compile(t, p.Module)
	want := call(t, h.instance(t, c), "state", 7)
	for _, tc := range []struct {
		fn   string
		args []uint64
		fuel int64
		err  error
	}{
		{"spin", nil, 10_000_000, meter.ErrFuel},
		{"work", []uint64{1000}, 1_000_000, meter.ErrFuel},
	} {
		inst := h.instance(t, c)
		*h.tank = meter.Tank{Limit: tc.fuel}
		_, err := inst.ExportedFunction(tc.fn).Call(context.Background(), tc.args...)
		if !errors.Is(err, tc.err) {
			t.Fatalf("%s: %v, %v is expected", tc.fn, err, tc.err)
		}
		if err := p.Reset(inst); err != nil {
			t.Fatal(err)
		}
		*h.tank = meter.Tank{Limit: 1 << 40}
		if got := call(t, inst, "state", 7); got != want {
			t.Errorf("after %s: %x, a fresh instance gave %x", tc.fn, got, want)
		}
	}
}

func TestResetRefusesGrownAndClosed(t *testing.T) {
	p := goPrepared(t)
	h := newHouse(t)
	inst := h.instance(t, h.compile(t, p.Module))
	call(t, inst, "hold", 8<<10)
	if err := p.Reset(inst); !errors.Is(err, snapshot.ErrGrown) {
		t.Errorf("after growth: %v", err)
	}
	inst.Close(context.Background())
	if err := p.Reset(inst); !errors.Is(err, snapshot.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// TestPrepareKeepsWhatItCannotReset: such modules come back metered, with the reason.
func TestPrepareKeepsWhatItCannotReset(t *testing.T) {
	header := "\x00asm\x01\x00\x00\x00"
	tableSet := header + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x04\x04\x01\x70\x00\x02" + "\x07\x05\x01\x01f\x00\x00" +
		"\x0a\x0a\x01\x08\x00\x41\x00\xd0\x70\x26\x00\x0b"
	callsHost := header + "\x01\x04\x01\x60\x00\x00" + "\x02\x09\x01\x03env\x01x\x00\x00" + "\x03\x02\x01\x00" +
		"\x07\x0f\x01\x0b_initialize\x00\x01" + "\x0a\x06\x01\x04\x00\x10\x00\x0b"
	for why, bin := range map[string]string{"changes tables": tableSet, "calls the host: env.x": callsHost} {
		p, err := snapshot.Prepare(context.Background(), []byte(bin), snapshot.Options{})
		if err != nil {
			t.Fatal(why, err)
		}
		if p.Resettable || !strings.Contains(p.Why, why) {
			t.Errorf("resettable %v, why %q; %q is expected", p.Resettable, p.Why, why)
		}
		newHouse(t).compile(t, p.Module)
		if err := p.Reset(nil); err == nil {
			t.Error("reset of a module that cannot be reset")
		}
	}
}

func TestPrepareHeedsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := snapshot.Prepare(ctx, goGuest(t), snapshot.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
