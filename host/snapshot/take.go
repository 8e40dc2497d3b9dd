package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/riposte-soar/riposte/host/meter"
)

// epoch is the time that a guest sees while it initialises: 2025-01-01T00:00:00Z.
const epoch = 1_735_689_600

// take runs the module up to the end of its initialisation and returns the state. It interprets: compiling would take several times
// as long as the initialisation of any guest, and the state does not depend on the processor.
func take(ctx context.Context, module []byte, globals []int, o Options) (meter.State, error) {
	c := wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(o.MemoryPages).WithDebugInfoEnabled(false)
	rt := wazero.NewRuntimeWithConfig(ctx, c)
	defer rt.Close(context.WithoutCancel(ctx))
	compiled, err := rt.CompileModule(ctx, module)
	if err != nil {
		return meter.State{}, fmt.Errorf("compile: %w", err)
	}
	tank := &meter.Tank{Limit: o.Fuel}
	if err := stubs(ctx, rt, compiled, tank); err != nil {
		return meter.State{}, fmt.Errorf("stand in for the host: %w", err)
	}
	in := initialiser{rt: rt, module: compiled, tank: tank, fuel: o.Fuel, globals: globals}
	state, err := in.run(ctx, o.Warm)
	if err != nil && len(o.Warm) > 0 && ctx.Err() == nil {
		state, err = in.run(ctx, nil)
	}
	return state, err
}

// initialiser runs the initialisation of one module.
type initialiser struct {
	rt      wazero.Runtime
	module  wazero.CompiledModule
	tank    *meter.Tank
	fuel    int64
	globals []int
}

func (in *initialiser) run(ctx context.Context, warm []string) (meter.State, error) {
	*in.tank = meter.Tank{Limit: in.fuel}
	random := rand.NewChaCha8([32]byte([]byte("riposte: fixed initialisation...")))
	clock := int64(0)
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(random).
		WithWalltime(func() (int64, int32) { clock += 1000; return epoch + clock/1e9, int32(clock % 1e9) }, sys.ClockResolution(1000)).
		WithNanotime(func() int64 { clock += 1000; return clock }, sys.ClockResolution(1000)).
		WithNanosleep(func(ns int64) { clock += max(ns, 0) }).WithOsyield(func() {}).
		WithStdout(io.Discard).WithStderr(io.Discard).WithStdin(strings.NewReader(""))
	inst, err := in.rt.InstantiateModule(ctx, in.module, config)
	if err != nil {
		return meter.State{}, fmt.Errorf("start: %w", err)
	}
	defer inst.Close(context.WithoutCancel(ctx))
	for _, name := range append([]string{"_initialize"}, warm...) {
		f := inst.ExportedFunction(name)
		if f == nil {
			continue
		}
		if len(f.Definition().ParamTypes()) > 0 {
			return meter.State{}, fmt.Errorf("%s takes parameters", name)
		}
		*in.tank = meter.Tank{Limit: in.fuel}
		if _, err := f.Call(ctx); err != nil {
			return meter.State{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return in.capture(inst)
}

// capture reads the state of an instance.
func (in *initialiser) capture(inst api.Module) (meter.State, error) {
	if inst.IsClosed() {
		return meter.State{}, ErrClosed
	}
	s := meter.State{Globals: map[int]uint64{}}
	if m := inst.Memory(); !reflect.ValueOf(m).IsNil() {
		b, _ := m.Read(0, m.Size())
		s.Memory = append([]byte(nil), b...)
	}
	for _, i := range in.globals {
		s.Globals[i] = inst.ExportedGlobal(meter.GlobalName(i)).Get()
	}
	return s, nil
}

// stubs stands in for all that the module imports: WASI works on nothing, the meter has a tank, and any other function ends the
// initialisation, since what it would return must not become part of the state.
func stubs(ctx context.Context, rt wazero.Runtime, c wazero.CompiledModule, tank *meter.Tank) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range c.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == wasi_snapshot_preview1.ModuleName {
			continue
		}
		if builders[module] == nil {
			builders[module] = rt.NewHostModuleBuilder(module)
		}
		stub := func(context.Context, []uint64) { panic(fmt.Errorf("it calls the host: %s.%s", module, name)) }
		if module == meter.ImportModule {
			stub = meterStub(name, tank)
		}
		builders[module].NewFunctionBuilder().WithGoFunction(api.GoFunc(stub), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		return err
	}
	var errs []error
	for _, b := range builders {
		_, err := b.Instantiate(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func meterStub(name string, tank *meter.Tank) func(context.Context, []uint64) {
	if name == meter.ImportOverflow {
		return func(context.Context, []uint64) { panic(meter.ErrStack) }
	}
	return func(ctx context.Context, stack []uint64) {
		fuel, err := tank.Refill(ctx, int64(stack[0]))
		if err != nil {
			panic(err)
		}
		stack[0] = uint64(fuel)
	}
}
