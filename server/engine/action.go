package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/runbook"
)

// startAction begins a uses step: resolve what runs, check the guards, ask people where that is due, look into the cache, go.
func (p *planner) startAction(x *execution, s scope, st *runbook.Step, path string, vars map[string]any) {
	act, fault := p.prepare(x, st, path, vars)
	if fault != nil {
		p.fail(x, path, fault)
		return
	}
	if act.Kind == abi.Contain {
		if fault := p.guard(x, s, st, act); fault != nil {
			p.fail(x, path, fault)
			return
		}
		if st.Uses.Approval.Mode != runbook.Auto {
			p.askForAction(x, st, path, act)
			return
		}
		p.contain(x, s, path, act)
		return
	}
	if out, ok := p.cached(st, act); ok {
		p.emit(incident.FactActStarted, x.run.ID, path, act)
		p.emit(incident.FactActFinished, x.run.ID, path, incident.ActionFinished{Invocation: act.Invocation, Status: incident.Succeeded, Output: out, Cached: true})
		return
	}
	p.emit(incident.FactActStarted, x.run.ID, path, act)
	p.begun = append(p.begun, act.Invocation)
}

// proceedAction starts what is in flight and has no owner here, follows an approval, and takes up retries and probes that are due.
func (p *planner) proceedAction(x *execution, s scope, st *runbook.Step, state *incident.Step, vars func() map[string]any) {
	switch {
	case state.InFlight:
		if x.owned[state.Path] == nil {
			p.launch = append(p.launch, start{x, state, slices.Contains(p.begun, state.Current().Invocation)})
			x.owned[state.Path] = func() {}
		}
	case state.Unknown && !state.Verifying:
		p.followDoubt(x, s, state)
	case x.run.Cancel:
		if act := state.Action; act != nil && act.Kind == abi.Contain && (state.Unknown || state.Doubt && !state.Verifying) {
			p.place(x, state, act, nil, incident.Unverified)
		}
		p.emit(incident.FactActFinished, x.run.ID, state.Path, incident.ActionFinished{Status: incident.Cancelled, Verify: state.Verifying})
	case state.Action == nil:
		p.followApproval(x, s, st, state, vars)
	case state.Due != nil && state.Due.After(p.now):
	case state.Verifying:
		p.probe(x, st, state)
	case state.Due != nil:
		next := *state.Action
		next.Attempt++
		next.At = p.now
		next.Invocation = invocation(x.run.ID, state.Path, next.Attempt)
		p.emit(incident.FactActStarted, x.run.ID, state.Path, &next)
	}
}

// prepare resolves everything that a uses step will run with.
func (p *planner) prepare(x *execution, st *runbook.Step, path string, vars map[string]any) (*incident.ActionStarted, *abi.Fault) {
	u := st.Uses
	conn := p.e.content.Connectors[u.Connector]
	if conn == nil {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("connector %q is not configured", u.Connector), Hint: "riposte connector ls"}
	}
	plugin := p.e.content.Plugins[u.Plugin]
	if plugin == nil {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("plugin %q is not installed", u.Plugin), Hint: "riposte plugin ls"}
	}
	spec, ok := plugin.Manifest.Actions[u.Action]
	if !ok {
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("plugin %s %s has no action %q", u.Plugin, plugin.Manifest.Version, u.Action)}
	}
	params, fault := u.Params(p.e.ctx, vars)
	if fault != nil {
		return nil, fault
	}
	act := &incident.ActionStarted{Invocation: invocation(x.run.ID, path, 1), Key: x.run.ID + ":" + path, Attempt: 1, Plugin: u.Plugin, Action: u.Action,
		Kind: spec.Kind, Effect: spec.Effect, Connector: u.Connector, Module: plugin.Digest, Timeout: st.Timeout, At: p.now}
	if u.Key != nil {
		v, err := u.Key.Eval(p.e.ctx, vars)
		if err != nil {
			return nil, evalFault("idempotency_key", err)
		}
		act.Key = fmt.Sprint(v)
	}
	if u.TTL != nil {
		v, err := u.TTL.Eval(p.e.ctx, vars)
		if err != nil {
			return nil, evalFault("ttl", err)
		}
		if act.TTL, err = schemas.ParseDuration(fmt.Sprint(v)); err != nil || act.TTL <= 0 {
			return nil, &abi.Fault{Kind: abi.Invalid, Where: "ttl", Message: fmt.Sprintf("%v is no duration", v), Hint: `write "24h", "30m" or "90s"`}
		}
		if spec.Expires != "" {
			params[spec.Expires] = max(int64(act.TTL/time.Second), 1)
		}
	}
	for _, name := range u.Texts {
		if params[name] == nil {
			continue
		}
		text, ok := p.e.content.Texts[fmt.Sprint(params[name])]
		if !ok {
			return nil, &abi.Fault{Kind: abi.NotFound, Where: "with." + name, Message: fmt.Sprintf("there is no template %q", params[name]), Hint: "it is a file beside the runbooks: runbooks/NAME.md"}
		}
		params[name] = text
	}
	if fault := u.Check(params); fault != nil {
		return nil, fault
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, &abi.Fault{Kind: abi.Internal, Message: err.Error()}
	}
	act.Parameters = raw
	act.Targets = targets(u, params)
	return act, nil
}

