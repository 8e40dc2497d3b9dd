package harness

import (
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Learned is the least that calls prove a plugin to need, in the words of a manifest.
type Learned struct {
	Requires []abi.Requirement        `json:"requires"`
	Actions  map[string]LearnedAction `json:"actions"`
}

// LearnedAction is what an action needs of it.
type LearnedAction struct {
	Effect abi.Effect `json:"effect"`
	Uses   []string   `json:"uses"`
}

// Learn looks at the calls of results, and narrows what the manifest asks for to what they needed. Calls that were refused count for nothing; what no call
// needed is left out. It knows no more than the calls: an address that only came up in production is not in it.
func Learn(m *abi.Manifest, results []*Result) *Learned {
	l := &Learned{Requires: []abi.Requirement{}, Actions: map[string]LearnedAction{}}
	for _, asked := range m.Requires {
		var seen []use
		for _, r := range results {
			for i := range r.Calls {
				if x := &r.Calls[i]; x.Capability == asked.ID && !x.Refused {
					seen = append(seen, use{x, view(x.Function, x.Capability, x.Request), r.Settings})
				}
			}
		}
		if len(seen) > 0 {
			l.Requires = append(l.Requires, narrowed(asked, seen))
		}
	}
	for _, r := range results {
		a, known := l.Actions[r.Action]
		if !known {
			a = LearnedAction{Effect: abi.Pure, Uses: []string{}}
		}
		for i := range r.Calls {
			x := &r.Calls[i]
			if x.Refused {
				continue
			}
			if !isKV(x.Function) && capability.Rank(x.Effect) > capability.Rank(a.Effect) {
				a.Effect = x.Effect
			}
			if !slices.Contains(a.Uses, x.Capability) {
				a.Uses = append(a.Uses, x.Capability)
				slices.Sort(a.Uses)
			}
		}
		l.Actions[r.Action] = a
	}
	return l
}

// use is one call under a requirement.
type use struct {
	call     *tape.Exchange
	request  map[string]any
	settings json.RawMessage
}

func (u use) text(name string) string {
	s, _ := u.request[name].(string)
	return s
}

// narrowed gives the requirement with what the calls needed of it.
func narrowed(asked abi.Requirement, seen []use) abi.Requirement {
	switch asked.Kind {
	case "http":
		narrowHTTP(&asked, seen)
	case "dns":
		asked.Names, asked.Types = distinct(seen, "name"), distinct(seen, "type")
	case "tcp":
		asked.Addresses = distinct(seen, "address")
	case "sql":
		var statements map[string]json.RawMessage
		if json.Unmarshal(asked.Statements, &statements) == nil { // otherwise it is a reference to a setting
			used := distinct(seen, "statement")
			maps.DeleteFunc(statements, func(name string, _ json.RawMessage) bool { return !slices.Contains(used, name) })
			asked.Statements = raw(statements, asked.Statements)
		}
	case "mail":
		if len(asked.Recipients) > 0 && asked.Recipients[0] == '[' {
			asked.Recipients = raw(recipients(seen), asked.Recipients)
		}
	case "kv":
		asked.MaxBytes = 0
		for _, u := range seen {
			if u.call.Function == "kv.put" {
				asked.MaxBytes += int64(len(u.text("key")) + len(text(u.request["value"])))
			}
		}
		asked.MaxBytes = max(asked.MaxBytes, 1)
	}
	return asked
}

// distinct gives the values of a member of the requests, sorted.
func distinct(seen []use, name string) []string {
	values := map[string]bool{}
	for _, u := range seen {
		values[u.text(name)] = true
	}
	return slices.Sorted(maps.Keys(values))
}

// narrowHTTP keeps the methods that were used, and the longest path above all addresses, behind the setting that the manifest begins with.
func narrowHTTP(asked *abi.Requirement, seen []use) {
	methods := map[string]abi.Effect{}
	var addresses []string
	for _, u := range seen {
		method := strings.ToUpper(u.text("method"))
		methods[method] = asked.Methods[method]
		addresses = append(addresses, u.address(asked.URL))
	}
	asked.Methods = methods
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	if len(addresses) == 1 {
		asked.URL = addresses[0]
		return
	}
	above := path.Dir(addresses[0]) // it joins slashes: those of the scheme are put back below
	for _, a := range addresses[1:] {
		for above != "." && above != "/" && !strings.HasPrefix(path.Clean(a), above+"/") {
			above = path.Dir(above)
		}
	}
	if scheme, rest, ok := strings.Cut(above, ":/"); ok && rest != "" && !strings.HasPrefix(above, "{") {
		above = scheme + "://" + rest
	} else if !strings.HasPrefix(above, "{") {
		return // they have no host in common: it stays as it was asked
	}
	asked.URL = above + "/**"
}

// address is the address of a request without its query, with the setting that a pattern begins with in the place of its value.
func (u use) address(pattern string) string {
	address, _, _ := strings.Cut(u.text("url"), "?")
	reference, _, _ := strings.Cut(pattern, "}")
	name, ok := strings.CutPrefix(reference, "{settings.")
	if !ok {
		return address
	}
	value := decode(u.settings)
	for part := range strings.SplitSeq(name, ".") {
		object, _ := value.(map[string]any)
		value = object[part]
	}
	base, _ := value.(string)
	if parsed, err := url.Parse(base); err != nil || parsed.Host == "" {
		return address
	}
	base = strings.TrimSuffix(base, "/")
	if rest, ok := strings.CutPrefix(address, base); ok {
		return reference + "}" + rest
	}
	return address
}

// recipients are the domains that were written to.
func recipients(seen []use) []string {
	domains := map[string]bool{}
	for _, u := range seen {
		for _, member := range []string{"to", "cc"} {
			list, _ := u.request[member].([]any)
			for _, one := range list {
				if address, ok := one.(string); ok {
					domains["*"+address[max(0, strings.LastIndex(address, "@")):]] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(domains))
}
