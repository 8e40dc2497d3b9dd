package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/runbook"
)

// maxProbes is how often a containment is looked for on the target before it counts as not in effect; probeDelay is the first pause, which doubles.
const (
	maxProbes  = 6
	probeDelay = 500 * time.Millisecond
)

// boundGuards are the guards of a runbook with the variables that they see.
type boundGuards struct {
	runbook.Guards
	name string
	vars map[string]any
}

// guard checks a containment against the guards of the runbook and of every shared runbook around it, whatever the step says.
func (p *planner) guard(x *execution, s scope, st *runbook.Step, act *incident.ActionStarted) *abi.Fault {
	var params map[string]any
	if v, ok := decodeValue(act.Parameters); ok {
		params, _ = v.(map[string]any)
	}
	all := x.guards(p, s)
	for _, g := range all {
		if fault := g.Check(p.e.ctx, st.Uses.TargetsOf(params), g.vars); fault != nil {
			fault.Where = g.name + ": guards.never_contain"
			return fault
		}
		if g.PerRun > 0 && x.run.Contained >= g.PerRun {
			return &abi.Fault{Kind: abi.Refused, Message: fmt.Sprintf("this run has made %d containments, its most", x.run.Contained), Where: g.name + ": guards.max_contain.per_run"}
		}
	}
	if g := p.e.hourly.full(all, p.now); g != nil {
		return &abi.Fault{Kind: abi.Refused, Message: fmt.Sprintf("%s has made its %d containments of this hour", g.name, g.PerHour), Where: g.name + ": guards.max_contain.per_hour"}
	}
	return nil
}

// guards are those of the runbook and of the shared ones around a scope, outermost first.
func (x *execution) guards(p *planner, s scope) []boundGuards {
	return append([]boundGuards{{x.book.Guards, x.book.ID, x.vars(p)}}, s.guards...)
}

// contain starts a containment that nothing forbids, and counts it for the caps of the hour.
func (p *planner) contain(x *execution, s scope, path string, act *incident.ActionStarted) {
	p.emit(incident.FactActStarted, x.run.ID, path, act)
	var names []string
	for _, g := range x.guards(p, s) {
		if g.PerHour > 0 {
			names = append(names, g.name)
		}
	}
	if len(names) == 0 {
		return
	}
	p.e.hourly.add(names, p.now)
	if op, err := journal.Put(hourKey(p.now, act.Invocation), names); err == nil {
		p.ops = append(p.ops, op)
	}
}

// place puts a containment on the record, with what undoes it.
func (p *planner) place(x *execution, state *incident.Step, act *incident.ActionStarted, output json.RawMessage, status incident.ContainmentState) {
	c := incident.Containment{ID: childID("CON", p.in.ID, len(p.in.Containments)+1), Incident: p.in.ID, Run: x.run.ID, Step: state.Path, Plugin: act.Plugin,
		Action: act.Action, Connector: act.Connector, Targets: act.Targets, Placed: p.now, State: status, Inverse: p.e.inverse(act, output)}
	if act.TTL > 0 {
		expires := p.now.Add(act.TTL)
		c.Expires = &expires
	}
	var params map[string]any
	if json.Unmarshal(act.Parameters, &params) == nil {
		c.Reason, _ = params["comment"].(string)
	}
	p.emit(incident.FactPlaced, "", "", c)
	p.holdTarget(&c)
}

// inverse builds what releases a containment, from the manifest.
func (e *Engine) inverse(act *incident.ActionStarted, output json.RawMessage) *incident.Invocation {
	plugin := e.content.Plugins[act.Plugin]
	if plugin == nil {
		return nil
	}
	inv := plugin.Manifest.Actions[act.Action].Inverse
	if inv == nil || inv.Action == "" {
		return nil
	}
	params, _ := decodeValue(act.Parameters)
	result, _ := decodeValue(output)
	with := map[string]any{}
	for name, ref := range inv.With {
		if v := reference(ref, params, result); v != nil {
			with[name] = v
		}
	}
	raw, err := json.Marshal(with)
	if err != nil {
		return nil
	}
	return &incident.Invocation{Plugin: act.Plugin, Action: inv.Action, Connector: act.Connector, Parameters: raw}
}

