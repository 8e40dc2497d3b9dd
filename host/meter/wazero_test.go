package meter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/riposte-soar/riposte/host/meter"
)

var (
	errFuel  = errors.New("fuel used up")
	errStack = errors.New("stack used up")
)

// supply is the host's side of a metered module: how much fuel it may have, in which slices.
type supply struct {
	left, slice int64
	asked       int
}

func (s *supply) refill(ctx context.Context, fuel int64) int64 {
	s.asked++
	if err := ctx.Err(); err != nil {
		panic(err)
	}
	if s.left+fuel < 0 {
		panic(errFuel)
	}
	n := min(max(s.slice, -fuel), s.left)
	s.left -= n
	return fuel + n
}

// cache spares the tests compiling the same guest again.
var cache = wazero.NewCompilationCache()

// newRuntime returns a runtime as the host has it: no threads, no stop from outside, and the functions of the meter.
func newRuntime(t testing.TB, s *supply) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	c := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithCloseOnContextDone(false).WithMemoryLimitPages(1024).WithCompilationCache(cache)
	rt := wazero.NewRuntimeWithConfig(ctx, c)
	t.Cleanup(func() { rt.Close(ctx) })
	b := rt.NewHostModuleBuilder(meter.ImportModule)
	b.NewFunctionBuilder().WithFunc(s.refill).Export(meter.ImportRefill)
	b.NewFunctionBuilder().WithFunc(func() { panic(errStack) }).Export(meter.ImportOverflow)
	if _, err := b.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	return rt
}

func plenty() *supply { return &supply{left: 1 << 60, slice: 1 << 20} }

// instance compiles and instantiates a module; Go guests are initialised.
func instance(t testing.TB, rt wazero.Runtime, bin []byte) api.Module {
	t.Helper()
	ctx := context.Background()
	c, err := rt.CompileModule(ctx, bin)
	if err != nil {
		t.Fatal(err)
	}
	m, err := rt.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func instrument(t testing.TB, bin []byte, o meter.Options) []byte {
	t.Helper()
	out, err := meter.Instrument(bin, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var guestOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", file, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(err.Error() + ": " + string(out))
	}
	return os.ReadFile(file)
})

// guest is the Go guest of testdata/guest.
func guest(t testing.TB) []byte {
	t.Helper()
	bin, err := guestOnce()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// guestRuntime has WASI besides.
func guestRuntime(t testing.TB, s *supply) wazero.Runtime {
	t.Helper()
	rt := newRuntime(t, s)
	wasi_snapshot_preview1.MustInstantiate(context.Background(), rt)
	return rt
}

// wazeroDir is where the module cache has wazero, with the official tests of WebAssembly.
func wazeroDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Skip("NOT TESTED: the module cache has no wazero: ", err)
	}
	return strings.TrimSpace(string(out))
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// joined instantiates a module that was taken apart, as a host does.
func joined(rt wazero.Runtime, p meter.Parts, name string) (api.Module, error) {
	ctx := context.Background()
	m, err := rt.InstantiateWithConfig(ctx, p.Code, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if err != nil {
		return nil, err
	}
	for _, s := range p.Segments {
		if !m.Memory().Write(s.Offset, s.Data) {
			return nil, fmt.Errorf("a segment goes outside of the memory, to %d", s.Offset)
		}
	}
	if f := m.ExportedFunction(meter.Start); f != nil {
		if _, err := f.Call(ctx); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func call(m api.Module, fn string, args ...uint64) ([]uint64, error) {
	return m.ExportedFunction(fn).Call(context.Background(), args...)
}
