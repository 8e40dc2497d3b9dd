package runbook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

// File is a runbook file.
type File struct {
	Name string // path for messages; its base is the id with .yaml
	Data []byte
}

// Options of a load.
type Options struct {
	// Lists names the content lists that exist; nil means that nobody knows, and a misspelt one shows only when it is read.
	Lists []string
}

// Set holds the runbooks of a load that are free of problems.
type Set struct{ byID map[string]*Runbook }

// Get gives a runbook by id.
func (s *Set) Get(id string) (*Runbook, bool) {
	r, ok := s.byID[id]
	return r, ok
}

// All lists the runbooks by id.
func (s *Set) All() []*Runbook {
	return slices.SortedFunc(maps.Values(s.byID), func(a, b *Runbook) int { return cmp.Compare(a.ID, b.ID) })
}

// Load reads, checks and compiles runbooks. They may call each other. What is wrong comes back as Problems, all of it, sorted by place; a
// runbook with problems, or that calls one, is not in the set, the others are.
func Load(files []File, catalog Catalog, opts Options) (*Set, document.Problems) {
	alarm, err := expr.Alarm()
	if err != nil {
		return &Set{}, document.Problems{{File: "alarm.schema.json", Message: err.Error()}}
	}
	l := &loader{catalog: catalog, opts: opts, alarm: alarm, books: map[string]*book{}, specs: map[*abi.Action]*spec{}}
	for _, f := range files {
		l.read(f)
	}
	for _, id := range slices.Sorted(maps.Keys(l.books)) {
		l.compile(l.books[id])
	}
	set := &Set{byID: map[string]*Runbook{}}
	for id, b := range l.books {
		if b.compiled != nil {
			set.byID[id] = b.compiled
		}
		l.problems = append(l.problems, b.problems...)
	}
	l.problems.Sort()
	return set, l.problems
}

type loader struct {
	catalog  Catalog
	opts     Options
	alarm    *expr.Type
	books    map[string]*book
	specs    map[*abi.Action]*spec
	problems document.Problems
}

// book is a runbook on its way.
type book struct {
	drafter
	doc      fileDoc
	node     *node
	state    int // 0: read, 1: being compiled, 2: done
	compiled *Runbook
	callee   *Scope // the body, as others call it
	private  map[string]*private
	targets  map[string]bool     // parameters that its containments act on
	calls    map[string]*Runbook // the shared runbooks that it calls, by itself or by way of others
}

// private is a private runbook on its way.
type private struct {
	node  *node
	state int
	scope *Scope
}

func (l *loader) read(f File) {
	n, problems := document.Parse(f.Name, f.Data)
	if len(problems) > 0 {
		l.problems = append(l.problems, problems...)
		return
	}
	b := &book{node: n, private: map[string]*private{}, targets: map[string]bool{}, calls: map[string]*Runbook{}}
	b.decode(n, &b.doc)
	id := b.doc.Runbook
	switch first := l.books[id]; {
	case id == "":
		l.problems = append(l.problems, b.problems...)
		return
	case first != nil:
		l.problems = append(l.problems, n.Get("runbook").Problem(fmt.Sprintf("the runbook %q exists already", id), "it is in "+first.node.File()))
		return
	case !namePattern.MatchString(id):
		b.add(n.Get("runbook").Problem(fmt.Sprintf("%q cannot be the id of a runbook", id), "small letters, digits and -"))
	case !fileNamed(f.Name, id):
		b.add(n.Get("runbook").Problem(fmt.Sprintf("the runbook %q must be in a file called %s.yaml", id, id), "rename the file or the runbook"))
	}
	if v := n.Get("version"); v != nil && b.doc.Version < 1 && v.Kind == document.Integer {
		b.add(v.Problem("the version is a whole number above 0", ""))
	}
	l.books[id] = b
}

