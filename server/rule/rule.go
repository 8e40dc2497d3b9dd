// Package rule decides which alarms become incidents, and of what sort: rules are conditions over the fields of an alarm, each names a
// template, and a template says what the incident is like. A thousand rules do not cost a thousand evaluations: an index over conditions that
// must hold leaves the few that may match.
package rule

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/server/expr"
)

// Rule is a compiled rule.
type Rule struct {
	ID          string
	Title       string
	Description string
	File        string
	Line        int
	Template    *Template
	Order       int  // lower ones are tried first
	Continue    bool // later rules are tried too
	Disabled    bool // it is checked, but never matches
	By          []string
	Window      time.Duration // alarms with the same values at By within it join the open incident

	when *expr.Program
}

// When is the condition as CEL; that of `match` is written out.
func (r *Rule) When() string { return r.when.String() }

// Template is a compiled incident template.
type Template struct {
	ID          string
	Description string
	File        string
	Type        string
	Category    string
	Severity    string // a word, or FromAlarm
	Queue       string
	TLP         string
	Attack      []string
	Artifacts   []ArtifactSpec // sorted by name
	Runbook     string
	Autorun     bool
	Respond     time.Duration // service levels; 0: none
	Contain     time.Duration

	title, summary *expr.Template
}

// FromAlarm, as the severity of a template, takes over that of the alarm.
const FromAlarm = "from-alarm"

// ArtifactSpec says where an artifact comes from.
type ArtifactSpec struct {
	Name string
	Path string // in the alarm
	Kind string // ip, domain, url, hash, user, host, process, port, mail, file, mac, number, text
}

// Artifact is a value that was taken from an alarm.
type Artifact struct {
	Name  string
	Kind  string
	Value any
}

// Match is one rule that an alarm matches, with all that its incident needs.
type Match struct {
	Rule     string
	Template *Template
	// Key joins alarms: equal for those whose values at the rule's dedupe paths are equal; empty if the rule does not say or the alarm has
	// none of the values. Window is how long it holds.
	Key       string
	Window    time.Duration
	Title     string
	Summary   string
	Severity  string
	Artifacts []Artifact
}

// Warning is a rule that could not be evaluated for an alarm.
type Warning struct {
	Rule string
	Err  error
}

// Error names the rule.
func (w Warning) Error() string { return fmt.Sprintf("rule %s: %v", w.Rule, w.Err) }

// Unwrap gives the cause.
func (w Warning) Unwrap() error { return w.Err }

// Set is a set of rules and templates. It is immutable and may be used by many goroutines.
type Set struct {
	rules     []*Rule // in the order in which they are tried
	templates map[string]*Template
	index     index
}

// Rules lists the rules in the order in which they are tried.
func (s *Set) Rules() []*Rule { return slices.Clone(s.rules) }

// Template gives a template by id.
func (s *Set) Template(id string) (*Template, bool) {
	t, ok := s.templates[id]
	return t, ok
}

// Templates lists the templates by id.
func (s *Set) Templates() []*Template {
	return slices.SortedFunc(maps.Values(s.templates), func(a, b *Template) int { return cmp.Compare(a.ID, b.ID) })
}

// Match gives the rules that an alarm, as a document, matches: the first in order, and those after rules that say continue. A rule that
// cannot be evaluated does not match and does not stop the others; it comes back as a Warning.
func (s *Set) Match(ctx context.Context, doc map[string]any) ([]Match, []Warning) {
	return s.match(ctx, doc, s.index.candidates(doc))
}

func (s *Set) match(ctx context.Context, doc map[string]any, candidates []int) (matches []Match, warnings []Warning) {
	for _, i := range candidates {
		r := s.rules[i]
		if r.Disabled {
			continue
		}
		ok, err := r.when.Bool(ctx, doc)
		if err != nil {
			warnings = append(warnings, Warning{r.ID, err})
			continue
		}
		if !ok {
			continue
		}
		m, err := s.filled(ctx, r, doc)
		if err != nil {
			warnings = append(warnings, Warning{r.ID, err})
		}
		matches = append(matches, m)
		if !r.Continue {
			break
		}
	}
	return matches, warnings
}

// filled makes the match of a rule. What goes wrong with its words is told, but loses no incident.
func (s *Set) filled(ctx context.Context, r *Rule, doc map[string]any) (Match, error) {
	t := r.Template
	m := Match{Rule: r.ID, Template: t, Severity: t.Severity, Window: r.Window, Key: key(doc, r.By)}
	if t.Severity == FromAlarm {
		m.Severity = "unknown"
		if name, ok := lookup(doc, "severity.name").(string); ok && name != "" {
			m.Severity = name
		}
	}
	for _, a := range t.Artifacts {
		if v := lookup(doc, a.Path); v != nil && v != "" {
			m.Artifacts = append(m.Artifacts, Artifact{Name: a.Name, Kind: a.Kind, Value: v})
		}
	}
	title, err := t.title.Eval(ctx, doc)
	m.Title = expr.Text(title)
	if err != nil {
		m.Title = t.ID
	}
	summary, err2 := t.summary.Eval(ctx, doc)
	m.Summary = expr.Text(summary)
	return m, cmp.Or(err, err2)
}

// key joins alarms whose values at the paths are equal.
func key(doc map[string]any, by []string) string {
	values := make([]any, len(by))
	found := false
	for i, path := range by {
		values[i] = lookup(doc, path)
		found = found || values[i] != nil
	}
	if !found {
		return ""
	}
	data, err := json.Marshal(values)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// lookup finds the value at a dotted path. A key that has dots itself is found too.
func lookup(doc map[string]any, path string) any {
	for {
		if v, ok := doc[path]; ok {
			return v
		}
		head, rest, ok := strings.Cut(path, ".")
		inner, isObject := doc[head].(map[string]any)
		if !ok || !isObject {
			return nil
		}
		doc, path = inner, rest
	}
}
