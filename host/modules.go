package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// moduleStore keeps the modules of installed packages: prepared on disk (their native code beside them, in the engine's cache), and in
// memory while they are used. A Go plugin takes 26 MB there, so what lies idle is let go; to load it again takes 50 ms.
type moduleStore struct {
	engine   *engine
	dir      string
	idle     time.Duration
	resident int

	compiling sync.Mutex // one at a time: it takes much memory

	mu      sync.Mutex
	modules map[string]*loadedModule // by digest
}

// loadedModule is compiled code in memory. Its fields belong to moduleStore.mu, except that those from engine to err are
// written once, before ready is closed.
type loadedModule struct {
	digest  string
	ready   chan struct{}
	engine  *engine
	code    wazero.CompiledModule
	image   *image // nil if the module can have none
	files   files  // of a command
	pool    pool
	err     error
	users   int
	lastUse time.Time
	timer   *time.Timer
}

// compileWorkers is how many goroutines compile one module.
const compileWorkers = 2

func newModuleStore(o Options, e *engine) *moduleStore {
	return &moduleStore{engine: e, dir: filepath.Join(o.CacheDir, EngineVersion()), idle: o.Idle, resident: o.Resident, modules: map[string]*loadedModule{}}
}

func (s *moduleStore) path(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, "sha256:")+".wasm")
}

// install writes the prepared module to disk after its code was compiled into the cache: so a module that is there is compiled.
func (s *moduleStore) install(ctx context.Context, b *bundle.Bundle) error {
	s.compiling.Lock()
	defer s.compiling.Unlock()
	path := s.path(b.Digest)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	file, err := b.Module()
	if err != nil {
		return err
	}
	if needs := b.Needs(); int64(needs.Pages)<<16 > s.engine.memory {
		return abi.NewFault(abi.Limit, fmt.Sprintf("%s begins with %d MiB of memory, this host gives at most %d", b.Name(), needs.Pages>>4, s.engine.memory>>20), "")
	}
	prepared, err := prepare(ctx, file, s.engine.memory, b.Warm())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return abi.NewFault(abi.Invalid, b.Name()+" is not a module that can be run: "+err.Error(), "")
	}
	code, err := s.engine.compile(ctx, prepared)
	if err != nil {
		return abi.NewFault(abi.Invalid, b.Name()+" is not a valid module: "+err.Error(), "")
	}
	if err := code.Close(ctx); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return writeFile(path, prepared)
}

// writeFile writes a file that is either not there or whole.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("host: cache: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return fmt.Errorf("host: cache: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("host: cache: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// acquire gives the module of an installed package, and loads it if need be. The caller must release it.
func (s *moduleStore) acquire(ctx context.Context, b *bundle.Bundle) (*loadedModule, error) {
	s.mu.Lock()
	m, ok := s.modules[b.Digest]
	if !ok {
		m = &loadedModule{digest: b.Digest, ready: make(chan struct{}), engine: s.engine, pool: pool{least: runtime.GOMAXPROCS(0)}}
		s.modules[b.Digest] = m
	}
	m.users++
	if m.timer != nil {
		m.timer.Stop()
	}
	s.mu.Unlock()
	if !ok {
		m.err = s.load(context.WithoutCancel(ctx), m, b)
		close(m.ready)
	}
	<-m.ready
	if m.err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		m.users--
		if s.modules[b.Digest] == m {
			delete(s.modules, b.Digest)
		}
		return nil, m.err
	}
	return m, nil
}

// load reads the prepared module, gets its code out of the cache, and makes its image.
func (s *moduleStore) load(ctx context.Context, m *loadedModule, b *bundle.Bundle) error {
	prepared, err := os.ReadFile(s.path(b.Digest))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("host: %s (%s) is not installed", b.Name(), b.Digest)
	}
	if err != nil {
		return fmt.Errorf("host: cache: %w", err)
	}
	if m.code, err = s.engine.compile(ctx, prepared); err != nil {
		return fmt.Errorf("host: %s: %w", b.Name(), err)
	}
	if b.Command() {
		assets, err := b.Assets()
		if err != nil {
			return err
		}
		m.files = newFiles(assets)
	}
	if globals, ok := globalNames(prepared); ok {
		m.image = s.engine.capture(ctx, m.code, globals, imageGuest(b, s.engine.memory))
		if m.image != nil && !s.engine.copies && !bundle.HasStart(prepared) {
			m.image.share()
		}
	}
	return nil
}

// begin gives an instance that is ready for the action.
func (m *loadedModule) begin(ctx context.Context, g *guest) (*instance, error) {
	g.files = m.files
	if m.image == nil {
		i, err := m.engine.newInstance(ctx, m.code, g, nil)
		if err != nil {
			return nil, err
		}
		if err := i.start(ctx); err != nil {
			g.fuel.settle(i.module)
			g.memory = i.memory.stats
			i.close()
			return nil, err
		}
		return i, nil
	}
	g.clock.before = imageClock
	i := m.pool.take()
	if i == nil {
		var err error
		if i, err = m.engine.newInstance(ctx, m.code, g, m.image.pages); err != nil {
			return nil, err
		}
		if !i.grow(m.image) || !i.restore(m.image) {
			i.close()
			return nil, abi.NewFault(abi.Internal, "the image of the module does not fit it", "")
		}
	}
	i.guest = g
	i.memory.serve(g.limits.memory)
	return i, nil
}

// end puts an instance back that can serve again, and closes any other.
func (m *loadedModule) end(i *instance, sound bool) {
	if sound && m.image != nil && i.restore(m.image) {
		i.guest = nil
		if m.pool.put(i) {
			return
		}
	}
	i.close()
}

// release gives a module back. The last user starts the time after which it is let go.
func (s *moduleStore) release(m *loadedModule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.users--
	m.lastUse = time.Now()
	if m.users > 0 {
		return
	}
	first := min(poolTime, s.idle)
	if m.timer == nil {
		m.timer = time.AfterFunc(first, func() { s.expire(m) })
	} else {
		m.timer.Reset(first)
	}
	s.trim()
}

// expire lets first the instances of a module go, then the module itself, if nobody used it meanwhile.
func (s *moduleStore) expire(m *loadedModule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unused := time.Since(m.lastUse)
	switch {
	case m.users > 0 || s.modules[m.digest] != m:
	case unused >= s.idle:
		s.drop(m)
	default:
		m.pool.drain()
		m.timer.Reset(s.idle - unused)
	}
}

// trim lets the longest unused modules go while there are too many; s.mu is held.
func (s *moduleStore) trim() {
	for {
		var oldest *loadedModule
		unused := 0
		for _, m := range s.modules {
			if m.users > 0 {
				continue
			}
			unused++
			if oldest == nil || m.lastUse.Before(oldest.lastUse) {
				oldest = m
			}
		}
		if unused <= s.resident {
			return
		}
		s.drop(oldest)
	}
}

// drop frees the code of a module without users; s.mu is held.
func (s *moduleStore) drop(m *loadedModule) {
	m.timer.Stop()
	delete(s.modules, m.digest)
	m.pool.drain()
	if m.image != nil {
		m.image.release()
	}
	_ = m.code.Close(context.Background()) // frees memory, and cannot fail in this engine
}

func (s *moduleStore) loaded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.modules)
}

// close is called when nothing runs any more.
func (s *moduleStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.modules {
		s.drop(m)
	}
	return s.engine.close()
}

func (e *engine) compile(ctx context.Context, module []byte) (wazero.CompiledModule, error) {
	return e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, compileWorkers), module)
}
