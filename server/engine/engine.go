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

// Runner performs one invocation: the host, or a site's agent.
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

// Source is a runbook with the text that it was compiled from.
type Source struct {
	Runbook *runbook.Runbook `json:"-"`
	File    string           `json:"file"`
	Text    string           `json:"text"`
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

	mu       sync.Mutex
	alive    map[string]*live
	lastID   uint64
	dedupe   map[string]dedupeEntry
	acceptMu sync.Mutex // serialises the choice between opening and joining

	actions chan struct{} // a token for each invocation at work
	runs    chan struct{} // a token for each busy run that an alarm started
	backlog *backlog
	timers  *timers
	changed changed
	hourly  hourly
	kept    sync.Map // keys of runbooks known to be in the store

	stop    context.CancelFunc
	ctx     context.Context
	working sync.WaitGroup
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
	mu    sync.Mutex
	in    *incident.Incident
	execs map[string]*execution
	gone  bool // dropped from memory; look it up again
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
		dedupe: map[string]dedupeEntry{}, actions: make(chan struct{}, o.MaxActions), runs: make(chan struct{}, o.MaxRuns), ctx: ctx, stop: stop}
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
	return nil
}

// Stop ends invocations and waits for them. What was in flight stays so in the journal, and goes on at the next start.
func (e *Engine) Stop() {
	e.stop()
	e.working.Wait()
}

// with runs fn on an incident in memory, loading it if need be, and submits what fn planned. It is the only way to change an incident.
func (e *Engine) with(id string, fn func(p *planner) error) error {
	for {
		l, err := e.find(id)
		if err != nil {
			return err
		}
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			continue
		}
		err = e.change(l, fn, nil, nil)
		l.mu.Unlock()
		return err
	}
}

// change plans under l.mu: fn first, then whatever is due; then it submits the facts with the ops, and starts what is in flight.
func (e *Engine) change(l *live, fn func(p *planner) error, ops []journal.Op, done func(error)) error {
	p := &planner{e: e, l: l, in: l.in, now: e.now()}
	if fn != nil {
		if err := fn(p); err != nil {
			return err // fn checks before it emits: nothing has changed
		}
	}
	if err := p.advance(); err != nil {
		return e.damaged(l, err)
	}
	for id, x := range l.execs {
		if x.run.Status.Ended() {
			delete(l.execs, id)
		}
	}
	if due, ok := p.nextDue(); ok {
		e.timers.set(l.in.ID, due)
	}
	if err := e.submit(p, ops, done); err != nil {
		return e.damaged(l, err)
	}
	for _, s := range p.launch {
		e.launch(l, s)
	}
	for _, x := range p.touched {
		x.freeSlot(e)
	}
	return nil
}

// damaged reports a state that cannot be planned or stored: a defect, or a broken journal. The incident stays as it is on disk.
func (e *Engine) damaged(l *live, err error) error {
	e.log.Error("incident cannot go on", "incident", l.in.ID, "err", err)
	l.gone = true
	e.mu.Lock()
	delete(e.alive, l.in.ID)
	e.mu.Unlock()
	return err
}

// submit appends the planner's facts, its ops, and the indexes that follow from them, as one change.
func (e *Engine) submit(p *planner, ops []journal.Op, done func(error)) error {
	factOps, err := journal.FactOps(p.facts)
	if err != nil {
		return err
	}
	ops = append(append(ops, factOps...), p.ops...)
	if len(p.facts) > 0 {
		head, err := journal.Put(headKey(p.in.ID), p.in.Head())
		if err != nil {
			return err
		}
		ops = append(ops, head)
		active := journal.Op{Key: []byte(prefixActive + p.in.ID)}
		if active.Delete = p.in.Quiet(); !active.Delete || !p.opened {
			ops = append(ops, active)
		}
	}
	l, seq, idle := p.l, p.in.Seq, len(p.l.execs) == 0
	if len(ops) == 0 {
		if idle {
			go e.drop(l, seq)
		}
		if done != nil {
			done(nil)
		}
		return nil
	}
	e.store.Submit(e.ctx, ops, func(err error) {
		if err == nil {
			e.changed.wake()
			if idle {
				go e.drop(l, seq) // not here: whoever holds l.mu may be waiting for the store
			}
		}
		if done != nil {
			done(err)
		}
	})
	return nil
}

// drop takes an incident out of memory, unless something has happened to it since fact seq. What is dropped must be on disk.
func (e *Engine) drop(l *live, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone || len(l.execs) > 0 || l.in.Seq != seq {
		return
	}
	l.gone = true
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.alive, l.in.ID)
}

// find gives the incident in memory, folding it from the journal if it is not there.
func (e *Engine) find(id string) (*live, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.alive[id]; l != nil {
		return l, nil
	}
	in, err := e.fold(id)
	if err != nil {
		return nil, err
	}
	l := &live{in: in, execs: map[string]*execution{}}
	e.alive[id] = l
	return l, nil
}

// fold reads an incident from the journal.
func (e *Engine) fold(id string) (*incident.Incident, error) {
	in := &incident.Incident{}
	if err := journal.Facts(e.store, id, 0, in.Apply); err != nil {
		return nil, err
	}
	if in.ID == "" {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no incident %q", id), Hint: "riposte incident ls"}
	}
	return in, nil
}

// Advance goes on with an incident: it plans what is due now and starts what is in flight. Calling it once too often does no harm.
func (e *Engine) Advance(id string) {
	if e.ctx.Err() != nil {
		return
	}
	if err := e.with(id, nil); err != nil && !errors.Is(err, context.Canceled) {
		e.log.Error("advance", "incident", id, "err", err)
	}
}
