package runbook

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

// DefaultLimit is the number of items that a foreach takes unless it says otherwise.
const DefaultLimit = 1000

// compiler compiles one runbook.
type compiler struct {
	*loader
	*book
}

func (c *compiler) add(p ...document.Problem) { c.book.add(p...) }

// variables are those that stand in every expression, beside inputs and steps.
func (c *compiler) variables(inputs []Input) map[string]*expr.Type {
	in := make(map[string]*expr.Type, len(inputs))
	for _, i := range inputs {
		in[i.Name] = i.exprType()
	}
	text := expr.Of(expr.String)
	return map[string]*expr.Type{
		"inputs": expr.ObjectOf(in),
		"alarm":  c.alarm,
		"incident": expr.ObjectOf(map[string]*expr.Type{
			"id": text, "title": text, "severity": text, "type": text, "category": text.Nullable(), "queue": text.Nullable(), "tlp": text.Nullable(),
			"status": text, "owner": text.Nullable(), "opened_at": text,
		}),
		"run":   expr.ObjectOf(map[string]*expr.Type{"id": text, "runbook": text, "version": expr.Of(expr.Int)}),
		"lists": expr.ListsOf(c.opts.Lists...),
	}
}

// scopeCompiler compiles the steps of one scope.
type scopeCompiler struct {
	*compiler
	*graph
	vars    map[string]*expr.Type
	results map[string]*expr.Type // of the steps compiled so far, as other steps see them
	full    map[string]*expr.Type // the same, but for null where a step may have no result
	absent  expr.Absence
}

func (c *scopeCompiler) add(p ...document.Problem) { c.book.add(p...) }

func (c *compiler) scope(name string, inputs []Input, steps, outputs *node) *Scope {
	sc := &scopeCompiler{compiler: c, vars: c.variables(inputs), results: map[string]*expr.Type{}, full: map[string]*expr.Type{}}
	drafts := c.book.steps(steps, "")
	if steps != nil && steps.Kind == document.List && len(steps.Items) == 0 {
		c.add(steps.Problem("there are no steps", ""))
	}
	sc.graph = c.arrange(drafts)
	s := &Scope{Name: name, Inputs: inputs}
	for _, d := range sc.order {
		sc.step(d)
	}
	for _, d := range drafts {
		s.Steps = append(s.Steps, d.Step)
	}
	s.Outputs = sc.outputs(outputs)
	return s
}

// outputs are read wherever the scope has ended: what has not run reads as zero.
func (c *scopeCompiler) outputs(n *node) map[string]*expr.Template {
	if n == nil {
		return nil
	}
	c.absent = expr.AbsentZero
	return c.templates(c.env(nil, c.full), n, nil)
}

// env is the environment of a step: the results of the steps before it, and extra variables.
func (c *scopeCompiler) env(extra, steps map[string]*expr.Type) *expr.Env {
	vars := maps.Clone(c.vars)
	vars["steps"] = expr.ObjectOf(steps)
	maps.Copy(vars, extra)
	env, err := expr.NewEnv(vars, expr.Options{Absent: c.absent})
	if err != nil {
		// Types come from schemas that were read already: this is a defect of ours, and it is told where it strikes.
		c.add(c.book.node.Problem("the expressions of this runbook cannot be compiled: "+err.Error(), ""))
		env, _ = expr.NewEnv(nil, expr.Options{})
	}
	return env
}

func (c *scopeCompiler) envOf(s *draft, extra map[string]*expr.Type) *expr.Env {
	visible := make(map[string]*expr.Type, len(s.before))
	for id := range s.before {
		if t, ok := c.results[id]; ok {
			visible[id] = t
		}
	}
	return c.env(extra, visible)
}

// step compiles a step and notes the type of its result.
func (c *scopeCompiler) step(s *draft) {
	env := c.envOf(s, nil)
	s.If = c.condition(env, s.doc.If, s)
	var result *expr.Type
	switch s.Kind {
	case KindUses:
		result = c.uses(s.Step, s, env, nil)
	case KindCall:
		result = c.call(s.Step, s, env)
	case KindForeach:
		result = c.foreach(s, env)
	case KindParallel:
		for _, child := range s.children {
			c.step(child)
			s.Parallel = append(s.Parallel, child.Step)
		}
	case KindDecide:
		for _, d := range s.cases {
			s.Decide = append(s.Decide, Case{When: c.condition(env, d.When, s), Goto: d.goal().Text(), Note: d.Note})
		}
	case KindSet:
		s.Set = c.template(env, s.doc.Set, s)
		result = s.Set.Type()
	case KindApprove:
		result = c.approve(s, env)
	case KindWait:
		s.Wait = c.template(env, s.doc.Wait, s)
		c.wantDuration(s.Wait, s.doc.Wait, true)
	case KindEnd:
		s.End = c.template(env, s.doc.End, s)
	case KindFail:
		s.Fail = c.template(env, s.doc.Fail, s)
	}
	if result == nil {
		return
	}
	c.full[s.ID] = result
	if c.mayLack(s) {
		result = result.Nullable()
	}
	c.results[s.ID] = result
}

