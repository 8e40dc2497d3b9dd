// Package expr is the single door to CEL.
package expr

import "context"

// Type is the static type of a variable or of an expression.
type Type struct{ _ int }

// Env declares variables and functions; expressions are compiled in it.
type Env struct{ _ int }

// Program is a compiled, typed expression. It may be evaluated by many goroutines at once.
type Program struct{ _ int }

// Template is a value with expressions inside: a constant, text with "${{ … }}", or a list or an object of templates.
type Template struct{ _ int }

// Type of the value.
func (p *Program) Type() *Type { return nil }

// Eval evaluates the expression over variables in JSON form: map[string]any, []any, string, int64, float64, bool, nil.
// The result has the same form.
func (p *Program) Eval(ctx context.Context, vars map[string]any) (any, error) { return nil, nil }

// Bool evaluates a condition.
func (p *Program) Bool(ctx context.Context, vars map[string]any) (bool, error) { return false, nil }

// Refs lists the paths that the expression reads, such as "steps.reputation" or "inputs.src_ip", sorted.
func (p *Program) Refs() []string { return nil }

// String is the source.
func (p *Program) String() string { return "" }

// Type of the value.
func (t *Template) Type() *Type { return nil }

// Eval gives the value.
func (t *Template) Eval(ctx context.Context, vars map[string]any) (any, error) { return nil, nil }

// Refs as of Program.
func (t *Template) Refs() []string { return nil }

// EvalAll evaluates a set of templates, such as the parameters of a step.
func EvalAll(ctx context.Context, set map[string]*Template, vars map[string]any) (map[string]any, error) {
	return nil, nil
}
