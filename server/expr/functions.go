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

// Functions of CEL's extensions that are replaced, and by what. distinct() there compares every pair, which ten thousand rows of a search do not
// bear; replace, join and format there make text of any length in one step, before a limit can see it.
const (
	ownDistinct = "@distinct"
	ownReplace  = "@replace"
	ownJoin     = "@join"
	checkSize   = "@sized"
	maxText     = 1 << 20 // bytes of a text that one function makes
)

func macros() []cel.Macro {
	own := func(name string, args int, function string) cel.Macro {
		return parser.NewReceiverMacro(name, args, func(h parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
			return h.NewCall(function, append([]ast.Expr{target}, args...)...), nil
		})
	}
	format := parser.NewReceiverMacro("format", 1, func(h parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
		return h.NewMemberCall("format", target, h.NewCall(checkSize, args[0])), nil
	})
	return []cel.Macro{hasMacro(), own("distinct", 0, ownDistinct), own("replace", 2, ownReplace), own("replace", 3, ownReplace),
		own("join", 0, ownJoin), own("join", 1, ownJoin), format}
}

func functions() cel.EnvOption {
	return cel.Lib(library{})
}

type library struct{}

func (library) LibraryName() string                 { return "riposte" }
func (library) ProgramOptions() []cel.ProgramOption { return nil }

func (library) CompileOptions() []cel.EnvOption {
	list, text := cel.ListType(cel.TypeParamType("T")), cel.StringType
	texts := cel.ListType(text)
	return []cel.EnvOption{
		cel.Function(ownDistinct, cel.Overload("riposte_distinct", []*cel.Type{list}, list, cel.UnaryBinding(distinct))),
		cel.Function(ownReplace,
			cel.Overload("riposte_replace", []*cel.Type{text, text, text}, text, cel.FunctionBinding(replace)),
			cel.Overload("riposte_replace_n", []*cel.Type{text, text, text, cel.IntType}, text, cel.FunctionBinding(replace))),
		cel.Function(ownJoin,
			cel.Overload("riposte_join", []*cel.Type{texts}, text, cel.UnaryBinding(func(l ref.Val) ref.Val { return join(l, types.String("")) })),
			cel.Overload("riposte_join_by", []*cel.Type{texts, text}, text, cel.BinaryBinding(join))),
		cel.Function(checkSize, cel.Overload("riposte_sized", []*cel.Type{list}, list, cel.UnaryBinding(sized))),
		cel.Function("lp_list", cel.Overload("riposte_lp_list", []*cel.Type{list}, text, cel.UnaryBinding(lpList))),
		cel.Function("lp_text", cel.Overload("riposte_lp_text", []*cel.Type{cel.DynType}, text, cel.UnaryBinding(lpText))),
	}
}

// replace puts new for the first n occurrences of old, or for all.
func replace(args ...ref.Val) ref.Val {
	var s [3]string
	for i := range s {
		t, ok := args[i].(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(args[i])
		}
		s[i] = string(t)
	}
	n := strings.Count(s[0], s[1])
	if len(args) == 4 {
		limit, ok := args[3].(types.Int)
		if !ok {
			return types.MaybeNoSuchOverloadErr(args[3])
		}
		if limit >= 0 {
			n = int(min(types.Int(n), limit))
		}
	}
	if len(s[0])+n*len(s[2]) > maxText {
		return types.NewErr("the text is too long")
	}
	return types.String(strings.Replace(s[0], s[1], s[2], n))
}

func join(list, by ref.Val) ref.Val {
	l, ok := list.(traits.Lister)
	sep, isText := by.(types.String)
	if !ok || !isText {
		return types.MaybeNoSuchOverloadErr(list)
	}
	var b strings.Builder
	for i, it := 0, l.Iterator(); it.HasNext() == types.True; i++ {
		e := it.Next()
		s, ok := e.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(e)
		}
		if i > 0 {
			b.WriteString(string(sep))
		}
		b.WriteString(string(s))
		if b.Len() > maxText {
			return types.NewErr("the text is too long")
		}
	}
	return types.String(b.String())
}

// sized gives the list if writing it out makes no text that is too long.
func sized(v ref.Val) ref.Val {
	j, err := toJSON(v)
	if err != nil {
		return types.WrapErr(err)
	}
	if len(Text(j)) > maxText {
		return types.NewErr("the text is too long")
	}
	return v
}

// distinct keeps the first of equal elements.
func distinct(v ref.Val) ref.Val {
	l, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	if tooLong(l) {
		return types.NewErr("the list is too long")
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

// tooLong keeps functions of ours, which CEL's cost limit does not see into, off lists that were doubled again and again.
func tooLong(l traits.Lister) bool {
	n, ok := l.Size().(types.Int)
	return !ok || n < 0 || n > 100_000
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
	if tooLong(l) {
		return types.NewErr("the list is too long")
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
