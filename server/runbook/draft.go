package runbook

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
)

type node = document.Node

// fileDoc is a runbook file as it is written.
type fileDoc struct {
	Runbook     string   `yaml:"runbook,required"`
	Version     int      `yaml:"version,required"`
	Title       string   `yaml:"title"`
	Description string   `yaml:"description"`
	Labels      []string `yaml:"labels"`
	Inputs      *node    `yaml:"inputs"`
	Defaults    *node    `yaml:"defaults"`
	Guards      *node    `yaml:"guards"`
	Steps       *node    `yaml:"steps,required"`
	Outputs     *node    `yaml:"outputs"`
	OnFailure   *node    `yaml:"on_failure"`
	Runbooks    *node    `yaml:"runbooks"`
}

// scopeDoc is a private runbook.
type scopeDoc struct {
	Description string `yaml:"description"`
	Inputs      *node  `yaml:"inputs"`
	Steps       *node  `yaml:"steps,required"`
	Outputs     *node  `yaml:"outputs"`
}

// stepDoc is a step; which keys go together is checked afterwards.
type stepDoc struct {
	ID          *node `yaml:"id"`
	Title       *node `yaml:"title"`
	Uses        *node `yaml:"uses"`
	Call        *node `yaml:"call"`
	Parallel    *node `yaml:"parallel"`
	Foreach     *node `yaml:"foreach"`
	Decide      *node `yaml:"decide"`
	Set         *node `yaml:"set"`
	Approve     *node `yaml:"approve"`
	Wait        *node `yaml:"wait"`
	End         *node `yaml:"end"`
	Fail        *node `yaml:"fail"`
	Needs       *node `yaml:"needs"`
	If          *node `yaml:"if"`
	Then        *node `yaml:"then"`
	With        *node `yaml:"with"`
	Connector   *node `yaml:"connector"`
	Timeout     *node `yaml:"timeout"`
	Retry       *node `yaml:"retry"`
	Cache       *node `yaml:"cache"`
	TTL         *node `yaml:"ttl"`
	Verify      *node `yaml:"verify"`
	Approval    *node `yaml:"approval"`
	Key         *node `yaml:"idempotency_key"`
	OnError     *node `yaml:"on_error"`
	As          *node `yaml:"as"`
	Concurrency *node `yaml:"concurrency"`
	Limit       *node `yaml:"limit"`
	OnItemError *node `yaml:"on_item_error"`
}

// draft is a step on its way from the document to its compiled form.
type draft struct {
	*Step
	doc      stepDoc
	node     *node
	children []*draft
	parent   *draft // of a child of parallel
	cases    []caseDoc
	explicit bool // needs are written out
	// before holds the steps that may have ended when this one starts; see order.
	before map[string]bool
}

type caseDoc struct {
	When *node  `yaml:"when"`
	Else *node  `yaml:"else"`
	Then *node  `yaml:"then"`
	Note string `yaml:"note"`
}

type retryDoc struct {
	Attempts int           `yaml:"attempts"`
	Delay    time.Duration `yaml:"delay"`
	Backoff  *float64      `yaml:"backoff"`
	MaxDelay time.Duration `yaml:"max_delay"`
	On       []*node       `yaml:"on"`
}

type defaultsDoc struct {
	Timeout time.Duration `yaml:"timeout"`
	Retry   *node         `yaml:"retry"`
}

// defaults are what steps have that do not say otherwise.
type defaults struct {
	timeout time.Duration
	retry   Retry
}

