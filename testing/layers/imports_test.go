package layers

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is a package, or a pattern of packages, of the table in docs/ARCHITECTURE.md.
type row struct {
	layer   int
	pattern string
	pure    bool
}

func (r row) matches(dir string) bool {
	if parent, deep := strings.CutSuffix(r.pattern, "/**"); deep {
		return within(dir, parent)
	}
	ok, err := path.Match(r.pattern, dir)
	return err == nil && ok
}

func rows(t *testing.T) []row {
	t.Helper()
	var list []row
	for _, cells := range table(t, readText(t, "docs/ARCHITECTURE.md"), "layer", "package", "pure", "what lives there") {
		layer, err := strconv.Atoi(cells[0])
		if name := codes(cells[1]); err == nil && len(name) == 1 && len(cells) == 4 && cells[3] != "" {
			list = append(list, row{layer, name[0], cells[2] != ""})
			continue
		}
		t.Errorf("docs/ARCHITECTURE.md: a row of the packages has a layer, one package and what lives there, not %q", cells)
	}
	return list
}

// find gives the row of a package: that with its own name before any pattern.
func find(list []row, dir string) (row, bool) {
	if i := slices.IndexFunc(list, func(r row) bool { return r.pattern == dir }); i >= 0 {
		return list[i], true
	}
	if i := slices.IndexFunc(list, func(r row) bool { return r.matches(dir) }); i >= 0 {
		return list[i], true
	}
	return row{}, false
}

// onlyTests says whether a package may import anything, since nothing but tests is made of it.
func onlyTests(dir string) bool { return within(dir, "testing") && !within(dir, "testing/lab") }

func TestEveryPackageIsInTheTable(t *testing.T) {
	list := rows(t)
	used := map[string]bool{}
	dirs, _ := read(t).packages()
	for _, dir := range dirs {
		r, ok := find(list, dir)
		if !ok && !onlyTests(dir) {
			t.Errorf("package %s is not in the table of docs/ARCHITECTURE.md: give it a row with its layer and what lives there", dir)
		}
		used[r.pattern] = true
	}
	for _, r := range list {
		if !used[r.pattern] {
			t.Errorf("docs/ARCHITECTURE.md has a row for %s, which is not there", r.pattern)
		}
	}
}

func TestImportsPointDown(t *testing.T) {
	list := rows(t)
	s := read(t)
	for _, f := range s.files {
		from, ok := find(list, f.dir)
		if f.test || !ok {
			continue
		}
		for _, i := range f.imports() {
			to, ok := find(list, i.path)
			switch {
			case !i.inside:
			case !ok:
				t.Errorf("%s imports %s, which is in no layer", s.at(f, i.spec), i.path)
			case to.layer >= from.layer && !(to == from && strings.HasSuffix(from.pattern, "/**")):
				t.Errorf("%s: layer %d (%s) imports layer %d (%s): arrows point down only", s.at(f, i.spec), from.layer, f.dir, to.layer, i.path)
			}
		}
	}
}

func TestWallsBetweenFolders(t *testing.T) {
	s := read(t)
	for _, f := range s.files {
		for _, i := range f.imports() {
			if why := wall(f, i); i.inside && why != "" {
				t.Errorf("%s: %s imports %s: %s", s.at(f, i.spec), f.dir, i.path, why)
			}
		}
	}
}

// wall says which rule forbids an import, or "".
func wall(f file, i imported) string {
	outer := within(f.dir, "cmd") || onlyTests(f.dir)
	plugin := within(f.dir, "plugins") && f.dir != "plugins" && f.dir != "plugins/build" && f.dir != "plugins/author"
	switch {
	case within(f.dir, "host") && within(i.path, "server"):
		return "host never imports server"
	case i.path == "server" && !outer && f.dir != "server":
		return "only cmd and testing import server"
	case within(i.path, "server") && !outer && !within(f.dir, "server"):
		return "what is below server is for server, cmd and testing"
	case within(i.path, "testing/lab") && !outer && !within(f.dir, "testing") && !f.test:
		return "the lab is for cmd, testing and tests"
	case within(f.dir, "pdk/go") && i.path != "pdk/abi" && i.path != f.dir:
		return "a kit imports pdk/abi only"
	case plugin && !within(i.path, "pdk") && !within(i.path, "plugins") && !f.test:
		return "a plugin imports pdk/abi, its kit, and what plugins share"
	}
	return ""
}

// talks are the packages of the standard library that reach out of the process.
func talks(name string) bool {
	return slices.ContainsFunc([]string{"os", "net/http", "net/rpc", "net/smtp", "crypto/tls", "database/sql", "syscall", "io/ioutil", "log", "plugin"},
		func(io string) bool { return within(name, io) })
}

// netText are the functions of net that only read or write text.
func netText(name string) bool {
	return slices.Contains([]string{"ParseMAC", "ParseIP", "ParseCIDR", "SplitHostPort", "JoinHostPort", "HardwareAddr", "IP", "IPNet"}, name)
}

func TestPurePackagesDoNoIO(t *testing.T) {
	list := rows(t)
	s := read(t)
	for _, f := range s.files {
		if r, ok := find(list, f.dir); !ok || !r.pure || f.test {
			continue
		}
		for _, i := range f.imports() {
			if talks(i.path) {
				t.Errorf("%s: %s is pure, but imports %s", s.at(f, i.spec), f.dir, i.path)
			}
			if i.path != "net" {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && isName(sel.X, "net") && !netText(sel.Sel.Name) {
					t.Errorf("%s: %s is pure, but uses net.%s", s.at(f, sel), f.dir, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func TestOneLibraryOneDoor(t *testing.T) {
	doors := map[string][]string{}
	for _, cells := range table(t, readText(t, "docs/ARCHITECTURE.md"), "library", "door", "for") {
		if name := codes(cells[0]); len(name) == 1 && len(cells) == 3 && cells[2] != "" {
			doors[name[0]] = codes(cells[1])
			continue
		}
		t.Errorf("docs/ARCHITECTURE.md: a row of the libraries has a library, doors, and what for, not %q", cells)
	}
	s := read(t)
	used := map[string]bool{}
	for _, f := range s.files {
		for _, i := range f.imports() {
			if !i.thirdParty() {
				continue
			}
			library := libraryOf(doors, i.path)
			used[library+" in "+f.dir] = true
			switch {
			case within(f.dir, "testing/lab"):
			case library == "":
				t.Errorf("%s imports %s, which has no row among the libraries of docs/ARCHITECTURE.md", s.at(f, i.spec), i.path)
			case !f.test && !slices.Contains(doors[library], f.dir):
				t.Errorf("%s imports %s: its door is %s", s.at(f, i.spec), i.path, strings.Join(doors[library], ", "))
			}
		}
	}
	for library, list := range doors {
		for _, door := range list {
			if !used[library+" in "+door] {
				t.Errorf("docs/ARCHITECTURE.md: %s is said to import %s, but does not", door, library)
			}
		}
	}
}

// libraryOf gives the library of the table that a path lies in.
func libraryOf(doors map[string][]string, path string) string {
	for library := range doors {
		if within(path, library) {
			return library
		}
	}
	return ""
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
