package bundle

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// The schemas of a manifest, compiled.
type schemas struct {
	settings   *Schema
	parameters map[string]*Schema
	results    map[string]*Schema
}

// schemaHead is what the checks below read of a JSON Schema.
type schemaHead struct {
	Type       any                   `json:"type"`
	Format     string                `json:"format"`
	Target     bool                  `json:"target"`
	Properties map[string]schemaHead `json:"properties"`
}

func headOf(raw json.RawMessage) schemaHead {
	var head schemaHead
	_ = json.Unmarshal(raw, &head) // what cannot be read is found when the schema is compiled
	return head
}

// ParseManifest decodes and checks a manifest. The error joins one *abi.Fault for each thing that is wrong, with its JSON path.
func ParseManifest(raw []byte) (*abi.Manifest, error) {
	m, _, err := parseManifest(raw)
	return m, err
}

func parseManifest(raw []byte) (*abi.Manifest, *schemas, error) {
	report := &problems{}
	if len(raw) > MaxManifest {
		report.add("$", "the manifest is larger than 1 MiB", "")
		return nil, nil, report.err()
	}
	m := &abi.Manifest{}
	decodeStrict(raw, m, report)
	if report.err() != nil {
		return nil, nil, report.err()
	}
	c := &checker{m: m, settings: headOf(m.Settings), report: report}
	c.head()
	ids := map[string]bool{}
	for i := range m.Requires {
		where := "$.requires[" + strconv.Itoa(i) + "]"
		if ids[m.Requires[i].ID] {
			report.add(where+".id", "the id occurs twice", "")
		}
		ids[m.Requires[i].ID] = true
		c.requirement(&m.Requires[i], where)
	}
	compiled := &schemas{parameters: map[string]*Schema{}, results: map[string]*Schema{}}
	compiled.settings = c.schema(m.Settings, "$.settings")
	if len(m.Actions) == 0 {
		report.add("$.actions", "a plugin has at least one action", "")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Actions)) {
		action, where := m.Actions[name], "$.actions."+name
		compiled.parameters[name] = c.schema(action.Parameters, where+".parameters")
		compiled.results[name] = c.schema(action.Result, where+".result")
		c.action(name, &action, where)
	}
	if err := report.err(); err != nil {
		return nil, nil, err
	}
	return m, compiled, nil
}

// checker goes through a manifest whose shape is right.
type checker struct {
	m        *abi.Manifest
	settings schemaHead
	report   *problems
}

var (
	nameForm      = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	idForm        = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	sortForm      = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)
	versionForm   = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	settingRef    = regexp.MustCompile(`\{settings\.([^{}]*)\}`)
	parameterRef  = regexp.MustCompile(`\{(parameters|result)\.([^{}]*)\}`)
	injectForm    = regexp.MustCompile(`^(bearer|password|basic|(header|basic|query|form|json):.+)$`)
	effects       = []string{string(abi.Pure), string(abi.Read), string(abi.Idempotent), string(abi.Keyed), string(abi.Unsafe)}
	actionKinds   = []string{string(abi.Enrich), string(abi.Investigate), string(abi.Contain), string(abi.Release), string(abi.Notify), string(abi.Ingest)}
	needsByKind   = map[string]string{"http": "url and methods", "dns": "names and types", "tcp": "addresses", "sql": "driver, server and statements", "mail": "server, from and recipients", "kv": "max_bytes"}
	capabilityIDs = []string{"http", "dns", "tcp", "sql", "mail", "kv"}
)

func (c *checker) head() {
	if !nameForm.MatchString(c.m.Plugin) || len(c.m.Plugin) > 64 {
		c.report.add("$.plugin", "a name has lower case letters, digits and single dashes", "for example: palo-alto")
	}
	if !versionForm.MatchString(c.m.Version) {
		c.report.add("$.version", "expected a semantic version", "for example: 1.2.0")
	}
	if c.m.Title == "" {
		c.report.add("$.title", "is missing", "name the product as people know it")
	}
}

func (c *checker) schema(raw json.RawMessage, where string) *Schema {
	s, err := compileSchema(raw)
	if err != nil {
		c.report.add(where, "not a usable JSON Schema: "+err.Error(), "")
	}
	if head := headOf(raw); len(raw) > 0 && head.Type != "object" && !strings.HasSuffix(where, ".result") {
		c.report.add(where+".type", "must be object", "")
	}
	return s
}

