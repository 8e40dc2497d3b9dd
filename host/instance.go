package host

import (
	"context"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/host/snapshot"
)

// A module is initialised once: with a clock and a randomness that are always the same, and without host functions. Package snapshot does
// it when the package is installed, and writes the state into the module. What memory and globals of a new instance hold is its image. Every invocation begins with the image, be it in a new instance or in one that served
// before and was put back. So nothing that an invocation did can be seen by another, and a Go program need not start its runtime each time.
// Modules that can change more than memory and globals (meter.Info tells) have no image: they get a new instance for each invocation.

// instance is a module with its memory.
type instance struct {
	module  api.Module
	actions map[string]api.Function // with their stacks, which serve again
	memory  limitedMemory
	guest   *guest // whom it serves
}

// action gives an exported function.
func (i *instance) action(name string) api.Function {
	f := i.actions[name]
	if f == nil {
		f = i.module.ExportedFunction(name)
		i.actions[name] = f
	}
	return f
}

// image is the state that invocations begin with.
type image struct {
	memory  []byte
	globals map[string]uint64 // by export name; the meter's fuel is 0
	pages   *sharedPages      // memory, if instances can map it
}

// share lets new instances map the image, where the system can.
func (im *image) share() {
	if len(im.memory) == 0 {
		return
	}
	if pages, err := sharePages(im.memory); err == nil {
		im.pages, im.memory = pages, pages.content
	}
}

func (im *image) release() {
	if im.pages != nil {
		_ = im.pages.release() // what was mapped can be unmapped
	}
}

// imageClock is where the monotonic clock of a guest with an image starts: later than all that it saw while it was initialised.
const imageClock = time.Second

// pageSize is the unit in which memory is put back: most of it is as it was. It is the page of the processor where that has a say.
const pageSize = 4 << 10

// poolTime is how long unused instances are kept.
const poolTime = 5 * time.Second

// poolBytes bounds what the unused instances of one module hold, but for the least number of them.
const poolBytes = 32 << 20

// instanceBytes is what an instance holds beside its memory, about.
const instanceBytes = 64 << 10

// pool keeps instances that hold the image.
type pool struct {
	mu    sync.Mutex
	free  []*instance
	bytes int // that they hold
	least int // so many are kept, whatever they hold
}

func (p *pool) take() *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil
	}
	last := len(p.free) - 1
	i := p.free[last]
	p.free[last] = nil
	p.free = p.free[:last]
	p.bytes -= i.held()
	return i
}

// put keeps an instance, or says that there are enough.
func (p *pool) put(i *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) >= p.least && p.bytes+i.held() > poolBytes {
		return false
	}
	p.free = append(p.free, i)
	p.bytes += i.held()
	return true
}

// drain closes the instances.
func (p *pool) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.free {
		i.close()
	}
	p.free, p.bytes = nil, 0
}

// newInstance instantiates a module for a guest. Nothing of it has run yet, but for a start function. With pages its memory maps them: it does
// not begin with zeros then, and must be restored.
func (e *engine) newInstance(ctx context.Context, code wazero.CompiledModule, g *guest, pages *sharedPages) (*instance, error) {
	i := &instance{guest: g, memory: limitedMemory{limit: g.limits.memory}, actions: map[string]api.Function{}}
	if pages != nil {
		if private, err := pages.private(); err == nil { // without a mapping it has ordinary memory
			i.memory.pages = private
		}
	}
	module, err := e.runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, &i.memory), code, i.config())
	if err != nil {
		g.memory = i.memory.stats
		i.memory.release()
		return nil, err
	}
	i.module = module
	if i.memory.mapped() { // the module's data was written over the image
		if err := i.memory.pages.discard(); err != nil {
			i.close()
			return nil, err
		}
	}
	return i, nil
}

