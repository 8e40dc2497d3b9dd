package runbook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/schemas"
)

// graph is the steps of a scope and what waits for what.
type graph struct {
	*drafter
	steps []*draft          // in the order of the file
	byID  map[string]*draft // children of parallel too
	order []*draft          // each after what it waits for; empty if there is a cycle
}

// arrange resolves needs and gates, and reports what cannot work: unknown names, cycles, steps that nothing leads to.
func (d *drafter) arrange(steps []*draft) *graph {
	g := &graph{drafter: d, steps: steps, byID: map[string]*draft{}}
	g.register(steps)
	for _, s := range steps {
		g.gate(s, s.doc.Then)
		for _, c := range s.cases {
			g.gate(s, c.goal())
		}
	}
	for i, s := range steps {
		switch {
		case s.explicit:
			g.checkNeeds(s)
		case i > 0 && !s.Gated:
			s.Needs = []string{steps[i-1].ID}
		}
	}
	if !g.sort() {
		return g
	}
	for _, s := range g.order {
		s.before = map[string]bool{}
		for _, id := range slices.Concat(s.Needs, s.Gates) {
			dep := g.byID[id]
			maps.Copy(s.before, dep.before)
			dep.walk(func(inner *draft) { s.before[inner.ID] = true })
		}
		for _, c := range s.children {
			c.walk(func(inner *draft) { inner.before = s.before })
		}
	}
	g.reach()
	return g
}

// walk calls fn for the step and all steps inside it.
func (s *draft) walk(fn func(*draft)) {
	fn(s)
	for _, c := range s.children {
		c.walk(fn)
	}
}

func (g *graph) register(steps []*draft) {
	for _, s := range steps {
		s.walk(func(s *draft) {
			if s.ID == "" {
				return
			}
			if first := g.byID[s.ID]; first != nil {
				g.add(s.node.KeyProblem("id", fmt.Sprintf("the id %q is taken", s.ID), fmt.Sprintf("the step in line %d has it", first.Line)))
				return
			}
			g.byID[s.ID] = s
		})
	}
}

// gate notes that s may choose the step that n names.
func (g *graph) gate(s *draft, n *node) {
	if n == nil || n.Text() == ThenEnd || n.Text() == ThenFail {
		return
	}
	goal := g.find(n, "then names a step, end or fail")
	switch {
	case goal == nil:
	case goal == s:
		g.add(n.Problem("a step cannot choose itself", "repeat with foreach or retry"))
	default:
		goal.Gated = true
		if !slices.Contains(goal.Gates, s.ID) {
			goal.Gates = append(goal.Gates, s.ID)
		}
	}
}

// find gives the step of the scope that a node names.
func (g *graph) find(n *node, what string) *draft {
	id := n.Text()
	s := g.byID[id]
	switch {
	case s == nil:
		var known []string
		for _, s := range g.steps {
			known = append(known, s.ID)
		}
		hint := what
		if near := schemas.Nearest(id, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		g.add(n.Problem(fmt.Sprintf("there is no step %s here", shown(n)), hint))
	case s.parent != nil:
		g.add(n.Problem(fmt.Sprintf("the step %q stands inside the parallel step %q", id, s.parent.ID), fmt.Sprintf("name %q", s.parent.ID)))
		return nil
	}
	return s
}

func (g *graph) checkNeeds(s *draft) {
	good := []string{}
	for _, n := range s.doc.Needs.Items {
		need := g.find(n, "needs lists ids of steps of this list")
		switch {
		case need == nil:
		case need == s:
			g.add(n.Problem("a step cannot need itself", ""))
		default:
			good = append(good, need.ID)
		}
	}
	s.Needs = good
}

// sort brings the steps into an order in which each comes after what it waits for.
func (g *graph) sort() bool {
	state := map[*draft]int{} // 1: being visited, 2: done
	var path []string
	var visit func(s *draft) bool
	visit = func(s *draft) bool {
		switch state[s] {
		case 1:
			loop := append(path[slices.Index(path, s.ID):], s.ID)
			slices.Reverse(loop) // in the order in which they would run
			g.add(s.node.Problem("these steps wait for each other: "+strings.Join(loop, " → "), "a runbook runs forward; repeat with foreach or retry"))
			return false
		case 2:
			return true
		}
		state[s] = 1
		path = append(path, s.ID)
		for _, id := range slices.Concat(s.Needs, s.Gates) {
			if !visit(g.byID[id]) {
				return false
			}
		}
		path = path[:len(path)-1]
		state[s] = 2
		g.order = append(g.order, s)
		return true
	}
	for _, s := range g.steps {
		if g.byID[s.ID] == s && !visit(s) {
			g.order = nil
			return false
		}
	}
	return true
}

// reach reports steps that can never start because the scope has ended by then.
func (g *graph) reach() {
	dead := map[*draft]bool{} // never starts
	for _, s := range g.order {
		var by string
		ends := len(s.Needs) > 0
		for _, id := range s.Needs {
			need := g.byID[id]
			stops := dead[need] || need.ends()
			if stops && !need.Gated {
				by = id
			}
			ends = ends && stops
		}
		if ends && by == "" {
			by = s.Needs[0]
		}
		if s.Gated && !slices.ContainsFunc(s.Gates, func(id string) bool { return !dead[g.byID[id]] }) {
			by = s.Gates[0]
		}
		if by == "" {
			continue
		}
		if !dead[g.byID[by]] {
			g.add(s.node.Problem(fmt.Sprintf("the step %q is never reached: the run has ended after %q", s.ID, by), "name it in a then, or give it other needs"))
		}
		dead[s] = true
	}
}

// ends says whether the scope has ended for certain when the step has.
func (s *draft) ends() bool {
	if s.doc.If != nil {
		return false
	}
	if s.Kind == KindEnd || s.Kind == KindFail || s.Then == ThenEnd || s.Then == ThenFail {
		return true
	}
	if s.Kind != KindDecide || len(s.cases) == 0 || s.cases[len(s.cases)-1].Else == nil {
		return false
	}
	return !slices.ContainsFunc(s.cases, func(c caseDoc) bool {
		goal := c.goal().Text()
		return goal != ThenEnd && goal != ThenFail
	})
}

// mayLack says whether there may be no result of s when another step, for which it counts as done, starts.
func (g *graph) mayLack(s *draft) bool {
	if s.OnError == OnErrorContinue || s.doc.If != nil || s.parent != nil && g.mayLack(s.parent) {
		return true
	}
	return g.skippable(s)
}

// skippable says whether the step may be skipped because nobody chose it.
func (g *graph) skippable(s *draft) bool {
	if s.Gated {
		return true
	}
	return len(s.Needs) > 0 && !slices.ContainsFunc(s.Needs, func(id string) bool { return !g.skippable(g.byID[id]) })
}
