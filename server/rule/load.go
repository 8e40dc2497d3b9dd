package rule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

// File is a file that holds one rule or one template.
type File struct {
	Name string // path for messages; its base is the id with .yaml
	Data []byte
}

// Options of a load.
type Options struct {
	// Lists are the content lists by name; the rules see them as lists.NAME.
	Lists map[string][]string
	// Runbooks names the runbooks that exist; nil means that nobody knows, and none is checked.
	Runbooks []string
}

type ruleDoc struct {
	Rule        string         `yaml:"rule,required"`
	Title       string         `yaml:"title"`
	Description string         `yaml:"description"`
	When        *document.Node `yaml:"when"`
	Match       *document.Node `yaml:"match"`
	Dedupe      *dedupeDoc     `yaml:"dedupe"`
	Template    *document.Node `yaml:"template,required"`
	Order       *int           `yaml:"order"`
	Continue    bool           `yaml:"continue"`
	Disabled    bool           `yaml:"disabled"`
}

type dedupeDoc struct {
	By     []*document.Node `yaml:"by,required"`
	Window *time.Duration   `yaml:"window"`
}

type templateDoc struct {
	Template    string           `yaml:"template,required"`
	Description string           `yaml:"description"`
	Type        string           `yaml:"type,required"`
	Title       *document.Node   `yaml:"title,required"`
	Summary     *document.Node   `yaml:"summary"`
	Category    string           `yaml:"category"`
	Severity    *document.Node   `yaml:"severity"`
	Queue       string           `yaml:"queue"`
	TLP         *document.Node   `yaml:"tlp"`
	Attack      []*document.Node `yaml:"attack"`
	Artifacts   *document.Node   `yaml:"artifacts"`
	Runbook     *document.Node   `yaml:"runbook"`
	Autorun     bool             `yaml:"autorun"`
	SLA         struct {
		Respond time.Duration `yaml:"respond"`
		Contain time.Duration `yaml:"contain"`
	} `yaml:"sla"`
}

