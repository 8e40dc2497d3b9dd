package trust

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Asks is what a plugin asks for: the part of its manifest that somebody must agree to.
type Asks struct {
	Requires []abi.Requirement `json:"requires,omitempty"`
	Actions  map[string]Act    `json:"actions"`
}

// Act is what an action does to the world.
type Act struct {
	Kind   abi.ActionKind `json:"kind"`
	Effect abi.Effect     `json:"effect"`
	Uses   []string       `json:"uses,omitempty"`
}

// AsksOf gives what a manifest asks for.
func AsksOf(m *abi.Manifest) Asks {
	a := Asks{Requires: m.Requires, Actions: map[string]Act{}}
	for name, action := range m.Actions {
		a.Actions[name] = Act{action.Kind, action.Effect, action.Uses}
	}
	return a
}

// Words tells in sentences what a plugin asks for, one a line.
func (a Asks) Words() []string {
	lines := make([]string, 0, len(a.Requires)+len(a.Actions))
	for i := range a.Requires {
		lines = append(lines, words(&a.Requires[i]))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Actions)) {
		lines = append(lines, "action "+name+": "+a.Actions[name].words())
	}
	return lines
}

func (a Act) words() string {
	text := fmt.Sprintf("%s, %s", a.Kind, effectWords(a.Effect))
	if len(a.Uses) > 0 {
		text += ", uses " + strings.Join(a.Uses, ", ")
	}
	return clean(text)
}

// effectWords explains an effect.
func effectWords(e abi.Effect) string {
	switch e {
	case abi.Pure:
		return "touches nothing"
	case abi.Read:
		return "reads"
	case abi.Idempotent:
		return "writes (repeatable)"
	case abi.Keyed:
		return "writes (once for each key)"
	case abi.Unsafe:
		return "writes (repeating it does it twice)"
	}
	return string(e)
}

// rank orders effects by how much they may do; an unknown one is the worst.
func rank(e abi.Effect) int {
	if i := slices.Index([]abi.Effect{abi.Pure, abi.Read, abi.Idempotent, abi.Keyed, abi.Unsafe}, e); i >= 0 {
		return i
	}
	return 9
}

// words tells what one capability allows.
func words(r *abi.Requirement) string {
	var what string
	switch r.Kind {
	case "http":
		methods := make([]string, 0, len(r.Methods))
		for _, m := range slices.Sorted(maps.Keys(r.Methods)) {
			methods = append(methods, m+" "+effectWords(r.Methods[m]))
		}
		what = fmt.Sprintf("HTTP to %s: %s", r.URL, strings.Join(methods, ", "))
		if r.Redirects > 0 {
			what += fmt.Sprintf("; follows %d redirects", r.Redirects)
		}
	case "dns":
		what = fmt.Sprintf("DNS names %s, types %s, at %s", listWords(r.Names), listWords(r.Types), cmp.Or(r.Server, "the system's resolvers"))
	case "tcp":
		what = fmt.Sprintf("TCP to %s, TLS %s", listWords(r.Addresses), cmp.Or(r.TLS, "off"))
	case "sql":
		what = fmt.Sprintf("SQL (%s) at %s, database %s, TLS %s, statements %s", r.Driver, r.Server, r.Database, cmp.Or(r.TLS, "by default"), raw(r.Statements))
	case "mail":
		what = fmt.Sprintf("mail through %s from %s to %s, TLS %s", r.Server, r.From, raw(r.Recipients), cmp.Or(r.TLS, "by default"))
	case "kv":
		what = fmt.Sprintf("keeps up to %d bytes of its own", r.MaxBytes)
	default:
		what = "capability of kind " + r.Kind
	}
	return clean(r.ID + ": " + what + authWords(r.Auth) + " – " + r.Reason)
}

// clean takes out of a plugin's own words what could make a line look like something else: control characters, and those that change the
// direction of writing.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func authWords(a *abi.Auth) string {
	if a == nil {
		return ""
	}
	text := "; with the secret " + a.Secret + " as " + a.Inject
	if a.User != "" {
		text += " of user " + a.User
	}
	return text
}

func listWords(list []string) string {
	if len(list) == 0 {
		return "any that the settings name"
	}
	return strings.Join(list, ", ")
}

// raw shows a JSON value of a manifest: a reference without its quotes, anything else as it is.
func raw(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}
