// Package engine drives runs. It knows one loop: fold the facts of an incident, plan what is due, append the facts of that plan, start the
// actions that are in flight. A vote, a timer, an outcome, an expiry and a restart all do the same two things: append a fact, and Advance again.
// The order of the store's commits carries the guarantees: an action's start is submitted before the tape of its host calls, and a host call
// that writes waits for its tape entry to be on disk, so whatever happened outside is known inside.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/connector"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/rule"
	"github.com/riposte-soar/riposte/server/runbook"
)

// Runner performs one invocation: the host, or a site's agent. It asks nothing of the world before it has appended that to the tape.
type Runner interface {
	Run(ctx context.Context, inv host.Invocation) (host.Outcome, error)
}

// Content is what the operator wrote and installed, checked and compiled. It is immutable.
type Content struct {
	Rules      *rule.Set
	Runbooks   map[string]*Source
	Plugins    map[string]*bundle.Bundle
	Connectors map[string]*connector.Connector
	Lists      map[string]any
	// Texts are templates of messages, by name: the value of a parameter whose schema has the format "template" names one.
	Texts map[string]string
	// Compile checks and compiles a runbook against this content, for runs whose runbook has changed since they began.
	Compile func(src Source) (*runbook.Runbook, error)
}

// Source is a runbook with the text that it was compiled from, and those of the shared runbooks that it calls.
type Source struct {
	Runbook *runbook.Runbook `json:"-"`
	File    string           `json:"file"`
	Text    string           `json:"text"`
	Called  []Source         `json:"called,omitempty"`
}

// Files are what the runbook is compiled from, itself first.
func (s *Source) Files() []runbook.File {
	files := []runbook.File{{Name: s.File, Data: []byte(s.Text)}}
	for i := range s.Called {
		files = append(files, s.Called[i].Files()...)
	}
	return files
}

// Options configure an Engine. Store, Runner and Content are required.
type Options struct {
	Store   journal.Store
	Runner  Runner
	Content *Content
	Log     *slog.Logger
	Now     func() time.Time
	// MaxActions bounds the invocations at work, MaxRuns the runs that may be busy before further alarms wait on disk.
	MaxActions int // 64
	MaxRuns    int // 256
}

// Engine owns the incidents that are alive. Its methods may be called from any goroutine.
type Engine struct {
	store   journal.Store
	runner  Runner
	content *Content
	log     *slog.Logger
	now     func() time.Time

	mu      sync.Mutex // of the next four; taken after a live's
	alive   map[string]*live
	lastID  uint64
	running map[string]context.CancelFunc // invocations at work, by id
	stopped bool

	acceptMu  sync.Mutex // serialises the choice between opening and joining
	dedupe    map[string]dedupeEntry
	redriveMu sync.Mutex // an alarm is driven again once

	actions chan struct{} // a token for each invocation at work
	runs    chan struct{} // a token for each busy run that an alarm started
	backlog *backlog
	timers  *timers
	changed changed
	hourly  hourly
	holds   holds
	kept    sync.Map    // keys of runbooks known to be in the store
	refused atomic.Bool // the store has refused facts

	tapeRooms sync.Pool

	stop    context.CancelFunc
	ctx     context.Context
	working crew
	Stats   Stats
}

// Stats count since the start.
type Stats struct {
	Unmatched, Matched, Joined, Unparsed, Opened atomic.Int64
	RunsStarted, RunsFinished, RunsFailed        atomic.Int64
	Actions, ActionsFailed, InFlight             atomic.Int64
	RuleErrors                                   atomic.Int64
}

// live is an incident in memory. mu guards everything in it; facts are submitted while it is held, so that their order is that of the state.
type live struct {
	id    string
	mu    sync.Mutex
	in    *incident.Incident
	execs map[string]*execution
	gone  bool // dropped from memory; look it up again

	stored  atomic.Uint64 // number of the last fact that is on disk
	pending atomic.Int64  // commits without an answer yet
	failed  atomic.Bool   // a commit was refused: the state is ahead of the disk
}

// New makes an engine. Start brings back what was alive before.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxActions == 0 {
		o.MaxActions = 64
	}
	if o.MaxRuns == 0 {
		o.MaxRuns = 256
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{store: o.Store, runner: o.Runner, content: o.Content, log: o.Log, now: o.Now, alive: map[string]*live{},
		running: map[string]context.CancelFunc{}, dedupe: map[string]dedupeEntry{}, actions: make(chan struct{}, o.MaxActions), runs: make(chan struct{}, o.MaxRuns), ctx: ctx, stop: stop}
	e.hourly.placed = map[string][]time.Time{}
	e.working.next = make(chan func())
	e.holds = newHolds()
	e.timers = newTimers(e.now, e.Advance)
	e.backlog = newBacklog(e)
	return e
}

