package runbook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Check asks the never_contain guards whether a containment of target (its target parameters, by name) is forbidden; vars are the other
// variables. It answers nil, or a Fault of kind abi.Refused that names the guard. A guard that speaks of target parameters of which this
// action has none does not concern it. A guard that cannot be evaluated refuses: what protects must not fail open.
func (g Guards) Check(ctx context.Context, target map[string]any, vars map[string]any) *abi.Fault {
	all := maps.Clone(vars)
	if all == nil {
		all = map[string]any{}
	}
	for _, guard := range g.NeverContain {
		of, ok := concerned(guard.Refs(), target)
		if !ok {
			continue
		}
		all["target"] = of
		forbidden, err := guard.Bool(ctx, all)
		if err != nil {
			return &abi.Fault{Kind: abi.Refused, Message: "a guard of the runbook could not be evaluated: " + err.Error(), Hint: "correct the guard; until then nothing is contained"}
		}
		if forbidden {
			return &abi.Fault{Kind: abi.Refused, Message: fmt.Sprintf("a guard of the runbook forbids to contain %v: %s", describe(target), guard)}
		}
	}
	return nil
}

// concerned gives what a guard with these references sees of a target; false if it speaks of nothing that the target has. What it has not
// reads as empty text.
func concerned(refs []string, target map[string]any) (map[string]any, bool) {
	seen := maps.Clone(target)
	speaks, has := false, false
	for _, ref := range refs {
		name, ok := strings.CutPrefix(ref, "target.")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, ".")
		speaks = true
		if target[name] != nil {
			has = true
		} else {
			seen[name] = ""
		}
	}
	return seen, has || !speaks
}

func describe(target map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(target)) {
		parts = append(parts, fmt.Sprintf("%s %v", name, target[name]))
	}
	return strings.Join(parts, ", ")
}
