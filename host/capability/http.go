package capability

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// urlPattern is scheme://host[:port]/path: a host pattern (a CIDR prefix in brackets: https://[10.20.0.0/16]/) and a path that is met
// exactly, or, with "/**" at its end, itself and everything below. "/**" alone is every path; no path is "/".
type urlPattern struct {
	text   string
	scheme string
	host   hostPattern
	port   uint16
	path   string
	below  bool
}

func parseURLPattern(s string) (urlPattern, error) {
	fail := func(format string, args ...any) (urlPattern, error) {
		return urlPattern{}, fmt.Errorf("url %s: "+format+" (expected scheme://host[:port]/path, where host may be \"*.suffix\" and path end in \"/**\")",
			append([]any{quote(s)}, args...)...)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || (scheme != "http" && scheme != "https") {
		return fail("the scheme is neither http nor https")
	}
	if strings.ContainsAny(rest, "?#{} \\") {
		return fail("has one of the characters ? # { } \\ or a space")
	}
	p := urlPattern{text: s, scheme: scheme}
	authority, path, err := splitAuthority(rest)
	if err != nil {
		return fail("%w", err)
	}
	host, port, err := splitPort(authority)
	if err != nil {
		return fail("%w", err)
	}
	if p.host, err = parseHostPattern(host); err != nil {
		return fail("%w", err)
	}
	var r *Refusal
	if p.port, r = parsePort(port, scheme, ""); r != nil {
		return fail("%w", r)
	}
	if path, p.below = strings.CutSuffix(path, "/**"); strings.Contains(path, "*") {
		return fail("a \"*\" stands inside the path")
	}
	u, err := url.Parse("http://h" + path)
	if err != nil {
		return fail("the path cannot be read")
	}
	normal, why := normalisePath(u.EscapedPath())
	if why != "" {
		return fail("%s", why)
	}
	p.path = normal
	if p.below {
		p.path = strings.TrimSuffix(normal, "/")
	}
	return p, nil
}

// splitAuthority parts authority and path; brackets may hold a slash.
func splitAuthority(rest string) (authority, path string, err error) {
	from := 0
	if strings.HasPrefix(rest, "[") {
		if from = strings.IndexByte(rest, ']'); from < 0 {
			return "", "", fmt.Errorf("the bracket is not closed")
		}
	}
	if i := strings.IndexByte(rest[from:], '/'); i >= 0 {
		return rest[:from+i], rest[from+i:], nil
	}
	return rest, "", nil
}

// splitPort parts "host:port", "host", "[ipv6]:port" and "[prefix]"; the port may be missing.
func splitPort(s string) (host, port string, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok = strings.Cut(rest, "]")
		if port, colon := strings.CutPrefix(rest, ":"); ok && (colon && port != "" || rest == "") {
			return host, port, nil
		}
		return "", "", fmt.Errorf("%s: expected [address]:port", quote(s))
	}
	host, port, found := strings.Cut(s, ":")
	if found && port == "" || strings.Contains(port, ":") {
		return "", "", fmt.Errorf("%s: expected host:port, with an IPv6 address in brackets", quote(s))
	}
	return host, port, nil
}

// match gives nil, or what does not fit.
func (p urlPattern) match(t Target) *Refusal {
	switch {
	case t.Scheme != p.scheme:
		return refuse(Scheme, "", "scheme %s is not granted: the right is for %s", t.Scheme, p.text)
	case !p.host.match(t.Host):
		return refuse(HostName, "", "host %s is not granted: the right is for %s", quote(t.Host.String()), p.text)
	case t.Port != p.port:
		return refuse(Port, "", "port %d is not granted: the right is for %s", t.Port, p.text)
	case !p.matchPath(t.Path):
		return refuse(Path, "", "path %s is not granted: the right is for %s", quote(t.Path), p.text)
	}
	return nil
}

func (p urlPattern) matchPath(path string) bool {
	if !p.below {
		return path == p.path
	}
	rest, ok := strings.CutPrefix(path, p.path)
	return ok && (rest == "" || rest[0] == '/')
}

