package capability

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// ErrUnset says that a requirement refers to a setting that is not set.
var ErrUnset = errors.New("is not set")

// Settings are those of a connector, decoded and without its secrets.
type Settings map[string]any

// Lookup gives the setting at a path such as "base_url" or "login.user".
func (s Settings) Lookup(path string) (any, bool) {
	var at any = map[string]any(s)
	for name := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = object[name]; !ok {
			return nil, false
		}
	}
	return at, true
}

// Resolve replaces references such as "{settings.base_url}" in the attributes of a requirement. A value that is one whole reference takes
// the setting as it is, a list becomes part of the list around it. Inside a text a setting stays in its place: it may be a whole
// scheme://host[:port]/path at the start of a URL, host[:port] where a host stands, and is percent-encoded in a path; nowhere may it bring
// a wildcard. SQL text takes no references: that is what parameters are for.
func Resolve(asked abi.Requirement, settings Settings) (abi.Requirement, error) {
	r := resolver{settings: settings}
	asked.URL = r.url(asked.URL)
	asked.Names = r.list(asked.Names)
	asked.Types = r.list(asked.Types)
	asked.Addresses = r.list(asked.Addresses)
	asked.Server = r.text(asked.Server, inHost)
	asked.TLS = r.text(asked.TLS, inWord)
	asked.Driver = r.text(asked.Driver, inWord)
	asked.Database = r.text(asked.Database, inWord)
	asked.From = r.text(asked.From, inWord)
	asked.Statements = r.document(asked.Statements)
	asked.Recipients = r.document(asked.Recipients)
	if r.err != nil {
		return asked, fmt.Errorf("capability %q: %w", asked.ID, r.err)
	}
	return asked, nil
}

// resolver keeps the first error, so that the list of attributes stays readable.
type resolver struct {
	settings Settings
	err      error
}

func (r *resolver) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// reference gives the name if s is one whole reference.
func reference(s string) (string, bool) {
	name, ok := strings.CutPrefix(s, "{settings.")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, "}")
	return name, ok && !strings.ContainsAny(name, "{}")
}

func (r *resolver) value(name string) any {
	v, ok := r.settings.Lookup(name)
	if !ok || v == nil {
		r.fail("setting %q: %w", name, ErrUnset)
	}
	return v
}

// word gives a setting as text that may stand inside another text.
func (r *resolver) word(name string) string {
	switch v := r.value(name).(type) {
	case string:
		if strings.ContainsAny(v, "*{}\r\n\x00") {
			r.fail("the setting %q has a wildcard, a brace or a line end, which may not stand here", name)
		}
		return v
	case json.Number:
		return v.String()
	case float64, int, int64, bool:
		return fmt.Sprint(v)
	case nil:
		return ""
	default:
		r.fail("the setting %q is a list or an object, where a text is expected", name)
		return ""
	}
}

// place is where in a text a reference stands; it may change a value so that it cannot leave its place, or refuse it.
type place func(r *resolver, name, value string) string

func inWord(_ *resolver, _, value string) string { return value }

// inHost takes host or host:port.
func inHost(r *resolver, name, value string) string {
	if addr, err := netip.ParseAddr(value); err == nil && addr.Is6() {
		return "[" + value + "]"
	}
	for _, c := range []byte(value) {
		if !isUnreserved(c) && c != ':' && c != '[' && c != ']' && c < 0x80 {
			r.fail("the setting %q is %s, where a host is expected", name, quote(value))
			return ""
		}
	}
	return value
}

func inPath(r *resolver, name, value string) string {
	if value == "" || value == "." || value == ".." {
		r.fail("the setting %q is %s, which cannot be a part of a path", name, quote(value))
	}
	return url.PathEscape(value)
}

// text resolves the references of s, each by the rule of its place.
func (r *resolver) text(s string, at place) string {
	return r.expand(s, func(_ string) place { return at })
}

// expand replaces every reference; where gets the text before it.
func (r *resolver) expand(s string, where func(before string) place) string {
	if !strings.Contains(s, "{") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		inner, after, closed := strings.Cut(rest, "}")
		name, known := strings.CutPrefix(inner, "settings.")
		if !closed || !known {
			r.fail("%s: expected a reference such as {settings.name}", quote(s))
			return ""
		}
		b.WriteString(where(b.String())(r, name, r.word(name)))
		s = after
	}
}

func (r *resolver) url(s string) string {
	start, rest := "", s
	if strings.HasPrefix(s, "{") {
		inner, after, _ := strings.Cut(s[1:], "}")
		name, _ := strings.CutPrefix(inner, "settings.")
		switch {
		case after == "":
			return r.base(name)
		case after[0] == '/':
			// One slash between the two, also where the setting ends in one.
			start, rest = strings.TrimSuffix(r.base(name), "/"), after
		case !strings.HasPrefix(after, "://"):
			r.fail("url %s: expected a slash behind the first reference", quote(s))
		}
	}
	return start + r.expand(rest, func(before string) place {
		_, tail, authority := strings.Cut(before, "://")
		switch {
		case start == "" && before == "":
			return inScheme
		case start == "" && authority && !strings.Contains(tail, "/"):
			return inHost
		}
		return inPath
	})
}

func inScheme(r *resolver, name, value string) string {
	if value != "http" && value != "https" {
		r.fail("the setting %q is %s, where http or https is expected", name, quote(value))
	}
	return value
}

// base gives a setting that is a whole URL without query, in its canonical spelling.
func (r *resolver) base(name string) string {
	value := r.word(name)
	if r.err != nil {
		return ""
	}
	if strings.ContainsAny(value, "?#") {
		r.fail("the setting %q has a query or a fragment: expected scheme://host[:port]/path", name)
		return ""
	}
	t, bad := ParseTarget(value)
	if bad != nil {
		r.fail("the setting %q: %w", name, bad)
		return ""
	}
	return t.String()
}

// list resolves the elements of a list of patterns; an element that is one whole reference may bring a list, and wildcards.
func (r *resolver) list(list []string) []string {
	var out []string
	for _, s := range list {
		name, whole := reference(s)
		if !whole {
			out = append(out, r.text(s, inPattern))
			continue
		}
		switch v := r.value(name).(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, item := range v {
				text, ok := item.(string)
				if !ok {
					r.fail("the setting %q holds something else than texts", name)
				}
				out = append(out, text)
			}
		default:
			r.fail("the setting %q is neither a text nor a list of texts", name)
		}
	}
	return out
}

// inPattern takes what may be a part of "host:port" or of a name.
func inPattern(r *resolver, name, value string) string {
	if host, _, err := net.SplitHostPort(value); err == nil {
		inHost(r, name, host)
		return value
	}
	return inHost(r, name, value)
}

// document resolves an attribute that is JSON: one whole reference, or a list whose texts may be references. Objects are taken as they are.
func (r *resolver) document(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	var text string
	var list []string
	var out any
	switch {
	case json.Unmarshal(raw, &text) == nil:
		name, whole := reference(text)
		if !whole {
			r.fail("%s: expected a reference such as {settings.name}", quote(text))
			return nil
		}
		out = r.value(name)
	case json.Unmarshal(raw, &list) == nil:
		out = r.list(list)
	default:
		return raw
	}
	data, err := json.Marshal(out)
	if err != nil {
		r.fail("the setting cannot be written as JSON: %w", err)
	}
	return data
}
