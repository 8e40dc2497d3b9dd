// Package expr is the single door to CEL, the language of all conditions and of "${{ … }}" in runbooks, rules and templates
// (https://cel.dev). Expressions are compiled against types that come from JSON Schemas, so that a misspelt field is an error when a
// document is loaded; they are evaluated over values in JSON form, under a cost limit, and can be interrupted. They cannot reach out of
// their variables: there is no clock, no randomness and no input or output.
//
// Beside CEL's own functions there are those of its extensions for strings, lists, sets, math, base64, addresses (ip, cidr) and
// optional values, and lp_list and lp_text, which quote values for LogPoint queries.
package expr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

const (
	maxSource      = 16 << 10 // code points of one expression
	maxNesting     = 64
	costLimit      = 5_000_000 // some tenths of a second of work
	memoryLimit    = 500_000   // elements and characters of one value
	sampleEvery    = 1024      // iterations between two looks at how much a loop has gathered
	interruptEvery = 256       // iterations
)

// Options of an environment.
type Options struct {
	Absent Absence
	// Fixed are variables that have the same values in every evaluation.
	Fixed map[string]any
}

// Env declares variables; expressions are compiled in it. It may be used by several goroutines.
type Env struct {
	cel     *cel.Env
	opts    Options
	vars    map[string]*Type
	objects map[string]*Type

	mu   sync.Mutex // guards miss while an expression is compiled
	miss *missed
}

// missed is the member that the last compilation asked for in vain.
type missed struct {
	of    *Type
	field string
}

// base builds the environment that all others extend: language, limits and functions, no variables.
func base() (*cel.Env, error) {
	return cel.NewEnv(
		cel.ClearMacros(),
		cel.Macros(slices.DeleteFunc(slices.Clone(cel.StandardMacros), func(m cel.Macro) bool { return m.Function() == "has" })...),
		cel.Macros(macros()...),
		cel.EnableIdentifierEscapeSyntax(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ParserRecursionLimit(maxNesting),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		cel.OptionalTypes(),
		ext.Strings(), ext.Lists(ext.ListsMaxRangeSize(100_000)), ext.Sets(), ext.Math(), ext.Encoders(), ext.Network(), ext.Bindings(),
		functions(),
	)
}

// sharedBase is built once: it takes some milliseconds, never changes, and cel.Env.Extend copies it.
var sharedBase = sync.OnceValues(base)

// NewEnv makes an environment with these variables.
func NewEnv(vars map[string]*Type, opts Options) (*Env, error) {
	e := &Env{opts: opts, vars: maps.Clone(vars), objects: map[string]*Type{}}
	b, err := sharedBase()
	if err != nil {
		return nil, err
	}
	for _, t := range vars {
		t.collect(e.objects)
	}
	p := &provider{Provider: b.CELTypeProvider(), objects: e.objects, absent: opts.Absent,
		miss: func(t *Type, field string) { e.miss = &missed{t, field} }}
	decl := []cel.EnvOption{
		cel.CustomTypeProvider(p),
		cel.CustomTypeAdapter(&adapter{b.CELTypeAdapter(), opts.Absent}),
	}
	for name, t := range vars {
		decl = append(decl, cel.Variable(name, t.celType()))
	}
	if e.cel, err = b.Extend(decl...); err != nil {
		return nil, fmt.Errorf("expression environment: %w", err)
	}
	return e, nil
}

// With makes an environment that has these variables too.
func (e *Env) With(vars map[string]*Type) (*Env, error) {
	all := maps.Clone(e.vars)
	maps.Copy(all, vars)
	return NewEnv(all, e.opts)
}

// Vars lists the names of the variables, sorted.
func (e *Env) Vars() []string { return slices.Sorted(maps.Keys(e.vars)) }

// Var gives the type of a variable; nil if there is none.
func (e *Env) Var(name string) *Type { return e.vars[name] }

// Program is a compiled, typed expression. It may be evaluated by many goroutines at once.
type Program struct {
	src       string
	prog      cel.Program
	typ       *Type
	refs      []string
	necessary []Condition
	env       *Env
	direct    direct // nil if it has none
}

// Compile checks an expression and makes a Program of it. The error is an *Error.
func (e *Env) Compile(src string) (*Program, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.miss = nil
	ast, issues := e.cel.Compile(src)
	if err := issues.Err(); err != nil {
		return nil, e.explain(src, issues.Errors())
	}
	checked := ast.NativeRep()
	limits := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit), cel.InterruptCheckFrequency(interruptEvery)}
	if loops(checked) {
		calc := types.NewSizeCalculator(types.SizeCalculatorMaxDepth(2*maxNesting), types.SizeCalculatorMaxTraversal(memoryLimit))
		limits = append(limits, cel.MemoryLimit(memoryLimit), cel.MemoryTracking(types.MemoryTrackerSizeCalculator(calc), types.MemoryTrackerSampleInterval(sampleEvery)))
	}
	prog, err := e.cel.Program(ast, limits...)
	if err != nil {
		return nil, &Error{Source: src, Message: firstLine(err.Error())}
	}
	return &Program{
		src: src, prog: prog, env: e,
		typ:       fromCEL(ast.OutputType(), e.objects),
		refs:      references(checked),
		necessary: necessary(checked.Expr()),
		direct:    e.directly(checked.Expr()),
	}, nil
}