func (c *checker) requirement(r *abi.Requirement, where string) {
	if !idForm.MatchString(r.ID) {
		c.report.add(where+".id", "expected lower case letters, digits, dashes and underscores", "")
	}
	if r.Reason == "" {
		c.report.add(where+".reason", "is missing", "say in a few words what it is for; the operator reads it before granting")
	}
	has := map[string]bool{
		"http": r.URL != "" && len(r.Methods) > 0, "dns": len(r.Names) > 0 && len(r.Types) > 0, "tcp": len(r.Addresses) > 0,
		"sql": r.Driver != "" && r.Server != "" && len(r.Statements) > 0, "mail": r.Server != "" && r.From != "" && len(r.Recipients) > 0, "kv": r.MaxBytes > 0,
	}
	if complete, ok := has[r.Kind]; !ok {
		c.report.add(where+".kind", "unknown kind of capability", nearest(r.Kind, capabilityIDs))
	} else if !complete {
		c.report.add(where, "a capability of kind "+r.Kind+" needs "+needsByKind[r.Kind], "")
	}
	for method, effect := range r.Methods {
		c.effect(effect, where+".methods."+method)
	}
	c.statements(r.Statements, where+".statements")
	if r.Auth != nil {
		c.auth(r.Auth, where+".auth")
	}
	raw, err := json.Marshal(r)
	if err != nil {
		c.report.add(where, err.Error(), "")
	}
	for _, match := range settingRef.FindAllSubmatch(raw, -1) {
		c.setting(string(match[1]), where)
	}
}

func (c *checker) statements(raw json.RawMessage, where string) {
	var named map[string]abi.Statement
	if len(raw) == 0 || raw[0] != '{' {
		return // a reference to a setting
	}
	report := &problems{}
	decodeStrict(raw, &named, report)
	for _, err := range report.list {
		f := abi.AsFault(err)
		c.report.add(where+strings.TrimPrefix(f.Where, "$"), f.Message, f.Hint)
	}
	for name, s := range named {
		if s.SQL == "" {
			c.report.add(where+"."+name+".sql", "is missing", "")
		}
		if s.Effect != "" {
			c.effect(s.Effect, where+"."+name+".effect")
		}
	}
}

func (c *checker) auth(a *abi.Auth, where string) {
	c.setting(a.Secret, where+".secret")
	if property, ok := c.settings.Properties[a.Secret]; ok && property.Format != "secret" {
		c.report.add(where+".secret", "the setting "+a.Secret+" has not the format secret", "a secret must never reach the guest: add format: secret")
	}
	if !injectForm.MatchString(a.Inject) {
		c.report.add(where+".inject", "unknown way to add a secret", "expected header:NAME, bearer, basic:USERSETTING, query:NAME, form:NAME, json:POINTER or password")
	}
	if user, ok := strings.CutPrefix(a.Inject, "basic:"); ok {
		c.setting(user, where+".inject")
	}
	if a.User != "" {
		c.setting(strings.TrimSuffix(strings.TrimPrefix(a.User, "{settings."), "}"), where+".user")
	}
}

// setting checks that a setting of this name is declared; of a path such as tls.name it checks the first part.
func (c *checker) setting(path, where string) {
	name, _, _ := strings.Cut(path, ".")
	if _, ok := c.settings.Properties[name]; !ok {
		c.report.add(where, "the settings have no property "+strconv.Quote(name), nearest(name, keysOf(c.settings.Properties)))
	}
}

func (c *checker) effect(e abi.Effect, where string) {
	if !slices.Contains(effects, string(e)) {
		c.report.add(where, "unknown effect "+strconv.Quote(string(e)), nearest(string(e), effects))
	}
}

