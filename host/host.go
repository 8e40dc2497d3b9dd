// Package host runs plugins. A plugin is a WebAssembly module that can do nothing by itself: every effect on the world goes through the
// host functions of package hostcall, and everything that it takes from us (time, instructions, memory, stack, output) is bounded here.
//
//	h, err := host.New(host.Options{CacheDir: dir, Services: services})
//	err = h.Install(ctx, b)           // once: checks, rewrites and compiles
//	outcome, err := h.Run(ctx, host.Invocation{Bundle: b, Action: "block-ip", …})
//
// Each invocation starts from the same state: nothing that one did can be seen by another.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

// Options configure a Host. Zero fields stand for the defaults.
type Options struct {
	// CacheDir keeps compiled modules. It holds native code that is run without further checks, so it is made, and kept, for us alone (0700).
	CacheDir string
	// Engines is where the engines of scripts lie; default the folder of the user.
	Engines engines.Folders
	// Services are what the host functions need: clients, the network policy, secrets, the store.
	Services *hostcall.Services

	Concurrency int           // invocations at once; further ones wait. Default: 8 for each processor
	Idle        time.Duration // a module that was not used for so long leaves the memory; default 5 minutes
	Resident    int           // at most so many unused modules stay in memory; default 16

	// Caps: a manifest may ask for less.
	Timeout   time.Duration // of an invocation; default 30 s
	Memory    int64         // bytes of linear memory; default 64 MiB
	Output    int64         // bytes of a result; default 1 MiB
	Input     int64         // bytes of parameters and settings; default 4 MiB
	HostCalls int           // of one invocation; default 1,000
	Fuel      int64         // instructions of one invocation, about; default none: the timeout bounds them

	// Worker is the program that runs as worker processes: one whose main calls WorkerMain first, such as Self(). Modules are compiled there, and
	// those that Isolate names run there only. New fails where the system could confine them and does not (Linux without seccomp).
	// Without one everything happens in this process, compilation too, which nothing can interrupt: that is for tests, and for programs that install
	// modules of their own only. What Isolate names is refused then.
	Worker string
	// Isolate says whether a package runs in a process of its own, without the rights of this one; nil: none does.
	Isolate func(*bundle.Bundle) bool
	// Workers is how many worker processes there may be at once, beside one that compiles. Each serves the invocations of one package by one connector,
	// one after the other. Default: 2 for each processor.
	Workers        int
	WorkerMemory   int64         // bytes that a worker may write to; default 1 GiB, and not less than 256 MiB
	WorkerIdle     time.Duration // a worker without work ends after so long; default 1 minute
	InstallTimeout time.Duration // of a module's compilation and initialisation in a worker; default 2 minutes

	// Interpret runs modules in this process without compiling them to native code: they are there soon, for whoever tries out what he has just built,
	// and run slowly. What a call comes to is the same, to the instruction, but that 2,000 calls in each other are too deep.
	Interpret bool

	copies bool // see engine
}