// invocation is the identity of an attempt.
func invocation(run, path string, attempt int) string {
	return run + ":" + path + "#" + strconv.Itoa(attempt)
}

// targets are the values of the parameters that the action acts on.
func targets(u *runbook.Uses, params map[string]any) []string {
	var list []string
	for _, name := range u.Targets {
		switch v := params[name].(type) {
		case nil:
		case []any:
			for _, item := range v {
				list = append(list, fmt.Sprint(item))
			}
		default:
			list = append(list, fmt.Sprint(v))
		}
	}
	slices.Sort(list)
	return list
}

// finish records the outcome of an invocation, and what follows from it for the step.
func (p *planner) finish(x *execution, st *runbook.Step, state *incident.Step, act *incident.ActionStarted, out outcome) {
	d := incident.ActionFinished{Invocation: act.Invocation, Status: incident.Succeeded, Output: out.Output, Fault: out.Fault, Verify: act.Verify,
		HostCalls: out.HostCalls, Fuel: out.Fuel, Wall: out.Wall}
	switch {
	case act.Verify:
		p.probed(x, st, state, &d)
	case out.Fault == nil && act.Kind == abi.Contain:
		p.place(x, state, act, out.Output, incident.Active)
		if d.Verifying = st.Uses.Spec.Probe != ""; !d.Verifying && st.Uses.Verify != nil {
			p.checkVerified(x, st, state.Path, &d, out.Output)
		}
	case out.Fault == nil:
		p.remember(st, act, out.Output)
	default:
		d.Status = statusOf(out.Fault)
		at, again := p.retry(st.Retry, act.Attempt, out.Fault)
		if d.Doubt = act.Effect.Writes() && uncertain(out); again && !x.run.Cancel {
			d.Retry = &at
		} else if out.Fault.Kind == abi.InDoubt && !x.run.Cancel {
			if d.Unknown, d.Verifying = true, st.Uses.Spec.Probe != ""; !d.Verifying {
				d.Fault = withHint(out.Fault, doubtHint(x.run.ID, state.Path))
			}
		} else if act.Kind == abi.Contain && (d.Doubt || state.Doubt) {
			p.place(x, state, act, nil, incident.Unverified)
		}
	}
	if d.Retry != nil {
		x.timed[state.Path] = true
	}
	if d.Fault != nil {
		p.e.Stats.ActionsFailed.Add(1)
	}
	p.emit(incident.FactActFinished, x.run.ID, state.Path, d)
	p.emissions(x, state, out)
}