// Start loads every incident that is not quiet, goes on with its runs, and begins with the alarms that wait on disk.
func (e *Engine) Start() error {
	if err := e.loadIndexes(); err != nil {
		return err
	}
	var active []string
	err := e.store.Scan([]byte(prefixActive), nil, false, func(key, _ []byte) error {
		active = append(active, string(key[len(prefixActive):]))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list active incidents: %w", err)
	}
	e.working.Go(func() { e.timers.run(e.ctx) })
	for _, id := range active {
		e.Advance(id)
	}
	e.working.Go(func() { e.backlog.run(e.ctx) })
	e.working.Go(func() { e.sweep(e.ctx) })
	return nil
}

// Stop ends invocations and waits for them. What was in flight stays so in the journal, and goes on at the next start.
func (e *Engine) Stop() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.stop()
	e.working.Wait()
}

// with runs fn on an incident in memory, loading it if need be, and submits what fn planned. It is the only way to change an incident. done, if
// not nil, is called when that is on disk, unless with returns an error.
func (e *Engine) with(id string, fn func(p *planner) error, done func(error)) error {
	l, err := e.acquire(id)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	p, err := e.plan(l, fn)
	if err != nil {
		return err
	}
	return e.commit([]*planner{p}, nil, done)
}

// acquire gives an incident in memory, locked. One that the store refused to write about is read again first.
func (e *Engine) acquire(id string) (*live, error) {
	for {
		l, err := e.find(id)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		switch {
		case l.gone:
		case !l.failed.Load():
			return l, nil
		case l.pending.Load() > 0:
			l.mu.Unlock()
			e.timers.set(id, e.now().Add(retryCommit))
			return nil, &abi.Fault{Kind: abi.Unavailable, Message: "the store refuses to write about " + id, Hint: "the log says why; it is tried again", Retryable: true}
		default:
			e.forget(l)
		}
		l.mu.Unlock()
	}
}

// do is with for a person's word: it returns when what follows from it is on disk.
func (e *Engine) do(id string, fn func(p *planner) error) error {
	done := make(chan error, 1)
	if err := e.with(id, fn, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// plan plans under l.mu: fn first, then whatever is due. An error of fn changes nothing: it checks before it emits.
func (e *Engine) plan(l *live, fn func(p *planner) error) (*planner, error) {
	p := &planner{e: e, l: l, in: l.in, now: e.now()}
	if fn != nil {
		if err := fn(p); err != nil {
			e.idle(l)
			return nil, err
		}
		p.cut()
	}
	if err := p.advance(); err != nil {
		return nil, e.damaged(l, err)
	}
	for id, x := range l.execs {
		if x.run.Status.Ended() {
			delete(l.execs, id)
		}
	}
	if due, ok := p.nextDue(); ok {
		e.timers.set(l.in.ID, due)
	}
	return p, nil
}

// damaged reports a state that cannot be planned or stored: a defect, or a broken journal. The incident stays as it is on disk.
func (e *Engine) damaged(l *live, err error) error {
	e.log.Error("incident cannot go on", "incident", l.id, "err", err)
	e.forget(l)
	return err
}

// forget takes an incident out of memory, whatever it holds there. It is called under l.mu.
func (e *Engine) forget(l *live) {
	l.gone = true
	for _, x := range l.execs {
		x.yield(e)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.alive[l.id] == l {
		delete(e.alive, l.id)
	}
}

// idle drops an incident, soon, that has nothing to do and is on disk as it is in memory. It is called under l.mu.
func (e *Engine) idle(l *live) {
	if len(l.execs) == 0 && l.stored.Load() == l.in.Seq {
		go e.drop(l)
	}
}

// drop takes an incident out of memory if it is still idle.
func (e *Engine) drop(l *live) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.gone && len(l.execs) == 0 && !l.failed.Load() && l.stored.Load() == l.in.Seq {
		e.forget(l)
	}
}

// find gives the incident in memory, folding it from the journal if it is not there.
func (e *Engine) find(id string) (*live, error) {
	e.mu.Lock()
	l := e.alive[id]
	if l != nil {
		e.mu.Unlock()
		return l, nil
	}
	l = &live{id: id, in: &incident.Incident{}, execs: map[string]*execution{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.alive[id] = l
	e.mu.Unlock() // others may find it, and wait until it is read
	in, err := e.fold(id)
	if err != nil {
		e.forget(l)
		return nil, err
	}
	l.in = in
	l.stored.Store(in.Seq)
	return l, nil
}

// fold reads an incident from the journal.
func (e *Engine) fold(id string) (*incident.Incident, error) {
	in := &incident.Incident{}
	if id == incidentID(number(id)) { // an id from outside must not reach beyond the facts of one incident
		if err := journal.Facts(e.store, id, 0, in.Apply); err != nil {
			return nil, err
		}
	}
	if in.ID == "" {
		return nil, noIncident(id)
	}
	return in, nil
}

func noIncident(id string) error {
	return &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no incident %q", id), Hint: "riposte incident ls"}
}

// Advance goes on with an incident: it plans what is due now and starts what is in flight. Calling it once too often does no harm.
func (e *Engine) Advance(id string) {
	if e.ctx.Err() != nil {
		return
	}
	if err := e.with(id, nil, nil); err != nil && !errors.Is(err, context.Canceled) {
		e.log.Error("advance", "incident", id, "err", err)
	}
}
