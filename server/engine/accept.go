package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-soar/riposte/host/compact"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/rule"
	"github.com/riposte-soar/riposte/server/runbook"
)

// AlarmState is what became of an alarm.
type AlarmState string

// The states of an alarm.
const (
	AlarmUnparsed  AlarmState = "unparsed"  // kept with the reason; can be driven again
	AlarmUnmatched AlarmState = "unmatched" // no rule wants it
	AlarmWaiting   AlarmState = "waiting"   // a rule wants it; it waits on disk until runs become free
	AlarmMatched   AlarmState = "matched"   // it opened or joined incidents
)

// AlarmRecord is an alarm as it is stored, with what became of it.
type AlarmRecord struct {
	Alarm     *alarm.Alarm `json:"alarm"`
	State     AlarmState   `json:"state"`
	Rules     []string     `json:"rules,omitempty"`
	Incidents []string     `json:"incidents,omitempty"`
	Warnings  []string     `json:"warnings,omitempty"` // of rules that could not be evaluated

	doc map[string]any // Alarm.Doc, once it was needed
}

// document is Alarm.Doc. It must not be changed.
func (rec *AlarmRecord) document() map[string]any {
	if rec.doc == nil {
		rec.doc = rec.Alarm.Doc()
	}
	return rec.doc
}

// Accept takes an alarm in: it is stored, matched, and what it sets off is planned, all in one commit. done is called when that is on disk.
// Accept blocks while the store's queue is full; that is the back-pressure on listeners.
func (e *Engine) Accept(ctx context.Context, a *alarm.Alarm, done func(error)) {
	e.accept(ctx, a, nil, done)
}

// accept is Accept with further changes for the same commit.
func (e *Engine) accept(ctx context.Context, a *alarm.Alarm, ops []journal.Op, done func(error)) {
	if e.ctx.Err() != nil {
		done(&abi.Fault{Kind: abi.Unavailable, Message: "the server is stopping", Retryable: true})
		return
	}
	rec := &AlarmRecord{Alarm: a}
	if a.Parse.Format == alarm.Unparsed {
		e.Stats.Unparsed.Add(1)
		rec.State = AlarmUnparsed
		e.store.Submit(ctx, append(ops, e.alarmOps(rec, prefixUnparsed)...), 0, done)
		return
	}
	matches := e.match(ctx, rec)
	if len(matches) == 0 {
		e.Stats.Unmatched.Add(1)
		rec.State = AlarmUnmatched
		e.store.Submit(ctx, append(ops, e.alarmOps(rec, "")...), 0, done)
		return
	}
	e.Stats.Matched.Add(1)
	if e.backlog.waiting() || !e.freeRun() {
		rec.State = AlarmWaiting
		e.backlog.add()
		e.store.Submit(ctx, append(ops, e.alarmOps(rec, prefixPending)...), 0, func(err error) {
			if err != nil {
				e.backlog.take(1)
			}
			done(err)
			e.backlog.poke()
		})
		return
	}
	e.open(rec, matches, ops, done)
}

// match asks the rules; one that cannot be evaluated is noted and hides nothing of the others.
func (e *Engine) match(ctx context.Context, rec *AlarmRecord) []rule.Match {
	matches, warnings := e.content.Rules.Match(ctx, rec.document())
	for _, w := range warnings {
		e.Stats.RuleErrors.Add(1)
		rec.Warnings = append(rec.Warnings, w.Error())
	}
	for _, m := range matches {
		rec.Rules = append(rec.Rules, m.Rule)
	}
	return matches
}

// freeRun takes a token for a run if there is one.
func (e *Engine) freeRun() bool {
	select {
	case e.runs <- struct{}{}:
		return true
	default:
		return false
	}
}

// alarmOps store the record and, in the index, its uid.
func (e *Engine) alarmOps(rec *AlarmRecord, index string) []journal.Op {
	ops := []journal.Op{{Key: []byte(prefixAlarm + rec.Alarm.UID), Value: rec.encode()}}
	if index != "" {
		ops = append(ops, journal.Op{Key: []byte(index + rec.Alarm.UID), Value: []byte{}})
	}
	return ops
}

// encode is what encoding/json gives without escaping HTML.
func (rec *AlarmRecord) encode() []byte {
	w := compact.Writer{B: append(make([]byte, 0, 2*len(rec.Alarm.Raw)+1024), `{"alarm":`...)}
	w.B = rec.Alarm.AppendJSON(w.B)
	w.Text(`,"state":`, string(rec.State))
	w.Texts(`,"rules":`, rec.Rules)
	w.Texts(`,"incidents":`, rec.Incidents)
	w.Texts(`,"warnings":`, rec.Warnings)
	w.Raw("}")
	return w.B
}

