package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// Verdict is what a replay shows.
type Verdict string

// The verdicts of a replay.
const (
	// Same says that output, or fault, and instructions are those of the journal.
	Same Verdict = "same"
	// Diverged says that they are not, or that the plugin asked the host for something else.
	Diverged Verdict = "diverged"
	// Unknown says that there is nothing to compare; the fault says why.
	Unknown Verdict = "unknown"
)

// Replayed is what came of executing a past invocation again from its tape.
type Replayed struct {
	Step       string     `json:"step"`
	Invocation string     `json:"invocation"`
	Plugin     string     `json:"plugin"`
	Action     string     `json:"action"`
	Module     string     `json:"module"` // digest
	Verdict    Verdict    `json:"verdict"`
	Fault      *abi.Fault `json:"fault,omitempty"` // why it is not the same
	HostCalls  int        `json:"host_calls"`
	Fuel       int64      `json:"fuel"`             // instructions, as recorded
	Output     string     `json:"output,omitempty"` // digest, as recorded
	// Comparison sets the calls of then and now side by side. It is there if it was asked for, or if something differs.
	Comparison *tape.Comparison `json:"comparison,omitempty"`
}

// ReplayOptions say what to replay, and how.
type ReplayOptions struct {
	Step    string // path of a step: only its invocations; all if empty
	Lenient bool   // with the module that is installed now, which may be another; calls may come in another order, or be left out
	Calls   bool   // with a Comparison in any case
}

