package expr

import (
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"
)

// hasMacro is has() that looks at the whole path: has(a.b.c) is false where a has no b, instead of failing there.
func hasMacro() cel.Macro {
	return parser.NewGlobalMacro("has", 1, func(h parser.ExprHelper, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
		if args[0].Kind() != ast.SelectKind {
			return nil, h.NewError(args[0].ID(), "has() takes a path with a dot, such as has(a.b)")
		}
		return presence(h, args[0]), nil
	})
}

func presence(h parser.ExprHelper, e ast.Expr) ast.Expr {
	s := e.AsSelect()
	test := h.NewPresenceTest(h.Copy(s.Operand()), s.FieldName())
	if s.Operand().Kind() != ast.SelectKind {
		return test
	}
	return h.NewCall(operators.LogicalAnd, presence(h, s.Operand()), test)
}

// fastDistinct is what distinct() is called as: CEL's own compares every pair, which ten thousand rows of a search do not bear.
const fastDistinct = "@distinct"

func distinctMacro() cel.Macro {
	return parser.NewReceiverMacro("distinct", 0, func(h parser.ExprHelper, target ast.Expr, _ []ast.Expr) (ast.Expr, *common.Error) {
		return h.NewCall(fastDistinct, target), nil
	})
}

func functions() cel.EnvOption {
	return cel.Lib(library{})
}

type library struct{}

func (library) LibraryName() string                 { return "riposte" }
func (library) ProgramOptions() []cel.ProgramOption { return nil }

func (library) CompileOptions() []cel.EnvOption {
	list := cel.ListType(cel.TypeParamType("T"))
	return []cel.EnvOption{
		cel.Function(fastDistinct, cel.Overload("riposte_distinct", []*cel.Type{list}, list, cel.UnaryBinding(distinct))),
		cel.Function("lp_list", cel.Overload("riposte_lp_list", []*cel.Type{list}, cel.StringType, cel.UnaryBinding(lpList))),
		cel.Function("lp_text", cel.Overload("riposte_lp_text", []*cel.Type{cel.DynType}, cel.StringType, cel.UnaryBinding(lpText))),
	}
}

// distinct keeps the first of equal elements.
func distinct(v ref.Val) ref.Val {
	l, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	seen := map[types.String]bool{}
	out := []ref.Val{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		e := it.Next()
		if s, ok := e.(types.String); ok {
			if !seen[s] {
				seen[s] = true
				out = append(out, e)
			}
			continue
		}
		if !holds(out, e) {
			out = append(out, e)
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

func holds(l []ref.Val, e ref.Val) bool {
	for _, o := range l {
		if o.Equal(e) == types.True {
			return true
		}
	}
	return false
}

// lpList writes a list for a LogPoint query: ["a", "b"].
func lpList(v ref.Val) ref.Val {
	l, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	var parts []string
	for it := l.Iterator(); it.HasNext() == types.True; {
		q := lpText(it.Next())
		s, ok := q.(types.String)
		if !ok {
			return q
		}
		parts = append(parts, string(s))
	}
	return types.String("[" + strings.Join(parts, ", ") + "]")
}

// lpText writes one value for a LogPoint query, in double quotes: quotes and backslashes are escaped; control characters, which no escape
// carries, are refused.
func lpText(v ref.Val) ref.Val {
	j, err := toJSON(v)
	if err != nil {
		return types.WrapErr(err)
	}
	switch j.(type) {
	case string, int64, float64, bool:
	default:
		return types.NewErr("a query takes text, numbers and booleans, not %s", Text(j))
	}
	s := Text(j)
	if strings.ContainsFunc(s, unicode.IsControl) {
		return types.NewErr("%q has a control character, which cannot stand in a query", s)
	}
	return types.String(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`)
}
