package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/runbook"
)

// planner turns the state of one incident into the facts that are due. Each fact is folded into the state as it is emitted, so that what follows
// from it is planned in the same pass, and is submitted with it.
type planner struct {
	e       *Engine
	l       *live
	in      *incident.Incident
	now     time.Time
	facts   []journal.Fact
	ops     []journal.Op
	launch  []start
	begun   []string        // invocations
	touched []*execution    // runs that were planned
	moved   map[string]bool // runs to plan: with facts in this plan, or that were not in memory before it
	cuts    []int           // numbers of facts after which the plan may be divided into several commits
	opened  bool            // the incident begins with this change
	broken  error
}

// start is an invocation to begin once the plan is submitted.
type start struct {
	run  *execution
	step *incident.Step
	// fresh says that this plan began it: its parameters have just been checked, and nothing of it is on a tape.
	fresh bool
}

// emit appends a fact and folds it. A failure means a defect of ours; it ends the plan.
func (p *planner) emit(kind journal.Kind, run, step string, data any) {
	if p.broken != nil {
		return
	}
	p.append(journal.Fact{Kind: kind, Run: run, Step: step, Value: data})
}

// emitBy is emit for something that a person did.
func (p *planner) emitBy(by string, kind journal.Kind, run string, data any) {
	p.append(journal.Fact{Kind: kind, Run: run, By: by, Value: data})
}

// append numbers a fact, and folds it as it would be folded from the journal: its value is what would be read there.
func (p *planner) append(f journal.Fact) {
	f.Seq, f.Time, f.Incident = p.in.Seq+1, p.now, p.in.ID
	if p.broken = p.in.Apply(&f); p.broken != nil {
		return
	}
	p.facts = append(p.facts, f)
	if f.Run != "" {
		p.move(f.Run)
	}
}

// cut says that what was emitted so far may be stored without what follows: a restart in between comes to the same end.
func (p *planner) cut() {
	if n := len(p.facts); n > 0 && (len(p.cuts) == 0 || p.cuts[len(p.cuts)-1] < n) {
		p.cuts = append(p.cuts, n)
	}
}

// advance plans the end of containments that have expired, and every run of the incident for which something has changed: one of its facts, the
// time, or that it has just been read from disk.
func (p *planner) advance() error {
	p.expire()
	p.cut()
	for i := 0; i < len(p.in.Runs); i++ { // a run may be added on the way
		if r := p.in.Runs[i]; !r.Status.Ended() && (p.moved[r.ID] || p.due(r)) {
			p.run(r)
			p.cut()
		}
	}
	return p.broken
}

// move marks a run as one to plan.
func (p *planner) move(run string) {
	if p.moved == nil {
		p.moved = map[string]bool{}
	}
	p.moved[run] = true
}

// due says whether a run has to be planned although no fact of it is new.
func (p *planner) due(r *incident.Run) bool {
	x := p.l.execs[r.ID]
	if x == nil {
		return true
	}
	for path := range x.timed {
		if s := r.Steps[path]; s != nil && s.Due != nil && !s.Due.After(p.now) {
			return true
		}
	}
	return slices.ContainsFunc(p.in.Approvals, func(a *incident.Approval) bool {
		return a.Run == r.ID && a.State == "pending" && a.Expires != nil && !a.Expires.After(p.now)
	})
}

// run plans one run: its body, then, if that failed, its on_failure steps.
func (p *planner) run(r *incident.Run) {
	x, fault := p.execution(r)
	if fault != nil {
		p.finishRun(r, nil, incident.RunFinished{Status: incident.Failed, Fault: fault})
		return
	}
	p.touched = append(p.touched, x)
	body := scope{def: x.book.Body, vars: x.vars(p)}
	res := p.scope(x, body)
	switch {
	case !res.ended:
	case r.Cancel && !x.failing():
		p.finishRun(r, x, incident.RunFinished{Status: incident.Cancelled})
	case res.fault == nil:
		outputs, err := x.outputs(p, body)
		if err != nil {
			p.finishRun(r, x, incident.RunFinished{Status: incident.Failed, Fault: evalFault("outputs", err)})
			return
		}
		p.finishRun(r, x, incident.RunFinished{Status: incident.Succeeded, Outputs: outputs})
	default:
		p.onFailure(r, x, body, res)
	}
}

