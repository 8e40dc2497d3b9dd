package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/runbook"
)

// approvalTTL is how long a containment without a policy of its own waits for people.
const approvalTTL = 4 * time.Hour

// ask begins an approve step.
func (p *planner) ask(x *execution, st *runbook.Step, path string, vars map[string]any) {
	title, err := st.Approve.Title.Eval(p.e.ctx, vars)
	if err != nil {
		p.fail(x, path, evalFault("title", err))
		return
	}
	var show any
	if st.Approve.Show != nil {
		if show, err = st.Approve.Show.Eval(p.e.ctx, vars); err != nil {
			p.fail(x, path, evalFault("show", err))
			return
		}
	}
	raw, err := json.Marshal(show)
	if err != nil {
		p.fail(x, path, evalFault("show", err))
		return
	}
	var expires *time.Time
	if st.Approve.Expires > 0 {
		at := p.now.Add(st.Approve.Expires)
		expires = &at
	}
	p.emit(incident.FactStepStarted, x.run.ID, path, incident.StepStarted{Kind: "approve"})
	p.emitApproval(x, path, incident.Approval{Title: fmt.Sprint(title), Show: raw, Need: needs(st.Approve.Need), Not: st.Approve.Not,
		Subject: p.subject(x, path, map[string]any{"title": title, "show": show}), Expires: expires})
}

// askForAction lets people decide about a containment before it runs: the approval covers exactly what act says.
func (p *planner) askForAction(x *execution, st *runbook.Step, path string, act *incident.ActionStarted) {
	need := needs(st.Uses.Approval.Need)
	if len(need) == 0 {
		need = []incident.Need{{Group: "soc-lead", Count: 1}}
	}
	expires := p.now.Add(approvalTTL)
	title := fmt.Sprintf("%s: %s %v", st.Uses.Spec.Title, act.Connector, act.Targets)
	p.emit(incident.FactStepStarted, x.run.ID, path, incident.StepStarted{Kind: "approve"})
	p.emitApproval(x, path, incident.Approval{Title: title, Show: act.Parameters, Need: need, Subject: p.actionSubject(x, path, act), Expires: &expires})
}

// followApproval goes on with a uses step that waits for people. What they agreed to must still be what would run; if not, they are asked again.
func (p *planner) followApproval(x *execution, s scope, st *runbook.Step, state *incident.Step, vars func() map[string]any) {
	a := p.approval(x, state.Path)
	if a == nil {
		p.fail(x, state.Path, &abi.Fault{Kind: abi.Internal, Message: "the step waits for an approval that is not on record"})
		return
	}
	if a.State != "granted" {
		if fault := p.refusal(s, a); fault != nil {
			p.fail(x, state.Path, fault)
		}
		return
	}
	act, fault := p.prepare(x, st, state.Path, vars())
	if fault == nil {
		fault = p.guard(x, s, st, act)
	}
	if fault != nil {
		p.fail(x, state.Path, fault)
		return
	}
	if subject := p.actionSubject(x, state.Path, act); digest(string(subject)) != a.Digest {
		p.askForAction(x, st, state.Path, act)
		return
	}
	p.contain(x, s, state.Path, act)
}

// proceedAsk ends an approve step once it is decided.
func (p *planner) proceedAsk(x *execution, s scope, st *runbook.Step, state *incident.Step) {
	a := p.approval(x, state.Path)
	switch {
	case a == nil:
		p.fail(x, state.Path, &abi.Fault{Kind: abi.Internal, Message: "the step waits for an approval that is not on record"})
	case a.State == "granted":
		p.result(x, state.Path, answerOf(a), nil)
	default:
		fault := p.refusal(s, a)
		if fault == nil {
			return
		}
		d := incident.StepFinished{Status: statusOf(fault), Fault: fault}
		to := runbook.ThenFail
		switch a.State {
		case "expired":
			to = orElse(st.Approve.OnExpire, to)
		case "denied":
			to = orElse(st.Approve.OnDeny, to)
		}
		if to != runbook.ThenFail { // a chosen word that is no step takes no `then`: only a grant does
			d = incident.StepFinished{Status: incident.Succeeded, Chosen: to, Note: fault.Message}
			if d.Output, p.broken = json.Marshal(answerOf(a)); p.broken != nil {
				return
			}
		}
		p.done(x, state.Path, d)
	}
}

// answerOf is the result of an approve step.
func answerOf(a *incident.Approval) map[string]any {
	by := []string{}
	for _, v := range a.Votes {
		by = append(by, v.By)
	}
	return map[string]any{"decision": a.State, "by": by, "note": a.Note}
}

