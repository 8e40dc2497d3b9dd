package host

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Modules that are not trusted run in worker processes, and all modules are compiled there. A worker has the guest and its memory, but nothing
// that the guest could want: each host call comes to this process, where the session decides about it as about any other. What such a module is
// compiled to stays in a folder of its own, which only its workers load.

// Self is the program that runs, as Options.Worker.
func Self() string { return worker.Self() }

// workers are the processes that serve, and how to start them.
type workers struct {
	o         Options
	functions map[string]bool // that a guest can call
	slots     chan struct{}   // one for each that is at work

	mu    sync.Mutex
	idle  []*server // the longest unused first
	alive int       // with those at work
}

// seat is what a worker serves: invocations of another package, or with other rights, could be seen by a guest that took it over.
type seat struct{ digest, connector string }

// server is a worker process that runs guests.
type server struct {
	*worker.Process
	seat    seat
	workers *workers
	timer   *time.Timer // while it is idle
}

func newWorkers(o Options) *workers {
	w := &workers{o: o, functions: map[string]bool{}, slots: make(chan struct{}, o.Workers)}
	for module, names := range abi.Functions() {
		kind, _, _ := strings.Cut(strings.TrimPrefix(module, "riposte:"), "/")
		for _, name := range names {
			w.functions[kind+"."+name] = true
		}
	}
	return w
}

// cache is the folder of an isolated package, or of the engine of one that is made of scripts: that is ours, and what it is compiled to may be shared.
func (w *workers) cache(b *bundle.Bundle) string {
	return filepath.Join(w.o.CacheDir, "isolated", strings.TrimPrefix(cmp.Or(b.Engine(), b.Digest), "sha256:"))
}

// store is where an isolated package is installed; nothing is loaded from there in this process.
func (w *workers) store(b *bundle.Bundle) *moduleStore {
	return &moduleStore{dir: modulesDir(w.cache(b)), engines: w.o.Engines, memory: w.o.Memory, make: w.maker(w.cache(b))}
}

// start starts a worker and gives it an order for a package, with its engine if that is to be compiled. It is killed when ctx ends or after InstallTimeout.
func (w *workers) start(ctx context.Context, kind byte, b *bundle.Bundle, engine []byte, cache string, o worker.Options) (*worker.Process, worker.Frame, error) {
	file, err := b.Module()
	if err != nil {
		return nil, worker.Frame{}, err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, worker.Frame{}, fmt.Errorf("host: cache: %w", err)
	}
	o.Program, o.Bounds.Memory = w.o.Worker, w.o.WorkerMemory
	p, err := worker.Start(o)
	if err != nil {
		return nil, worker.Frame{}, fmt.Errorf("host: %w", err)
	}
	limit, cancel := context.WithTimeout(ctx, w.o.InstallTimeout)
	defer cancel()
	stop := context.AfterFunc(limit, p.Kill)
	done, err := func() (worker.Frame, error) {
		order, err := frame(kind, 0, orderHead{Cache: cache, Memory: w.o.Memory, Package: len(file)}, slices.Concat(file, engine))
		if err == nil {
			err = p.Send(order)
		}
		if err != nil {
			return order, err
		}
		return p.Receive()
	}()
	if stop() && err == nil {
		return p, done, nil
	}
	p.Kill()
	switch {
	case ctx.Err() != nil:
		err = ended(ctx)
	case limit.Err() != nil:
		err = abi.NewFault(abi.Limit, fmt.Sprintf("%s could not be compiled and initialised in %s", b.Name(), w.o.InstallTimeout), "")
	default:
		err = w.died(p, err, b.Name()+" cannot be compiled and initialised")
	}
	return nil, done, err
}

// died explains the end of a worker that was not asked to end. What it says of itself may have been written by its guest.
func (w *workers) died(p *worker.Process, err error, what string) *abi.Fault {
	how := p.Ended()
	switch {
	case errors.Is(err, worker.ErrFrame) || errors.Is(err, errProtocol):
		return abi.NewFault(abi.Trap, what+": its process does not keep to the protocol", "")
	case strings.Contains(how, "out of memory") || strings.Contains(how, "cannot allocate memory") || strings.Contains(how, "Resource temporarily unavailable"):
		return abi.NewFault(abi.Limit, fmt.Sprintf("%s: its process needs more than %d MiB of memory", what, w.o.WorkerMemory>>20), "")
	}
	return abi.NewFault(abi.Trap, what+": its process ended: "+how, "")
}

// maker makes code and image of packages in a worker each, which leaves native code in the cache.
func (w *workers) maker(cache string) maker {
	return func(ctx context.Context, b *bundle.Bundle, module []byte) (*madeModule, error) {
		o := worker.Options{MaxBody: w.o.Memory + 2*int64(len(module)) + 1<<20}
		o.Bounds.CPU = compileWorkers * w.o.InstallTimeout
		var engine []byte
		if b.Engine() != "" {
			engine = module
		}
		p, done, err := w.start(ctx, frameInstall, b, engine, cache, o)
		if err != nil {
			return nil, err
		}
		defer p.Kill()
		return made(done)
	}
}

