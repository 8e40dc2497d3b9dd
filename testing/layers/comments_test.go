package layers

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// documented is the least share of exported names with a comment, in percent.
const documented = 90

func TestEveryPackageHasAComment(t *testing.T) {
	dirs, files := read(t).packages()
	for _, dir := range dirs {
		var text string
		for _, f := range files[dir] {
			if f.ast.Doc != nil {
				text += f.ast.Doc.Text()
			}
		}
		if len(strings.Fields(text)) < 4 {
			t.Errorf("package %s has no comment that says what it is for", dir)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	s := read(t)
	var names int
	var bare []string
	for _, f := range s.files {
		if f.test || f.ast.Name.Name == "main" {
			continue
		}
		for _, e := range exported(f.ast) {
			if names++; !e.documented {
				bare = append(bare, fmt.Sprintf("%s %s", s.at(f, e.node), e.name))
			}
		}
	}
	share := 100 * (names - len(bare)) / names
	t.Logf("%d of %d exported names have a comment (%d %%); these have none:\n%s", names-len(bare), names, share, strings.Join(bare, "\n"))
	if share < documented {
		t.Errorf("%d %% of the exported names have a comment, not %d %%", share, documented)
	}
}

type exportedName struct {
	name       string
	node       ast.Node
	documented bool
}

// exported gives the exported functions, methods of exported types, types, constants and variables of a file. A comment above a group of
// constants or variables, or at the end of a line, counts for each name in it.
func exported(f *ast.File) (list []exportedName) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if name := d.Name.Name; d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) && !wellKnown(d) {
				list = append(list, exportedName{name, d, d.Doc != nil})
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				list = append(list, exportedIn(d, spec)...)
			}
		}
	}
	return list
}

func exportedIn(d *ast.GenDecl, spec ast.Spec) (list []exportedName) {
	switch sp := spec.(type) {
	case *ast.TypeSpec:
		if sp.Name.IsExported() {
			list = append(list, exportedName{sp.Name.Name, sp, sp.Doc != nil || sp.Comment != nil || d.Doc != nil && len(d.Specs) == 1})
		}
	case *ast.ValueSpec:
		for _, name := range sp.Names {
			if d.Tok != token.TYPE && name.IsExported() {
				list = append(list, exportedName{name.Name, name, d.Doc != nil || sp.Doc != nil || sp.Comment != nil})
			}
		}
	}
	return list
}

// wellKnown are methods whose meaning is that of an interface of the standard library.
func wellKnown(d *ast.FuncDecl) bool {
	switch d.Name.Name {
	case "Error", "Unwrap", "Is", "String", "Len", "Less", "Swap", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText":
		return d.Recv != nil
	}
	return false
}

// receiver gives the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
