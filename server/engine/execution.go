package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/runbook"
)

// execution is what a run needs in memory beside its state: the compiled runbook and values decoded from the state.
type execution struct {
	run    *incident.Run
	book   *runbook.Runbook
	alarm  map[string]any
	inputs map[string]any
	values map[string]any                // results of ended steps, by path
	owned  map[string]context.CancelFunc // invocations at work in this process, by path of the step
	timed  map[string]bool               // steps that wait for a time
	slot   bool                          // holds a token of Engine.runs
}

// execution finds or makes the execution of a run, compiling its runbook as it was when the run began.
func (p *planner) execution(r *incident.Run) (*execution, *abi.Fault) {
	if x := p.l.execs[r.ID]; x != nil {
		return x, nil
	}
	book, fault := p.e.book(r.Runbook, r.Digest)
	if fault != nil {
		return nil, fault
	}
	alarm := map[string]any{}
	if r.Alarm != "" {
		rec, err := p.e.Alarm(r.Alarm)
		if err != nil {
			return nil, &abi.Fault{Kind: abi.Internal, Message: fmt.Sprintf("read alarm %s: %v", r.Alarm, err)}
		}
		alarm = rec.document()
	}
	x, err := newExecution(r, book, alarm)
	if err != nil {
		return nil, &abi.Fault{Kind: abi.Internal, Message: err.Error()}
	}
	p.l.execs[r.ID] = x
	p.move(r.ID) // what is in flight has no owner yet
	return x, nil
}

func newExecution(r *incident.Run, book *runbook.Runbook, alarm map[string]any) (*execution, error) {
	inputs, err := decodeAll(r.Inputs)
	if err != nil {
		return nil, fmt.Errorf("inputs of %s: %w", r.ID, err)
	}
	x := &execution{run: r, book: book, alarm: alarm, inputs: inputs, values: map[string]any{},
		owned: map[string]context.CancelFunc{}, timed: map[string]bool{}}
	for path, s := range r.Steps {
		if s.Due != nil && !s.Status.Ended() {
			x.timed[path] = true
		}
	}
	return x, nil
}

// book gives the compiled runbook with that digest: the installed one, or the one that was kept when the run began.
func (e *Engine) book(id, digest string) (*runbook.Runbook, *abi.Fault) {
	if src := e.content.Runbooks[id]; src != nil && src.Runbook.Digest == digest {
		return src.Runbook, nil
	}
	var src Source
	if err := journal.Read(e.store, prefixRunbook+digest, &src); err != nil {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("runbook %s with digest %.12s is not in the store: %v", id, digest, err)}
	}
	book, err := e.content.Compile(src)
	if err != nil {
		return nil, &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("runbook %s, as it was when the run began, no longer fits what is installed: %v", id, err),
			Hint: "install the plugin or connector that it names again, or cancel the run"}
	}
	return book, nil
}

// freeSlot lets the next alarm's run begin once this one is not busy: ended, or waiting for people or time.
func (x *execution) freeSlot(e *Engine) {
	if len(x.owned) == 0 || x.run.Status.Ended() {
		x.yield(e)
	}
}

// yield gives the token back.
func (x *execution) yield(e *Engine) {
	if x.slot {
		x.slot = false
		<-e.runs
	}
}

// vars are the variables that every scope sees.
func (x *execution) vars(p *planner) map[string]any {
	v := x.shared(p)
	v["inputs"] = x.inputs
	return v
}

// shared are the variables that a called runbook sees too. What few expressions name is made when one does.
func (x *execution) shared(p *planner) map[string]any {
	return map[string]any{
		"alarm": x.alarm,
		"lists": p.e.content.Lists,
		"run": func() any {
			return map[string]any{"id": x.run.ID, "runbook": x.run.Runbook, "started": x.run.StartedAt.UTC().Format(time.RFC3339)}
		},
		"incident": func() any {
			in := p.in
			return map[string]any{"id": in.ID, "title": in.Title, "type": in.Type, "category": in.Category, "severity": in.Severity,
				"queue": in.Queue, "tlp": in.TLP, "status": in.Status, "template": in.Template}
		},
	}
}

// scopeVars adds `steps` to the variables of a scope: what its steps have returned so far.
func (x *execution) scopeVars(s scope) map[string]any {
	steps := map[string]any{}
	for _, st := range s.def.Steps {
		x.addResult(steps, st, s.prefix+st.ID)
		for _, child := range st.Parallel {
			x.addResult(steps, child, s.prefix+child.ID)
		}
	}
	vars := maps.Clone(s.vars)
	vars["steps"] = steps
	return vars
}

func (x *execution) addResult(steps map[string]any, st *runbook.Step, path string) {
	state := x.run.Steps[path]
	if state == nil || state.Status != incident.Succeeded {
		return
	}
	v, ok := x.values[path]
	if !ok {
		if st.Kind == runbook.KindForeach {
			v = x.loopResult(state)
		} else if v, ok = decodeValue(state.Output); !ok {
			return
		}
		x.values[path] = v
	}
	steps[st.ID] = v
}

// loopResult lists, in the order of the items, {item, output} or {item, error}.
func (x *execution) loopResult(loop *incident.Step) []any {
	list := make([]any, loop.Total)
	for i := range list {
		entry := map[string]any{}
		entry["item"], _ = decodeValue(loop.Items[i])
		switch s := x.run.Steps[incident.Item(loop.Path, i)]; {
		case s == nil:
			entry["error"] = map[string]any{"kind": string(abi.Cancelled), "message": "the item was not begun"}
		case s.Status == incident.Succeeded:
			if v, ok := decodeValue(s.Output); ok {
				entry["output"] = v
			}
		default:
			f := stepFault(s)
			entry["error"] = map[string]any{"kind": string(f.Kind), "message": f.Message}
		}
		list[i] = entry
	}
	return list
}

// outputs evaluates the outputs of a scope.
func (x *execution) outputs(p *planner, s scope) (json.RawMessage, error) {
	if len(s.def.Outputs) == 0 {
		return nil, nil
	}
	vars, out := x.scopeVars(s), map[string]any{}
	for name, t := range s.def.Outputs {
		v, err := t.Eval(p.e.ctx, vars)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = v
	}
	return json.Marshal(out)
}

// decodeValue reads JSON into the form that expressions take: whole numbers are int64. It says false for nothing.
func decodeValue(raw json.RawMessage) (any, bool) {
	if len(raw) == 0 {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	return plain(v), true
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

func decodeAll(raw map[string]json.RawMessage) (map[string]any, error) {
	out := make(map[string]any, len(raw))
	for k, r := range raw {
		v, ok := decodeValue(r)
		if !ok {
			return nil, fmt.Errorf("%s is not JSON", k)
		}
		out[k] = v
	}
	return out, nil
}

func encodeAll(values map[string]any) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(values))
	for k, v := range values {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = raw
	}
	return out, nil
}

// evalFault is the fault of an expression that could not be evaluated.
func evalFault(where string, err error) *abi.Fault {
	return &abi.Fault{Kind: abi.Invalid, Message: err.Error(), Where: where}
}