// CompileBool compiles a condition: the expression must give a boolean, as far as types tell.
func (e *Env) CompileBool(src string) (*Program, error) {
	p, err := e.Compile(src)
	if err != nil {
		return nil, err
	}
	if k := p.typ.Kind(); k != Bool && k != Any {
		return nil, &Error{Source: src, Message: "a condition must be true or false, this gives " + withArticle(p.typ.String()),
			Hint: "compare it with something, such as == or size() > 0"}
	}
	return p, nil
}

// Type of the value.
func (p *Program) Type() *Type { return p.typ }

// Refs lists the paths that the expression reads, such as "steps.reputation.rows" or "inputs.src_ip", sorted. Variables of macros
// (the r of map(r, …)) are not among them.
func (p *Program) Refs() []string { return p.refs }

// String is the source.
func (p *Program) String() string { return p.src }

// Eval evaluates the expression over variables in JSON form: map[string]any, []any, string, int64, float64, bool, nil; or as a func() any that gives
// one when it is named. The result has the same form; it may share parts with vars, so neither may be changed. The error is an *Error, or that of ctx.
func (p *Program) Eval(ctx context.Context, vars map[string]any) (any, error) {
	if p.direct != nil {
		if v, ok := p.direct(vars); ok {
			return v, nil
		}
	}
	out, _, err := p.prog.ContextEval(ctx, &activation{p.env, vars})
	if err != nil {
		return nil, p.evalError(ctx, err)
	}
	v, err := toJSON(out)
	if err != nil {
		return nil, p.evalError(ctx, err)
	}
	return v, nil
}

// Bool evaluates a condition. Anything but true or false is an error.
func (p *Program) Bool(ctx context.Context, vars map[string]any) (bool, error) {
	v, err := p.Eval(ctx, vars)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, &Error{Source: p.src, Message: fmt.Sprintf("a condition must be true or false, this gave %s", Text(v))}
	}
	return b, nil
}

func (p *Program) evalError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("expression interrupted: %w", context.Cause(ctx))
	}
	e := &Error{Source: p.src, Message: firstLine(err.Error())}
	var absent *absentError
	switch {
	case errors.As(err, &absent):
		e.Message = p.fullPath(absent.field) + " is absent"
		e.Hint = "ask has(…) first where it may be missing"
	case strings.HasPrefix(e.Message, "no such key: "):
		e.Message = p.fullPath(strings.TrimPrefix(e.Message, "no such key: ")) + " is absent"
		e.Hint = "ask has(…) first where it may be missing"
	case strings.HasPrefix(e.Message, "no such attribute(s): "):
		e.Message = strings.TrimPrefix(e.Message, "no such attribute(s): ") + " has no value"
	case strings.Contains(e.Message, "cost limit exceeded"), strings.Contains(e.Message, "memory limit exceeded"):
		e.Message, e.Hint = "the expression costs too much to evaluate", "work on a smaller list"
	}
	return e
}

// fullPath finds the path that a field's name ends, if there is just one.
func (p *Program) fullPath(field string) string {
	found := field
	for _, r := range p.refs {
		if r == field || strings.HasSuffix(r, "."+field) {
			if found != field {
				return field
			}
			found = r
		}
	}
	return found
}

// activation gives CEL the variables.
type activation struct {
	env  *Env
	vars map[string]any
}

func (a *activation) Parent() cel.Activation { return nil }

func (a *activation) ResolveName(name string) (any, bool) {
	t, declared := a.env.vars[name]
	if !declared {
		return nil, false
	}
	v, ok := a.env.opts.Fixed[name]
	if !ok {
		v, ok = a.vars[name]
	}
	if !ok && a.env.opts.Absent == AbsentError {
		return nil, false
	}
	if late, ok := v.(func() any); ok {
		v = late()
	}
	v = t.adopt(v, a.env.opts.Absent)
	if v == nil {
		return types.NullValue, true
	}
	return v, true
}
