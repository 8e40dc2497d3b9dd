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
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// moduleStore keeps the modules of installed packages: on disk an image for each package and the code that it names (its native form is in the
// engine's cache), and in memory what is used. What lies idle is let go.
type moduleStore struct {
	engine   *engine
	engines  engines.Folders // of scripts
	dir      string
	memory   int64
	make     maker
	idle     time.Duration
	resident int

	mu      sync.Mutex
	modules map[string]*loadedModule // by the digest of the package
	codes   map[string]*loadedCode   // by the digest of the code
}

// loadedCode is compiled code in memory; modules share it.
type loadedCode struct {
	digest  string
	compile func() (wazero.CompiledModule, error) // once
	users   int                                   // moduleStore.mu
}

// loadedModule is a package's module in memory. Its fields belong to moduleStore.mu, except that those from engine to err are
// written once, before ready is closed.
type loadedModule struct {
	digest  string
	ready   chan struct{}
	engine  *engine
	code    *loadedCode
	image   *image
	files   files // of a command
	pool    pool
	err     error
	users   int
	lastUse time.Time
	timer   *time.Timer
}

// compileWorkers is how many goroutines compile one module.
const compileWorkers = 2

func newModuleStore(o Options, e *engine) *moduleStore {
	return &moduleStore{engine: e, engines: o.Engines, dir: modulesDir(o.CacheDir), memory: o.Memory, idle: o.Idle, resident: o.Resident,
		modules: map[string]*loadedModule{}, codes: map[string]*loadedCode{},
		make: func(ctx context.Context, b *bundle.Bundle, file []byte) (*madeModule, error) {
			return e.make(ctx, b, file, func() error { return nil })
		}}
}

// modulesDir is where installed packages lie in a cache.
func modulesDir(cache string) string { return filepath.Join(cache, EngineVersion()) }

func (s *moduleStore) imagePath(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, "sha256:")+".riposte-image")
}

func (s *moduleStore) codePath(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, "sha256:")+".wasm")
}

// install makes code and image of a package, unless they are there. The image is written last: a package that has one is installed.
func (s *moduleStore) install(ctx context.Context, b *bundle.Bundle) error {
	if _, err := os.Stat(s.imagePath(b.Digest)); err == nil {
		return nil
	}
	file, err := s.moduleOf(b)
	if err != nil {
		return err
	}
	made, err := s.make(ctx, b, file)
	if err != nil {
		return err
	}
	if err := writeFile(s.codePath(tape.Digest(made.code)), made.code); err != nil {
		return err
	}
	return writeFile(s.imagePath(b.Digest), made.image)
}

// madeModule is what the installation of a package makes of its file. The native form of the code is in the engine's cache then.
type madeModule struct {
	code  []byte
	image []byte // encoded; it names the code
}

// maker makes code and image of a package of its module, here or in another process.
type maker func(ctx context.Context, b *bundle.Bundle, file []byte) (*madeModule, error)

// make takes the module of a package, or its engine, apart, compiles its code and makes its image. Between the two it calls seal: nothing of the module has run
// until then.
func (e *engine) make(ctx context.Context, b *bundle.Bundle, file []byte, seal func() error) (*madeModule, error) {
	parts, err := takeApart(file)
	if err != nil {
		return nil, abi.NewFault(abi.Invalid, b.Name()+" is not a module that can be run: "+err.Error(), "")
	}
	code, err := e.compile(ctx, parts.Code)
	if err != nil {
		return nil, abi.NewFault(abi.Invalid, b.Name()+" is not a valid module: "+err.Error(), "")
	}
	if err := seal(); err != nil {
		return nil, errors.Join(err, code.Close(ctx))
	}
	image := e.firstImage
	if b.Engine() != "" {
		image = e.scriptImage
	}
	im, err := image(ctx, code, parts, b)
	if err := errors.Join(context.Cause(ctx), code.Close(ctx)); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	if err != nil && b.Engine() != "" {
		return nil, err
	}
	if err != nil {
		return nil, abi.NewFault(abi.Invalid, b.Name()+" is not a module that can be run: "+err.Error(), "")
	}
	im.Code = tape.Digest(parts.Code)
	content, err := im.encode()
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	return &madeModule{parts.Code, content}, nil
}

