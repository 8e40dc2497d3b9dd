package rule

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/server/expr"
)

var (
	techniquePattern = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	artifactPattern  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// The words that a template may use; schemas/template.schema.json has the same.
var (
	severities = []string{FromAlarm, "informational", "low", "medium", "high", "critical", "fatal"}
	tlps       = []string{"CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"}
	kinds      = []string{"ip", "domain", "url", "hash", "user", "host", "process", "port", "mail", "file", "mac", "number", "text"}
)

func (l *loader) template(n *document.Node) *Template {
	var doc templateDoc
	l.add(n.Decode(&doc)...)
	if doc.Template == "" {
		return nil
	}
	_, taken := l.set.templates[doc.Template]
	l.identity(n, "template", doc.Template, taken)
	t := &Template{ID: doc.Template, Description: doc.Description, File: n.File(), Type: doc.Type, Category: doc.Category, Queue: doc.Queue,
		Severity: FromAlarm, Autorun: doc.Autorun, Respond: doc.SLA.Respond, Contain: doc.SLA.Contain,
		title: l.text(doc.Title), summary: l.text(doc.Summary)}
	l.word(doc.Severity, &t.Severity, severities)
	l.word(doc.TLP, &t.TLP, tlps)
	for _, a := range doc.Attack {
		if !techniquePattern.MatchString(a.Text()) {
			l.add(a.Problem("this is not a technique of MITRE ATT&CK", "T1071, or T1071.001"))
		}
		t.Attack = append(t.Attack, a.Text())
	}
	t.Runbook = doc.Runbook.Text()
	switch {
	case doc.Runbook == nil && doc.Autorun:
		l.add(n.KeyProblem("autorun", "there is no runbook to start", "runbook: name"))
	case doc.Runbook != nil && l.opts.Runbooks != nil:
		l.word(doc.Runbook, &t.Runbook, l.opts.Runbooks)
	}
	t.Artifacts = l.artifacts(doc.Artifacts)
	return t
}

func (l *loader) text(n *document.Node) *expr.Template {
	if n == nil {
		return expr.Constant("")
	}
	if n.Kind != document.String {
		l.add(n.Problem(fmt.Sprintf("text is expected here, this is %s", n.Kind), ""))
		return expr.Constant("")
	}
	t, err := l.env.Template(n.Text())
	if err != nil {
		l.place(n, err)
		return expr.Constant("")
	}
	return t
}

func (l *loader) word(n *document.Node, into *string, allowed []string) {
	if n == nil {
		return
	}
	if *into = n.Text(); slices.Contains(allowed, n.Text()) {
		return
	}
	hint := ""
	if near := schemas.Nearest(n.Text(), allowed); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	l.add(n.Problem(fmt.Sprintf("%q is not one of: %s", n.Text(), strings.Join(allowed, ", ")), hint))
}

type artifactDoc struct {
	From *document.Node `yaml:"from,required"`
	Kind *document.Node `yaml:"kind"`
}

func (l *loader) artifacts(n *document.Node) []ArtifactSpec {
	if n == nil {
		return nil
	}
	if n.Kind != document.Map {
		l.add(n.Problem(fmt.Sprintf("a map of artifacts is expected here, this is %s", n.Kind), "artifacts: {src_ip: source.ip}"))
		return nil
	}
	var out []ArtifactSpec
	for _, m := range n.Members {
		if !artifactPattern.MatchString(m.Key) {
			l.add(n.KeyProblem(m.Key, fmt.Sprintf("%q cannot be the name of an artifact", m.Key), "small letters, digits and _ after a letter"))
		}
		doc := artifactDoc{From: m.Value}
		if m.Value.Kind == document.Map {
			doc.From = nil
			l.add(m.Value.Decode(&doc)...)
		}
		if doc.From == nil {
			continue
		}
		a := ArtifactSpec{Name: m.Key, Path: doc.From.Text()}
		if t := l.field(doc.From); t != nil {
			a.Kind = kindOf(a.Path, t)
		}
		l.word(doc.Kind, &a.Kind, kinds)
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b ArtifactSpec) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// kindOf derives the kind of an artifact from the field that it comes from: its format and type in the schema, and its ECS name.
func kindOf(path string, t *expr.Type) string {
	parts := strings.Split(path, ".")
	leaf, owner := parts[len(parts)-1], ""
	if len(parts) > 1 {
		owner = parts[len(parts)-2]
	}
	switch {
	case t.Format() == "ip" || t.Format() == "mac":
		return t.Format()
	case leaf == "port":
		return "port"
	case t.Kind() == expr.Int || t.Kind() == expr.Number:
		return "number"
	case owner == "hash":
		return "hash"
	case leaf == "domain" && owner != "user" || leaf == "registered_domain":
		return "domain"
	case path == "url.full" || path == "url.original" || leaf == "url":
		return "url"
	case leaf == "email" || owner == "from" || owner == "to" || owner == "sender":
		return "mail"
	case owner == "user" && (leaf == "name" || leaf == "id" || leaf == "full_name"):
		return "user"
	case owner == "host" && (leaf == "name" || leaf == "hostname" || leaf == "id"):
		return "host"
	case owner == "process" || owner == "parent":
		return "process"
	case owner == "file":
		return "file"
	}
	return "text"
}
