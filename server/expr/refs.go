package expr

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// references lists the longest paths of plain selections that start at a variable of the environment.
func references(a *ast.AST) []string {
	var out []string
	walk(a.Expr(), nil, func(path string) { out = append(out, path) })
	slices.Sort(out)
	return slices.Compact(out)
}

// walk visits e; local holds the variables of the macros around it.
func walk(e ast.Expr, local []string, found func(string)) {
	if p, ok := path(e); ok {
		if root := rootOf(e); !slices.Contains(local, root) {
			found(p)
		}
		return
	}
	switch e.Kind() {
	case ast.SelectKind:
		walk(e.AsSelect().Operand(), local, found)
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() {
			walk(c.Target(), local, found)
		}
		for _, a := range c.Args() {
			walk(a, local, found)
		}
	case ast.ListKind:
		for _, el := range e.AsList().Elements() {
			walk(el, local, found)
		}
	case ast.MapKind:
		for _, en := range e.AsMap().Entries() {
			walk(en.AsMapEntry().Key(), local, found)
			walk(en.AsMapEntry().Value(), local, found)
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			walk(f.AsStructField().Value(), local, found)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		walk(c.IterRange(), local, found)
		walk(c.AccuInit(), local, found)
		inner := append(slices.Clone(local), c.IterVar(), c.AccuVar())
		if c.HasIterVar2() {
			inner = append(inner, c.IterVar2())
		}
		walk(c.LoopCondition(), inner, found)
		walk(c.LoopStep(), inner, found)
		walk(c.Result(), inner, found)
	}
}

// path writes a chain of selections as text; false for anything else. Selection by a constant string in brackets counts as one.
func path(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), true
	case ast.SelectKind:
		p, ok := path(e.AsSelect().Operand())
		return p + "." + e.AsSelect().FieldName(), ok
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() == "orValue" && c.IsMemberFunction() && isEmptyText(c.Args()[0]) {
			return path(c.Target())
		}
		index := c.FunctionName() == operators.Index || c.FunctionName() == operators.OptIndex
		if index && c.Args()[1].Kind() == ast.LiteralKind {
			if key, ok := c.Args()[1].AsLiteral().(types.String); ok {
				p, ok := path(c.Args()[0])
				return p + "." + string(key), ok
			}
		}
	}
	return "", false
}

func isEmptyText(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.String("")
}

func rootOf(e ast.Expr) string {
	for {
		switch e.Kind() {
		case ast.SelectKind:
			e = e.AsSelect().Operand()
		case ast.CallKind:
			if c := e.AsCall(); c.IsMemberFunction() {
				e = c.Target()
			} else {
				e = c.Args()[0]
			}
		default:
			return e.AsIdent()
		}
	}
}

// loops says whether an expression uses a value more than once: only then can it multiply what it is given.
func loops(a *ast.AST) bool {
	found := false
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) { found = found || e.Kind() == ast.ComprehensionKind }))
	return found
}

// Condition is a necessary condition of an expression: the text at Path is one of Equals, or holds Contains if that is set.
type Condition struct {
	Path     string
	Equals   []string
	Contains string
}

// Necessary lists conditions without which the expression cannot be true: path == "text", path in ["text", …] and path.contains("text"), where
// they must hold in every case. They are an aid for indexes.
func (p *Program) Necessary() []Condition { return p.necessary }

func necessary(e ast.Expr) []Condition {
	if e.Kind() != ast.CallKind {
		return nil
	}
	c := e.AsCall()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		var out []Condition
		for _, a := range c.Args() {
			out = append(out, necessary(a)...)
		}
		return out
	case operators.Equals:
		for i, a := range c.Args() {
			p, isPath := path(a)
			if v, ok := text(c.Args()[1-i]); isPath && ok {
				return []Condition{{Path: p, Equals: []string{v}}}
			}
		}
	case operators.In:
		if p, ok := path(c.Args()[0]); ok {
			return oneOf(p, c.Args()[1])
		}
	case overloads.Contains:
		if !c.IsMemberFunction() {
			return nil
		}
		p, isPath := path(c.Target())
		if v, ok := text(c.Args()[0]); isPath && ok {
			return []Condition{{Path: p, Contains: v}}
		}
	}
	return nil
}

func oneOf(path string, list ast.Expr) []Condition {
	if list.Kind() != ast.ListKind {
		return nil
	}
	out := Condition{Path: path}
	for _, e := range list.AsList().Elements() {
		v, ok := text(e)
		if !ok {
			return nil
		}
		out.Equals = append(out.Equals, v)
	}
	return []Condition{out}
}

// text is the value of a string literal. The empty string does not count: absent members may read as such.
func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok && s != ""
}
