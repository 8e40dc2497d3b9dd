package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/riposte-soar/riposte"
)

// file is a Go file of the repository, whatever its build tags.
type file struct {
	name string // such as server/server.go
	dir  string // the package's path in the module, such as server
	test bool
	ast  *ast.File
}

// source is all Go code of the repository, read once.
type source struct {
	fset  *token.FileSet
	files []file
}

var readSource = sync.OnceValues(func() (*source, error) {
	s := &source{fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(s.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		inside = filepath.ToSlash(inside)
		s.files = append(s.files, file{inside, path.Dir(inside), strings.HasSuffix(base, "_test.go"), parsed})
		return nil
	})
	return s, err
})

// read gives all Go code of the repository.
func read(t *testing.T) *source {
	t.Helper()
	s, err := readSource()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.files) < 100 {
		t.Fatalf("only %d Go files were found: is %s the root of the repository?", len(s.files), root)
	}
	return s
}

// packages groups the files by package, tests excepted, in order.
func (s *source) packages() (dirs []string, files map[string][]file) {
	files = map[string][]file{}
	for _, f := range s.files {
		if !f.test {
			files[f.dir] = append(files[f.dir], f)
		}
	}
	for dir := range files {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs, files
}

// at tells where a node is, as file:line.
func (s *source) at(f file, n ast.Node) string {
	return f.name + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imports gives the paths that a file imports; those of this module without the module's name, with inside true.
func (f file) imports() (list []imported) {
	for _, spec := range f.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		own, inside := strings.CutPrefix(name, module+"/")
		list = append(list, imported{own, inside, spec})
	}
	return list
}

type imported struct {
	path   string
	inside bool
	spec   *ast.ImportSpec
}

// thirdParty says whether an import is neither ours nor of the standard library.
func (i imported) thirdParty() bool {
	first, _, _ := strings.Cut(i.path, "/")
	return !i.inside && strings.Contains(first, ".")
}

// within says whether dir is parent or lies in it.
func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// table reads the Markdown table whose header holds these columns; each row is the cells without blanks.
func table(t *testing.T, text string, header ...string) [][]string {
	t.Helper()
	var rows [][]string
	found := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if found {
				return rows
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case slices.Equal(cells, header):
			found = true
		case found && !strings.HasPrefix(cells[0], "---"):
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("docs/ARCHITECTURE.md has no table with the columns %q", header)
	}
	return rows
}

var quoted = regexp.MustCompile("`([^`]+)`")

// codes gives what stands between backquotes.
func codes(cell string) (list []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}
