package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
)

// outcome is what an invocation gave, in the terms of an incident.
type outcome struct {
	Output    json.RawMessage
	Fault     *abi.Fault
	Artifacts []incident.Artifact
	Findings  []incident.Finding
	Evidence  []evidence
	HostCalls int
	Fuel      int64
	Wall      time.Duration
}

type evidence struct {
	incident.Evidence
	data []byte
}

// launch begins an invocation that is in flight. It is called under l.mu; its facts are being submitted.
func (e *Engine) launch(l *live, s start, submitted *submission) {
	act := s.step.Current()
	path, runID, incidentID := s.step.Path, s.run.run.ID, l.id
	target := e.claimOf(l, s.run.run, path, act)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	if cancel := e.running[act.Invocation]; cancel != nil { // the incident was read again meanwhile
		s.run.owned[path] = cancel
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	s.run.owned[path], e.running[act.Invocation] = cancel, cancel
	e.Stats.InFlight.Add(1)
	e.working.Do(e.ctx, func() {
		defer e.Stats.InFlight.Add(-1)
		defer cancel()
		out, ok := e.invoke(ctx, incidentID, runID, path, target, act, submitted, s.fresh)
		e.mu.Lock()
		delete(e.running, act.Invocation)
		e.mu.Unlock()
		if !ok {
			return // the server stops: the action stays in flight, and goes on at the next start
		}
		err := e.with(incidentID, func(p *planner) error { return p.ended(runID, path, act, out) }, nil)
		if err != nil && e.ctx.Err() == nil {
			e.log.Error("outcome of an action", "incident", incidentID, "step", path, "err", err)
		}
	})
}

// invoke runs the action, when its turn has come. ok is false when the server stopped before it ended.
func (e *Engine) invoke(ctx context.Context, incidentID, runID, path string, target claim, act *incident.ActionStarted,
	submitted *submission, fresh bool) (outcome, bool) {
	if ctx.Err() != nil {
		return outcome{Fault: cancelled()}, e.ctx.Err() == nil
	}
	leave, kept, err := e.holds.takeTurn(ctx, target)
	switch {
	case err != nil:
		return outcome{Fault: cancelled()}, e.ctx.Err() == nil
	case kept != nil:
		leave()
		return keptOutcome(act, kept), true
	}
	defer leave()
	select {
	case e.actions <- struct{}{}:
		defer func() { <-e.actions }()
	case <-ctx.Done():
		return outcome{Fault: cancelled()}, e.ctx.Err() == nil
	}
	e.Stats.Actions.Add(1)
	conn, plugin := e.content.Connectors[act.Connector], e.content.Plugins[act.Plugin]
	switch {
	case conn == nil:
		return outcome{Fault: &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("connector %q is not configured any more", act.Connector)}}, true
	case plugin == nil || plugin.Digest != act.Module:
		return outcome{Fault: &abi.Fault{Kind: abi.Conflict, Message: fmt.Sprintf("plugin %s is not the one that the action began with", act.Plugin),
			Hint: "install the module with digest " + act.Module + ", or retry the step"}}, true
	}
	log, err := e.openTape(act.Invocation, submitted, fresh)
	if err != nil {
		return outcome{Fault: abi.AsFault(err)}, true
	}
	defer log.flush()
	began := e.now()
	res, err := e.runner.Run(ctx, host.Invocation{ID: act.Invocation, Key: act.Key, Bundle: plugin, Action: act.Action, Parameters: act.Parameters,
		Connector: conn.ID, Settings: conn.Settings, Grant: conn.Grant, Incident: incidentID, Run: runID, Step: path, Timeout: act.Timeout, Now: act.At, Tape: log,
		Checked: fresh})
	if e.ctx.Err() != nil {
		return outcome{}, false
	}
	if err != nil {
		return outcome{Fault: abi.AsFault(err), Wall: e.now().Sub(began)}, true
	}
	if res.Fault != nil && ctx.Err() != nil {
		res.Fault = cancelled()
	}
	out := outcome{Output: res.Output, Fault: res.Fault, HostCalls: res.Stats.HostCalls, Fuel: res.Stats.Fuel, Wall: e.now().Sub(began)}
	out.take(res.Emissions)
	return out, true
}

func cancelled() *abi.Fault { return &abi.Fault{Kind: abi.Cancelled, Message: "the run was cancelled"} }

// take sorts what the plugin gave for the incident.
func (o *outcome) take(list []hostcall.Emission) {
	for _, em := range list {
		switch em.Type {
		case "artifact":
			o.Artifacts = append(o.Artifacts, incident.Artifact{Kind: em.Kind, Value: em.Value, Verdict: em.Verdict, Note: em.Note})
		case "finding":
			o.Findings = append(o.Findings, incident.Finding{Text: em.Value, Verdict: em.Verdict})
		case "evidence":
			sum := sha256.Sum256(em.Data)
			o.Evidence = append(o.Evidence, evidence{incident.Evidence{Name: em.Name, Media: em.Kind, Size: len(em.Data), Digest: hex.EncodeToString(sum[:])}, em.Data})
		}
	}
}

// ended folds an outcome in, unless the step has gone on without it.
func (p *planner) ended(runID, path string, act *incident.ActionStarted, out outcome) error {
	run := p.in.Run(runID)
	if run == nil || run.Status.Ended() {
		return nil
	}
	x, fault := p.execution(run)
	if fault != nil {
		return nil // the run ends of that
	}
	delete(x.owned, path)
	state := run.Steps[path]
	if state == nil || !state.InFlight || state.Current().Invocation != act.Invocation {
		return nil
	}
	st := p.stepAt(x, path)
	if st == nil || st.Uses == nil {
		p.emit(incident.FactActFinished, runID, path, incident.ActionFinished{Invocation: act.Invocation, Status: incident.Failed, Verify: act.Verify,
			Fault: &abi.Fault{Kind: abi.Conflict, Message: "the runbook has no such action any more", Where: path}})
		return nil
	}
	p.finish(x, st, state, act, out)
	if act.Kind == abi.Contain && !act.Verify && !state.InFlight && state.Due == nil && !state.Unknown {
		p.settleHold(x, path, act)
	}
	return nil
}