const (
	defaultOrder  = 100
	defaultWindow = 10 * time.Minute
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// Load reads, checks and compiles rules and templates. What is wrong comes back as Problems, all of it, sorted by place; what is free of
// problems is in the set.
func Load(files []File, opts Options) (*Set, document.Problems) {
	alarm, err := expr.Alarm()
	if err != nil {
		return nil, document.Problems{{File: "alarm.schema.json", Message: err.Error()}}
	}
	vars := map[string]*expr.Type{"lists": expr.ListsOf(slices.Sorted(maps.Keys(opts.Lists))...)}
	for _, name := range alarm.Fields() {
		vars[name], _ = alarm.Field(name)
	}
	lists := make(map[string]any, len(opts.Lists))
	for name, values := range opts.Lists {
		lists[name] = expr.NewContentList(values)
	}
	env, err := expr.NewEnv(vars, expr.Options{Absent: expr.AbsentZero, Fixed: map[string]any{"lists": lists}})
	if err != nil {
		return nil, document.Problems{{File: "alarm.schema.json", Message: err.Error()}}
	}
	l := &loader{opts: opts, alarm: alarm, env: env, rules: map[string]*Rule{}, names: map[*Rule]*document.Node{},
		set: &Set{templates: map[string]*Template{}}}
	for _, f := range files {
		l.file(f)
	}
	l.finish()
	l.problems.Sort()
	return l.set, l.problems
}

type loader struct {
	opts     Options
	alarm    *expr.Type
	env      *expr.Env
	set      *Set
	rules    map[string]*Rule
	names    map[*Rule]*document.Node // where a rule names its template
	problems document.Problems
}

func (l *loader) add(p ...document.Problem) { l.problems = append(l.problems, p...) }

func (l *loader) file(f File) {
	n, problems := document.Parse(f.Name, f.Data)
	if len(problems) > 0 {
		l.add(problems...)
		return
	}
	before := len(l.problems)
	switch {
	case n.Get("rule") != nil:
		if r := l.rule(n); len(l.problems) == before {
			l.rules[r.ID] = r
		}
	case n.Get("template") != nil:
		if t := l.template(n); len(l.problems) == before {
			l.set.templates[t.ID] = t
		}
	default:
		l.add(n.Problem("neither a rule nor a template", `begin with "rule: name" or "template: name"`))
	}
}

// identity checks the name of a document against its file and its kind.
func (l *loader) identity(n *document.Node, kind, id string, taken bool) {
	base := path.Base(strings.ReplaceAll(n.File(), `\`, "/"))
	switch {
	case !namePattern.MatchString(id):
		l.add(n.Get(kind).Problem(fmt.Sprintf("%q cannot be the name of a %s", id, kind), "small letters, digits and -"))
	case taken:
		l.add(n.Get(kind).Problem(fmt.Sprintf("the %s %q exists already", kind, id), ""))
	case base != id+".yaml" && base != id+".yml":
		l.add(n.Get(kind).Problem(fmt.Sprintf("the %s %q must be in a file called %s.yaml", kind, id, id), "rename the file or the "+kind))
	}
}

func (l *loader) rule(n *document.Node) *Rule {
	var doc ruleDoc
	problems := n.Decode(&doc)
	l.add(problems...)
	if doc.Rule == "" || doc.Template == nil {
		return nil
	}
	l.identity(n, "rule", doc.Rule, l.rules[doc.Rule] != nil)
	r := &Rule{ID: doc.Rule, Title: doc.Title, Description: doc.Description, File: n.File(), Line: n.Line, Order: defaultOrder,
		Continue: doc.Continue, Disabled: doc.Disabled}
	if doc.Order != nil {
		r.Order = *doc.Order
	}
	l.names[r] = doc.Template
	if doc.Dedupe != nil {
		r.Window = defaultWindow
		if doc.Dedupe.Window != nil {
			r.Window = *doc.Dedupe.Window
		}
		for _, by := range doc.Dedupe.By {
			l.field(by)
			r.By = append(r.By, by.Text())
		}
	}
	r.when = l.condition(n, doc)
	return r
}

// field checks that a node names a field of the alarm, and gives its type.
func (l *loader) field(n *document.Node) *expr.Type {
	f, near := findField(n.Text(), l.alarm)
	if f == nil {
		l.add(n.Problem(fmt.Sprintf("the alarm has no field %q", n.Text()), near))
		return nil
	}
	return f.t
}

// condition compiles when and match into one expression.
func (l *loader) condition(n *document.Node, doc ruleDoc) *expr.Program {
	var all []string
	before := len(l.problems)
	if doc.When != nil {
		if l.compile(doc.When) {
			all = append(all, doc.When.Text())
		}
	}
	if doc.Match != nil {
		if doc.Match.Kind != document.Map || len(doc.Match.Members) == 0 {
			l.add(doc.Match.Problem("match takes fields and values", "match: {observer.product: LogPoint}"))
		}
		for _, m := range doc.Match.Members {
			cel, problem, hint := sugar(m, l.alarm)
			if problem == "" {
				if _, err := l.env.CompileBool(cel); err != nil {
					problem, hint = message(err)
				}
			}
			if problem != "" {
				l.add(doc.Match.KeyProblem(m.Key, problem, hint))
			}
			all = append(all, cel)
		}
	}
	if doc.When == nil && doc.Match == nil {
		l.add(n.Problem("the rule has no condition", "give it when or match; `when: \"true\"` matches every alarm"))
	}
	if len(l.problems) > before {
		return nil
	}
	if len(all) > 1 {
		for i := range all {
			all[i] = "(" + all[i] + ")"
		}
	}
	p, err := l.env.CompileBool(strings.Join(all, " && "))
	if err != nil {
		l.add(n.Problem(err.Error(), ""))
	}
	return p
}

// compile checks an expression and places what is wrong with it.
func (l *loader) compile(n *document.Node) bool {
	if n.Kind != document.String {
		l.add(n.Problem(fmt.Sprintf("an expression is expected here, this is %s", n.Kind), ""))
		return false
	}
	if _, err := l.env.CompileBool(n.Text()); err != nil {
		l.place(n, err)
		return false
	}
	return true
}

func (l *loader) place(n *document.Node, err error) {
	var e *expr.Error
	if errors.As(err, &e) {
		l.add(n.ProblemAt(e.Offset, e.Message, e.Hint))
		return
	}
	l.add(n.Problem(err.Error(), ""))
}

func message(err error) (message, hint string) {
	var e *expr.Error
	if errors.As(err, &e) {
		return e.Message, e.Hint
	}
	return err.Error(), ""
}

// finish ties rules to templates and builds the index.
func (l *loader) finish() {
	for _, r := range l.rules {
		n := l.names[r]
		t := l.set.templates[n.Text()]
		if t == nil {
			hint := "a template with problems counts as missing"
			if near := schemas.Nearest(n.Text(), slices.Sorted(maps.Keys(l.set.templates))); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			l.add(n.Problem(fmt.Sprintf("there is no template %q", n.Text()), hint))
			continue
		}
		r.Template = t
		l.set.rules = append(l.set.rules, r)
	}
	slices.SortFunc(l.set.rules, func(a, b *Rule) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID, b.ID)) })
	l.set.index = newIndex(l.set.rules)
}