func fileNamed(file, id string) bool {
	base := path.Base(strings.ReplaceAll(file, `\`, "/"))
	return base == id+".yaml" || base == id+".yml"
}

func (l *loader) compile(b *book) {
	if b.state != 0 {
		return
	}
	b.state = 1
	defer func() { b.state = 2 }()
	rb := &Runbook{ID: b.doc.Runbook, Version: b.doc.Version, Title: b.doc.Title, Description: b.doc.Description, Labels: b.doc.Labels,
		File: b.node.File()}
	if rb.Title == "" {
		rb.Title = rb.ID
	}
	b.readDefaults(b.doc.Defaults)
	b.readPrivate(b.doc.Runbooks)
	c := &compiler{loader: l, book: b}
	rb.Inputs = b.inputs(b.doc.Inputs)
	rb.Body = c.scope("", rb.Inputs, b.doc.Steps, b.doc.Outputs)
	for _, name := range slices.Sorted(maps.Keys(b.private)) {
		c.privateScope(b.private[name], name)
	}
	rb.Guards = c.guards(b.doc.Guards, rb.Inputs)
	rb.OnFailure = c.onFailure(b.doc.OnFailure, rb)
	if len(b.problems) > 0 {
		return
	}
	b.compiled = rb
	rb.Calls = slices.Sorted(maps.Keys(b.calls))
	rb.Digest = b.digest(rb.Calls)
	callee := *rb.Body
	callee.Name = fmt.Sprintf("%s@%d", rb.ID, rb.Version)
	callee.Guards, callee.OnFailure, callee.Digest = rb.Guards, rb.OnFailure, rb.Digest
	b.callee = &callee
}

// digest is the sha256 of the document as JSON with sorted keys, together with those of the runbooks that it calls.
func (b *book) digest(calls []string) string {
	sum := sha256.New()
	data, err := json.Marshal(b.node.JSON())
	if err != nil {
		return "" // cannot be: a document holds nothing that JSON has not
	}
	sum.Write(data)
	for _, id := range calls {
		fmt.Fprintf(sum, "\n%s %s", id, b.calls[id].Digest)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (b *book) readPrivate(n *node) {
	if n == nil {
		return
	}
	if n.Kind != document.Map {
		b.add(n.Problem(fmt.Sprintf("a map of private runbooks is expected here, this is %s", n.Kind), "name: {inputs: …, steps: …, outputs: …}"))
		return
	}
	for _, m := range n.Members {
		if !namePattern.MatchString(m.Key) {
			b.add(n.KeyProblem(m.Key, fmt.Sprintf("%q cannot be the name of a runbook", m.Key), "small letters, digits and -"))
		}
		b.private[m.Key] = &private{node: m.Value}
	}
}

// callee finds the scope that a call names: a private runbook, or a shared one as name or name@version.
func (c *compiler) callee(n *node) *Scope {
	name := n.Text()
	if p := c.book.private[name]; p != nil {
		if p.state == 1 {
			c.add(n.Problem(fmt.Sprintf("the runbook %q calls itself, by itself or by way of others", name), "calls must not go in a circle"))
			return nil
		}
		return c.privateScope(p, name)
	}
	id, version, versioned := strings.Cut(name, "@")
	b := c.loader.books[id]
	if b == nil {
		known := slices.Concat(slices.Sorted(maps.Keys(c.book.private)), slices.Sorted(maps.Keys(c.loader.books)))
		hint := ""
		if near := schemas.Nearest(id, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		c.add(n.Problem(fmt.Sprintf("there is no runbook %s", shown(n)), hint))
		return nil
	}
	if b.state == 1 {
		c.add(n.Problem(fmt.Sprintf("the runbook %q calls itself, by itself or by way of others", id), "calls must not go in a circle"))
		return nil
	}
	c.loader.compile(b)
	if b.callee == nil {
		c.add(n.Problem(fmt.Sprintf("the runbook %q has problems of its own", id), "correct "+b.node.File()+" first"))
		return nil
	}
	if v, err := strconv.Atoi(version); versioned && (err != nil || v != b.compiled.Version) {
		c.add(n.Problem(fmt.Sprintf("version %s of the runbook %q is not here", version, id), fmt.Sprintf("there is version %d", b.compiled.Version)))
		return nil
	}
	maps.Copy(c.book.targets, b.targets)
	c.book.calls[id] = b.compiled
	maps.Copy(c.book.calls, b.calls)
	return b.callee
}

func (c *compiler) privateScope(p *private, name string) *Scope {
	if p.state != 0 {
		return p.scope
	}
	p.state = 1
	defer func() { p.state = 2 }()
	var doc scopeDoc
	if c.decode(p.node, &doc) {
		p.scope = c.scope(name, c.book.inputs(doc.Inputs), doc.Steps, doc.Outputs)
	}
	return p.scope
}

// inputDoc is a declared input as it is written.
type inputDoc struct {
	Type        *node    `yaml:"type"`
	Format      string   `yaml:"format"`
	Description string   `yaml:"description"`
	Optional    bool     `yaml:"optional"`
	Default     *node    `yaml:"default"`
	Enum        []string `yaml:"enum"`
	Items       *node    `yaml:"items"`
}

func (b *book) inputs(n *node) []Input {
	if n == nil {
		return nil
	}
	if n.Kind != document.Map {
		b.add(n.Problem(fmt.Sprintf("a map of inputs is expected here, this is %s", n.Kind), "name: {type: string}"))
		return nil
	}
	var out []Input
	for _, m := range n.Members {
		if !idPattern.MatchString(m.Key) {
			b.add(n.KeyProblem(m.Key, fmt.Sprintf("%q cannot be the name of an input", m.Key), "small letters, digits and _ after a letter"))
		}
		out = append(out, b.input(m.Key, m.Value))
	}
	return out
}

func (b *book) input(name string, n *node) Input {
	var doc inputDoc
	in := Input{Name: name}
	if !b.decode(n, &doc) {
		return in
	}
	in.Format, in.Description, in.Optional, in.Enum = doc.Format, doc.Description, doc.Optional, doc.Enum
	kinds := []string{"string", "integer", "number", "boolean", "array", "object"}
	b.word(doc.Type, &in.Type, kinds...)
	b.word(doc.Items.Get("type"), &in.Items, kinds...)
	if in.Format != "" && !schemas.KnownFormat(in.Format) {
		b.add(n.Get("format").Problem(fmt.Sprintf("the format %q is not known", in.Format), "known are: ip, ipv4, ipv6, cidr, mac, duration, date-time, uri, email, hostname, domain, md5, sha1, sha256"))
	}
	if doc.Default != nil {
		v, problem := in.fit(doc.Default.JSON())
		if problem != "" {
			b.add(doc.Default.Problem("the default does not fit the input: "+problem, ""))
		}
		in.Default = v
	}
	return in
}
