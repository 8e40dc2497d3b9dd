package runbook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

var usesPattern = regexp.MustCompile(`^([a-z0-9][a-z0-9-]*)/([a-z0-9][a-z0-9_-]*)@([0-9]+)$`)

// uses compiles the invocation of an action into step; extra are the variables of the foreach around it.
func (c *scopeCompiler) uses(step *Step, s *draft, env *expr.Env, extra map[string]*expr.Type) *expr.Type {
	u := &Uses{Approval: Approval{Mode: ByPolicy}}
	step.Uses = u
	u.With = c.templates(env, s.doc.With, s)
	u.Spec = c.action(u, s.doc.Uses)
	c.connector(u, s)
	c.approval(u, s.doc.Approval)
	if s.doc.Key != nil {
		u.Key = c.template(env, s.doc.Key, s)
	}
	if s.doc.TTL != nil {
		u.TTL = c.template(env, s.doc.TTL, s)
		c.wantDuration(u.TTL, s.doc.TTL, false)
	}
	if u.Spec == nil {
		return expr.Of(expr.Any)
	}
	u.Targets, u.Texts = marked(u.Spec)
	c.parameters(u, s)
	c.containment(u, s)
	if s.doc.Verify != nil {
		vars := maps.Clone(extra)
		if vars == nil {
			vars = map[string]*expr.Type{}
		}
		vars["output"] = c.probeType(u)
		u.Verify = c.condition(c.envOf(s, vars), s.doc.Verify, s)
	}
	return c.specOf(u.Spec).result
}

// marked lists the parameters whose schema says `target`, and those with the format template.
func marked(spec *abi.Action) (targets, texts []string) {
	var schema struct {
		Properties map[string]struct {
			Target bool   `json:"target"`
			Format string `json:"format"`
		} `json:"properties"`
	}
	if json.Unmarshal(spec.Parameters, &schema) != nil {
		return nil, nil
	}
	for name, p := range schema.Properties {
		if p.Target {
			targets = append(targets, name)
		}
		if p.Format == "template" {
			texts = append(texts, name)
		}
	}
	slices.Sort(targets)
	slices.Sort(texts)
	return targets, texts
}

// spec is what an action's schemas say, read once for all steps of a load.
type spec struct {
	params   *schemas.Schema // nil if there is none
	types    *expr.Type      // of the parameters
	required []string
	partial  *schemas.Schema // params, but nothing is required
	result   *expr.Type
	err      error
}

func (l *loader) specOf(a *abi.Action) *spec {
	if s := l.specs[a]; s != nil {
		return s
	}
	s := &spec{}
	l.specs[a] = s
	if s.result, s.err = expr.FromSchema(a.Result); s.err != nil {
		s.result = expr.Of(expr.Any)
	}
	if len(a.Parameters) == 0 || s.err != nil {
		return s
	}
	if s.types, s.err = expr.FromSchema(a.Parameters); s.err != nil {
		return s
	}
	if s.params, s.err = schemas.Compile("parameters", a.Parameters); s.err != nil {
		return s
	}
	var doc map[string]any
	if s.err = json.Unmarshal(a.Parameters, &doc); s.err != nil {
		return s
	}
	required, _ := doc["required"].([]any)
	for _, r := range required {
		s.required = append(s.required, fmt.Sprint(r))
	}
	delete(doc, "required")
	data, err := json.Marshal(doc)
	if err == nil {
		s.partial, err = schemas.Compile("constants", data)
	}
	s.err = err
	return s
}

