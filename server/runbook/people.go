package runbook

import (
	"fmt"
	"time"

	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

// approveDoc is an approve as it is written.
type approveDoc struct {
	Title    *node    `yaml:"title,required"`
	Show     *node    `yaml:"show"`
	Need     *node    `yaml:"need,required"`
	Not      []*node  `yaml:"not"`
	Expires  *node    `yaml:"expires"`
	OnExpire *node    `yaml:"on_expire"`
	OnDeny   *node    `yaml:"on_deny"`
	Escalate []escDoc `yaml:"escalate"`
}

type escDoc struct {
	After time.Duration `yaml:"after,required"`
	To    string        `yaml:"to,required"`
}

// DefaultExpiry is how long an approve waits that does not say.
const DefaultExpiry = 4 * time.Hour

func (c *scopeCompiler) approve(s *draft, env *expr.Env) *expr.Type {
	text := expr.Of(expr.String)
	result := expr.ObjectOf(map[string]*expr.Type{"decision": text, "by": expr.ListOf(text), "note": text.Nullable()})
	var doc approveDoc
	if !c.decode(s.doc.Approve, &doc) {
		return result
	}
	a := &Approve{Expires: DefaultExpiry, OnExpire: OnErrorFail, OnDeny: OnErrorFail, Title: c.template(env, doc.Title, s)}
	s.Approve = a
	if doc.Show != nil {
		a.Show = c.template(env, doc.Show, s)
	}
	needs := []*node{doc.Need}
	if doc.Need.Kind == document.List {
		needs = doc.Need.Items
	}
	if len(needs) == 0 {
		c.add(doc.Need.Problem("nobody is asked", "need: [{group: soc-lead, count: 1}]"))
	}
	for _, n := range needs {
		a.Need = append(a.Need, c.need(n))
	}
	for _, n := range doc.Not {
		var who string
		c.word(n, &who, "requester")
		a.Not = append(a.Not, who)
	}
	c.duration(doc.Expires, &a.Expires)
	c.word(doc.OnExpire, &a.OnExpire, OnErrorFail, ThenEnd, OnErrorContinue)
	c.word(doc.OnDeny, &a.OnDeny, OnErrorFail, ThenEnd, OnErrorContinue)
	for _, e := range doc.Escalate {
		if e.After >= a.Expires {
			c.add(s.doc.Approve.KeyProblem("escalate", fmt.Sprintf("nobody is told after %s: the request has expired after %s", e.After, a.Expires), ""))
		}
		a.Escalate = append(a.Escalate, Escalation(e))
	}
	return result
}

// need reads {group, count}.
func (c *scopeCompiler) need(n *node) Need {
	var doc struct {
		Group string `yaml:"group,required"`
		Count *node  `yaml:"count"`
	}
	need := Need{Count: 1}
	if c.decode(n, &doc) {
		need.Group = doc.Group
		c.positive(doc.Count, &need.Count)
	}
	return need
}

// guardsDoc is the guards as they are written.
type guardsDoc struct {
	NeverContain []*node `yaml:"never_contain"`
	MaxContain   *node   `yaml:"max_contain"`
}

func (c *compiler) guards(n *node, inputs []Input) Guards {
	var g Guards
	var doc guardsDoc
	if n == nil || !c.decode(n, &doc) {
		return g
	}
	var limits struct {
		PerRun  *node `yaml:"per_run"`
		PerHour *node `yaml:"per_hour"`
	}
	if doc.MaxContain != nil && c.decode(doc.MaxContain, &limits) {
		c.positive(limits.PerRun, &g.PerRun)
		c.positive(limits.PerHour, &g.PerHour)
	}
	target := expr.Of(expr.Any)
	if len(c.targets) > 0 {
		fields := map[string]*expr.Type{}
		for name := range c.targets {
			fields[name] = expr.Of(expr.String)
		}
		target = expr.ObjectOf(fields)
	}
	sc := &scopeCompiler{compiler: c, graph: &graph{drafter: &c.book.drafter}, vars: c.variables(inputs)}
	env := sc.env(map[string]*expr.Type{"target": target}, nil)
	for _, e := range doc.NeverContain {
		if p := sc.condition(env, e, nil); p != nil {
			g.NeverContain = append(g.NeverContain, p)
		}
	}
	return g
}

// onFailure compiles the steps that run when the runbook has failed; they may run wherever it did, so what is absent reads as zero.
func (c *compiler) onFailure(n *node, rb *Runbook) []*Step {
	if n == nil {
		return nil
	}
	drafts := c.book.steps(n, "on_failure")
	text := expr.Of(expr.String)
	sc := &scopeCompiler{compiler: c, vars: c.variables(rb.Inputs), results: map[string]*expr.Type{}, full: map[string]*expr.Type{}, absent: expr.AbsentZero}
	sc.vars["failure"] = expr.ObjectOf(map[string]*expr.Type{"step": text, "kind": text, "message": text})
	sc.graph = c.arrange(drafts)
	for _, d := range sc.order {
		sc.step(d)
	}
	var out []*Step
	for _, d := range drafts {
		out = append(out, d.Step)
	}
	return out
}