// reference resolves "{parameters.x}" and "{result.x}"; other text stands for itself.
func reference(ref string, params, result any) any {
	inner, ok := strings.CutPrefix(ref, "{")
	inner, ok2 := strings.CutSuffix(inner, "}")
	if !ok || !ok2 {
		return ref
	}
	from := result
	name, isParam := strings.CutPrefix(inner, "parameters.")
	if isParam {
		from = params
	} else {
		name = strings.TrimPrefix(inner, "result.")
	}
	m, _ := from.(map[string]any)
	return m[name]
}

// probe asks the target whether the containment of the step is in effect.
func (p *planner) probe(x *execution, st *runbook.Step, state *incident.Step) {
	act := *state.Action
	spec := p.e.content.Plugins[act.Plugin].Manifest.Actions[st.Uses.Spec.Probe]
	act.Action, act.Kind, act.Effect, act.Verify, act.TTL = st.Uses.Spec.Probe, spec.Kind, spec.Effect, true, 0
	act.Attempt, act.At = state.Probes+1, p.now
	act.Invocation = invocation(x.run.ID, state.Path+"~probe", act.Attempt)
	act.Key = act.Invocation
	act.Parameters = keep(act.Parameters, spec.Parameters)
	p.emit(incident.FactActStarted, x.run.ID, state.Path, &act)
}

// keep gives the parameters that a schema knows.
func keep(params, schema json.RawMessage) json.RawMessage {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(schema, &s) != nil || json.Unmarshal(params, &all) != nil {
		return params
	}
	for name := range all {
		if _, known := s.Properties[name]; !known {
			delete(all, name)
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return params
	}
	return raw
}

// probed judges the answer of a probe: in effect, not yet, or not at all.
func (p *planner) probed(x *execution, st *runbook.Step, state *incident.Step, d *incident.ActionFinished) {
	if state.Unknown {
		p.probedDoubt(x, st, state, d)
		return
	}
	if d.Fault == nil {
		p.checkVerified(x, st, state.Path, d, d.Output)
	} else {
		d.Status = statusOf(d.Fault)
	}
	if d.Status == incident.Succeeded {
		return
	}
	if p.probeAgain(x, state, d) {
		return
	}
	if c := p.containmentOf(x, state.Path); c != nil && c.State == incident.Active {
		p.emit(incident.FactContained, "", "", incident.ContainmentChanged{ID: c.ID, State: incident.Unverified, Fault: d.Fault})
	}
}

// probeAgain lets the probe be asked once more, after a while, unless that was done often enough.
func (p *planner) probeAgain(x *execution, state *incident.Step, d *incident.ActionFinished) bool {
	if state.Probes >= maxProbes*max(state.Attempts, 1) || x.run.Cancel {
		return false
	}
	at := p.now.Add(probeDelay << ((state.Probes - 1) % maxProbes))
	d.Retry, d.Verifying = &at, true
	return true
}

// checkVerified evaluates the step's verify, or takes the probe's `present`.
func (p *planner) checkVerified(x *execution, st *runbook.Step, path string, d *incident.ActionFinished, output json.RawMessage) {
	present, fault := p.present(x, st, output)
	if fault != nil {
		d.Status, d.Fault = incident.Failed, fault
		return
	}
	if !present {
		d.Status = incident.Failed
		d.Fault = &abi.Fault{Kind: abi.Failed, Message: "the target accepted the change, but it is not in effect", Where: "verify",
			Hint: "look at the target: the answer of its last probe is on the step"}
		return
	}
	if c := p.containmentOf(x, path); c != nil && c.State == incident.Active {
		p.emit(incident.FactContained, "", "", incident.ContainmentChanged{ID: c.ID, State: incident.Verified})
	}
}

// present says whether the answer of a probe means that the action is in effect.
func (p *planner) present(x *execution, st *runbook.Step, output json.RawMessage) (bool, *abi.Fault) {
	value, _ := decodeValue(output)
	if st.Uses.Verify == nil {
		m, _ := value.(map[string]any)
		present, _ := m["present"].(bool)
		return present, nil
	}
	vars := x.vars(p)
	vars["output"] = value
	yes, err := st.Uses.Verify.Bool(p.e.ctx, vars)
	if err != nil {
		return false, evalFault("verify", err)
	}
	return yes, nil
}

// containmentOf finds the latest containment that a step placed.
func (p *planner) containmentOf(x *execution, path string) *incident.Containment {
	for i := len(p.in.Containments) - 1; i >= 0; i-- {
		if c := p.in.Containments[i]; c.Run == x.run.ID && c.Step == path {
			return c
		}
	}
	return nil
}

// expire begins the release of containments whose time is up.
func (p *planner) expire() {
	for _, c := range p.in.Containments {
		if due := c.Due(); due != nil && !due.After(p.now) {
			_ = p.release(c, "")
			p.cut()
		}
	}
}

// release begins a run made of the inverse of a containment. It does nothing if one is at work already.
func (p *planner) release(c *incident.Containment, by string) *abi.Fault {
	if !c.Standing() || c.State == incident.Releasing {
		return nil
	}
	if c.Inverse == nil {
		return &abi.Fault{Kind: abi.Refused, Message: fmt.Sprintf("%s cannot be undone by Riposte: %s has no inverse", c.ID, c.Action)}
	}
	src, fault := p.e.single("release", fmt.Sprintf("Release %s", strings.Join(c.Targets, ", ")), c.Inverse)
	if fault != nil {
		p.emit(incident.FactContained, "", "", incident.ContainmentChanged{ID: c.ID, State: incident.ReleaseFailed, Fault: fault})
		return fault
	}
	run := p.startRun(src, incident.RunStarted{Releases: c.ID}, by, nil)
	p.emit(incident.FactContained, "", "", incident.ContainmentChanged{ID: c.ID, State: incident.Releasing, Run: run.ID})
	return nil
}

// single is a runbook of one action that is tried again for a day: how a containment is released, and how a person runs an action by hand.
func (e *Engine) single(id, title string, inv *incident.Invocation) (*Source, *abi.Fault) {
	plugin := e.content.Plugins[inv.Plugin]
	if plugin == nil {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("plugin %q is not installed", inv.Plugin)}
	}
	major, _, _ := strings.Cut(plugin.Manifest.Version, ".")
	step := map[string]any{
		"id": "act", "uses": fmt.Sprintf("%s/%s@%s", inv.Plugin, inv.Action, major),
		"retry": map[string]any{"attempts": 100, "delay": "1s", "backoff": 2, "max_delay": "15m", "on": []string{"timeout", "unavailable", "rate_limited", "trap", "limit"}},
	}
	if inv.Connector != "" {
		step["connector"] = inv.Connector
	}
	if with := literals(inv.Parameters); with != nil {
		step["with"] = with
	}
	text, err := json.Marshal(map[string]any{"runbook": id, "version": 1, "title": literal(title), "steps": []any{step}})
	if err != nil {
		return nil, &abi.Fault{Kind: abi.Internal, Message: err.Error()}
	}
	src := Source{File: id + ".yaml", Text: string(text)}
	if src.Runbook, err = e.content.Compile(src); err != nil {
		return nil, &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("%s/%s cannot be run like that: %v", inv.Plugin, inv.Action, err)}
	}
	return &src, nil
}

