package harness

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/connector"
	"github.com/riposte-soar/riposte/server/document"
)

// CasesFolder is the folder of a plugin's cases, beside its manifest.
const CasesFolder = "tests"

// Case is one call of an action: its input, what the world answers, and what must come of it. schemas/case.schema.json describes its file.
type Case struct {
	Name string // of the file, without its ending
	File string

	Title      string
	Action     string
	Parameters json.RawMessage
	Settings   json.RawMessage
	Grant      capability.Grant
	Now        time.Time
	Timeout    time.Duration
	KV         map[string]json.RawMessage // what the connector keeps before the call
	// Contract says that the case goes through the whole life of a containment.
	Contract bool
	// Stubs answer the calls. A case has these or tapes, or is live.
	Stubs []*Stub
	Tapes []string // files; a contract has one for each stage

	expect expect
	root   *document.Node
}

// source is a case's file.
type source struct {
	Case       string                    `yaml:"case,required"`
	Action     *document.Node            `yaml:"action,required"`
	Parameters *document.Node            `yaml:"parameters"`
	Settings   *document.Node            `yaml:"settings"`
	Grant      *document.Node            `yaml:"grant"`
	Now        *document.Node            `yaml:"now"`
	Timeout    time.Duration             `yaml:"timeout"`
	KV         map[string]*document.Node `yaml:"kv"`
	Contract   bool                      `yaml:"contract"`
	Stubs      []*document.Node          `yaml:"stubs"`
	Tape       *document.Node            `yaml:"tape"`
	Expect     *document.Node            `yaml:"expect"`
}

// DefaultNow is the time of a call that says none.
func DefaultNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// Load reads the cases of a folder, by name, or those that a pattern of path.Match selects, and checks them against the plugin.
func Load(dir, pattern string, b *bundle.Bundle) ([]*Case, error) {
	files, err := fs.Glob(os.DirFS(dir), "*.yaml")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var cases []*Case
	var problems document.Problems
	for _, name := range files {
		short := strings.TrimSuffix(name, ".yaml")
		if ok, err := filepath.Match(orAll(pattern), short); err != nil {
			return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("the pattern %q cannot be read", pattern), "a pattern is like block-*")
		} else if !ok {
			continue
		}
		c, found := LoadFile(filepath.Join(dir, name), b)
		cases, problems = append(cases, c), append(problems, found...)
	}
	return cases, problems.Err()
}

func orAll(pattern string) string {
	if pattern == "" {
		return "*"
	}
	return pattern
}

// LoadFile reads one case.
func LoadFile(file string, b *bundle.Bundle) (*Case, document.Problems) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > document.MaxSize {
		err = fmt.Errorf("the file has %d bytes, at most %d are read", info.Size(), document.MaxSize)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, document.Problems{{File: file, Line: 1, Column: 1, Message: err.Error()}}
	}
	return Parse(file, text, b)
}

// Parse reads the text of a case, and checks it against the plugin.
func Parse(file string, text []byte, b *bundle.Bundle) (*Case, document.Problems) {
	root, problems := document.Parse(file, text)
	if len(problems) > 0 {
		return nil, problems
	}
	var s source
	if problems = root.Decode(&s); len(problems) > 0 {
		return nil, problems
	}
	r := &caseReader{c: &Case{Name: strings.TrimSuffix(filepath.Base(file), ".yaml"), File: file, Title: s.Case, Action: s.Action.Text(), Timeout: s.Timeout,
		Contract: s.Contract, Now: DefaultNow(), root: root, KV: map[string]json.RawMessage{}}, bundle: b}
	r.action(s.Action)
	r.c.Parameters, r.c.Settings = r.json(s.Parameters), r.json(s.Settings)
	if s.Settings != nil || len(s.Stubs) > 0 {
		r.settings(s.Settings) // otherwise they are those of the tape, or given when it is recorded
	}
	r.grant(s.Grant)
	if s.Now != nil {
		r.now(s.Now)
	}
	for _, key := range slices.Sorted(maps.Keys(s.KV)) {
		r.c.KV[key] = r.json(s.KV[key])
	}
	r.tape(s.Tape)
	for _, n := range s.Stubs {
		r.stub(n)
	}
	if len(s.Stubs) > 0 && s.Tape != nil {
		r.problem(s.Tape, "a case has stubs or a tape, not both", "a tape is the record of a real call; stubs are made up")
	}
	if len(s.Stubs) > 0 && s.Contract {
		r.problem(s.Stubs[0], "stubs cannot stand for a target that changes", "record the contract with riposte plugin test --record")
	}
	if s.Expect != nil {
		r.expect(s.Expect)
	}
	return r.c, r.problems
}