// uncertain says that the other side may have done what it was asked to, although the call failed.
func uncertain(out outcome) bool {
	switch out.Fault.Kind {
	case abi.Timeout, abi.Unavailable, abi.InDoubt, abi.Trap, abi.Limit:
		return true
	case abi.Cancelled:
		return out.HostCalls > 0
	}
	return false
}

// retry says when the next attempt is due, if there is one.
func (p *planner) retry(r runbook.Retry, attempt int, f *abi.Fault) (time.Time, bool) {
	if attempt >= r.Attempts || !slices.Contains(r.On, f.Kind) {
		return time.Time{}, false
	}
	delay := r.Delay
	for range attempt - 1 {
		delay = time.Duration(float64(delay) * max(r.Backoff, 1))
		if r.MaxDelay > 0 && delay > r.MaxDelay {
			break
		}
	}
	if r.MaxDelay > 0 {
		delay = min(delay, r.MaxDelay)
	}
	asked := time.Duration(min(max(f.RetryAfter, 0), maxRetryAfter.Milliseconds())) * time.Millisecond
	return p.now.Add(max(delay, asked)), true
}

// maxRetryAfter bounds what the other side may ask for.
const maxRetryAfter = time.Hour

// emissions puts what the plugin gave for the incident on its record.
func (p *planner) emissions(x *execution, state *incident.Step, out outcome) {
	source := x.run.ID + "/" + state.Path
	for _, a := range out.Artifacts {
		a.Source = source
		p.emit(incident.FactArtifact, "", "", a)
	}
	for _, f := range out.Findings {
		f.Source = source
		p.emit(incident.FactFinding, "", "", f)
	}
	for _, ev := range out.Evidence {
		ev.Source = source
		ev.Key = prefixEvidence + p.in.ID + "/" + ev.Digest
		p.ops = append(p.ops, journal.Op{Key: []byte(ev.Key), Value: ev.data})
		p.emit(incident.FactEvidence, "", "", ev.Evidence)
	}
}

// cacheEntry is a result that may be used again.
type cacheEntry struct {
	Output  json.RawMessage `json:"output"`
	Expires time.Time       `json:"expires"`
}

func cacheKey(act *incident.ActionStarted) string {
	return prefixCache + digest(act.Module, act.Action, act.Connector, string(act.Parameters))
}

// cached finds a result of the same action with the same parameters that is not too old.
func (p *planner) cached(st *runbook.Step, act *incident.ActionStarted) (json.RawMessage, bool) {
	if st.Cache == 0 || act.Effect.Writes() {
		return nil, false
	}
	var c cacheEntry
	if journal.Read(p.e.store, cacheKey(act), &c) != nil || !c.Expires.After(p.now) {
		return nil, false
	}
	return c.Output, true
}

func (p *planner) remember(st *runbook.Step, act *incident.ActionStarted, out json.RawMessage) {
	if st.Cache == 0 || act.Effect.Writes() {
		return
	}
	if op, err := journal.Put(cacheKey(act), cacheEntry{out, p.now.Add(st.Cache)}); err == nil {
		p.ops = append(p.ops, op)
	}
}

// stepAt finds the definition of the step at a path.
func (p *planner) stepAt(x *execution, path string) *runbook.Step {
	steps := x.book.Body.Steps
	if rest, ok := strings.CutPrefix(path, onFailure); ok {
		steps, path = x.book.OnFailure, rest
	}
	for {
		id, rest, deeper := strings.Cut(path, "/")
		id, _, item := strings.Cut(id, "[")
		st := findStep(steps, id)
		if st == nil {
			return nil
		}
		if item && st.Foreach != nil {
			st = st.Foreach.Body
		}
		if !deeper {
			return st
		}
		if st.Call == nil {
			return nil
		}
		steps, path = st.Call.Scope.Steps, rest
	}
}

func findStep(steps []*runbook.Step, id string) *runbook.Step {
	for _, st := range steps {
		if st.ID == id {
			return st
		}
		if child := findStep(st.Parallel, id); child != nil {
			return child
		}
	}
	return nil
}