// literal protects text from being read as an expression.
func literal(s string) string { return strings.ReplaceAll(s, "${{", "$${{") }

func literals(raw json.RawMessage) any {
	v, _ := decodeValue(raw)
	return protect(v)
}

func protect(v any) any {
	switch v := v.(type) {
	case string:
		return literal(v)
	case []any:
		for i := range v {
			v[i] = protect(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = protect(v[k])
		}
	}
	return v
}

// startRun puts a new run on the record, keeping its runbook for the time after a restart.
func (p *planner) startRun(src *Source, d incident.RunStarted, by string, alarm map[string]any) *incident.Run {
	d.Runbook, d.Version, d.Digest, d.Title = src.Runbook.ID, src.Runbook.Version, src.Runbook.Digest, src.Runbook.Title
	id := childID("RUN", p.in.ID, len(p.in.Runs)+1)
	p.emitBy(by, incident.FactRunStarted, id, d)
	p.e.Stats.RunsStarted.Add(1)
	run := p.in.Run(id)
	if run == nil {
		return &incident.Run{ID: id} // p.broken says why
	}
	if op, ok := p.e.keepBook(src); ok {
		p.ops = append(p.ops, op)
	}
	x, err := newExecution(run, src.Runbook, alarm)
	if err != nil {
		p.broken = err
		return run
	}
	p.l.execs[id] = x
	return run
}

// keepBook gives the op that stores a runbook's text, unless it is stored already.
func (e *Engine) keepBook(src *Source) (journal.Op, bool) {
	key := prefixRunbook + src.Runbook.Digest
	if _, known := e.kept.LoadOrStore(key, true); known {
		return journal.Op{}, false
	}
	op, err := journal.Put(key, src)
	return op, err == nil
}