func (c *checker) action(name string, a *abi.Action, where string) {
	if !nameForm.MatchString(name) {
		c.report.add(where, "a name has lower case letters, digits and single dashes", "for example: block-ip")
	}
	if !slices.Contains(actionKinds, string(a.Kind)) {
		c.report.add(where+".kind", "unknown kind of action "+strconv.Quote(string(a.Kind)), nearest(string(a.Kind), actionKinds))
	}
	if a.Title == "" {
		c.report.add(where+".title", "is missing", "")
	}
	c.effect(a.Effect, where+".effect")
	if a.Sort != "" && !sortForm.MatchString(a.Sort) {
		c.report.add(where+".sort", "expected words with dots between", "for example: ip.reputation")
	}
	for i, id := range a.Uses {
		if !slices.ContainsFunc(c.m.Requires, func(r abi.Requirement) bool { return r.ID == id }) {
			c.report.add(where+".uses["+strconv.Itoa(i)+"]", "no capability "+strconv.Quote(id)+" is required", "name the id of one under requires")
		}
	}
	parameters := headOf(a.Parameters).Properties
	if p, ok := parameters[a.Expires]; a.Expires != "" && (!ok || p.Type != "integer") {
		c.report.add(where+".expires", "expected the name of a parameter of type integer", nearest(a.Expires, keysOf(parameters)))
	}
	c.limits(&a.Limits, where+".limits")
	if a.Kind == abi.Contain {
		c.contain(a, where)
	}
	if a.Inverse != nil {
		c.inverse(a, where+".inverse")
	}
	if a.Probe != "" {
		c.probe(a, where+".probe")
	}
}

// contain checks what makes a containment safe: we know what it acts on, can ask whether it is in effect, and can undo it.
func (c *checker) contain(a *abi.Action, where string) {
	if !a.Effect.Writes() {
		c.report.add(where+".effect", "a containment writes", "expected write.idempotent, write.keyed or write.unsafe")
	}
	target := false
	for _, p := range headOf(a.Parameters).Properties {
		target = target || p.Target
	}
	if !target {
		c.report.add(where+".parameters", "a containment has a target", "add target: true to the parameter that it acts on")
	}
	if a.Probe == "" {
		c.report.add(where+".probe", "a containment has a probe", "name a read-only action that tells whether it is in effect")
	}
	if a.Inverse == nil {
		c.report.add(where+".inverse", "a containment has an inverse", "name the action that undoes it, or say why there is none: {none: the reason}")
	}
}

func (c *checker) probe(a *abi.Action, where string) {
	probe, ok := c.m.Actions[a.Probe]
	switch {
	case !ok:
		c.report.add(where, "there is no action "+strconv.Quote(a.Probe), nearest(a.Probe, keysOf(c.m.Actions)))
	case probe.Effect.Writes():
		c.report.add(where, "the action "+a.Probe+" writes, a probe must not", "")
	case headOf(probe.Result).Properties["present"].Type != "boolean":
		c.report.add("$.actions."+a.Probe+".result", "the result of a probe has a boolean present", "")
	}
}

func (c *checker) inverse(a *abi.Action, where string) {
	inverse := a.Inverse
	if (inverse.Action == "") == (inverse.None == "") {
		c.report.add(where, "expected either an action or a reason why there is none", "")
		return
	}
	if inverse.None != "" {
		return
	}
	undo, ok := c.m.Actions[inverse.Action]
	if !ok {
		c.report.add(where+".action", "there is no action "+strconv.Quote(inverse.Action), nearest(inverse.Action, keysOf(c.m.Actions)))
		return
	}
	takes := headOf(undo.Parameters).Properties
	gives := map[string]schemaHead{"parameters": headOf(a.Parameters), "result": headOf(a.Result)}
	for _, name := range slices.Sorted(maps.Keys(inverse.With)) {
		if _, ok := takes[name]; !ok {
			c.report.add(where+".with."+name, "the action "+inverse.Action+" has no such parameter", nearest(name, keysOf(takes)))
		}
		for _, match := range parameterRef.FindAllStringSubmatch(inverse.With[name], -1) {
			from := gives[match[1]].Properties
			if _, ok := from[match[2]]; !ok {
				c.report.add(where+".with."+name, "there is no "+match[1]+"."+match[2], nearest(match[2], keysOf(from)))
			}
		}
	}
}

func (c *checker) limits(l *abi.Limits, where string) {
	if d, err := time.ParseDuration(l.Timeout); l.Timeout != "" && (err != nil || d <= 0) {
		c.report.add(where+".timeout", "expected a duration", "for example: 20s")
	}
	if _, err := ParseSize(l.Memory); l.Memory != "" && err != nil {
		c.report.add(where+".memory", err.Error(), "for example: 32MiB")
	}
	if _, err := ParseSize(l.Output); l.Output != "" && err != nil {
		c.report.add(where+".output", err.Error(), "for example: 1MiB")
	}
	if l.HostCalls < 0 {
		c.report.add(where+".host_calls", "must not be negative", "")
	}
}