var (
	idPattern   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// drafter turns documents into drafts and collects what is wrong.
type drafter struct {
	problems document.Problems
	defaults defaults
}

func (d *drafter) add(p ...document.Problem) { d.problems = append(d.problems, p...) }

func (d *drafter) decode(n *node, out any) bool {
	ps := n.Decode(out)
	d.add(ps...)
	return len(ps) == 0
}

func (d *drafter) readDefaults(n *node) {
	if n == nil {
		return
	}
	var doc defaultsDoc
	if d.decode(n, &doc) {
		d.defaults.timeout = doc.Timeout
		if doc.Retry != nil {
			d.defaults.retry = d.retry(doc.Retry)
		}
	}
}

// steps reads a list of steps. anonymous ones are given the ids prefix_1, prefix_2 …; prefix "" demands ids.
func (d *drafter) steps(n *node, prefix string) []*draft {
	if n == nil {
		return nil
	}
	if n.Kind != document.List {
		d.add(n.Problem(fmt.Sprintf("a list of steps is expected here, this is %s", n.Kind), ""))
		return nil
	}
	var out []*draft
	for i, item := range n.Items {
		if s := d.step(item, prefix, i+1); s != nil {
			out = append(out, s)
		}
	}
	return out
}

func (d *drafter) step(n *node, prefix string, number int) *draft {
	s := &draft{Step: &Step{Line: n.Line}, node: n}
	before := len(d.problems)
	if !d.decode(n, &s.doc) && n.Kind != document.Map {
		return nil
	}
	s.ID, s.Title = s.doc.ID.Text(), s.doc.Title.Text()
	switch {
	case s.doc.ID == nil && prefix != "":
		s.ID = fmt.Sprintf("%s_%d", prefix, number)
	case s.doc.ID == nil:
		d.add(n.Problem("the step has no id", "give it one: id: what_it_does"))
		s.ID = fmt.Sprintf("line_%d", n.Line)
	case !idPattern.MatchString(s.ID):
		d.add(s.doc.ID.Problem(fmt.Sprintf("%q cannot be the id of a step", s.ID), "small letters, digits and _ after a letter"))
	case s.ID == ThenEnd || s.ID == ThenFail:
		d.add(s.doc.ID.Problem(fmt.Sprintf("%q cannot be the id of a step: it has a meaning in then", s.ID), ""))
	}
	d.kind(s)
	if s.Kind == "" {
		if len(d.problems) == before {
			d.add(n.Problem("the step does nothing", "give it one of: uses, call, parallel, foreach, decide, set, approve, wait, end, fail"))
		}
		return s
	}
	d.common(s)
	d.misplaced(s)
	return s
}

// kind finds out what the step does: exactly one of the keys that say so may stand there, but foreach goes with uses or call.
func (d *drafter) kind(s *draft) {
	does := []struct {
		kind Kind
		n    *node
	}{
		{KindForeach, s.doc.Foreach}, {KindUses, s.doc.Uses}, {KindCall, s.doc.Call}, {KindParallel, s.doc.Parallel},
		{KindDecide, s.doc.Decide}, {KindSet, s.doc.Set}, {KindApprove, s.doc.Approve}, {KindWait, s.doc.Wait},
		{KindEnd, s.doc.End}, {KindFail, s.doc.Fail},
	}
	for _, k := range does {
		switch {
		case k.n == nil:
		case s.Kind == "":
			s.Kind = k.kind
		case s.Kind == KindForeach && (k.kind == KindUses || k.kind == KindCall) && (s.doc.Uses == nil || s.doc.Call == nil):
		default:
			d.add(s.node.KeyProblem(string(k.kind), fmt.Sprintf("a step does one thing: this one has %s already", s.Kind), "make two steps of it"))
		}
	}
	if s.Kind == KindForeach && s.doc.Uses == nil && s.doc.Call == nil {
		d.add(s.node.KeyProblem("foreach", "foreach needs a uses or a call that it repeats", ""))
	}
}

// common reads the keys that need no expressions.
func (d *drafter) common(s *draft) {
	s.OnError = OnErrorFail
	if s.doc.Uses != nil {
		s.Timeout, s.Retry = d.defaults.timeout, d.defaults.retry
	}
	d.duration(s.doc.Timeout, &s.Timeout)
	d.duration(s.doc.Cache, &s.Cache)
	if s.doc.Retry != nil {
		s.Retry = d.retry(s.doc.Retry)
	}
	d.word(s.doc.OnError, &s.OnError, OnErrorFail, OnErrorContinue)
	if s.doc.Needs != nil {
		s.explicit = true
		s.Needs = d.words(s.doc.Needs)
	}
	s.Then = s.doc.Then.Text()
	switch s.Kind {
	case KindParallel:
		s.children = d.steps(s.doc.Parallel, "")
		for _, c := range s.children {
			d.child(s, c)
		}
	case KindDecide:
		d.cases(s)
	}
}

func (d *drafter) child(parent, c *draft) {
	c.parent = parent
	switch {
	case c.Kind == KindDecide || c.Kind == KindEnd || c.Kind == KindFail:
		d.add(c.node.Problem(fmt.Sprintf("a %s cannot stand inside parallel", c.Kind), "put it after the parallel step"))
	case c.doc.Then != nil:
		d.add(c.doc.Then.Problem("a step inside parallel cannot have then", "put it after the parallel step"))
	case c.explicit:
		d.add(c.doc.Needs.Problem("the steps inside parallel start together, they cannot have needs", "put the step after the parallel step"))
	}
}

func (d *drafter) cases(s *draft) {
	if s.doc.Decide.Kind != document.List {
		d.add(s.doc.Decide.Problem(fmt.Sprintf("a list of cases is expected here, this is %s", s.doc.Decide.Kind), "- {when: …, then: …}"))
		return
	}
	for i, item := range s.doc.Decide.Items {
		var c caseDoc
		if !d.decode(item, &c) {
			continue
		}
		switch {
		case c.Else != nil && (c.When != nil || c.Then != nil):
			d.add(item.Problem("else stands alone: it names the step to go on with", "- else: step_id"))
		case c.Else != nil && i != len(s.doc.Decide.Items)-1:
			d.add(item.Problem("else must be the last case", ""))
		case c.Else == nil && (c.When == nil || c.Then == nil):
			d.add(item.Problem("a case has when and then, or else", "- {when: …, then: step_id}"))
		default:
			s.cases = append(s.cases, c)
		}
	}
}

// goal is the step that the case chooses.
func (c caseDoc) goal() *node {
	if c.Else != nil {
		return c.Else
	}
	return c.Then
}

// misplaced reports keys that mean nothing for this kind of step: they are mistakes, and to ignore them would hide these.
func (d *drafter) misplaced(s *draft) {
	acts := s.doc.Uses != nil
	repeats := s.Kind == KindForeach
	hasWith := acts || s.doc.Call != nil
	for _, k := range []struct {
		key     string
		n       *node
		allowed bool
		where   string
	}{
		{"with", s.doc.With, hasWith, "uses or call"},
		{"connector", s.doc.Connector, acts, "uses"},
		{"retry", s.doc.Retry, acts, "uses"},
		{"timeout", s.doc.Timeout, acts, "uses"},
		{"cache", s.doc.Cache, acts, "uses"},
		{"ttl", s.doc.TTL, acts, "uses"},
		{"verify", s.doc.Verify, acts, "uses"},
		{"approval", s.doc.Approval, acts, "uses"},
		{"idempotency_key", s.doc.Key, acts, "uses"},
		{"as", s.doc.As, repeats, "foreach"},
		{"concurrency", s.doc.Concurrency, repeats, "foreach"},
		{"limit", s.doc.Limit, repeats, "foreach"},
		{"on_item_error", s.doc.OnItemError, repeats, "foreach"},
		{"then", s.doc.Then, s.Kind != KindDecide && s.Kind != KindEnd && s.Kind != KindFail, "a step that is no decide, end or fail"},
		{"on_error", s.doc.OnError, s.Kind != KindDecide && s.Kind != KindEnd && s.Kind != KindFail, "a step that can fail"},
	} {
		if k.n != nil && !k.allowed {
			d.add(s.node.KeyProblem(k.key, fmt.Sprintf("%s has no meaning for steps of kind %s", k.key, s.Kind), "it belongs to "+k.where))
		}
	}
}

func (d *drafter) duration(n *node, into *time.Duration) {
	if n == nil {
		return
	}
	t, err := schemas.ParseDuration(n.Text())
	if err != nil {
		d.add(n.Problem(fmt.Sprintf("a duration is expected here, this is %s", shown(n)), "write it with its unit, such as 30s, 15m, 24h or 7d"))
		return
	}
	*into = t
}

func shown(n *node) string {
	if n.Kind == document.List || n.Kind == document.Map || n.Kind == document.Null {
		return string(n.Kind)
	}
	return fmt.Sprintf("%q", fmt.Sprint(n.Scalar))
}

func (d *drafter) word(n *node, into *string, allowed ...string) {
	if n == nil {
		return
	}
	if n.Kind == document.String && slices.Contains(allowed, n.Text()) {
		*into = n.Text()
		return
	}
	hint := ""
	if near := schemas.Nearest(n.Text(), allowed); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.add(n.Problem(fmt.Sprintf("%s is not one of: %s", shown(n), strings.Join(allowed, ", ")), hint))
}

func (d *drafter) words(n *node) []string {
	out := []string{}
	d.decode(n, &out)
	return out
}

func (d *drafter) positive(n *node, into *int) {
	if n == nil {
		return
	}
	if i, ok := n.Scalar.(int64); ok && i > 0 && i <= 1_000_000 {
		*into = int(i)
		return
	}
	d.add(n.Problem(fmt.Sprintf("a whole number above 0 is expected here, this is %s", shown(n)), ""))
}

func (d *drafter) retry(n *node) Retry {
	var doc retryDoc
	if !d.decode(n, &doc) {
		return Retry{}
	}
	r := Retry{Attempts: doc.Attempts, Delay: doc.Delay, Backoff: 1, MaxDelay: doc.MaxDelay}
	if doc.Backoff != nil {
		r.Backoff = *doc.Backoff
	}
	if r.Attempts < 1 || r.Attempts > 100 {
		d.add(n.KeyProblem("attempts", "attempts is the number of tries, the first one too: from 1 to 100", ""))
	}
	if r.Backoff < 1 || r.Backoff > 100 {
		d.add(n.KeyProblem("backoff", "backoff is the factor for each further delay: from 1 to 100", ""))
	}
	kinds := []string{string(abi.Timeout), string(abi.Unavailable), string(abi.RateLimited), string(abi.Unauthorized), string(abi.NotFound),
		string(abi.Conflict), string(abi.Failed), string(abi.Limit), string(abi.Trap)}
	for _, on := range doc.On {
		var kind string
		d.word(on, &kind, kinds...)
		r.On = append(r.On, abi.Kind(kind))
	}
	if len(doc.On) == 0 {
		r.On = []abi.Kind{abi.Timeout, abi.Unavailable, abi.RateLimited}
	}
	return r
}