// takeApart meters a module and parts its code from its data.
func takeApart(module []byte) (meter.Parts, error) {
	metered, err := meter.Instrument(module, meter.Options{ExportGlobals: true})
	if err != nil {
		return meter.Parts{}, err
	}
	return meter.Split(metered)
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

// load opens the image of a package and gets the code that it names.
func (s *moduleStore) load(ctx context.Context, m *loadedModule, b *bundle.Bundle) error {
	im, err := openImage(s.imagePath(b.Digest), s.engine.copies)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("host: %s (%s) is not installed", b.Name(), b.Digest)
	}
	if err != nil {
		return s.forget(b, err)
	}
	m.image, m.code = im, s.useCode(ctx, im.Code)
	_, err = m.code.compile()
	if err != nil {
		err = s.forget(b, err)
	} else if b.Command() {
		var assets []bundle.Asset
		assets, err = b.Assets()
		m.files = newFiles(assets)
	}
	if err != nil {
		m.image.release()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaveCode(m.code)
	}
	return err
}

// forget removes an image that cannot be used, so that the package can be installed again.
func (s *moduleStore) forget(b *bundle.Bundle, why error) error {
	return errors.Join(fmt.Errorf("host: %s must be installed again: %w", b.Name(), why), os.Remove(s.imagePath(b.Digest)))
}

// useCode gives the code with the digest, which is compiled by the first user who needs it. It must be left.
func (s *moduleStore) useCode(ctx context.Context, digest string) *loadedCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codes[digest]
	if c == nil {
		c = &loadedCode{digest: digest, compile: sync.OnceValues(func() (wazero.CompiledModule, error) {
			module, err := os.ReadFile(s.codePath(digest))
			if err != nil {
				return nil, err
			}
			if tape.Digest(module) != digest {
				return nil, errors.New("its code is damaged")
			}
			return s.engine.compile(ctx, module)
		})}
		s.codes[digest] = c
	}
	c.users++
	return c
}

// leaveCode frees code without users; s.mu is held.
func (s *moduleStore) leaveCode(c *loadedCode) {
	if c.users--; c.users > 0 {
		return
	}
	delete(s.codes, c.digest)
	if code, err := c.compile(); err == nil {
		_ = code.Close(context.Background()) // frees memory, and cannot fail in this engine
	}
}

// begin gives an instance that is ready for the action.
func (m *loadedModule) begin(ctx context.Context, g *guest) (*instance, error) {
	g.files = m.files
	g.clock.before = m.image.Clock
	i := m.pool.take()
	if i == nil {
		var err error
		if i, err = m.newInstance(ctx, g); err != nil {
			return nil, err
		}
	}
	i.guest = g
	i.memory.serve(g.limits.memory)
	if m.image.Fresh == "" && m.image.Late == "" {
		return i, nil
	}
	if err := i.start(ctx); err != nil {
		g.fuel.settle(i.module)
		g.memory = i.memory.stats
		i.close()
		return nil, err
	}
	return i, nil
}

// newInstance gives an instance that is as the image.
func (m *loadedModule) newInstance(ctx context.Context, g *guest) (*instance, error) {
	code, err := m.code.compile()
	if err != nil {
		return nil, err
	}
	i, err := m.engine.newInstance(ctx, code, g, m.image)
	if err != nil || m.image.Fresh != "" {
		return i, err
	}
	if err := i.become(m.image); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// end puts an instance back that can serve again, and closes any other.
func (m *loadedModule) end(i *instance, sound bool) {
	if sound && m.image.Fresh == "" && i.restore(m.image) {
		i.guest = nil
		if m.pool.put(i, time.Now()) {
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
	m.image.release()
	s.leaveCode(m.code)
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