// Replay executes the invocations of a run again, in their order, each from its tape and nothing else: no host function is performed. It changes
// nothing.
func (e *Engine) Replay(ctx context.Context, runID string, o ReplayOptions) ([]Replayed, error) {
	step := o.Step
	type past struct {
		step string
		act  *incident.ActionStarted
		end  incident.ActionFinished
	}
	var ended []past
	started := map[string]*incident.ActionStarted{} // by step
	found := false
	err := journal.Facts(e.store, IncidentOf(runID), 0, func(f *journal.Fact) error {
		if f.Run != runID {
			return nil
		}
		found = true
		if step != "" && f.Step != step {
			return nil
		}
		switch f.Kind {
		case incident.FactActStarted:
			act, err := journal.Decode[incident.ActionStarted](f)
			started[f.Step] = &act
			return err
		case incident.FactActFinished:
			end, err := journal.Decode[incident.ActionFinished](f)
			if err != nil {
				return err
			}
			if act := started[f.Step]; act != nil && act.Invocation == end.Invocation {
				ended = append(ended, past{f.Step, act, end})
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("there is no run %q", runID), Hint: "riposte run ls"}
	case len(ended) == 0 && step != "":
		return nil, &abi.Fault{Kind: abi.NotFound, Message: fmt.Sprintf("no action of the step %q has ended in %s", step, runID), Hint: "riposte run show " + runID}
	}
	list := make([]Replayed, len(ended))
	for i, p := range ended {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		list[i] = e.replay(ctx, p.step, p.act, &p.end, o)
	}
	return list, nil
}

// replay executes one invocation again and compares.
func (e *Engine) replay(ctx context.Context, path string, act *incident.ActionStarted, end *incident.ActionFinished, o ReplayOptions) Replayed {
	r := Replayed{Step: path, Invocation: act.Invocation, Plugin: act.Plugin, Action: act.Action, Module: act.Module, HostCalls: end.HostCalls, Fuel: end.Fuel}
	if len(end.Output) > 0 {
		r.Output = tape.Digest(end.Output)
	}
	plugin, mode := e.content.Plugins[act.Plugin], tape.Exact
	if o.Lenient {
		mode = tape.Lenient
	}
	switch {
	case end.Cached:
		return r.unknown(abi.NotFound, "the result came out of the cache: there was no invocation", "")
	case end.Fuel == 0:
		return r.unknown(abi.NotFound, "the action ended before the plugin ran", "")
	case plugin == nil:
		return r.unknown(abi.NotFound, "the plugin is not installed any more", "install "+act.Plugin+" with the digest "+act.Module)
	case plugin.Digest != act.Module && !o.Lenient:
		return r.unknown(abi.NotFound, "the module that ran is not installed any more", "install "+act.Plugin+" with the digest "+act.Module+", or replay leniently with the one that is")
	}
	recorded, err := e.Tape(act.Invocation)
	if err != nil {
		return r.failed(err)
	}
	if was := tape.OutcomeOf(recorded); was != nil && was.Cut {
		return r.unknown(was.Fault.Kind, "it was stopped from outside: "+was.Fault.Message, "")
	}
	replay := tape.NewReplay(recorded, mode)
	out, err := e.runner.Run(ctx, host.Invocation{Bundle: plugin, Tape: replay})
	if err != nil {
		return r.failed(err)
	}
	c := replay.Compare()
	r.compare(recorded, end, out, &c, mode)
	if o.Calls || r.Verdict == Diverged || !c.Same() {
		r.Comparison = &c
	}
	return r
}

// compare tells whether an outcome is that of the journal, and whether what led to it is on the tape.
func (r *Replayed) compare(recorded []tape.Entry, end *incident.ActionFinished, out host.Outcome, c *tape.Comparison, mode tape.Mode) {
	head, _ := tape.HeaderOf(recorded)
	var output []byte
	var err error
	if len(out.Output) > 0 {
		output, err = json.Marshal(out.Output) // the form that the journal has
	}
	diverged := func(message, hint string) {
		r.Verdict, r.Fault = Diverged, abi.NewFault(abi.Diverged, message, hint)
	}
	r.Verdict = Same
	switch {
	case err != nil:
		diverged("the output is not JSON: "+err.Error(), "")
	case out.Fault != nil && out.Fault.Kind == abi.Diverged:
		r.Verdict, r.Fault = Diverged, out.Fault
	case len(end.Output) > 0 && out.Fault != nil:
		diverged("it failed: "+out.Fault.Error(), "")
	case len(end.Output) > 0 && !bytes.Equal(output, end.Output):
		diverged(fmt.Sprintf("the output is %.500s, but was %.500s", output, end.Output), "")
	case len(end.Output) == 0 && out.Fault == nil:
		diverged(fmt.Sprintf("it succeeded with %.500s, but had failed: %v", output, end.Fault), "")
	case len(end.Output) == 0 && end.Fault != nil && (out.Fault.Kind != end.Fault.Kind || out.Fault.Message != end.Fault.Message):
		diverged(fmt.Sprintf("the fault is %v, but was %v", out.Fault, end.Fault), "")
	case mode == tape.Lenient:
	case out.Stats.Fuel != end.Fuel && head != nil && head.Meter != host.EngineVersion():
		*r = r.unknown(abi.Conflict, "the result is the same, but instructions were counted in another way then: "+head.Meter, "")
	case out.Stats.Fuel != end.Fuel:
		diverged(fmt.Sprintf("it took %d instructions, but %d then", out.Stats.Fuel, end.Fuel), "")
	case !c.Same():
		diverged("the result is the same, but not what led to it: "+c.Differences(), "")
	}
	if r.Verdict == Diverged && end.Fault != nil && len(end.Output) == 0 {
		switch end.Fault.Kind {
		case abi.Timeout, abi.Cancelled, abi.InDoubt: // the world ended it, not the plugin
			*r = r.unknown(end.Fault.Kind, "it was cut short: "+end.Fault.Message, "")
		}
	}
}

func (r Replayed) unknown(kind abi.Kind, message, hint string) Replayed {
	r.Verdict, r.Fault = Unknown, abi.NewFault(kind, message, hint)
	return r
}

func (r Replayed) failed(err error) Replayed {
	r.Verdict, r.Fault = Unknown, abi.AsFault(err)
	return r
}