// open opens or joins an incident for each match, in one commit with the alarm and ops. It holds a token of e.runs, which the first run that
// begins takes over.
func (e *Engine) open(rec *AlarmRecord, matches []rule.Match, ops []journal.Op, done func(error)) {
	e.acceptMu.Lock()
	defer e.acceptMu.Unlock()
	slot := true
	defer func() {
		if slot {
			<-e.runs
		}
	}()
	rec.State = AlarmMatched
	var plans []*planner
	var failed error
	for i := range matches {
		l := e.target(&matches[i], rec.Alarm.Received)
		defer l.mu.Unlock()
		p, err := e.plan(l, func(p *planner) error {
			p.join(&matches[i], rec, &slot)
			return nil
		})
		if err != nil {
			failed = err // the others go on
			continue
		}
		rec.Incidents = append(rec.Incidents, l.id)
		plans = append(plans, p)
	}
	if len(plans) == 0 {
		done(failed)
		return
	}
	if err := e.commit(plans, append(ops, e.alarmOps(rec, "")...), done); err != nil {
		done(err)
	}
}

// gather calls done once, when every part of an alarm's commit is on disk.
type gather struct {
	mu      sync.Mutex
	pending int
	errs    []error
	done    func(error)
}

func (g *gather) one(err error) {
	g.mu.Lock()
	g.errs = append(g.errs, err)
	g.pending--
	last := g.pending == 0
	g.mu.Unlock()
	if last && g.done != nil {
		g.done(errors.Join(g.errs...))
	}
}

// target finds the open incident that a match of an alarm received then joins, or makes a new one; either is returned locked. Callers hold
// e.acceptMu.
func (e *Engine) target(m *rule.Match, received time.Time) *live {
	if d, ok := e.dedupe[dedupeKey(m)]; ok && m.Key != "" && d.Until.After(received) {
		if l, err := e.acquire(d.Incident); err == nil {
			if l.in.Status == "open" {
				return l
			}
			e.idle(l)
			l.mu.Unlock()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastID++
	l := &live{id: incidentID(e.lastID), execs: map[string]*execution{}}
	l.in = &incident.Incident{ID: l.id}
	l.mu.Lock()
	e.alive[l.id] = l
	return l
}

func dedupeKey(m *rule.Match) string { return prefixDedupe + m.Rule + "/" + m.Key }

// join puts an alarm on an incident; a new one is opened from the match's template first, and its runbook started.
func (p *planner) join(m *rule.Match, rec *AlarmRecord, slot *bool) {
	fresh := p.in.Seq == 0
	if fresh {
		p.opened = true
		p.e.Stats.Opened.Add(1)
		p.emit(incident.FactOpened, "", "", incident.Opened{Template: m.Template.ID, Rule: m.Rule, Type: m.Template.Type, Title: m.Title,
			Category: m.Template.Category, Severity: m.Severity, Queue: m.Template.Queue, TLP: m.Template.TLP, Attack: m.Template.Attack})
	} else {
		p.e.Stats.Joined.Add(1)
	}
	p.emit(incident.FactAlarm, "", "", incident.AlarmJoined{UID: rec.Alarm.UID})
	for _, a := range m.Artifacts {
		p.emit(incident.FactArtifact, "", "", incident.Artifact{Kind: a.Kind, Name: a.Name, Value: fmt.Sprint(a.Value), Source: "alarm"})
	}
	if m.Key != "" && m.Window > 0 {
		p.hold(dedupeKey(m), rec.Alarm.Received.Add(m.Window))
	}
	if !fresh || m.Template.Runbook == "" || !m.Template.Autorun {
		return
	}
	src := p.e.content.Runbooks[m.Template.Runbook]
	if src == nil {
		p.e.log.Error("template names an unknown runbook", "template", m.Template.ID, "runbook", m.Template.Runbook)
		return
	}
	given := map[string]any{}
	for _, a := range m.Artifacts {
		if slices.ContainsFunc(src.Runbook.Inputs, func(in runbook.Input) bool { return in.Name == a.Name }) {
			given[a.Name] = a.Value
		}
	}
	run, fault := p.startWith(src, given, rec.Alarm.UID, rec.document(), "")
	if fault != nil { // the incident is open; its record says why its runbook did not begin
		p.emit(incident.FactFinding, "", "", incident.Finding{Text: "runbook " + src.Runbook.ID + " did not start: " + fault.Error(), Source: "template " + m.Template.ID})
		return
	}
	if x := p.l.execs[run.ID]; x != nil && *slot {
		x.slot, *slot = true, false
	}
}

// startWith checks the inputs and puts the run on the record.
func (p *planner) startWith(src *Source, given map[string]any, alarmUID string, doc map[string]any, by string) (*incident.Run, *abi.Fault) {
	bound, fault := src.Runbook.BindInputs(given)
	if fault != nil {
		return nil, fault
	}
	inputs, err := encodeAll(bound)
	if err != nil {
		return nil, evalFault("inputs", err)
	}
	return p.startRun(src, incident.RunStarted{Alarm: alarmUID, Inputs: inputs}, by, doc), nil
}

// hold remembers a dedupe key until a time, in memory and on disk. Callers hold e.acceptMu.
func (p *planner) hold(key string, until time.Time) {
	if old, ok := p.e.dedupe[key]; ok && old.Incident == p.in.ID {
		return // the window counts from the first alarm
	}
	d := dedupeEntry{Incident: p.in.ID, Until: until}
	if op, err := journal.Put(key, d); err == nil {
		p.e.dedupe[key] = d
		p.ops = append(p.ops, op)
	}
}

// Redrive decodes an unparsed alarm again, through decode, and takes it in if that succeeds. The alarm keeps its uid.
func (e *Engine) Redrive(ctx context.Context, uid string, decode func(*alarm.Alarm) *alarm.Alarm) (*AlarmRecord, error) {
	e.redriveMu.Lock()
	defer e.redriveMu.Unlock()
	rec, err := e.Alarm(uid)
	if err != nil {
		return nil, err
	}
	if rec.State != AlarmUnparsed {
		return nil, &abi.Fault{Kind: abi.Conflict, Message: fmt.Sprintf("%s is %s, not unparsed", uid, rec.State)}
	}
	again := decode(rec.Alarm)
	again.UID, again.Received = rec.Alarm.UID, rec.Alarm.Received
	if again.Parse.Format == alarm.Unparsed {
		return nil, &abi.Fault{Kind: abi.Invalid, Message: "it still cannot be parsed: " + again.Parse.Error}
	}
	done := make(chan error, 1)
	e.accept(ctx, again, []journal.Op{{Key: []byte(prefixUnparsed + uid), Delete: true}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		return nil, err
	}
	return e.Alarm(uid)
}

// Alarm reads an alarm.
func (e *Engine) Alarm(uid string) (*AlarmRecord, error) {
	var rec AlarmRecord
	if err := journal.Read(e.store, prefixAlarm+uid, &rec); err != nil {
		if errors.Is(err, journal.ErrNotFound) {
			return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no alarm %q", uid), Hint: "riposte alarm ls"}
		}
		return nil, err
	}
	return &rec, nil
}

// backlog drives the alarms that wait on disk, oldest first, as runs become free.
type backlog struct {
	e    *Engine
	wake chan struct{}
	n    atomic.Int64
}

func newBacklog(e *Engine) *backlog { return &backlog{e: e, wake: make(chan struct{}, 1)} }

func (b *backlog) add()            { b.n.Add(1) }
func (b *backlog) take(done int64) { b.n.Add(-done) }
func (b *backlog) waiting() bool   { return b.n.Load() > 0 }

func (b *backlog) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *backlog) run(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := b.drain(ctx); err != nil && ctx.Err() == nil {
			b.e.log.Error("alarms that wait on disk", "err", err)
			again = time.After(retryCommit)
		}
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-again:
		}
	}
}