// config gives the guest its system interface: no files or arguments, unless it is a command, no environment, a clock and randomness that can be
// repeated.
func (i *instance) config() wazero.ModuleConfig {
	return i.guest.started(wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStdout(speechWriter{i, "stdout"}).WithStderr(speechWriter{i, "stderr"}).
		WithWalltime(func() (int64, int32) { return i.guest.clock.wall() }, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { return i.guest.clock.mono() }, sys.ClockResolution(time.Nanosecond)).
		WithNanosleep(func(ns int64) { i.guest.sleep(time.Duration(ns)) }).
		WithRandSource(chance{i}))
}

// chance gives the randomness of the guest that an instance serves.
type chance struct{ instance *instance }

// Read implements io.Reader.
func (c chance) Read(p []byte) (int, error) { return c.instance.guest.random.Read(p) }

func (i *instance) close() {
	_ = i.module.Close(context.Background()) // there is nothing to it that can fail
	i.memory.release()
}

// held is how many bytes the instance has of its own.
func (i *instance) held() int { return i.memory.held() + instanceBytes }

// start runs what must come before an action: the initialisation of a WASI reactor, or the constructors of a module that has none; and the
// runtime of a Haskell program.
func (i *instance) start(ctx context.Context) error {
	if i.guest.bundle.Command() {
		return nil // all of it is in the action
	}
	init := i.module.ExportedFunction("_initialize")
	if init == nil {
		init = i.module.ExportedFunction("__wasm_call_ctors")
	}
	if init != nil {
		if _, err := init.Call(ctx); err != nil {
			return err
		}
	}
	if haskell := i.module.ExportedFunction("hs_init"); haskell != nil && i.guest.bundle.Extism() {
		_, err := haskell.Call(ctx, 0, 0)
		return err
	}
	return nil
}

// grow makes the memory of a new instance as large as that of the image.
func (i *instance) grow(im *image) bool {
	missing := len(im.memory) - len(i.memory.buffer)
	if missing <= 0 {
		return missing == 0
	}
	i.memory.limit = int64(len(im.memory))
	_, ok := i.module.Memory().Grow(uint32(missing >> 16))
	return ok
}

// restore puts the image into an instance, unless its memory has grown, which cannot be undone.
func (i *instance) restore(im *image) bool {
	if !i.memory.restore(im) {
		return false
	}
	for name, value := range im.globals {
		global, ok := i.module.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return false
		}
		global.Set(value)
	}
	return true
}

// capture makes the image of a module, or nil if it can have none: then each invocation starts the module anew.
func (e *engine) capture(ctx context.Context, code wazero.CompiledModule, globals []string, g *guest) *image {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, guestKey{}, g), captureTime)
	defer cancel()
	g.ctx = ctx
	i, err := e.newInstance(ctx, code, g, nil)
	if err != nil {
		return nil
	}
	defer i.close()
	if err := i.start(ctx); err != nil || g.askedTooEarly {
		return nil
	}
	im := &image{memory: i.memory.buffer, globals: map[string]uint64{meter.GlobalFuel: 0}}
	for _, name := range globals {
		global := i.module.ExportedGlobal(name)
		if global == nil {
			return nil
		}
		im.globals[name] = global.Get()
	}
	return im
}

// imageGuest is the guest that a module is initialised for.
func imageGuest(b *bundle.Bundle, memory int64) *guest {
	return newGuest(task{bundle: b, limits: limits{memory: memory, fuel: snapshot.DefaultFuel}, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
}

// captureTime bounds the initialisation of a module.
const captureTime = 10 * time.Second

// globalNames are the exports by which the globals of a prepared module can be put back; ok is false if that is not all of its state.
func globalNames(prepared []byte) (names []string, ok bool) {
	info, err := meter.Inspect(prepared)
	if err != nil || info.Obstacle != "" {
		return nil, false
	}
	names = []string{meter.GlobalStack}
	for _, index := range info.Globals {
		names = append(names, meter.GlobalName(index))
	}
	return names, true
}
