package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
)

// contract takes a case through the life of a containment: nothing is there, it is placed, the probe sees it, placing it again changes nothing,
// the inverse removes it, and nothing is left behind.
func (r *runner) contract(ctx context.Context) []*Result {
	action := r.bundle.Manifest.Actions[r.c.Action]
	target := keep(r.c.Parameters, r.bundle.Manifest.Actions[action.Probe].Parameters)
	var all []*Result
	step := func(name, action string, parameters json.RawMessage) *Result {
		a := r.stage(len(all), name, action, parameters)
		a.key = "case-" + r.c.Name + "-" + action // placing it twice is the same work
		result := r.call(ctx, a)
		all = append(all, result)
		if result.Verdict == Passed && result.Fault != nil {
			result.fail(Failure{Where: r.c.root.Problem("", "").Where(), Message: "it failed", Want: "a result", Got: result.Fault.Error()})
		}
		return result
	}
	probe := func(name string, want bool, like *Result) *Result {
		result := step(name, action.Probe, target)
		if result.Verdict != Passed {
			return result
		}
		where := r.c.root.Problem("", "").Where()
		if got := present(result.Output); got != want {
			result.fail(Failure{Where: where, Message: "the probe says something else", Path: "$.present", Want: text(want), Got: text(got)})
		} else if like != nil && !bytes.Equal(like.Output, result.Output) {
			result.fail(Failure{Where: where, Message: "the probe does not say what it said before", Want: string(like.Output), Got: string(result.Output)})
		}
		return result
	}
	before := probe("1 not there", false, nil)
	if before.Verdict != Passed {
		return all
	}
	placed := step("2 place it", r.c.Action, r.c.Parameters)
	if placed.Verdict != Passed {
		return all
	}
	placed.fail(r.c.check(placed.outcome, placed.Calls)...)
	there := probe("3 it is there", true, nil)
	step("4 place it again", r.c.Action, r.c.Parameters)
	probe("5 nothing more", true, there)
	step("6 remove it", action.Inverse.Action, inverse(action.Inverse.With, r.c.Parameters, placed.Output))
	probe("7 nothing left", false, before)
	return all
}

func present(output json.RawMessage) bool {
	var result struct {
		Present bool `json:"present"`
	}
	return json.Unmarshal(output, &result) == nil && result.Present
}

// keep gives the parameters that a schema knows.
func keep(parameters, schema json.RawMessage) json.RawMessage {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(schema, &s) != nil || json.Unmarshal(parameters, &all) != nil {
		return parameters
	}
	for name := range all {
		if _, known := s.Properties[name]; !known {
			delete(all, name)
		}
	}
	return raw(all, parameters)
}

// inverse builds the parameters of an inverse, as the engine does.
func inverse(with map[string]string, parameters, result json.RawMessage) json.RawMessage {
	built := map[string]any{}
	for name, ref := range with {
		inner, isRef := strings.CutPrefix(strings.TrimSuffix(ref, "}"), "{")
		source := result
		member, isParameter := strings.CutPrefix(inner, "parameters.")
		if isParameter {
			source = parameters
		} else {
			member = strings.TrimPrefix(inner, "result.")
		}
		if !isRef {
			built[name] = ref
		} else if object, ok := decode(source).(map[string]any); ok && object[member] != nil {
			built[name] = object[member]
		}
	}
	return raw(built, json.RawMessage("{}"))
}

func raw(v any, otherwise json.RawMessage) json.RawMessage {
	out, err := json.Marshal(v)
	if err != nil {
		return otherwise
	}
	return out
}
