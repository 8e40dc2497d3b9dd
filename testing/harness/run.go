package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// runner runs one case.
type runner struct {
	h      *Harness
	bundle *bundle.Bundle
	c      *Case
	mode   Mode
}

// attempt is one call of an action.
type attempt struct {
	stage                string // what it is within the case; "" for the case itself
	index                int    // of its tape
	action               string
	parameters, settings json.RawMessage
	id, key              string
	now                  time.Time
	recorded             []tape.Entry // what answers it, if a tape does
	wrap                 func(world) world
	log                  recorder // nil: memory
	space                string   // of what it keeps; made if empty
	err                  error    // why it cannot be tried
}

// recorder is a tape whose entries can be read.
type recorder interface {
	tape.Log
	Entries() []tape.Entry
}

// first is the call of the case.
func (r *runner) first() attempt {
	return r.stage(0, "", r.c.Action, r.c.Parameters)
}

// stage is a call of the case, with the tape of that number.
func (r *runner) stage(index int, name, action string, parameters json.RawMessage) attempt {
	c := r.c
	a := attempt{stage: name, index: index, action: action, parameters: parameters, settings: c.Settings, id: "case-" + c.Name, key: "case-" + c.Name, now: c.Now}
	if name != "" {
		a.id = fmt.Sprintf("%s-%d", a.id, index+1)
	}
	switch {
	case r.mode.Record || r.mode.Contract:
		if own := c.root.Get("settings") != nil; r.mode.Settings != nil && (!own || r.mode.Contract) {
			a.settings = r.mode.Settings
		}
		if len(c.Stubs) == 0 && c.root.Get("now") == nil {
			a.now = time.Now().UTC().Truncate(time.Second)
		}
		return a
	case index >= len(c.Tapes):
		return a
	}
	if a.recorded, a.err = c.recorded(index); a.err != nil {
		return a
	}
	head, _ := tape.HeaderOf(a.recorded)
	call := callOf(a.recorded)
	a.id, a.key, a.now = head.Invocation, head.Key, head.Start
	if c.root.Get("parameters") == nil {
		a.parameters = call.Parameters
	}
	if c.root.Get("settings") == nil {
		a.settings = settingsLike(call.Settings, r.bundle.Manifest.Settings)
	}
	if r.mode.LiveAfter > 0 && r.mode.Settings != nil {
		a.settings = r.mode.Settings
	}
	return a
}

// world makes what answers the attempt.
func (r *runner) world(a attempt) (w world, replay *tape.Replay) {
	switch {
	case len(r.c.Stubs) > 0:
		w = newStubbed(r.c)
	case a.recorded != nil:
		mode := tape.Strict
		if r.mode.Replay == tape.Lenient || a.wrap != nil {
			mode = tape.Lenient
		}
		replay = tape.NewReplay(a.recorded, mode)
		w = &taped{at: r.c.root.Get("tape").Problem("", "").Where(), replay: replay, until: r.mode.LiveAfter}
	case r.mode.Record || r.mode.Contract:
		w = outside{}
	default:
		w = newStubbed(r.c)
	}
	if a.wrap != nil {
		w = a.wrap(w)
	}
	return w, replay
}

// call makes an attempt, and holds what comes of it against the case.
func (r *runner) call(ctx context.Context, a attempt) *Result {
	w, replay := r.world(a)
	result := r.run(ctx, a, w)
	if result.Verdict == Broken {
		return result
	}
	if replay != nil && a.wrap == nil && r.mode.LiveAfter == 0 {
		r.compare(result, tape.Compare(a.recorded, result.entries))
	}
	if a.wrap == nil {
		result.fail(w.complain()...)
	}
	if a.stage == "" && a.wrap == nil {
		result.fail(r.c.check(result.outcome, result.Calls)...)
	}
	if r.mode.Record && len(result.Failures) == 0 && r.worthKeeping(result) {
		if err := r.c.keep(a.index, a.stage, result.entries); err != nil {
			result.broken(err)
		}
	}
	return result
}

// worthKeeping says whether a case needs the tape of what was recorded: something answered it that is not in the case.
func (r *runner) worthKeeping(result *Result) bool {
	performed := slices.ContainsFunc(result.Calls, func(x tape.Exchange) bool { return !x.Refused })
	alone := r.c.root.Get("settings") != nil || len(r.bundle.Manifest.Actions[result.Action].Uses) == 0
	return len(r.c.Stubs) == 0 && (performed || !alone)
}

// run makes an attempt.
func (r *runner) run(ctx context.Context, a attempt, w world) *Result {
	result := &Result{Case: r.c.Name, Title: r.c.Title, File: r.c.File, Variation: a.stage, Action: a.action, Verdict: Passed, Parameters: a.parameters, Settings: a.settings}
	if a.err != nil {
		return result.broken(a.err)
	}
	if a.log == nil {
		a.log = &tape.Memory{}
	}
	if a.space == "" {
		var err error
		if a.space, err = r.h.spaces.open(r.c); err != nil {
			return result.broken(err)
		}
		defer r.h.spaces.close(a.space)
	}
	peer := func(_ context.Context, seq int, call *tape.Call, request []byte) *hostcall.Answer {
		return w.answer(seq, call, request)
	}
	out, err := r.h.host.Run(ctx, host.Invocation{ID: a.id, Key: a.key, Bundle: r.bundle, Action: a.action, Connector: a.space, Parameters: a.parameters,
		Settings: a.settings, Grant: r.c.Grant, Timeout: r.c.Timeout, Now: a.now, Tape: a.log, Peer: peer})
	if err != nil {
		return result.broken(err)
	}
	result.took(&out, a.log.Entries())
	return result
}

