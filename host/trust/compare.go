package trust

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Change is one difference between what was granted and what is asked for.
type Change struct {
	Wider bool   `json:"wider"` // needs somebody's word
	Text  string `json:"text"`
}

// Widens says whether any of the changes asks for more.
func Widens(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Wider })
}

// Compare tells how what is asked for now differs from what was granted. What cannot be shown to be less counts as more.
func Compare(granted, now Asks) []Change {
	c := &comparison{}
	old := byID(granted.Requires)
	for i := range now.Requires {
		r := &now.Requires[i]
		c.at = r.ID
		if was := old[r.ID]; was == nil || was.Kind != r.Kind {
			c.list = append(c.list, Change{true, "new capability " + words(r)})
		} else {
			c.requirement(was, r)
		}
	}
	kept := byID(now.Requires)
	for i := range granted.Requires {
		if r := &granted.Requires[i]; kept[r.ID] == nil {
			c.list = append(c.list, Change{false, "no longer asks for " + words(r)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.Actions)) {
		c.at = "action " + name
		c.action(granted.Actions, name, now.Actions[name])
	}
	for _, name := range slices.Sorted(maps.Keys(granted.Actions)) {
		if _, ok := now.Actions[name]; !ok {
			c.list = append(c.list, Change{false, "no longer has the action " + name})
		}
	}
	return c.list
}

func byID(list []abi.Requirement) map[string]*abi.Requirement {
	m := map[string]*abi.Requirement{}
	for i := range list {
		m[list[i].ID] = &list[i]
	}
	return m
}

// comparison collects the changes at one capability or action after the other.
type comparison struct {
	at   string
	list []Change
}

func (c *comparison) add(wider bool, format string, args ...any) {
	c.list = append(c.list, Change{wider, clean(c.at + ": " + fmt.Sprintf(format, args...))})
}

// requirement compares every field of a capability but its reason; a test holds it to that.
func (c *comparison) requirement(was, now *abi.Requirement) {
	if was.URL != now.URL {
		c.add(!coversURL(was.URL, now.URL), "URL %s, was %s", now.URL, was.URL)
	}
	c.methods(was.Methods, now.Methods)
	c.number("redirects", int64(was.Redirects), int64(now.Redirects))
	if authWords(was.Auth) != authWords(now.Auth) {
		c.add(now.Auth != nil, "credentials: %s, was %s", authOrNone(now.Auth), authOrNone(was.Auth))
	}
	c.set("names", was.Names, now.Names)
	c.set("record types", was.Types, now.Types)
	c.set("addresses", was.Addresses, now.Addresses)
	c.word("server", was.Server, now.Server)
	c.word("driver", was.Driver, now.Driver)
	c.word("database", was.Database, now.Database)
	c.word("sender", was.From, now.From)
	if was.TLS != now.TLS {
		c.add(now.TLS != "on" && now.TLS != "starttls", "TLS %s, was %s", cmp.Or(now.TLS, "by default"), cmp.Or(was.TLS, "by default"))
	}
	c.statements(was.Statements, now.Statements)
	c.recipients(was.Recipients, now.Recipients)
	c.number("rows", int64(was.MaxRows), int64(now.MaxRows))
	c.number("bytes", was.MaxBytes, now.MaxBytes)
}

func authOrNone(a *abi.Auth) string {
	if a == nil {
		return "none"
	}
	return strings.TrimPrefix(authWords(a), "; with ")
}

func (c *comparison) methods(was, now map[string]abi.Effect) {
	for _, m := range slices.Sorted(maps.Keys(now)) {
		switch before, ok := was[m]; {
		case !ok:
			c.add(true, "new method %s, %s", m, effectWords(now[m]))
		case before != now[m]:
			c.add(rank(now[m]) > rank(before), "%s %s, was: %s", m, effectWords(now[m]), effectWords(before))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(was)) {
		if _, ok := now[m]; !ok {
			c.add(false, "method %s is no longer asked for", m)
		}
	}
}

// set compares lists whose order does not matter.
func (c *comparison) set(name string, was, now []string) {
	if added := without(now, was); len(added) > 0 {
		c.add(!slices.Contains(was, "*"), "new %s %s", name, strings.Join(added, ", "))
	} else if len(now) == 0 && len(was) > 0 {
		c.add(true, "%s are no longer limited to %s", name, strings.Join(was, ", "))
		return
	}
	if removed := without(was, now); len(removed) > 0 {
		c.add(false, "%s %s are no longer asked for", name, strings.Join(removed, ", "))
	}
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}

func (c *comparison) word(name, was, now string) {
	if was != now {
		c.add(true, "%s %s, was %s", name, cmp.Or(now, "by default"), cmp.Or(was, "by default"))
	}
}

// number compares limits, of which zero is the host's default.
func (c *comparison) number(name string, was, now int64) {
	if was != now {
		c.add(now > was || now == 0 && name != "redirects", "up to %d %s, was %d", now, name, was)
	}
}

func (c *comparison) recipients(was, now json.RawMessage) {
	var before, after []string
	if json.Unmarshal(was, &before) == nil && json.Unmarshal(now, &after) == nil {
		c.set("recipients", before, after)
	} else if !sameJSON(was, now) {
		c.add(true, "recipients %s, was %s", raw(now), raw(was))
	}
}

func (c *comparison) statements(was, now json.RawMessage) {
	var before, after map[string]json.RawMessage
	if json.Unmarshal(was, &before) != nil || json.Unmarshal(now, &after) != nil {
		if !sameJSON(was, now) {
			c.add(true, "statements %s, was %s", raw(now), raw(was))
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if old, ok := before[name]; !ok {
			c.add(true, "new statement %s: %s", name, raw(after[name]))
		} else if !sameJSON(old, after[name]) {
			c.add(true, "statement %s: %s, was %s", name, raw(after[name]), raw(old))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[name]; !ok {
			c.add(false, "statement %s is no longer asked for", name)
		}
	}
}

func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(canonical(a), canonical(b))
}

// canonical writes JSON without blanks and with sorted keys; what is no JSON stays as it is.
func canonical(v json.RawMessage) []byte {
	var value any
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return v
	}
	out, err := json.Marshal(value)
	if err != nil {
		return v
	}
	return out
}

// action compares an action. A new one is not wider by itself: no runbook calls it yet, and it can use what was granted only.
func (c *comparison) action(granted map[string]Act, name string, now Act) {
	was, ok := granted[name]
	if !ok {
		c.list = append(c.list, Change{false, "new action " + name + ": " + now.words()})
		return
	}
	if was.Kind != now.Kind {
		c.add(true, "%s, was %s", now.Kind, was.Kind)
	}
	if was.Effect != now.Effect {
		c.add(rank(now.Effect) > rank(was.Effect), "%s, was: %s", effectWords(now.Effect), effectWords(was.Effect))
	}
	if added := without(now.Uses, was.Uses); len(added) > 0 {
		c.add(true, "uses %s as well", strings.Join(added, ", "))
	}
}

// coversURL says whether a pattern lies within another one for sure: the same, or below a prefix that ends in "/**".
func coversURL(was, now string) bool {
	prefix, ok := strings.CutSuffix(was, "/**")
	rest, inside := strings.CutPrefix(now, prefix+"/")
	return ok && inside && !strings.ContainsAny(rest, "{}%\\") && !strings.Contains("/"+rest+"/", "/../")
}
