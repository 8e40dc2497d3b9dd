package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/runbook"
)

// decide takes the first case that holds.
func (p *planner) decide(x *execution, st *runbook.Step, path string, vars map[string]any) {
	for _, c := range st.Decide {
		yes := c.When == nil
		if !yes {
			var err error
			if yes, err = c.When.Bool(p.e.ctx, vars); err != nil {
				p.fail(x, path, evalFault("when", err))
				return
			}
		}
		if yes {
			p.done(x, path, incident.StepFinished{Status: incident.Succeeded, Chosen: c.Goto, Note: c.Note})
			return
		}
	}
	p.done(x, path, incident.StepFinished{Status: incident.Succeeded, Note: "no case holds"})
}

func (p *planner) failStep(x *execution, st *runbook.Step, path string, vars map[string]any) {
	message := "the runbook says fail"
	if st.Fail != nil {
		v, err := st.Fail.Eval(p.e.ctx, vars)
		if err != nil {
			p.fail(x, path, evalFault("fail", err))
			return
		}
		message = fmt.Sprint(v)
	}
	p.done(x, path, incident.StepFinished{Status: incident.Failed, Chosen: runbook.ThenFail,
		Fault: &abi.Fault{Kind: abi.Failed, Message: message, Where: path}})
}

// wait lets a duration pass, or waits until a time.
func (p *planner) wait(x *execution, st *runbook.Step, path string, vars map[string]any) {
	v, err := st.Wait.Eval(p.e.ctx, vars)
	if err != nil {
		p.fail(x, path, evalFault("wait", err))
		return
	}
	text := fmt.Sprint(v)
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, derr := schemas.ParseDuration(text)
		if derr != nil {
			p.fail(x, path, &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("wait: %q is no duration and no time", text), Hint: `write "10m" or an RFC 3339 time`})
			return
		}
		until = p.now.Add(d)
	}
	p.emit(incident.FactStepStarted, x.run.ID, path, incident.StepStarted{Kind: "wait", Until: &until})
	x.timed[path] = true
}

func (p *planner) startCall(x *execution, s scope, st *runbook.Step, path string, vars map[string]any) {
	given := make(map[string]any, len(st.Call.With))
	for name, t := range st.Call.With {
		v, err := t.Eval(p.e.ctx, vars)
		if err != nil {
			p.fail(x, path, evalFault("with."+name, err))
			return
		}
		given[name] = v
	}
	inputs, fault := st.Call.Scope.BindInputs(given)
	if fault != nil {
		p.fail(x, path, fault)
		return
	}
	raw, err := encodeAll(inputs)
	if err != nil {
		p.fail(x, path, evalFault("with", err))
		return
	}
	p.emit(incident.FactStepStarted, x.run.ID, path, incident.StepStarted{Kind: "call", Input: raw})
}

func (p *planner) proceedCall(x *execution, s scope, st *runbook.Step, state *incident.Step) {
	inputs, err := decodeAll(state.Input)
	if err != nil {
		p.fail(x, state.Path, evalFault("inputs", err))
		return
	}
	inner := scope{def: st.Call.Scope, prefix: state.Path + "/", vars: x.shared(p), guards: s.guards, stop: s.stop}
	inner.vars["inputs"] = inputs
	if g := st.Call.Scope.Guards; len(g.NeverContain) > 0 || g.PerRun > 0 || g.PerHour > 0 {
		inner.guards = append(slices.Clip(s.guards), boundGuards{g, st.Call.Name, inner.vars})
	}
	res := p.scope(x, inner)
	switch {
	case !res.ended:
	case x.run.Cancel || res.cut:
		p.done(x, state.Path, incident.StepFinished{Status: incident.Cancelled})
	case res.fault != nil:
		fault := *res.fault
		fault.Where = orElse(fault.Where, res.failed)
		p.done(x, state.Path, incident.StepFinished{Status: statusOf(&fault), Fault: &fault})
	default:
		out, err := x.outputs(p, inner)
		if err != nil {
			p.fail(x, state.Path, evalFault("outputs", err))
			return
		}
		p.done(x, state.Path, incident.StepFinished{Status: incident.Succeeded, Output: out})
	}
}

