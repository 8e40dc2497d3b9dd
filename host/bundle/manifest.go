package bundle

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/schemas/sorts"
)

// compiled are the schemas of a manifest.
type compiled struct {
	settings            *schemas.Schema
	parameters, results map[string]*schemas.Schema
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

func parseManifest(raw []byte) (*abi.Manifest, *compiled, error) {
	report := &problems{}
	m := decodeManifest(raw, report)
	if report.err() != nil {
		return nil, nil, report.err()
	}
	c := &checker{m: m, settings: headOf(m.Settings), report: report}
	ids := map[string]bool{}
	for i := range m.Requires {
		where := "$.requires[" + strconv.Itoa(i) + "]"
		if ids[m.Requires[i].ID] {
			report.add(where+".id", "the id occurs twice", "")
		}
		ids[m.Requires[i].ID] = true
		c.requirement(&m.Requires[i], where)
	}
	out := &compiled{settings: c.schema(m.Settings, "$.settings"), parameters: map[string]*schemas.Schema{}, results: map[string]*schemas.Schema{}}
	for _, name := range keysOf(m.Actions) {
		action, where := m.Actions[name], "$.actions."+name
		out.parameters[name] = c.schema(action.Parameters, where+".parameters")
		out.results[name] = c.schema(action.Result, where+".result")
		c.action(&action, where)
	}
	if err := report.err(); err != nil {
		return nil, nil, err
	}
	return m, out, nil
}

// decodeManifest reads a manifest whose form is that of its schema.
func decodeManifest(raw []byte, report *problems) *abi.Manifest {
	if len(raw) > MaxManifest {
		report.add("$", "the manifest is larger than 256 KiB", "")
		return nil
	}
	document, err := decodeValue(raw)
	if err != nil {
		report.add("$", err.Error(), "")
		return nil
	}
	if err := findTwice(json.NewDecoder(bytes.NewReader(raw)), "$", report); err != nil {
		report.add("$", err.Error(), "")
	}
	report.addFindings(schemas.Validate("manifest", document), "$")
	m := &abi.Manifest{}
	if err := json.Unmarshal(raw, m); err != nil && report.err() == nil {
		report.add("$", err.Error(), "")
	}
	return m
}

// checker goes through a manifest whose form is right, and looks whether its parts fit together.
type checker struct {
	m        *abi.Manifest
	settings schemaHead
	report   *problems
}

var (
	settingRef   = regexp.MustCompile(`\{settings\.([^{}]*)\}`)
	parameterRef = regexp.MustCompile(`\{(parameters|result)\.([^{}]*)\}`)
)

func (c *checker) schema(raw json.RawMessage, where string) *schemas.Schema {
	s, err := compileSchema(strings.TrimPrefix(where, "$."), raw)
	if err != nil {
		c.report.add(where, "not a usable JSON Schema: "+err.Error(), "")
	}
	return s
}

func (c *checker) requirement(r *abi.Requirement, where string) {
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

func (c *checker) auth(a *abi.Auth, where string) {
	c.setting(a.Secret, where+".secret")
	if property, ok := c.settings.Properties[a.Secret]; ok && property.Format != "secret" {
		c.report.add(where+".secret", "the setting "+a.Secret+" has not the format secret", "a secret must never reach the guest: add format: secret")
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

func (c *checker) action(a *abi.Action, where string) {
	for i, id := range a.Uses {
		if !slices.ContainsFunc(c.m.Requires, func(r abi.Requirement) bool { return r.ID == id }) {
			c.report.add(where+".uses["+strconv.Itoa(i)+"]", "no capability "+strconv.Quote(id)+" is required", "name the id of one under requires")
		}
	}
	parameters := headOf(a.Parameters).Properties
	if p, ok := parameters[a.Expires]; a.Expires != "" && (!ok || p.Type != "integer") {
		c.report.add(where+".expires", "expected the name of a parameter of type integer", nearest(a.Expires, keysOf(parameters)))
	}
	if a.Sort != "" {
		if err := sorts.Check(a.Sort, a.Result); err != nil {
			c.report.add(where+".result", "does not satisfy the sort "+a.Sort+": "+strings.ReplaceAll(err.Error(), "\n", "; "), "")
		}
	}
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
	for _, name := range keysOf(inverse.With) {
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