// refusal is nil while an approval is pending, and the reason why it will not be granted afterwards.
func (p *planner) refusal(s scope, a *incident.Approval) *abi.Fault {
	if a.State == "pending" {
		switch {
		case s.stop:
			p.emit(incident.FactDecided, a.Run, a.Step, incident.Decided{Approval: a.ID, State: "cancelled"})
		case a.Expires != nil && !a.Expires.After(p.now):
			p.emit(incident.FactDecided, a.Run, a.Step, incident.Decided{Approval: a.ID, State: "expired"})
		}
	}
	switch a.State {
	case "denied":
		return &abi.Fault{Kind: abi.Refused, Message: fmt.Sprintf("%s was denied by %s", a.ID, a.By), Hint: a.Note}
	case "expired":
		return &abi.Fault{Kind: abi.Timeout, Message: a.ID + " was not decided in time"}
	case "cancelled":
		return &abi.Fault{Kind: abi.Cancelled, Message: a.ID + " was cancelled"}
	}
	return nil
}

// approval is the latest request of a step, or nil.
func (p *planner) approval(x *execution, path string) *incident.Approval {
	for i := len(p.in.Approvals) - 1; i >= 0; i-- {
		if a := p.in.Approvals[i]; a.Run == x.run.ID && a.Step == path {
			return a
		}
	}
	return nil
}

func (p *planner) emitApproval(x *execution, path string, a incident.Approval) {
	a.ID, a.Run, a.Step = childID("APR", p.in.ID, len(p.in.Approvals)+1), x.run.ID, path
	a.Digest, a.State, a.Asked = digest(string(a.Subject)), "pending", p.now
	p.emit(incident.FactAsked, x.run.ID, path, a)
}

// subject is what a vote binds: JSON with sorted names, so that equal content has an equal digest.
func (p *planner) subject(x *execution, path string, more map[string]any) json.RawMessage {
	all := map[string]any{"incident": p.in.ID, "run": x.run.ID, "step": path, "runbook": x.run.Digest}
	for k, v := range more {
		all[k] = v
	}
	raw, err := json.Marshal(all)
	if err != nil {
		p.broken = err
	}
	return raw
}

func (p *planner) actionSubject(x *execution, path string, act *incident.ActionStarted) json.RawMessage {
	more := map[string]any{"plugin": act.Plugin, "action": act.Action, "module": act.Module, "connector": act.Connector,
		"parameters": act.Parameters, "targets": act.Targets, "ttl_seconds": int64(act.TTL / time.Second), "inverse": p.e.inverse(act, nil)}
	if c := p.e.content.Connectors[act.Connector]; c != nil {
		more["connector_digest"] = c.Digest
	}
	return p.subject(x, path, more)
}

// Decide takes one person's word on an approval. The digest, if given, must be that of what the person was shown. It is granted when as many
// different people have granted it as it needs in all; who belongs to which group is not known here. One denial is final.
func (e *Engine) Decide(id, by string, grant bool, shown, note string) error {
	return e.do(IncidentOf(id), func(p *planner) error {
		a := p.in.Approval(id)
		switch {
		case a == nil:
			return &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no approval %q", id), Hint: "riposte approval ls"}
		case a.State != "pending":
			return &abi.Fault{Kind: abi.Conflict, Message: fmt.Sprintf("%s is %s already", id, a.State)}
		case shown != "" && shown != a.Digest:
			return &abi.Fault{Kind: abi.Conflict, Message: "what would run is not what you were shown", Hint: "look at the approval again"}
		case a.Expires != nil && !a.Expires.After(p.now):
			return &abi.Fault{Kind: abi.Timeout, Message: fmt.Sprintf("%s expired at %s", id, a.Expires.Format(time.RFC3339))}
		}
		if fault := p.mayVote(a, by, grant); fault != nil {
			return fault
		}
		p.emitBy(by, incident.FactVoted, "", incident.Vote{Approval: id, Grant: grant, Note: note})
		switch {
		case !grant:
			p.emit(incident.FactDecided, a.Run, a.Step, incident.Decided{Approval: id, State: "denied"})
		case len(a.Votes) >= a.People():
			p.emit(incident.FactDecided, a.Run, a.Step, incident.Decided{Approval: id, State: "granted"})
		}
		return nil
	})
}

// mayVote says why somebody's word does not count, or nil.
func (p *planner) mayVote(a *incident.Approval, by string, grant bool) *abi.Fault {
	if slices.ContainsFunc(a.Votes, func(v incident.Ballot) bool { return v.By == by }) {
		return &abi.Fault{Kind: abi.Conflict, Message: fmt.Sprintf("%s has voted on %s already", by, a.ID), Hint: "it needs different people"}
	}
	if run := p.in.Run(a.Run); grant && run != nil && run.By != "" && run.By == by && slices.Contains(a.Not, "requester") {
		return &abi.Fault{Kind: abi.Refused, Message: fmt.Sprintf("%s started %s and cannot grant it", by, run.ID), Hint: "ask somebody else"}
	}
	return nil
}

func needs(list []runbook.Need) []incident.Need {
	out := make([]incident.Need, len(list))
	for i, n := range list {
		out[i] = incident.Need{Group: n.Group, Count: n.Count}
	}
	return out
}

// digest is the sha256, in hex, of parts with their lengths.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))
}
