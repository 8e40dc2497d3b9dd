package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// Two containments may do the same to the same target: two incidents block one address. What undoes the one would then undo the other. So each
// containment holds what its inverse would free, from before its action begins until it is released; and a release whose target is still held
// by another leaves the target alone. Actions at one target wait for each other, so that a block and a release never cross.

// holds are the targets that are held, by the digest of what would free them.
type holds struct {
	mu      sync.Mutex
	holders map[string][]string // steps, as run/path
	turns   map[string]*turn
}

// turn lets one action at a time have a target.
type turn struct {
	taken chan struct{}
	users int
}

func newHolds() holds {
	return holds{holders: map[string][]string{}, turns: map[string]*turn{}}
}

// holder names a step that holds something.
func holder(run, path string) string { return run + "/" + path }

// holdKey is the key under which a containment holds what inv would free; empty if nothing would.
func holdKey(inv *incident.Invocation) string {
	if inv == nil {
		return ""
	}
	return digest(inv.Plugin, inv.Connector, inv.Action, string(inv.Parameters))
}

// enter waits for the target of a key; leave ends the turn.
func (h *holds) enter(ctx context.Context, key string) (leave func(), err error) {
	h.mu.Lock()
	t := h.turns[key]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		h.turns[key] = t
	}
	t.users++
	h.mu.Unlock()
	gone := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(h.turns, key)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}

func (h *holds) add(key, by string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key != "" && !slices.Contains(h.holders[key], by) {
		h.holders[key] = append(h.holders[key], by)
	}
}

func (h *holds) drop(key, by string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := slices.DeleteFunc(h.holders[key], func(s string) bool { return s == by })
	if len(rest) == 0 {
		delete(h.holders, key)
	} else {
		h.holders[key] = rest
	}
}

// others are the incidents of those that hold a key, but for one holder.
func (h *holds) others(key, but string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, by := range h.holders[key] {
		if run, _, _ := strings.Cut(by, "/"); by != but && !slices.Contains(list, IncidentOf(run)) {
			list = append(list, IncidentOf(run))
		}
	}
	return list
}

// loadHolds reads what stands, also in incidents that nothing else reads after a start.
func (e *Engine) loadHolds() error {
	err := e.store.Scan([]byte(prefixHeld), nil, false, func(key, _ []byte) error {
		held, by, _ := strings.Cut(strings.TrimPrefix(string(key), prefixHeld), "/")
		e.holds.add(held, by)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the containments that stand: %w", err)
	}
	return nil
}

// holdTarget keeps what a containment holds until its release.
func (p *planner) holdTarget(c *incident.Containment) {
	key, by := holdKey(c.Inverse), holder(c.Run, c.Step)
	if key == "" {
		return
	}
	p.e.holds.add(key, by)
	if op, err := journal.Put(prefixHeld+key+"/"+by, c.ID); err == nil {
		p.ops = append(p.ops, op)
	}
}

// freeTarget ends that.
func (p *planner) freeTarget(c *incident.Containment) {
	if key, by := holdKey(c.Inverse), holder(c.Run, c.Step); key != "" {
		p.e.holds.drop(key, by)
		p.ops = append(p.ops, journal.Op{Key: []byte(prefixHeld + key + "/" + by), Delete: true})
	}
}

// settleHold ends what a step held while its action was at work; a containment that was placed holds for itself.
func (p *planner) settleHold(x *execution, path string, act *incident.ActionStarted) {
	key, by := holdKey(p.e.inverse(act, nil)), holder(x.run.ID, path)
	if c := p.containmentOf(x, path); key != "" && (c == nil || !c.Standing() || holdKey(c.Inverse) != key) {
		p.e.holds.drop(key, by)
	}
}

// claim is what an action means to do with a target: hold it, or release it.
type claim struct {
	key, by  string
	releases bool
}

// claimOf gives the claim of an action, which has no key if the action neither contains nor releases. It is called under l.mu.
func (e *Engine) claimOf(l *live, run *incident.Run, path string, act *incident.ActionStarted) claim {
	if c := l.in.Containment(run.Releases); c != nil {
		return claim{holdKey(c.Inverse), holder(c.Run, c.Step), true}
	}
	if act.Kind != abi.Contain || act.Verify {
		return claim{}
	}
	return claim{holdKey(e.inverse(act, nil)), holder(run.ID, path), false}
}

// takeTurn waits until an action may have its target. A release has nothing to do while others hold it: kept names their incidents.
func (h *holds) takeTurn(ctx context.Context, c claim) (leave func(), kept []string, err error) {
	if c.key == "" {
		return func() {}, nil, nil
	}
	if leave, err = h.enter(ctx, c.key); err != nil {
		return nil, nil, err
	}
	if !c.releases {
		h.add(c.key, c.by)
		return leave, nil, nil
	}
	return leave, h.others(c.key, c.by), nil
}

// keptOutcome is that of a release that had nothing to do.
func keptOutcome(act *incident.ActionStarted, kept []string) outcome {
	text := fmt.Sprintf("%s: not undone at the target, which %s still holds", strings.Join(act.Targets, ", "), strings.Join(kept, ", "))
	return outcome{Output: json.RawMessage("null"), Findings: []incident.Finding{{Text: text}}}
}
