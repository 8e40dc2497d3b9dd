package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/host/strict"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// engine is the WebAssembly runtime with the host modules that guests import. Which guest calls is known by the context of the call.
type engine struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	memory  int64
	doors   []string // the modules that guests can import from
	reader  strict.Reader
	copies  bool // instances have ordinary memory, as on systems that cannot map an image
}

func newEngine(o Options) (*engine, error) {
	cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("host: cache: %w", err)
	}
	ctx := context.Background()
	config := wazero.NewRuntimeConfig()
	if o.Interpret {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	config = config.WithCompilationCache(cache) // limitedMemory limits the memory, and knows that it did
	e := &engine{runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache, memory: o.Memory, copies: o.copies}
	if err := e.instantiateDoors(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("host: %w", err), e.close())
	}
	return e, nil
}

func (e *engine) close() error {
	ctx := context.Background()
	return errors.Join(e.runtime.Close(ctx), e.cache.Close(ctx))
}

// EngineVersion names everything that a prepared module depends on beside the package. The same input takes the same fuel under the same version.
func EngineVersion() string { return engineVersion() }

var engineVersion = sync.OnceValue(func() string { // every tape begins with it
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/tetratelabs/wazero" {
				version = module.Version
			}
		}
	}
	return "images-" + version + "-" + strings.ReplaceAll(meter.Version, "/", "-")
})

// function is the body of a host function: the parameters are on the stack, and results go there.
type function func(ctx context.Context, g *guest, caller api.Module, stack []uint64)

// The types of host functions.
const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// types lists value types.
func types(t ...api.ValueType) []api.ValueType { return t }

// door builds one host module.
type door struct{ builder wazero.HostModuleBuilder }

func (d door) export(name string, params, results []api.ValueType, f function) {
	d.builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, caller api.Module, stack []uint64) {
		g, ok := ctx.Value(guestKey{}).(*guest)
		if !ok {
			panic(abi.NewFault(abi.Internal, "a host function was called outside of an invocation", ""))
		}
		heed(ctx)
		f(ctx, g, caller, stack)
	}), params, results).Export(name)
}

func (e *engine) instantiateDoors(ctx context.Context) error {
	guarded := experimental.WithFunctionListenerFactory(ctx, experimental.FunctionListenerFactoryFunc(guard))
	if _, err := wasi_snapshot_preview1.Instantiate(guarded, e.runtime); err != nil {
		return err
	}
	e.doors = []string{wasi_snapshot_preview1.ModuleName}
	doors := map[string]func(door){abi.ModuleExtism: extismDoor, abi.ModuleMem: memoryDoor, meter.ImportModule: meterDoor}
	for module, names := range abi.Functions() {
		doors[module] = func(d door) {
			kind, _, _ := strings.Cut(strings.TrimPrefix(module, "riposte:"), "/")
			for _, name := range names {
				d.export(name, types(i64), types(i64), hostFunction(kind+"."+name))
			}
		}
	}
	for module, define := range doors {
		builder := e.runtime.NewHostModuleBuilder(module)
		define(door{builder})
		if _, err := builder.Instantiate(ctx); err != nil {
			return err
		}
		e.doors = append(e.doors, module)
	}
	return nil
}

// hostFunction answers fn: the handle of a request in, that of a reply out.
func hostFunction(fn string) function {
	return func(ctx context.Context, g *guest, _ api.Module, stack []uint64) {
		g.mayCall(fn)
		request, ok := g.blocks.get(stack[0])
		if !ok {
			g.stop(abi.Trap, fn+": the handle of the request is not that of a block")
		}
		stack[0] = g.give(g.calls.Call(ctx, fn, request)) // a copy: the reply is on the tape too, and a guest may write to its blocks
	}
}

// memoryOf gives the memory of a module, or nil: what the engine gives for none is not nil, but an interface to nothing.
func memoryOf(m api.Module) api.Memory {
	if memory := m.Memory(); !reflect.ValueOf(memory).IsNil() {
		return memory
	}
	return nil
}

// memoryDoor moves whole blocks between the guest's memory and ours.
func memoryDoor(d door) {
	d.export("read", types(i64, i32), nil, func(_ context.Context, g *guest, caller api.Module, stack []uint64) {
		data, ok := g.blocks.get(stack[0])
		if !ok {
			return
		}
		if memory := memoryOf(caller); memory == nil || !memory.Write(uint32(stack[1]), data) {
			g.stop(abi.Trap, "a block was read to a place outside of the memory")
		}
	})
	d.export("write", types(i32, i32), types(i64), func(_ context.Context, g *guest, caller api.Module, stack []uint64) {
		memory := memoryOf(caller)
		if memory == nil {
			g.stop(abi.Trap, "the module has no memory to write from")
		}
		data, ok := memory.Read(uint32(stack[0]), uint32(stack[1]))
		if !ok {
			g.stop(abi.Trap, "a block was written from a place outside of the memory")
		}
		stack[0] = g.blocks.put(data)
	})
}