// HTTP is the right to make HTTP requests.
type HTTP struct {
	patterns  []urlPattern // every one must match
	hosts     []hostPattern
	deny      []hostPattern
	methods   map[string]abi.Effect
	Redirects int
	MaxBytes  int64 // of one answer; 0 for the host's default
}

func newHTTP(asked abi.Requirement, narrow Narrowing, site Network) (*HTTP, error) {
	h := &HTTP{Redirects: asked.Redirects, MaxBytes: least(asked.MaxBytes, narrow.MaxBytes), methods: maps.Clone(asked.Methods)}
	if narrow.Redirects != nil {
		h.Redirects = min(h.Redirects, *narrow.Redirects)
	}
	for _, text := range []string{asked.URL, narrow.URL} {
		if text == "" && len(h.patterns) > 0 {
			continue
		}
		p, err := parseURLPattern(text)
		if err != nil {
			return nil, err
		}
		h.patterns = append(h.patterns, p)
	}
	var err error
	if h.hosts, err = parseHostPatterns(narrow.Hosts); err != nil {
		return nil, err
	}
	if h.deny, err = parseHostPatterns(slices.Concat(narrow.Deny, site.DenyHosts)); err != nil {
		return nil, err
	}
	if err := h.narrowMethods(narrow.Methods); err != nil {
		return nil, err
	}
	if asked.Auth != nil && h.anywhere() {
		return nil, fmt.Errorf("a secret needs a destination: the url has the host \"*\", narrow it in the grant")
	}
	return h, nil
}

func (h *HTTP) narrowMethods(only []string) error {
	if len(h.methods) == 0 {
		return fmt.Errorf("methods: expected at least one, such as {GET: read}")
	}
	for m, effect := range h.methods {
		if m == "" || m == "CONNECT" || strings.ContainsFunc(m, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' }) {
			return fmt.Errorf("method %s: expected capital letters, and not CONNECT", quote(m))
		}
		if Rank(effect) < Rank(abi.Read) {
			return fmt.Errorf("method %s has the effect %s: expected read, write.idempotent, write.keyed or write.unsafe", m, quote(string(effect)))
		}
	}
	for _, m := range only {
		if _, ok := h.methods[m]; !ok {
			return fmt.Errorf("the grant names method %s, which the plugin does not ask for", quote(m))
		}
	}
	if len(only) > 0 {
		maps.DeleteFunc(h.methods, func(m string, _ abi.Effect) bool { return !slices.Contains(only, m) })
	}
	return nil
}

// anywhere says that no pattern limits the host.
func (h *HTTP) anywhere() bool {
	any := func(p hostPattern) bool { return p.any }
	for _, p := range h.patterns {
		if !p.host.any {
			return false
		}
	}
	return len(h.hosts) == 0 || slices.ContainsFunc(h.hosts, any)
}

// Allow decides one request. It gives the effect of the method, and whether the right names the host or its network (see Network).
func (h *HTTP) Allow(method string, t Target) (effect abi.Effect, named bool, r *Refusal) {
	effect, ok := h.methods[method]
	if !ok {
		return "", false, refuse(Method, "", "method %s is not granted: the right is for %s", quote(method),
			strings.Join(slices.SortedFunc(maps.Keys(h.methods), cmp.Compare[string]), ", "))
	}
	for _, p := range h.patterns {
		if r := p.match(t); r != nil {
			return "", false, r
		}
		named = named || p.host.named()
	}
	if len(h.hosts) > 0 {
		ok, byHost := matchAny(h.hosts, t.Host)
		if !ok {
			return "", false, refuse(HostName, "", "host %s is not among the hosts that were granted", quote(t.Host.String()))
		}
		named = named || byHost
	}
	if denied, _ := matchAny(h.deny, t.Host); denied {
		return "", false, refuse(Denied, "", "host %s is denied", quote(t.Host.String()))
	}
	return effect, named, nil
}