func (o Options) withDefaults() Options {
	if o.Engines == nil {
		o.Engines = engines.After()
	}
	orElse(&o.Concurrency, 8*runtime.GOMAXPROCS(0))
	orElse(&o.Idle, 5*time.Minute)
	orElse(&o.Resident, 16)
	orElse(&o.Timeout, 30*time.Second)
	orElse(&o.Memory, 64<<20)
	orElse(&o.Output, 1<<20)
	orElse(&o.Input, 4<<20)
	orElse(&o.HostCalls, 1000)
	orElse(&o.Workers, 2*runtime.GOMAXPROCS(0))
	orElse(&o.WorkerMemory, 1<<30)
	orElse(&o.WorkerIdle, time.Minute)
	orElse(&o.InstallTimeout, 2*time.Minute)
	return o
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Invocation is one call of an action.
type Invocation struct {
	// ID names the attempt; Key is the same in every attempt at the same step, so that a write is known as a repetition.
	ID, Key string
	Bundle  *bundle.Bundle
	Action  string
	// Connector is the name space of what the plugin keeps in kv; the plugin's name if empty.
	Connector string
	// Parameters are JSON, held against the action's schema, unless they are Checked.
	Parameters json.RawMessage
	Checked    bool
	// Settings of the connector are JSON with references in place of secrets, {"secret": "env:NAME"}; the guest gets them without.
	Settings json.RawMessage
	Grant    capability.Grant
	// Incident, Run and Step tell the guest what it works for; they may be empty.
	Incident, Run, Step string
	// Timeout may lower that of the manifest and of the host.
	Timeout time.Duration
	// Now is where the guest's clock starts.
	Now time.Time
	// Tape records the invocation, or goes on with one that was cut short. With a tape.Replay the invocation is that of the tape, whatever
	// else stands here but Bundle: it has no rights, performs nothing and waits for nothing. What it did is in the Replay afterwards.
	Tape tape.Log
	// Peer answers host calls in place of the world, for tests of plugins; nil in production.
	Peer hostcall.Peer
}

// Outcome is what an invocation came to: Output, or a Fault.
type Outcome struct {
	Output    json.RawMessage
	Fault     *abi.Fault
	Emissions []hostcall.Emission
	// Logs are the guest's lines, and after a crash the last that it wrote to its standard error and output.
	Logs []abi.LogEntry
	// Stack is the guest's stack after a crash or a limit, innermost function first.
	Stack []string
	Stats Stats
}

// Stats is what an invocation took.
type Stats struct {
	Wall      time.Duration // from the moment it got its turn
	Setup     time.Duration // of it, until the action's first instruction
	HostCalls int
	Memory    int64 // highest linear memory, in bytes
	Fuel      int64 // instructions, as package meter counts them; zero in a module that is not metered
}

// Host runs invocations. It is safe for use by many goroutines.
type Host struct {
	options    Options
	store      *moduleStore
	workers    *workers // nil without a program for them
	slots      chan struct{}
	installing sync.Mutex // one at a time: it takes much memory

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup
}

// ErrClosed is what a closed Host answers.
var ErrClosed = errors.New("host: closed")

// New starts a host. Close it to free what it holds.
func New(o Options) (*Host, error) {
	o = o.withDefaults()
	if o.CacheDir == "" {
		return nil, errors.New("host: no directory for compiled modules")
	}
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("host: cache: %w", err)
	}
	if err := os.Chmod(o.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("host: the cache must be ours alone: %w", err)
	}
	if o.Worker != "" {
		if err := worker.Confinable(); err != nil {
			return nil, abi.NewFault(abi.Unavailable, "plugins cannot be compiled on this system: "+err.Error(),
				"the kernel needs CONFIG_SECCOMP_FILTER, and a container must be allowed to call seccomp(2)")
		}
	}
	engine, err := newEngine(o)
	if err != nil {
		return nil, err
	}
	h := &Host{options: o, store: newModuleStore(o, engine), slots: make(chan struct{}, o.Concurrency)}
	if o.Worker != "" {
		h.workers = newWorkers(o)
		h.store.make = h.workers.maker(o.CacheDir)
	}
	return h, nil
}

// Close waits for the invocations that run, then frees everything.
func (h *Host) Close() error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	if again {
		return nil
	}
	h.active.Wait()
	if h.workers != nil {
		h.workers.close()
	}
	return h.store.close()
}

// enter counts a use of the host that Close waits for.
func (h *Host) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.active.Add(1)
	return nil
}

// Install prepares a package for Run: it rewrites and compiles the module into the cache, and initialises it, unless that was done. This takes
// seconds and never happens in Run; in this process it ignores ctx, in a worker it ends with it. Packages are installed one after the other.
func (h *Host) Install(ctx context.Context, b *bundle.Bundle) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.active.Done()
	store := h.store
	if h.isolates(b) {
		if h.workers == nil {
			return noWorkers(b)
		}
		store = h.workers.store(b)
	}
	h.installing.Lock()
	defer h.installing.Unlock()
	return store.install(ctx, b)
}

func (h *Host) isolates(b *bundle.Bundle) bool {
	return h.options.Isolate != nil && h.options.Isolate(b)
}

func noWorkers(b *bundle.Bundle) *abi.Fault {
	return abi.NewFault(abi.Refused, b.Name()+" must run in a process of its own, and this program starts none", "host.Options.Worker names the program that does")
}

// Load brings the module of an installed package into memory, as a call of it would, so that the next call need not wait for that.
func (h *Host) Load(ctx context.Context, b *bundle.Bundle) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.active.Done()
	if h.isolates(b) {
		return nil // workers start when they are needed
	}
	m, err := h.store.acquire(ctx, b)
	if err != nil {
		return err
	}
	h.store.release(m)
	return nil
}

// Loaded is the number of modules in memory.
func (h *Host) Loaded() int { return h.store.loaded() }

// Workers is the number of worker processes, but for one that compiles.
func (h *Host) Workers() int {
	if h.workers == nil {
		return 0
	}
	return h.workers.count()
}

