package expr

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// direct evaluates what most conditions and templates consist of, in a twentieth of the time that CEL needs for it: the member of an object, as in event.code, its
// comparison with a constant text, and such comparisons joined by &&, || and !. It gives texts and truth values only, and ok is false for all that is
// not plain, such as a member that is absent: CEL evaluates the whole expression then, and knows what that means.
type direct func(vars map[string]any) (v any, ok bool)

// longestDirect is the length in bytes up to which a text is given directly.
const longestDirect = 64 << 10

// directly makes the direct form of an expression, nil if it has none.
func (e *Env) directly(x ast.Expr) direct {
	eval := e.plain(x)
	if eval == nil || x.Kind() == ast.LiteralKind {
		return nil
	}
	return func(vars map[string]any) (any, bool) {
		v, ok := eval(vars)
		switch v := v.(type) {
		case string:
			return v, ok && len(v) <= longestDirect
		case bool:
			return v, ok
		}
		return nil, false
	}
}

func (e *Env) plain(x ast.Expr) direct {
	switch x.Kind() {
	case ast.LiteralKind:
		text, ok := x.AsLiteral().(types.String)
		if !ok {
			return nil
		}
		var v any = string(text)
		return func(map[string]any) (any, bool) { return v, true }
	case ast.IdentKind:
		name := x.AsIdent()
		_, declared := e.vars[name]
		if _, fixed := e.opts.Fixed[name]; fixed || !declared {
			return nil
		}
		return func(vars map[string]any) (any, bool) {
			v, ok := vars[name]
			if late, isLate := v.(func() any); isLate {
				v = late()
			}
			return v, ok
		}
	case ast.SelectKind:
		return e.plainMember(x.AsSelect())
	case ast.CallKind:
		return e.plainCall(x.AsCall())
	}
	return nil
}

func (e *Env) plainMember(s ast.SelectExpr) direct {
	object, name, asked := e.plain(s.Operand()), s.FieldName(), s.IsTestOnly()
	if object == nil {
		return nil
	}
	return func(vars map[string]any) (any, bool) {
		v, ok := object(vars)
		if !ok {
			return nil, false
		}
		members, _ := v.(map[string]any)
		if v = members[name]; v == nil {
			return nil, false
		}
		if asked {
			return true, true
		}
		return v, true
	}
}

func (e *Env) plainCall(c ast.CallExpr) direct {
	var args []direct
	for _, x := range c.Args() {
		arg := e.plain(x)
		if arg == nil {
			return nil
		}
		args = append(args, arg)
	}
	switch c.FunctionName() {
	case operators.Equals:
		return equalTexts(args[0], args[1], true)
	case operators.NotEquals:
		return equalTexts(args[0], args[1], false)
	case operators.LogicalAnd:
		return joined(args, false)
	case operators.LogicalOr:
		return joined(args, true)
	case operators.LogicalNot:
		return func(vars map[string]any) (any, bool) {
			v, ok := args[0](vars)
			yes, is := v.(bool)
			return !yes, ok && is
		}
	}
	return nil
}

// equalTexts compares two texts; equal is what it gives if they are the same.
func equalTexts(a, b direct, equal bool) direct {
	return func(vars map[string]any) (any, bool) {
		left, ok := a(vars)
		right, too := b(vars)
		l, is := left.(string)
		r, isToo := right.(string)
		return (l == r) == equal, ok && too && is && isToo
	}
}

// joined is true if one of its parts is, or, with decides false, if all are. A part that decides does so whatever becomes of those behind it.
func joined(parts []direct, decides bool) direct {
	return func(vars map[string]any) (any, bool) {
		for _, part := range parts {
			v, ok := part(vars)
			yes, is := v.(bool)
			switch {
			case !ok || !is:
				return nil, false
			case yes == decides:
				return decides, true
			}
		}
		return !decides, true
	}
}