// onFailure begins the paths of on_failure steps.
const onFailure = "on_failure/"

// failing says whether steps of on_failure have begun.
func (x *execution) failing() bool {
	for _, st := range x.book.OnFailure {
		if x.run.Steps[onFailure+st.ID] != nil {
			return true
		}
	}
	return false
}

// onFailure runs the on_failure steps of a run that failed, then ends it; what fails there is on the record and changes nothing more.
func (p *planner) onFailure(r *incident.Run, x *execution, body scope, res scopeResult) {
	vars := map[string]any{"failure": map[string]any{"step": res.failed, "message": res.fault.Message, "kind": string(res.fault.Kind)}}
	for k, v := range body.vars {
		vars[k] = v
	}
	after := scope{def: &runbook.Scope{Steps: x.book.OnFailure}, prefix: onFailure, vars: vars}
	if len(x.book.OnFailure) > 0 && !p.scope(x, after).ended {
		return
	}
	if r.Cancel {
		p.finishRun(r, x, incident.RunFinished{Status: incident.Cancelled})
		return
	}
	p.finishRun(r, x, incident.RunFinished{Status: statusOf(res.fault), Fault: res.fault, Failed: res.failed})
}

func (p *planner) finishRun(r *incident.Run, x *execution, d incident.RunFinished) {
	for _, a := range p.in.Approvals {
		if a.Run == r.ID && a.State == "pending" {
			p.emit(incident.FactDecided, r.ID, a.Step, incident.Decided{Approval: a.ID, State: "cancelled"})
		}
	}
	p.emit(incident.FactRunFinished, r.ID, "", d)
	p.e.Stats.RunsFinished.Add(1)
	if d.Status != incident.Succeeded {
		p.e.Stats.RunsFailed.Add(1)
	}
	if r.Releases != "" {
		state := incident.Released
		if d.Status != incident.Succeeded {
			state = incident.ReleaseFailed
		} else if c := p.in.Containment(r.Releases); c != nil {
			p.freeTarget(c)
		}
		p.emit(incident.FactContained, "", "", incident.ContainmentChanged{ID: r.Releases, State: state, Run: r.ID, Fault: d.Fault})
	}
}

// scope is one list of steps at work: the body of a runbook, or of a call.
type scope struct {
	def    *runbook.Scope
	prefix string // of the paths of its steps
	vars   map[string]any
	guards []boundGuards // of the enclosing runbooks, outermost first
	// stop says that it, or one around it, has ended early or is being cancelled: nothing in it begins any more, or waits for people or time.
	stop bool
}

type scopeResult struct {
	ended  bool
	fault  *abi.Fault // nil: it succeeded
	failed string     // path of the step whose failure ended it
	cut    bool       // it was not failed, but a scope around it ended before all of its steps had begun
}

// scope plans the steps of a scope until nothing more is due.
func (p *planner) scope(x *execution, s scope) scopeResult {
	for {
		before := len(p.facts)
		for _, st := range s.def.Steps {
			here := s
			ended := x.run.Cancel || p.stopping(x, s).ended // asked each time: the step before may have just failed
			here.stop = s.stop || ended
			p.step(x, here, st, s.prefix+st.ID, !here.stop)
			p.cut()
		}
		if len(p.facts) == before || p.broken != nil {
			break
		}
	}
	res := p.stopping(x, s)
	stop := res.ended || x.run.Cancel || s.stop
	for _, st := range s.def.Steps {
		state := x.run.Steps[s.prefix+st.ID]
		if state == nil && stop {
			res.cut = !res.ended
			continue
		}
		if state == nil || !state.Status.Ended() {
			return scopeResult{}
		}
	}
	res.ended = true
	return res
}

