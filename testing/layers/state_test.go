package layers

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// stateful lists package variables of host, server and schemas that may change or hold state, each with the reason.
var stateful = map[string]string{}

// held says whether a package is under the rules against hidden state. A kit is not: a guest serves one call.
func held(f file) bool {
	return !f.test && (within(f.dir, "host") || within(f.dir, "server") || within(f.dir, "schemas"))
}

func TestNoInitAndNoHiddenState(t *testing.T) {
	s := read(t)
	vars := map[string]string{} // dir.name → where it is declared
	used := map[string]bool{}
	for _, f := range s.files {
		if !held(f) {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: no init() here: what must happen at the start is called by whoever starts it", s.at(f, fn))
			}
			for _, v := range variables(decl) {
				key := f.dir + "." + v.name.Name
				vars[key] = s.at(f, v.name)
				if why := changing(v); why != "" && stateful[key] == "" {
					t.Errorf("%s: package variable %s %s: hand it to those who need it", s.at(f, v.name), v.name.Name, why)
				}
				used[key] = true
			}
		}
	}
	for key := range stateful {
		if !used[key] {
			t.Errorf("the list of stateful variables names %s, which is not there", key)
		}
	}
	for _, f := range s.files {
		if f.test {
			continue
		}
		for _, w := range writes(f.ast) {
			name := writtenName(f, w)
			if declared, ok := vars[name]; ok && stateful[name] == "" {
				t.Errorf("%s changes the package variable %s (%s)", s.at(f, w), name, declared)
			}
		}
	}
}

type variable struct {
	name     *ast.Ident
	typ      ast.Expr
	value    ast.Expr
	embedded bool
}

// variables gives the package variables of a declaration; assertions to _ are none.
func variables(decl ast.Decl) (list []variable) {
	d, ok := decl.(*ast.GenDecl)
	if !ok || d.Tok != token.VAR {
		return nil
	}
	for _, spec := range d.Specs {
		sp, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range sp.Names {
			if name.Name == "_" {
				continue
			}
			v := variable{name: name, typ: sp.Type, embedded: directive(d.Doc, "//go:embed") || directive(sp.Doc, "//go:embed")}
			if i < len(sp.Values) {
				v.value = sp.Values[i]
			}
			list = append(list, v)
		}
	}
	return list
}

func directive(doc *ast.CommentGroup, prefix string) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, prefix) {
			return true
		}
	}
	return false
}

// changing says why a variable can only be meant to change, or "". One with a value, that nobody assigns to, is as good as a constant.
func changing(v variable) string {
	if v.embedded {
		return ""
	}
	for _, e := range []ast.Expr{v.typ, v.value} {
		if sel := selectorOf(e); sel != nil {
			if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "atomic" || pkg.Name == "sync" && !strings.HasPrefix(sel.Sel.Name, "Once")) {
				return "is of package " + pkg.Name
			}
		}
	}
	if v.value == nil {
		return "has no value at the start"
	}
	if call, ok := v.value.(*ast.CallExpr); ok && (isName(call.Fun, "make") || isName(call.Fun, "new")) {
		return "is made empty"
	}
	return ""
}

// selectorOf gives the pkg.Name that a type or a literal is made with.
func selectorOf(e ast.Expr) *ast.SelectorExpr {
	for {
		switch x := e.(type) {
		case *ast.SelectorExpr:
			return x
		case *ast.StarExpr:
			e = x.X
		case *ast.UnaryExpr:
			e = x.X
		case *ast.CompositeLit:
			e = x.Type
		case *ast.IndexExpr:
			e = x.X
		case *ast.CallExpr:
			e = x.Fun
		default:
			return nil
		}
	}
}

// writes gives what a file assigns to, increments, deletes from, clears, or takes the address of.
func writes(f *ast.File) (list []ast.Expr) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				list = append(list, x.Lhs...)
			}
		case *ast.IncDecStmt:
			list = append(list, x.X)
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				list = append(list, x.X)
			}
		case *ast.CallExpr:
			if (isName(x.Fun, "delete") || isName(x.Fun, "clear")) && len(x.Args) > 0 {
				list = append(list, x.Args[0])
			}
		}
		return true
	})
	return list
}

// writtenName gives the package variable, as dir.name, that an expression would change, if there is one of that name.
func writtenName(f file, e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SelectorExpr:
			if pkg, ok := x.X.(*ast.Ident); ok {
				if dir := importedAs(f, pkg.Name); dir != "" {
					return dir + "." + x.Sel.Name
				}
			}
			e = x.X
		case *ast.Ident:
			if local(f.ast, x) {
				return ""
			}
			return f.dir + "." + x.Name
		default:
			return ""
		}
	}
}

// importedAs gives the package of this module that a file knows by a name.
func importedAs(f file, name string) string {
	for _, i := range f.imports() {
		last := i.path[strings.LastIndex(i.path, "/")+1:]
		if i.spec.Name != nil {
			last = i.spec.Name.Name
		}
		if i.inside && last == name {
			return i.path
		}
	}
	return ""
}

// local says whether the function around a name declares that name itself: as a parameter, a result, or a variable.
func local(f *ast.File, id *ast.Ident) bool {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || id.Pos() < fn.Pos() || id.Pos() > fn.End() {
			continue
		}
		found := false
		declares := func(names ...*ast.Ident) {
			for _, n := range names {
				found = found || n.Name == id.Name
			}
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.Field:
				declares(x.Names...)
			case *ast.ValueSpec:
				declares(x.Names...)
			case *ast.AssignStmt:
				for _, l := range x.Lhs {
					if n, ok := l.(*ast.Ident); ok && x.Tok == token.DEFINE {
						declares(n)
					}
				}
			case *ast.RangeStmt:
				for _, l := range []ast.Expr{x.Key, x.Value} {
					if n, ok := l.(*ast.Ident); ok && x.Tok == token.DEFINE {
						declares(n)
					}
				}
			}
			return true
		})
		return found
	}
	return false
}