// proceedParallel begins all of the steps at once, and waits for each: once the parallel has begun, no failure keeps one of them from beginning.
func (p *planner) proceedParallel(x *execution, s scope, st *runbook.Step, state *incident.Step) {
	var failed *incident.Step
	ended := true
	for _, child := range st.Parallel {
		path := s.prefix + child.ID
		p.step(x, s, child, path, !x.run.Cancel)
		switch c := x.run.Steps[path]; {
		case c == nil:
			ended = ended && x.run.Cancel
		case !c.Status.Ended():
			ended = false
		case c.Status != incident.Succeeded && c.Status != incident.Skipped && child.OnError != runbook.OnErrorContinue && failed == nil:
			failed = c
		}
	}
	switch {
	case !ended:
	case x.run.Cancel:
		p.done(x, state.Path, incident.StepFinished{Status: incident.Cancelled})
	case failed != nil:
		fault := *stepFault(failed)
		fault.Where = orElse(fault.Where, failed.Path)
		p.done(x, state.Path, incident.StepFinished{Status: failed.Status, Fault: &fault})
	default:
		p.done(x, state.Path, incident.StepFinished{Status: incident.Succeeded})
	}
}

// startLoop evaluates the items once; they are part of the record. More of them than the limit need a person's word.
func (p *planner) startLoop(x *execution, st *runbook.Step, path string, vars map[string]any) {
	v, err := st.Foreach.Items.Eval(p.e.ctx, vars)
	if err != nil {
		p.fail(x, path, evalFault("foreach", err))
		return
	}
	items, ok := v.([]any)
	if !ok {
		p.fail(x, path, &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("foreach: expected a list, got %T", v)})
		return
	}
	d := incident.StepStarted{Kind: "foreach"}
	for _, item := range items {
		raw, err := json.Marshal(item)
		if err != nil {
			p.fail(x, path, evalFault("foreach", err))
			return
		}
		d.Items = append(d.Items, raw)
	}
	p.emit(incident.FactStepStarted, x.run.ID, path, d)
	if len(items) > st.Foreach.Limit {
		title := fmt.Sprintf("%s has %d items, more than its limit of %d. Go on with all of them?", st.ID, len(items), st.Foreach.Limit)
		show, _ := json.Marshal(d.Items)
		p.emitApproval(x, path, incident.Approval{Title: title, Show: show, Subject: p.subject(x, path, map[string]any{"items": d.Items})})
	}
}

func (p *planner) proceedLoop(x *execution, s scope, st *runbook.Step, state *incident.Step) {
	if a := p.approval(x, state.Path); a != nil && a.State != "granted" {
		if fault := p.refusal(s, a); fault != nil {
			p.fail(x, state.Path, fault)
		}
		return
	}
	loop := st.Foreach
	broken := func() bool { return state.Broken > 0 && loop.OnItemError != runbook.OnErrorContinue }
	for state.Next < state.Total && len(state.Active) < max(loop.Concurrency, 1) && !broken() && !s.stop && p.broken == nil {
		i := state.Next
		item := p.itemScope(s, loop, state, i)
		p.start(x, item, loop.Body, incident.Item(state.Path, i), x.scopeVars(item))
		p.cut()
	}
	for _, i := range slices.Sorted(maps.Keys(state.Active)) {
		if child := x.run.Steps[incident.Item(state.Path, i)]; child != nil && !child.Status.Ended() {
			p.proceed(x, p.itemScope(s, loop, state, i), loop.Body, child)
		}
	}
	switch {
	case len(state.Active) > 0:
	case x.run.Cancel || s.stop && state.Next < state.Total && !broken():
		p.done(x, state.Path, incident.StepFinished{Status: incident.Cancelled})
	case broken(): // asked again: the last item may have failed just now
		first := x.run.Steps[state.FirstBad]
		fault := *stepFault(first)
		fault.Where = orElse(fault.Where, state.FirstBad)
		p.done(x, state.Path, incident.StepFinished{Status: first.Status, Fault: &fault})
	case state.Done == state.Total:
		p.done(x, state.Path, incident.StepFinished{Status: incident.Succeeded})
	}
}

// itemScope is the scope of one item: that of the loop with the item's variable.
func (p *planner) itemScope(s scope, loop *runbook.Foreach, state *incident.Step, i int) scope {
	s.vars = maps.Clone(s.vars)
	s.vars[loop.As], _ = decodeValue(state.Items[i])
	return s
}