// compare notes how the calls differ from those of the tape. That is a failure, unless the replay is lenient. A case that wants nothing else
// wants the outcome of the tape.
func (r *runner) compare(result *Result, c tape.Comparison) {
	c.Header = nil
	if r.c.root.Get("expect") != nil {
		c.Outcome = nil
	}
	c.Outcome = slices.DeleteFunc(c.Outcome, func(ch tape.Change) bool { return ch.Name == "fuel" })
	if c.Same() {
		return
	}
	result.Differs = c.String()
	if r.mode.Replay != tape.Lenient {
		result.fail(Failure{Where: r.c.root.Get("tape").Problem("", "").Where(), Message: "it does not do what the tape holds\n" + result.Differs})
	}
}

// faults runs the case once for each call that meets the injection.
func (r *runner) faults(ctx context.Context, base *Result) []*Result {
	if base.Verdict != Passed {
		return []*Result{base}
	}
	var all []*Result
	for _, n := range turns(r.mode.Fault.At, len(base.Calls)) {
		if base.Calls[n-1].Refused {
			continue
		}
		i := Injection{Kind: r.mode.Fault.Kind, At: n}
		a := r.first()
		a.wrap = func(w world) world { return &injected{w, i} }
		result := r.call(ctx, a)
		result.Variation = fmt.Sprintf("%s@%d", i.Kind, n)
		if result.Verdict != Broken {
			result.fail(i.judge(r.c, result)...)
		}
		all = append(all, result)
	}
	return all
}

// turns lists the numbers of the calls that are meant.
func turns(at, calls int) []int {
	var list []int
	for n := 1; n <= calls; n++ {
		if at == 0 || at == n {
			list = append(list, n)
		}
	}
	return list
}

// judge says whether an action came to an honest end: it coped, or its fault says what happened, so that a runbook knows whether to try again.
func (i Injection) judge(c *Case, result *Result) []Failure {
	f := result.Fault
	where := c.root.Problem("", "").Where()
	switch kind := i.kind(); {
	case f == nil:
		return nil
	case f.Kind == abi.Trap || f.Kind == abi.Internal || f.Kind == abi.Diverged || f.Kind == abi.Limit:
		return []Failure{{Where: where, Message: "the plugin does not stand it", Want: "a fault of the plugin's own", Got: f.Error()}}
	case kind == "" || f.Kind == kind || slices.ContainsFunc(result.Calls, func(x tape.Exchange) bool { return troubleOf(&x) == f.Kind }):
		return nil
	default:
		return []Failure{{Where: where, Message: "the fault is of another kind than what happened", Want: string(kind), Got: f.Error()}}
	}
}

// troubleOf is the kind of fault that the answer to a call stands for, or "".
func troubleOf(x *tape.Exchange) abi.Kind {
	var reply struct {
		abi.Reply
		Value struct {
			Status int `json:"status"`
		} `json:"value"`
	}
	if json.Unmarshal(x.Reply, &reply) != nil {
		return ""
	}
	switch status := reply.Value.Status; {
	case reply.Fault != nil:
		return reply.Fault.Kind
	case status == 401 || status == 403:
		return abi.Unauthorized
	case status == 404:
		return abi.NotFound
	case status == 408:
		return abi.Timeout
	case status == 409:
		return abi.Conflict
	case status == 413:
		return abi.TooLarge
	case status == 429:
		return abi.RateLimited
	case status >= 500:
		return abi.Unavailable
	case status >= 400:
		return abi.Failed
	}
	return ""
}

// crashes runs the case once for each call at which the process dies: what goes on from the tape must come to the same end.
func (r *runner) crashes(ctx context.Context, base *Result) []*Result {
	if base.Verdict != Passed {
		return []*Result{base}
	}
	var all []*Result
	for _, n := range turns(r.mode.Crash.At, len(base.Calls)) {
		call := &base.Calls[n-1]
		when := r.mode.Crash.When
		if call.Refused && when == tape.BeginKind {
			continue
		}
		a := r.first()
		replied, _ := r.world(a)
		w := &remembering{replied, map[string]*hostcall.Answer{}}
		var err error
		if a.space, err = r.h.spaces.open(r.c); err != nil {
			return append(all, base.broken(err))
		}
		defer r.h.spaces.close(a.space)
		died := &dying{Crash: Crash{When: when, At: n}}
		a.log = died
		if result := r.run(ctx, a, w); result.Verdict == Broken {
			return append(all, result)
		}
		a.log = tape.Resume(tape.Upto(died.Entries(), n, when))
		again := r.run(ctx, a, w)
		again.Variation = fmt.Sprintf("crash at %s@%d", when, n)
		doubt := when == tape.BeginKind && call.Effect == abi.Unsafe
		switch same := bytes.Equal(again.Output, base.Output); {
		case again.Verdict == Broken:
		case doubt && (again.Fault == nil || again.Fault.Kind != abi.InDoubt):
			again.fail(Failure{Where: r.c.root.Problem("", "").Where(), Message: "a write that may not be repeated must be in doubt", Got: text(again.Fault)})
		case !doubt && (!same || text(again.Fault) != text(base.Fault)):
			again.fail(Failure{Where: r.c.root.Problem("", "").Where(), Message: "what goes on after the crash comes to another end",
				Want: string(base.Output) + text(base.Fault), Got: string(again.Output) + text(again.Fault)})
		}
		all = append(all, again)
	}
	return all
}