// stopping says whether something has ended the scope early: a failure that is not to be passed over, or a choice of end or fail. What was
// cancelled because of it is not the reason.
func (p *planner) stopping(x *execution, s scope) scopeResult {
	var cancelled scopeResult
	for _, st := range s.def.Steps {
		path := s.prefix + st.ID
		state := x.run.Steps[path]
		if state == nil || !state.Status.Ended() {
			continue
		}
		switch {
		case state.Status == incident.Cancelled && st.OnError != runbook.OnErrorContinue:
			if !cancelled.ended {
				cancelled = scopeResult{ended: true, fault: stepFault(state), failed: path}
			}
		case state.Status != incident.Succeeded && state.Status != incident.Skipped && st.OnError != runbook.OnErrorContinue:
			return scopeResult{ended: true, fault: stepFault(state), failed: path}
		case chosen(st, state) == runbook.ThenFail:
			return scopeResult{ended: true, failed: path,
				fault: &abi.Fault{Kind: abi.Failed, Message: orElse(state.Note, "the runbook decided to fail"), Where: path}}
		case chosen(st, state) == runbook.ThenEnd:
			return scopeResult{ended: true}
		}
	}
	return cancelled
}

// chosen is the step that an ended step sends the run to: what it decided, or its `then` when it succeeded.
func chosen(st *runbook.Step, state *incident.Step) string {
	if state.Chosen == "" && state.Status == incident.Succeeded {
		return st.Then
	}
	return state.Chosen
}

// step begins a step that is ready, or goes on with one that has begun.
func (p *planner) step(x *execution, s scope, st *runbook.Step, path string, mayStart bool) {
	state := x.run.Steps[path]
	switch {
	case state == nil && mayStart:
		ready, notTaken := p.ready(x, s, st)
		if notTaken {
			p.done(x, path, incident.StepFinished{Status: incident.Skipped, NotTaken: true})
		} else if ready {
			p.begin(x, s, st, path)
		}
	case state != nil && !state.Status.Ended():
		p.proceed(x, s, st, state)
	}
}

// ready says whether a step may begin, or will never be taken.
func (p *planner) ready(x *execution, s scope, st *runbook.Step) (ready, notTaken bool) {
	skipped := 0
	for _, need := range st.Needs {
		state := x.run.Steps[s.prefix+need]
		if state == nil || !state.Status.Ended() {
			return false, false
		}
		if state.NotTaken {
			skipped++
		}
	}
	if skipped > 0 && skipped == len(st.Needs) {
		return false, true
	}
	if !st.Gated {
		return true, false
	}
	for _, gate := range st.Gates {
		state := x.run.Steps[s.prefix+gate]
		if state == nil || !state.Status.Ended() {
			return false, false
		}
		if def := s.find(gate); def != nil && chosen(def, state) == st.ID {
			return true, false
		}
	}
	return false, true
}

func (s scope) find(id string) *runbook.Step {
	for _, st := range s.def.Steps {
		if st.ID == id {
			return st
		}
	}
	return nil
}

// begin starts a step whose turn has come.
func (p *planner) begin(x *execution, s scope, st *runbook.Step, path string) {
	vars := x.scopeVars(s)
	if st.If != nil {
		yes, err := st.If.Bool(p.e.ctx, vars)
		if err != nil {
			p.fail(x, path, evalFault("if", err))
			return
		}
		if !yes {
			p.done(x, path, incident.StepFinished{Status: incident.Skipped})
			return
		}
	}
	p.start(x, s, st, path, vars)
}