// drain takes alarms from disk until none is left. One that fails stays, for the next time, and holds up no other.
func (b *backlog) drain(ctx context.Context) error {
	for {
		driven, err := b.pass(ctx)
		if driven == 0 || err != nil {
			return err
		}
	}
}

// pass tries each alarm on disk once, oldest first.
func (b *backlog) pass(ctx context.Context) (driven int64, failed error) {
	var after []byte
	for {
		var uids []string
		err := b.e.store.Scan([]byte(prefixPending), after, false, func(key, _ []byte) error {
			if uids = append(uids, string(key[len(prefixPending):])); len(uids) == 256 {
				return journal.ErrStop
			}
			return nil
		})
		if err != nil || len(uids) == 0 {
			return driven, errors.Join(failed, err)
		}
		after = []byte(prefixPending + uids[len(uids)-1])
		committed := make(chan error, len(uids))
		begun := 0
		for _, uid := range uids {
			select {
			case <-ctx.Done():
				return driven, ctx.Err()
			case b.e.runs <- struct{}{}:
			}
			b.one(ctx, uid, func(err error) { committed <- err })
			begun++
		}
		for range begun { // the next pass must not see them again
			if err := <-committed; err != nil {
				failed = err
				continue
			}
			driven++
			b.take(1)
		}
	}
}

// one drives one alarm. It holds a token of e.runs.
func (b *backlog) one(ctx context.Context, uid string, done func(error)) {
	remove := journal.Op{Key: []byte(prefixPending + uid), Delete: true}
	rec, err := b.e.Alarm(uid)
	if err != nil {
		<-b.e.runs
		done(fmt.Errorf("alarm %s: %w", uid, err))
		return
	}
	rec.Rules, rec.Warnings = nil, nil
	matches := b.e.match(ctx, rec)
	if len(matches) == 0 { // the rules changed since
		<-b.e.runs
		rec.State = AlarmUnmatched
		b.e.store.Submit(ctx, append(b.e.alarmOps(rec, ""), remove), 0, done)
		return
	}
	b.e.open(rec, matches, []journal.Op{remove}, done)
}
