package server

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/connector"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/expr"
	"github.com/riposte-soar/riposte/server/rule"
	"github.com/riposte-soar/riposte/server/runbook"
)

// LoadContent reads a folder of content – rules/ templates/ runbooks/ connectors/ lists/ – and checks all of it against the plugins that are there.
// Everything that is wrong comes back at once, as document.Problems.
func LoadContent(dir string, plugins map[string]*bundle.Bundle) (*engine.Content, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("content folder %s is not there", dir), "it holds rules/ templates/ runbooks/ connectors/ lists/")
	}
	l := &contentLoader{dir: dir, content: &engine.Content{Plugins: plugins, Connectors: map[string]*connector.Connector{}, Runbooks: map[string]*engine.Source{},
		Lists: map[string]any{}, Texts: map[string]string{}}, values: map[string][]string{}}
	steps := []func() error{l.lists, l.connectors, l.texts, l.runbooks, l.rules}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if len(l.problems) > 0 {
		l.problems.Sort()
		return nil, l.problems
	}
	return l.content, nil
}

type contentLoader struct {
	dir      string
	content  *engine.Content
	problems document.Problems
	books    []runbook.File
	values   map[string][]string // of the lists
}

// each reads the files of a folder, in order of their names. A folder that is missing is empty.
func (l *contentLoader) each(folder, suffix string, fn func(name string, text []byte)) error {
	files, err := filepath.Glob(filepath.Join(l.dir, folder, "*"+suffix))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fn(file, text)
	}
	return nil
}

// listFile is a file of lists/.
type listFile struct {
	List   *document.Node   `yaml:"list,required"`
	Values []*document.Node `yaml:"values,required"`
}

func (l *contentLoader) lists() error {
	return l.each("lists", ".yaml", func(name string, text []byte) {
		root, problems := document.Parse(name, text)
		var f listFile
		if problems == nil {
			problems = root.Decode(&f)
		}
		if l.problems = append(l.problems, problems...); len(problems) > 0 {
			return
		}
		if _, taken := l.values[f.List.Text()]; taken {
			l.problems = append(l.problems, f.List.Problem(fmt.Sprintf("the list %q exists already", f.List.Text()), "one of them would be passed over"))
			return
		}
		values := make([]string, len(f.Values))
		for i, v := range f.Values {
			values[i] = v.Text()
		}
		l.values[f.List.Text()] = values
		l.content.Lists[f.List.Text()] = expr.NewContentList(values)
	})
}

func (l *contentLoader) connectors() error {
	return l.each("connectors", ".yaml", func(name string, text []byte) {
		c, problems := connector.Load(name, text, l.content.Plugins)
		l.problems = append(l.problems, problems...)
		if c == nil { // one with problems is there all the same: the runbooks that use it are not wrong
			return
		}
		if other := l.content.Connectors[c.ID]; other != nil {
			l.problems = append(l.problems, document.Problem{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("connector %q is in %s already", c.ID, other.File)})
			return
		}
		l.content.Connectors[c.ID] = c
	})
}

// texts reads the templates of messages that lie beside the runbooks.
func (l *contentLoader) texts() error {
	return l.each("runbooks", ".md", func(name string, text []byte) {
		l.content.Texts[strings.TrimSuffix(filepath.Base(name), ".md")] = string(text)
	})
}

func (l *contentLoader) runbooks() error {
	err := l.each("runbooks", ".yaml", func(name string, text []byte) { l.books = append(l.books, runbook.File{Name: name, Data: text}) })
	if err != nil {
		return err
	}
	set, problems := l.compile(l.books)
	l.problems = append(l.problems, problems...)
	for _, book := range set.All() {
		src := l.source(book)
		for _, id := range book.Calls {
			called, _ := set.Get(id) // else the caller would not be in the set
			src.Called = append(src.Called, l.source(called))
		}
		l.content.Runbooks[book.ID] = &src
	}
	l.content.Compile = l.again
	return nil
}

func (l *contentLoader) compile(files []runbook.File) (*runbook.Set, document.Problems) {
	catalog := connector.NewCatalog(l.content.Plugins, l.content.Connectors)
	return runbook.Load(files, catalog, runbook.Options{Lists: slices.Collect(maps.Keys(l.content.Lists))})
}

func (l *contentLoader) source(book *runbook.Runbook) engine.Source {
	i := slices.IndexFunc(l.books, func(f runbook.File) bool { return f.Name == book.File })
	return engine.Source{Runbook: book, File: filepath.Base(book.File), Text: string(l.books[i].Data)}
}

// again compiles one runbook as it once was, with those that it called then.
func (l *contentLoader) again(src engine.Source) (*runbook.Runbook, error) {
	set, problems := l.compile(src.Files())
	if book, ok := set.Get(strings.TrimSuffix(src.File, ".yaml")); ok {
		return book, nil
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return nil, fmt.Errorf("%s holds no runbook", src.File)
}

func (l *contentLoader) rules() error {
	var files []rule.File
	for _, folder := range []string{"rules", "templates"} {
		err := l.each(folder, ".yaml", func(name string, text []byte) { files = append(files, rule.File{Name: name, Data: text}) })
		if err != nil {
			return err
		}
	}
	books := make([]string, len(l.books)) // those with problems too: who names one is not wrong
	for i, f := range l.books {
		books[i] = strings.TrimSuffix(filepath.Base(f.Name), ".yaml")
	}
	set, problems := rule.Load(files, rule.Options{Lists: l.values, Runbooks: books})
	l.problems = append(l.problems, problems...)
	l.content.Rules = set
	return nil
}