// caseReader checks a case while it is read.
type caseReader struct {
	c        *Case
	bundle   *bundle.Bundle
	problems document.Problems
}

func (r *caseReader) problem(n *document.Node, message, hint string) {
	r.problems = append(r.problems, n.Problem(message, hint))
}

func (r *caseReader) json(n *document.Node) json.RawMessage {
	if n == nil {
		return json.RawMessage("{}")
	}
	raw, err := json.Marshal(n.JSON())
	if err != nil {
		r.problem(n, err.Error(), "")
	}
	return raw
}

func (r *caseReader) action(n *document.Node) {
	actions := r.bundle.Manifest.Actions
	a, ok := actions[r.c.Action]
	if !ok {
		names := slices.Sorted(maps.Keys(actions))
		hint := "it has: " + strings.Join(names, ", ")
		if near := schemas.Nearest(r.c.Action, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		r.problem(n, fmt.Sprintf("%s has no action %q", r.bundle.Manifest.Plugin, r.c.Action), hint)
		return
	}
	if r.c.Contract && (a.Probe == "" || a.Inverse == nil || a.Inverse.Action == "") {
		r.problem(n, fmt.Sprintf("the action %s has no contract to go through: it needs a probe and an inverse", r.c.Action), "write them into the manifest, or remove contract")
	}
}

func (r *caseReader) settings(n *document.Node) {
	fault := r.bundle.CheckSettings(r.c.Settings)
	if fault == nil {
		return
	}
	at := r.c.root
	if n != nil {
		at = nodeAt(n, strings.TrimPrefix(fault.Where, "$.settings"))
	}
	r.problem(at, fault.Message, fault.Hint)
}

func (r *caseReader) grant(n *document.Node) {
	asked := r.bundle.Manifest.Requires
	if n == nil {
		r.c.Grant = capability.Grant{}
		for _, a := range asked {
			r.c.Grant[a.ID] = capability.Narrowing{}
		}
		return
	}
	var found document.Problems
	r.c.Grant, found = connector.ReadGrant(n, asked)
	r.problems = append(r.problems, found...)
}

func (r *caseReader) now(n *document.Node) {
	t, err := time.Parse(time.RFC3339, n.Text())
	if err != nil {
		r.problem(n, "a time is expected here", "write it as 2026-01-02T03:04:05Z")
	}
	r.c.Now = t
}

// tape notes the files of the tapes: one name, or one for each stage of a contract.
func (r *caseReader) tape(n *document.Node) {
	if n == nil {
		return
	}
	names := []*document.Node{n}
	if n.Kind == document.List {
		names = n.Items
	}
	if !r.c.Contract && len(names) != 1 {
		r.problem(n, "one tape is expected here", "several belong to a case with contract: true")
	}
	for _, one := range names {
		if name := one.Text(); name == "" || !filepath.IsLocal(filepath.FromSlash(name)) {
			r.problem(one, "the name of a file beside the case is expected here", "tape: "+r.c.Name+tapeSuffix)
		} else {
			r.c.Tapes = append(r.c.Tapes, filepath.Join(filepath.Dir(r.c.File), filepath.FromSlash(name)))
		}
	}
}

// tapeSuffix ends the names of tapes.
const tapeSuffix = ".tape"

// recorded reads a tape, and checks that it can stand for the case.
func (c *Case) recorded(i int) ([]tape.Entry, error) {
	at := c.root.Get("tape")
	if at.Kind == document.List && i < len(at.Items) {
		at = at.Items[i]
	}
	entries, err := tape.ReadFile(c.Tapes[i])
	if err != nil {
		return nil, document.Problems{at.Problem(err.Error(), "record it with riposte plugin test --record")}
	}
	if fault := tape.Replayable(entries, ""); fault != nil {
		return nil, document.Problems{at.Problem(fault.Message, fault.Hint)}
	}
	return entries, nil
}

// nodeAt follows a path such as .a.b[0] as far as the document goes.
func nodeAt(n *document.Node, path string) *document.Node {
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]/'\"", r) }) {
		next := n.Get(part)
		if n.Kind == document.List {
			var i int
			if _, err := fmt.Sscan(part, &i); err == nil && i >= 0 && i < len(n.Items) {
				next = n.Items[i]
			}
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}