func (c *scopeCompiler) call(step *Step, s *draft, env *expr.Env) *expr.Type {
	scope := c.callee(s.doc.Call)
	step.Call = &Call{Name: s.doc.Call.Text(), Scope: scope, With: c.templates(env, s.doc.With, s)}
	if scope == nil {
		return expr.Of(expr.Any)
	}
	for _, in := range scope.Inputs {
		given := step.Call.With[in.Name]
		switch {
		case given == nil && !in.Optional && in.Default == nil:
			c.add(s.node.KeyProblem("with", fmt.Sprintf("the input %q of %s is missing", in.Name, step.Call.Name), "add it to with"))
		case given != nil:
			c.fits(given, in.exprType(), s.doc.With.Get(in.Name), "the input "+in.Name)
			c.constantInput(in, given, s.doc.With.Get(in.Name))
		}
	}
	c.unknownKeys(s.doc.With, inputNames(scope.Inputs), fmt.Sprintf("%s has no input", step.Call.Name))
	outputs := make(map[string]*expr.Type, len(scope.Outputs))
	for name, t := range scope.Outputs {
		outputs[name] = t.Type()
	}
	return expr.ObjectOf(outputs)
}

func (c *scopeCompiler) constantInput(in Input, t *expr.Template, n *node) {
	if v, ok := t.Const(); ok {
		if _, problem := in.fit(v); problem != "" {
			c.add(n.Problem(problem, in.Description))
		}
	}
}