// Run calls an action. Whatever the plugin, its peers or the input do wrong is a Fault in the Outcome; an error says that the host itself
// could not try: it is closed, the package is not installed, or the tape cannot be replayed (tape.Replayable).
func (h *Host) Run(ctx context.Context, in Invocation) (Outcome, error) {
	if err := h.enter(); err != nil {
		return Outcome{}, err
	}
	defer h.active.Done()
	if replay := tape.ReplayOf(in.Tape); replay != nil {
		if err := in.fromTape(replay); err != nil {
			return Outcome{}, err
		}
	}
	action, ok := in.Bundle.Manifest.Actions[in.Action]
	if !ok {
		return Outcome{Fault: in.Bundle.CheckParameters(in.Action, nil)}, nil
	}
	if !in.Checked {
		if f := in.Bundle.CheckParameters(in.Action, orObject(in.Parameters)); f != nil {
			return Outcome{Fault: f}, nil
		}
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return Outcome{Fault: ended(ctx)}, nil
	}
	began := time.Now()
	run, leave, err := h.place(ctx, &in)
	if err != nil {
		if fault := (*abi.Fault)(nil); errors.As(err, &fault) {
			return Outcome{Fault: fault}, nil
		}
		return Outcome{}, err
	}
	defer leave()
	limits := h.limits(in, action)
	ctx, cancel := context.WithTimeout(ctx, limits.timeout)
	defer cancel()
	session, fault := h.openSession(in, limits)
	if fault != nil {
		return Outcome{Fault: fault}, nil
	}
	defer session.Close()
	task, fault := newTask(ctx, in, limits, session)
	if fault != nil {
		return Outcome{Fault: fault}, nil
	}
	outcome := task.conclude(session, run(ctx, task))
	outcome.record(ctx, in.Tape, session)
	outcome.Stats.Wall = time.Since(began)
	return outcome, nil
}

// place gives the function that runs the task of an invocation, in this process or in another. Leave it afterwards.
func (h *Host) place(ctx context.Context, in *Invocation) (run func(context.Context, task) ending, leave func(), err error) {
	if !h.isolates(in.Bundle) {
		m, err := h.store.acquire(ctx, in.Bundle)
		if err != nil {
			return nil, nil, err
		}
		return m.run, func() { h.store.release(m) }, nil
	}
	if h.workers == nil {
		return nil, nil, noWorkers(in.Bundle)
	}
	w, err := h.workers.acquire(ctx, in.Bundle, in.Connector)
	if err != nil {
		return nil, nil, err
	}
	return w.run, func() { h.workers.release(w) }, nil
}

// fromTape makes the invocation that which a tape recorded.
func (in *Invocation) fromTape(replay *tape.Replay) error {
	module := ""
	if replay.Mode() == tape.Exact {
		module = in.Bundle.Digest
	}
	if fault := tape.Replayable(replay.Recorded(), module); fault != nil {
		return fault
	}
	head, document := tape.HeaderOf(replay.Recorded())
	var call abi.Call
	if err := json.Unmarshal(document, &call); err != nil {
		return abi.NewFault(abi.Invalid, "the input on the tape is not a call: "+err.Error(), "")
	}
	in.ID, in.Key, in.Now, in.Action, in.Parameters, in.Settings = head.Invocation, head.Key, head.Start, head.Action, call.Parameters, call.Settings
	in.Grant, in.Timeout = nil, 0
	return nil
}

// ended is the fault of a context that is done.
func ended(ctx context.Context) *abi.Fault {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return abi.NewFault(abi.Timeout, "the action did not end in time", "")
	}
	return abi.NewFault(abi.Cancelled, "the action was cancelled", "")
}

// orObject stands in for parameters and settings that are not there.
func orObject(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

// limits of one invocation.
type limits struct {
	timeout       time.Duration
	memory        int64
	output, input int64
	hostCalls     int
	fuel          int64
}

func (h *Host) limits(in Invocation, action abi.Action) limits {
	l := limits{timeout: h.options.Timeout, memory: h.options.Memory, output: h.options.Output, input: h.options.Input,
		hostCalls: h.options.HostCalls, fuel: h.options.Fuel}
	// The manifest was checked when the package was opened: what does not parse is absent.
	if d, err := schemas.ParseDuration(action.Limits.Timeout); err == nil && d > 0 {
		l.timeout = min(l.timeout, d)
	}
	if n, err := bundle.ParseSize(action.Limits.Memory); err == nil {
		l.memory = min(l.memory, n)
	}
	if n, err := bundle.ParseSize(action.Limits.Output); err == nil {
		l.output = min(l.output, n)
	}
	if action.Limits.HostCalls > 0 {
		l.hostCalls = min(l.hostCalls, action.Limits.HostCalls)
	}
	if in.Timeout > 0 {
		l.timeout = min(l.timeout, in.Timeout)
	}
	return l
}