// acquire gives a worker for one invocation. Release it afterwards.
func (w *workers) acquire(ctx context.Context, b *bundle.Bundle, connector string) (*server, error) {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	seat := seat{b.Digest, connector}
	if s := w.take(seat); s != nil {
		return s, nil
	}
	s, err := w.load(ctx, b, seat)
	if err != nil {
		w.leave()
		return nil, err
	}
	return s, nil
}

// take gives an idle worker for a seat. If there is none it makes room for one that the caller starts.
func (w *workers) take(seat seat) *server {
	w.mu.Lock()
	var gone []*server
	defer func() {
		w.mu.Unlock()
		for _, s := range gone {
			s.Kill()
		}
	}()
	for n := len(w.idle) - 1; n >= 0; n-- {
		if w.idle[n].seat != seat {
			continue
		}
		s := w.remove(n)
		if s.timer.Stop() && s.Alive() {
			return s
		}
		gone = append(gone, s)
		w.alive--
	}
	for w.alive++; w.alive > w.o.Workers && len(w.idle) > 0; w.alive-- {
		gone = append(gone, w.remove(0))
	}
	return nil
}

// remove takes a worker off the list of idle ones; w.mu is held.
func (w *workers) remove(n int) *server {
	s := w.idle[n]
	w.idle = slices.Delete(w.idle, n, n+1)
	return s
}

// leave gives the room of a worker back that was at work and is gone.
func (w *workers) leave() {
	w.mu.Lock()
	w.alive--
	w.mu.Unlock()
	<-w.slots
}

// load starts a worker that has the package ready.
func (w *workers) load(ctx context.Context, b *bundle.Bundle, seat seat) (*server, error) {
	if _, err := os.Stat(w.store(b).imagePath(b.Digest)); err != nil {
		return nil, fmt.Errorf("host: %s (%s) is not installed", b.Name(), b.Digest)
	}
	p, done, err := w.start(ctx, frameServe, b, nil, w.cache(b), worker.Options{MaxBody: maxFrame})
	if err != nil {
		return nil, err
	}
	if _, err := made(done); err != nil {
		p.Kill()
		return nil, err
	}
	return &server{Process: p, seat: seat, workers: w}, nil
}

// release keeps a worker for the next invocation, unless it is gone.
func (w *workers) release(s *server) {
	if !s.Alive() {
		s.Kill()
		w.leave()
		return
	}
	w.mu.Lock()
	s.timer = time.AfterFunc(w.o.WorkerIdle, func() { w.retire(s) })
	w.idle = append(w.idle, s)
	w.mu.Unlock()
	<-w.slots
}

// retire ends a worker that was idle for long, unless it was taken off the list at that very moment.
func (w *workers) retire(s *server) {
	w.mu.Lock()
	n := slices.Index(w.idle, s)
	if n >= 0 {
		w.remove(n)
		w.alive--
	}
	w.mu.Unlock()
	if n >= 0 {
		s.Kill()
	}
}

// close ends all workers; none is at work any more.
func (w *workers) close() {
	w.mu.Lock()
	idle := w.idle
	w.idle, w.alive = nil, w.alive-len(w.idle)
	w.mu.Unlock()
	for _, s := range idle {
		s.timer.Stop()
		s.Kill()
	}
}

func (w *workers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.alive
}

// lateness is how long after its time a worker is killed that did not end its guest by itself.
const lateness = 500 * time.Millisecond

// run lets the worker carry out a task, and answers its host calls. A worker that is late, or says what it may not say, is killed.
func (s *server) run(ctx context.Context, t task) ending {
	finished, watched := make(chan struct{}), make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(watched)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			timer := time.NewTimer(lateness)
			defer timer.Stop()
			select {
			case <-finished:
				return
			case <-timer.C:
			}
		}
		s.Kill()
	})
	e, err := s.converse(ctx, &t)
	close(finished)
	if !unwatch() {
		<-watched
	}
	if err == nil {
		return e
	}
	s.Kill()
	if ctx.Err() != nil {
		return ending{fault: ended(ctx)}
	}
	return ending{fault: s.workers.died(s.Process, err, "the plugin failed")}
}

// converse sends a task and answers calls until its end.
func (s *server) converse(ctx context.Context, t *task) (ending, error) {
	var number [8]byte
	rand.Read(number[:]) // never fails
	n := binary.LittleEndian.Uint64(number[:])
	deadline, _ := ctx.Deadline()
	next, err := t.frame(n, time.Until(deadline))
	if err != nil {
		return ending{}, err
	}
	for {
		if err := s.Send(next); err != nil {
			return ending{}, err
		}
		f, err := s.Receive()
		switch {
		case err != nil:
			return ending{}, err
		case f.Number != n:
			return ending{}, protocol("a frame of another task")
		case f.Kind == frameEnded:
			if !time.Now().Before(deadline) {
				<-ctx.Done() // the clock of the worker was first
			}
			return endingOf(f)
		case f.Kind != frameCall || !s.workers.functions[string(f.Head)]:
			return ending{}, protocol("frame of kind %d, head %.40q", f.Kind, f.Head)
		}
		reply := t.calls.Call(ctx, string(f.Head), f.Body)
		next = replyFrame(n, t.calls.Elapsed(), reply)
	}
}
