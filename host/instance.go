package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// instance is a module with its memory.
type instance struct {
	module  api.Module
	actions map[string]api.Function // with their stacks, which serve again
	memory  limitedMemory
	globals []savedGlobal
	guest   *guest // whom it serves
}

// savedGlobal is a global and its value in the image.
type savedGlobal struct {
	global api.MutableGlobal
	value  uint64
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

// pageSize is the unit in which memory is put back: most of it is as it was. It is the page of the processor where that has a say.
const pageSize = 4 << 10

// poolTime is how long unused instances are kept, but for the least number of a module that is used at times.
const poolTime = 5 * time.Second

// poolBytes bounds what the unused instances of one module hold, but for the least number of them.
const poolBytes = 32 << 20

// instanceBytes is what an instance holds beside its memory, about.
const instanceBytes = 64 << 10

// pool keeps instances that hold the image. The one that came last goes first, so that in quiet times the others are not needed, and can go.
type pool struct {
	mu     sync.Mutex
	free   []*instance
	bytes  int       // that they hold
	least  int       // so many are kept, whatever they hold
	spare  int       // so many nobody has needed since then
	looked time.Time // when those that nobody had needed went
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
	p.spare = min(p.spare, last)
	return i
}

// put keeps an instance, or says that there are enough.
func (p *pool) put(i *instance, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) >= p.least && p.bytes+i.held() > poolBytes {
		return false
	}
	p.free = append(p.free, i)
	p.bytes += i.held()
	if now.Sub(p.looked) >= poolTime {
		p.trim()
		p.spare, p.looked = len(p.free), now
	}
	return true
}

// trim closes the instances that nobody has needed since it looked last.
func (p *pool) trim() {
	n := max(min(p.spare, len(p.free)-p.least), 0)
	for _, i := range p.free[:n] {
		p.bytes -= i.held()
		i.close()
	}
	p.free = slices.Delete(p.free, 0, n)
}

// drain closes the instances.
func (p *pool) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.free {
		i.close()
	}
	p.free, p.bytes, p.spare = nil, 0, 0
}

// newInstance instantiates a module for a guest. Nothing of it has run yet, but for the start function of a module that was not taken apart.
// With an image its memory maps that where it can, which does not make it begin with the image yet; see become. Without one, that is while an image
// is made, it has ordinary memory, since the image keeps that.
func (e *engine) newInstance(ctx context.Context, code wazero.CompiledModule, g *guest, im *image) (*instance, error) {
	i := &instance{guest: g, memory: limitedMemory{limit: g.limits.memory}, actions: map[string]api.Function{}}
	if im != nil {
		i.memory.first = len(im.memory)
		i.memory.pages = e.mapped(im)
	}
	module, err := e.runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, &i.memory), code, i.config())
	if err != nil {
		g.memory = i.memory.stats
		i.memory.release()
		return nil, err
	}
	i.module = module
	return i, nil
}

// mapped gives the mapping of an image; nil without one, when instances have ordinary memory.
func (e *engine) mapped(im *image) *privatePages {
	var p *privatePages
	err := errors.ErrUnsupported
	switch {
	case e.copies:
	case im.pages != nil:
		p, err = im.pages.private(int(e.memory))
	case len(im.memory) == 0:
		p, err = privateRoom(int(e.memory))
	}
	if err != nil {
		return nil
	}
	return p
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
func (c chance) Read(p []byte) (int, error) {
	g := c.instance.guest
	if g.random == nil {
		g.random = newRandom(g.seed)
	}
	return g.random.Read(p)
}

func (i *instance) close() {
	_ = i.module.Close(context.Background()) // there is nothing to it that can fail
	i.memory.release()
}

// held is how many bytes the instance has of its own.
func (i *instance) held() int { return i.memory.held() + instanceBytes }

// become gives a new instance the state of the image. The memory is so already if it maps the image.
func (i *instance) become(im *image) error {
	if missing := len(im.memory) - len(i.memory.buffer); missing > 0 {
		i.memory.limit = int64(len(im.memory))
		i.module.Memory().Grow(uint32(missing >> 16))
	}
	for name, value := range im.Globals {
		global, ok := i.module.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return fmt.Errorf("host: the image is of another module: there is no global %s", name)
		}
		i.globals = append(i.globals, savedGlobal{global, value})
	}
	if !i.restore(im) {
		return errors.New("host: the image is of another module: the memory has another size")
	}
	return nil
}

// shrink makes a memory that has grown as long as it was. The engine has no function for it, but takes the length that the allocator gives, when
// it is asked to grow; if one day it does not, the instance is not used again.
func (i *instance) shrink(size int) bool {
	if len(i.memory.buffer) == size {
		return true
	}
	i.memory.shrink = size
	i.module.Memory().Grow(1)
	i.memory.shrink = 0
	return int(i.module.Memory().Size()) == size && len(i.memory.buffer) == size
}

// restore puts the image back, if it can.
func (i *instance) restore(im *image) bool {
	if len(i.memory.buffer) < len(im.memory) || !i.memory.restore(im) || !i.shrink(len(im.memory)) {
		return false
	}
	for _, g := range i.globals {
		g.global.Set(g.value)
	}
	return true
}