// action resolves plugin/action@major.
func (c *scopeCompiler) action(u *Uses, n *node) *abi.Action {
	m := usesPattern.FindStringSubmatch(n.Text())
	if m == nil {
		c.add(n.Problem(fmt.Sprintf("%s is not the name of an action", shown(n)), "plugin/action@major, such as paloalto/block-ip@1"))
		return nil
	}
	u.Plugin, u.Action = m[1], m[2]
	u.Major, _ = strconv.Atoi(m[3])
	spec, ok := c.catalog.Action(u.Plugin, u.Action, u.Major)
	if !ok {
		message, hint := fmt.Sprintf("there is no action %s", n.Text()), "is the plugin installed, in that major version?"
		if lister, ok := c.catalog.(Lister); ok {
			if near := schemas.Nearest(n.Text(), lister.Names()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
		}
		c.add(n.Problem(message, hint))
		return nil
	}
	return spec
}

// Lister is what a Catalog may have too, for hints: the names of all actions, as "plugin/action@major".
type Lister interface{ Names() []string }

func (c *scopeCompiler) connector(u *Uses, s *draft) {
	if u.Plugin == "" || u.Spec == nil {
		return
	}
	have := c.catalog.Connectors(u.Plugin)
	n := s.doc.Connector
	switch {
	case n != nil && slices.Contains(have, n.Text()):
		u.Connector = n.Text()
	case n != nil:
		hint := "configured are: " + strings.Join(have, ", ")
		if near := schemas.Nearest(n.Text(), have); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if len(have) == 0 {
			hint = "the plugin has no connector yet"
		}
		c.add(n.Problem(fmt.Sprintf("there is no connector %s of the plugin %q", shown(n), u.Plugin), hint))
	case len(have) == 1:
		u.Connector = have[0]
	case len(have) == 0:
		c.add(s.doc.Uses.Problem(fmt.Sprintf("the plugin %q has no connector", u.Plugin), "configure one"))
	default:
		c.add(s.doc.Uses.Problem(fmt.Sprintf("the plugin %q has several connectors", u.Plugin), "name one with connector: "+strings.Join(have, ", ")))
	}
}

func (c *scopeCompiler) approval(u *Uses, n *node) {
	switch {
	case n == nil:
	case n.Kind == document.String:
		var mode string
		c.word(n, &mode, string(Auto), string(ByPolicy))
		u.Approval.Mode = ApprovalMode(mode)
	default:
		nodes := []*node{n}
		if n.Kind == document.List {
			nodes = n.Items
		}
		u.Approval = Approval{Mode: ByGroup}
		for _, item := range nodes {
			u.Approval.Need = append(u.Approval.Need, c.need(item))
		}
	}
}

// containment checks what only containments have.
func (c *scopeCompiler) containment(u *Uses, s *draft) {
	inverse := u.Spec.Inverse
	if u.Spec.Kind != abi.Contain {
		if s.doc.TTL != nil {
			c.add(s.node.KeyProblem("ttl", fmt.Sprintf("%s does not contain anything that could end: its kind is %s", s.doc.Uses.Text(), u.Spec.Kind), "ttl belongs to contain actions"))
		}
		if s.doc.Cache != nil && u.Spec.Effect.Writes() {
			c.add(s.node.KeyProblem("cache", fmt.Sprintf("%s changes the world, its result cannot be cached", s.doc.Uses.Text()), ""))
		}
		return
	}
	switch {
	case inverse == nil || inverse.Action == "" && inverse.None == "":
		c.add(s.doc.Uses.Problem(fmt.Sprintf("%s contains, but its manifest has neither an inverse nor a reason why there is none", s.doc.Uses.Text()), "complete the manifest of the plugin"))
	case inverse.Action == "" && s.doc.TTL != nil:
		c.add(s.node.KeyProblem("ttl", fmt.Sprintf("%s cannot be undone: %s", s.doc.Uses.Text(), inverse.None), "leave ttl out"))
	}
	if s.doc.Cache != nil {
		c.add(s.node.KeyProblem("cache", "a containment cannot be cached", ""))
	}
	for _, name := range u.Targets {
		c.book.targets[name] = true
	}
}

// TargetsOf picks the parameters that the action acts on out of resolved ones: what guards see as `target`.
func (u *Uses) TargetsOf(params map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range u.Targets {
		if v, ok := params[name]; ok {
			out[name] = v
		}
	}
	return out
}

// probeType is the type of `output` in verify: the result of the probe, or of the action itself where it has none.
func (c *scopeCompiler) probeType(u *Uses) *expr.Type {
	spec := u.Spec
	if spec.Probe != "" {
		if probe, ok := c.catalog.Action(u.Plugin, spec.Probe, u.Major); ok {
			spec = probe
		}
	}
	return c.specOf(spec).result
}

// parameters checks with against the action's parameter schema: names, types as far as they are known, and constants in full.
func (c *scopeCompiler) parameters(u *Uses, s *draft) {
	sp := c.specOf(u.Spec)
	if sp.err != nil {
		c.add(s.doc.Uses.Problem(fmt.Sprintf("the schemas of %s cannot be used: %v", s.doc.Uses.Text(), sp.err), ""))
		return
	}
	u.params = sp.params
	t := sp.types
	if t.Kind() != expr.Object {
		return
	}
	for _, name := range sp.required {
		if u.With[name] == nil {
			c.add(s.node.KeyProblem("with", fmt.Sprintf("the parameter %q of %s is missing", name, s.doc.Uses.Text()), "add it to with"))
		}
	}
	constants := map[string]any{}
	for name, given := range u.With {
		want, known := t.Field(name)
		if !known {
			continue
		}
		n := s.doc.With.Get(name)
		if v, constant := given.Const(); constant && v == nil && n.Kind != document.Null {
			continue // it has problems already
		}
		c.fits(given, want, n, "the parameter "+name)
		if len(given.Programs()) == 0 {
			constants[name] = n.JSON()
		}
	}
	if _, open := t.Field("*"); !open {
		c.unknownKeys(s.doc.With, t.Fields(), s.doc.Uses.Text()+" has no parameter")
	}
	c.constants(sp.partial, constants, s)
}

// constants checks the parameters that hold no expression against all that the schema says of them.
func (c *scopeCompiler) constants(schema *schemas.Schema, constants map[string]any, s *draft) {
	var findings schemas.Findings
	if !errors.As(schema.Validate(constants), &findings) {
		return
	}
	for _, f := range findings {
		n := follow(s.doc.With, f.Path)
		if !slices.ContainsFunc(c.book.problems, func(p document.Problem) bool { return p.Line == n.Line && p.Column == n.Column }) {
			c.add(n.Problem(fmt.Sprintf("the parameter %s: %s", strings.ReplaceAll(strings.Trim(f.Path, "/"), "/", "."), f.Message), f.Hint))
		}
	}
}

// follow finds the node that a JSON pointer leads to, or the last one on the way.
func follow(n *node, pointer string) *node {
	for _, part := range strings.Split(strings.Trim(pointer, "/"), "/") {
		next := n.Get(part)
		if i, err := strconv.Atoi(part); err == nil && n.Kind == document.List && i < len(n.Items) {
			next = n.Items[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// Params evaluates the parameters of the action. A parameter that is null counts as not given. One that cannot be evaluated is a Fault of kind
// abi.Invalid whose Where names it.
func (u *Uses) Params(ctx context.Context, vars map[string]any) (map[string]any, *abi.Fault) {
	out := make(map[string]any, len(u.With))
	for name, t := range u.With {
		v, err := t.Eval(ctx, vars)
		if err != nil {
			if ctx.Err() != nil {
				return nil, &abi.Fault{Kind: abi.Timeout, Message: err.Error(), Where: "with." + name, Retryable: true}
			}
			return nil, &abi.Fault{Kind: abi.Invalid, Message: err.Error(), Where: "with." + name}
		}
		if v != nil {
			out[name] = v
		}
	}
	return out, nil
}

// Check holds parameters, as the action is to get them, against its schema. What does not fit is a Fault of kind abi.Invalid whose Where names the
// parameter.
func (u *Uses) Check(params map[string]any) *abi.Fault {
	if u.params == nil {
		return nil
	}
	err := u.params.Validate(params)
	var findings schemas.Findings
	if errors.As(err, &findings) {
		f := findings[0]
		return &abi.Fault{Kind: abi.Invalid, Message: f.Message, Hint: f.Hint, Where: "with" + strings.ReplaceAll(f.Path, "/", ".")}
	}
	if err != nil {
		return &abi.Fault{Kind: abi.Invalid, Message: err.Error(), Where: "with"}
	}
	return nil
}
