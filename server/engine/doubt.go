package engine

import (
	"fmt"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/runbook"
)

// An effect that must not be repeated is in doubt when its answer was lost, or the server died between the beginning of the request and its end.
// The action's probe is asked, if it has one; what that cannot tell is asked of a person, and the step waits.

// maxDoubts is how many attempts may end in doubt, and be found without effect by the probe, before a person is asked.
const maxDoubts = 3

// probedDoubt judges the answer of a probe that is to tell whether an effect has come about.
func (p *planner) probedDoubt(x *execution, st *runbook.Step, state *incident.Step, d *incident.ActionFinished) {
	act := state.Action
	present, fault := false, d.Fault
	if fault == nil {
		present, fault = p.present(x, st, d.Output)
	}
	if present {
		if act.Kind == abi.Contain {
			p.place(x, state, act, nil, incident.Verified)
		}
		return
	}
	d.Status = incident.InDoubt
	if p.probeAgain(x, state, d) {
		d.Unknown = true
		return
	}
	if fault == nil && state.Attempts < maxDoubts && !x.run.Cancel {
		at := p.now
		d.Retry = &at // it did not come about: then it may be done
		return
	}
	message := "the probe says that it is not in effect"
	if fault != nil {
		message = "the probe failed: " + fault.Message
	}
	d.Fault = &abi.Fault{Kind: abi.InDoubt, Message: "nobody knows whether it happened; " + message, Where: state.Path, Hint: doubtHint(x.run.ID, state.Path)}
	if d.Unknown = !x.run.Cancel; !d.Unknown && act.Kind == abi.Contain {
		p.place(x, state, act, nil, incident.Unverified)
	}
}

// followDoubt ends a step that waits for a person's word when there is nobody to wait any more.
func (p *planner) followDoubt(x *execution, s scope, state *incident.Step) {
	if !s.stop && !x.run.Cancel {
		return
	}
	if state.Action.Kind == abi.Contain {
		p.place(x, state, state.Action, nil, incident.Unverified)
	}
	p.emit(incident.FactActFinished, x.run.ID, state.Path, incident.ActionFinished{Status: incident.InDoubt, Fault: state.Fault, Doubt: true})
}

// Settle takes a person's word on whether the effect of a step has come about.
func (e *Engine) Settle(runID, path, by string, d incident.Settled) error {
	switch d.Answer {
	case incident.Happened, incident.NotHappened, incident.Again:
	default:
		return &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("%q is no answer", d.Answer), Where: "answer", Hint: "happened, not-happened or again"}
	}
	return e.do(IncidentOf(runID), func(p *planner) error {
		run := p.in.Run(runID)
		if run == nil {
			return &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no run %q", runID), Hint: "riposte run ls"}
		}
		state := run.Steps[path]
		if state == nil || !state.Unknown || state.Verifying || state.Status.Ended() {
			return &abi.Fault{Kind: abi.Conflict, Message: fmt.Sprintf("nothing is in doubt at %q of %s", path, runID), Hint: "riposte run show " + runID}
		}
		x, fault := p.execution(run)
		if fault != nil {
			return fault
		}
		if d.Answer == incident.Happened && state.Action.Kind == abi.Contain {
			p.place(x, state, state.Action, nil, incident.Active)
		}
		if d.Answer == incident.NotHappened && state.Action.Kind == abi.Contain {
			p.settleHold(x, path, state.Action)
		}
		p.append(journal.Fact{Kind: incident.FactSettled, Run: runID, Step: path, By: by, Value: d})
		return nil
	})
}

func doubtHint(run, path string) string {
	return fmt.Sprintf("look at the target, then: riposte run settle %s %s happened | not-happened | again", run, path)
}

func withHint(f *abi.Fault, hint string) *abi.Fault {
	hinted := *f
	hinted.Hint = hint
	return &hinted
}