func (p *planner) start(x *execution, s scope, st *runbook.Step, path string, vars map[string]any) {
	switch st.Kind {
	case runbook.KindUses:
		p.startAction(x, s, st, path, vars)
	case runbook.KindCall:
		p.startCall(x, s, st, path, vars)
	case runbook.KindParallel:
		p.emit(incident.FactStepStarted, x.run.ID, path, incident.StepStarted{Kind: "parallel"})
	case runbook.KindForeach:
		p.startLoop(x, st, path, vars)
	case runbook.KindDecide:
		p.decide(x, st, path, vars)
	case runbook.KindSet:
		v, err := st.Set.Eval(p.e.ctx, vars)
		p.result(x, path, v, err)
	case runbook.KindApprove:
		p.ask(x, st, path, vars)
	case runbook.KindWait:
		p.wait(x, st, path, vars)
	case runbook.KindEnd:
		p.done(x, path, incident.StepFinished{Status: incident.Succeeded, Chosen: runbook.ThenEnd})
	case runbook.KindFail:
		p.failStep(x, st, path, vars)
	default:
		p.fail(x, path, &abi.Fault{Kind: abi.Internal, Message: fmt.Sprintf("a step of kind %q is not known to the engine", st.Kind)})
	}
}

// proceed goes on with a step that has begun.
func (p *planner) proceed(x *execution, s scope, st *runbook.Step, state *incident.Step) {
	switch st.Kind {
	case runbook.KindUses:
		p.proceedAction(x, s, st, state, func() map[string]any { return x.scopeVars(s) })
	case runbook.KindCall:
		p.proceedCall(x, s, st, state)
	case runbook.KindParallel:
		p.proceedParallel(x, s, st, state)
	case runbook.KindForeach:
		p.proceedLoop(x, s, st, state)
	case runbook.KindApprove:
		p.proceedAsk(x, s, st, state)
	case runbook.KindWait:
		if s.stop {
			p.done(x, state.Path, incident.StepFinished{Status: incident.Cancelled})
		} else if state.Due == nil || !state.Due.After(p.now) {
			p.done(x, state.Path, incident.StepFinished{Status: incident.Succeeded})
		}
	}
}

// done ends a step that is not an action.
func (p *planner) done(x *execution, path string, d incident.StepFinished) {
	p.emit(incident.FactStepDone, x.run.ID, path, d)
}

// fail ends a step with a fault that says where.
func (p *planner) fail(x *execution, path string, fault *abi.Fault) {
	if fault.Where == "" {
		fault.Where = path
	}
	p.done(x, path, incident.StepFinished{Status: statusOf(fault), Fault: fault})
}

// result ends a step with a value.
func (p *planner) result(x *execution, path string, v any, err error) {
	if err != nil {
		p.fail(x, path, evalFault("", err))
		return
	}
	raw, err := json.Marshal(v)
	if err != nil {
		p.fail(x, path, &abi.Fault{Kind: abi.Internal, Message: err.Error()})
		return
	}
	p.done(x, path, incident.StepFinished{Status: incident.Succeeded, Output: raw})
}

// nextDue is when the earliest timer of the incident is due.
func (p *planner) nextDue() (time.Time, bool) {
	var due time.Time
	consider := func(t *time.Time) {
		if t != nil && (due.IsZero() || t.Before(due)) {
			due = *t
		}
	}
	for _, r := range p.in.Runs {
		if r.Status.Ended() {
			continue
		}
		if x := p.l.execs[r.ID]; x != nil {
			for path := range x.timed {
				if s := r.Steps[path]; s != nil && !s.Status.Ended() && s.Due != nil {
					consider(s.Due)
				} else {
					delete(x.timed, path)
				}
			}
		}
	}
	for _, a := range p.in.Approvals {
		if a.State == "pending" {
			consider(a.Expires)
		}
	}
	for _, c := range p.in.Containments {
		consider(c.Due())
	}
	return due, !due.IsZero()
}

// statusOf is the status of a step that ended with the fault.
func statusOf(f *abi.Fault) incident.Status {
	switch f.Kind {
	case abi.Timeout:
		return incident.TimedOut
	case abi.Cancelled:
		return incident.Cancelled
	case abi.InDoubt:
		return incident.InDoubt
	}
	return incident.Failed
}

func stepFault(s *incident.Step) *abi.Fault {
	if s.Fault != nil {
		return s.Fault
	}
	kind := abi.Failed
	if s.Status == incident.Cancelled {
		kind = abi.Cancelled
	}
	return &abi.Fault{Kind: kind, Message: "the step ended as " + string(s.Status), Where: s.Path}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
