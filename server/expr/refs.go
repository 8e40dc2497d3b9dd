package expr

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
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
		if c.FunctionName() == operators.Index && c.Args()[1].Kind() == ast.LiteralKind {
			if key, ok := c.Args()[1].AsLiteral().(types.String); ok {
				p, ok := path(c.Args()[0])
				return p + "." + string(key), ok
			}
		}
	}
	return "", false
}

func rootOf(e ast.Expr) string {
	for {
		switch e.Kind() {
		case ast.SelectKind:
			e = e.AsSelect().Operand()
		case ast.CallKind:
			e = e.AsCall().Args()[0]
		default:
			return e.AsIdent()
		}
	}
}

// Equality is a necessary condition of an expression: the value at Path is one of Values.
type Equality struct {
	Path   string
	Values []string
}

// Necessary lists conditions of the form path == "text" or path in ["text", …] without which the expression cannot be true. They are an
// aid for indexes.
func (p *Program) Necessary() []Equality { return p.equal }

func equalities(e ast.Expr) []Equality {
	if e.Kind() != ast.CallKind {
		return nil
	}
	c := e.AsCall()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		var out []Equality
		for _, a := range c.Args() {
			out = append(out, equalities(a)...)
		}
		return out
	case operators.Equals:
		for i, a := range c.Args() {
			p, isPath := path(a)
			if v, ok := text(c.Args()[1-i]); isPath && ok {
				return []Equality{{p, []string{v}}}
			}
		}
	case operators.In:
		p, isPath := path(c.Args()[0])
		if !isPath || c.Args()[1].Kind() != ast.ListKind {
			return nil
		}
		eq := Equality{Path: p}
		for _, el := range c.Args()[1].AsList().Elements() {
			v, ok := text(el)
			if !ok {
				return nil
			}
			eq.Values = append(eq.Values, v)
		}
		return []Equality{eq}
	}
	return nil
}

// text is the value of a string literal. The empty string does not count: absent members may read as such.
func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok && s != ""
}