// unknownKeys reports the keys of a map that are not among the known ones.
func (c *scopeCompiler) unknownKeys(n *node, known []string, message string) {
	if n == nil {
		return
	}
	for _, m := range n.Members {
		if slices.Contains(known, m.Key) {
			continue
		}
		hint := ""
		if near := schemas.Nearest(m.Key, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if len(known) > 0 {
			hint = "known are: " + strings.Join(known, ", ")
		}
		c.add(n.KeyProblem(m.Key, fmt.Sprintf("%s %q", message, m.Key), hint))
	}
}

func (c *scopeCompiler) foreach(s *draft, env *expr.Env) *expr.Type {
	f := &Foreach{As: "item", Concurrency: 1, Limit: DefaultLimit, OnItemError: OnErrorFail, Items: c.expression(env, s.doc.Foreach, s)}
	s.Foreach = f
	c.positive(s.doc.Concurrency, &f.Concurrency)
	c.positive(s.doc.Limit, &f.Limit)
	c.word(s.doc.OnItemError, &f.OnItemError, OnErrorFail, OnErrorContinue)
	item := expr.Of(expr.Any)
	if f.Items != nil {
		if t := f.Items.Type(); t.Kind() == expr.List {
			item = t.Elem()
		} else if t.Kind() != expr.Any {
			c.add(s.doc.Foreach.Problem(fmt.Sprintf("foreach needs a list, this gives: %s", t), ""))
		}
	}
	if s.doc.As != nil {
		f.As = s.doc.As.Text()
		if _, taken := c.vars[f.As]; taken || f.As == "steps" || f.As == "output" || !idPattern.MatchString(f.As) {
			c.add(s.doc.As.Problem(fmt.Sprintf("%s cannot be the name of the item", shown(s.doc.As)), "a word of its own: small letters, digits and _"))
		}
	}
	f.Body = &Step{ID: s.ID, Line: s.Line, Kind: KindUses, Timeout: s.Timeout, Retry: s.Retry, Cache: s.Cache, OnError: OnErrorFail}
	s.Timeout, s.Retry, s.Cache = 0, Retry{}, 0 // they are those of each item
	inner := c.envOf(s, map[string]*expr.Type{f.As: item})
	var output *expr.Type
	if s.doc.Uses != nil {
		output = c.uses(f.Body, s, inner, map[string]*expr.Type{f.As: item})
	} else if s.doc.Call != nil {
		f.Body.Kind = KindCall
		output = c.call(f.Body, s, inner)
	}
	if f.OnItemError == OnErrorContinue {
		output = output.Nullable()
	}
	return expr.ListOf(expr.ObjectOf(map[string]*expr.Type{"item": item, "output": output, "error": faultType().Nullable()}))
}

func faultType() *expr.Type {
	text := expr.Of(expr.String)
	return expr.ObjectOf(map[string]*expr.Type{"kind": text, "message": text, "hint": text.Nullable()})
}

// templates compiles the members of a map.
func (c *scopeCompiler) templates(env *expr.Env, n *node, s *draft) map[string]*expr.Template {
	if n == nil {
		return nil
	}
	if n.Kind != document.Map {
		c.add(n.Problem(fmt.Sprintf("a map is expected here, this is %s", n.Kind), "name: value"))
		return nil
	}
	out := make(map[string]*expr.Template, len(n.Members))
	for _, m := range n.Members {
		out[m.Key] = c.template(env, m.Value, s)
	}
	return out
}

// template compiles a value with expressions inside. It never gives nil: what has problems becomes a constant null.
func (c *scopeCompiler) template(env *expr.Env, n *node, s *draft) *expr.Template {
	if n == nil {
		return expr.Constant(nil)
	}
	switch n.Kind {
	case document.Map:
		return expr.ObjectTemplate(c.templates(env, n, s))
	case document.List:
		elems := make([]*expr.Template, len(n.Items))
		for i, e := range n.Items {
			elems[i] = c.template(env, e, s)
		}
		return expr.ListTemplate(elems)
	case document.String:
		t, err := env.Template(n.Text())
		if err != nil {
			c.exprProblem(n, err, s)
			return expr.Constant(nil)
		}
		return t
	}
	return expr.Constant(n.Scalar)
}

func (c *scopeCompiler) expression(env *expr.Env, n *node, s *draft) *expr.Program {
	if n == nil {
		return nil
	}
	if n.Kind != document.String {
		c.add(n.Problem(fmt.Sprintf("an expression is expected here, this is %s", n.Kind), "${{ … }}"))
		return nil
	}
	p, err := env.Expression(n.Text())
	if err != nil {
		c.exprProblem(n, err, s)
		return nil
	}
	return p
}

func (c *scopeCompiler) condition(env *expr.Env, n *node, s *draft) *expr.Program {
	p := c.expression(env, n, s)
	if p == nil {
		return nil
	}
	if k := p.Type().Kind(); k != expr.Bool && k != expr.Any {
		c.add(n.Problem(fmt.Sprintf("a condition must be true or false, this gives: %s", p.Type()), "compare it with something, such as == or size() > 0"))
		return nil
	}
	return p
}

// exprProblem places what is wrong with an expression in the file. A step that exists but has not run gets a message of its own.
func (c *scopeCompiler) exprProblem(n *node, err error, s *draft) {
	var e *expr.Error
	if !errors.As(err, &e) {
		c.add(n.Problem(err.Error(), ""))
		return
	}
	message, hint := e.Message, e.Hint
	if other := c.byID[e.Name]; other != nil && s != nil && strings.HasSuffix(e.Source[:e.Offset], "steps.") {
		switch {
		case other.Kind == KindParallel || other.Kind == KindDecide || other.Kind == KindWait || other.Kind == KindEnd || other.Kind == KindFail:
			message, hint = fmt.Sprintf("the step %q has no result: it is a %s", e.Name, other.Kind), ""
		case other == s:
			message, hint = fmt.Sprintf("the step %q cannot read its own result", e.Name), ""
		case s.parent != nil && other.parent == s.parent:
			message, hint = fmt.Sprintf("the steps %q and %q start together", e.Name, s.ID), "put the one that waits after the parallel step"
		case !s.before[e.Name]:
			message, hint = fmt.Sprintf("the step %q has not run when %q starts", e.Name, s.ID), fmt.Sprintf("add it to the needs of %q", s.ID)
		}
	}
	c.add(n.ProblemAt(e.Offset, message, hint))
}

// fits reports a template whose type is known and wrong.
func (c *scopeCompiler) fits(t *expr.Template, want *expr.Type, n *node, what string) {
	if got := t.Type(); !want.Accepts(got) && !want.Nullable().Accepts(got) {
		c.add(n.Problem(fmt.Sprintf("%s must be %s, this gives: %s", what, want, got), ""))
	}
}

// wantDuration reports what cannot be a duration, or a time if that is allowed too.
func (c *scopeCompiler) wantDuration(t *expr.Template, n *node, orTime bool) {
	v, constant := t.Const()
	text, isText := v.(string)
	_, err := schemas.ParseDuration(text)
	switch k := t.Type().Kind(); {
	case constant && isText && (err == nil || orTime && schemas.CheckFormat("date-time", text)):
	case !constant && (k == expr.String || k == expr.Duration || k == expr.Any || k == expr.Time && orTime):
	default:
		c.add(n.Problem("a duration is expected here", "write it with its unit, such as 30s, 15m, 24h or 7d"))
	}
}
