package capability

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// maxURL is the length of the longest URL that is looked at.
const maxURL = 16 << 10

// Target is a URL in its one canonical spelling. What is sent is built from it and never from the guest's text, so that no two parsers can
// read the same text in two ways.
type Target struct {
	Scheme string // http or https
	Host   Host
	Port   uint16
	Path   string // escaped, begins with a slash, free of dot segments
	Query  string // escaped, as it was given
}

// ParseTarget reads an absolute URL. It refuses what is not http or https, user information, encoded backslashes and NULs, and paths that
// would climb after one more decoding; it resolves plain dot segments (RFC 3986, section 5.2.4) and drops the fragment.
func ParseTarget(raw string) (Target, *Refusal) {
	bad := func(why string) (Target, *Refusal) {
		return Target{}, refuse(Malformed, "", "URL %s: %s", quote(withoutQuery(raw)), why)
	}
	if len(raw) > maxURL {
		return bad("is too long")
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return bad("has a space, a control character or a backslash")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return bad("is no URL")
	}
	t := Target{Scheme: u.Scheme, Query: u.RawQuery}
	switch {
	case t.Scheme != "http" && t.Scheme != "https":
		return Target{}, refuse(Scheme, "", "URL %s: only http and https are spoken", quote(withoutQuery(raw)))
	case u.Opaque != "" || u.Host == "":
		return bad("has no host")
	case u.User != nil:
		return Target{}, refuse(Malformed, "credentials belong into the connector's settings", "URL with user information")
	}
	var r *Refusal
	if t.Host, r = ParseHost(u.Hostname()); r != nil {
		return Target{}, r
	}
	if t.Port, r = parsePort(u.Port(), t.Scheme, u.Host); r != nil {
		return Target{}, r
	}
	path, why := normalisePath(u.EscapedPath())
	if why != "" {
		return Target{}, refuse(Path, "", "URL %s: %s", quote(withoutQuery(raw)), why)
	}
	t.Path = path
	return t, nil
}

func parsePort(port, scheme, authority string) (uint16, *Refusal) {
	if port == "" {
		if strings.HasSuffix(authority, ":") {
			return 0, refuse(Port, "", "the port is empty")
		}
		return map[string]uint16{"http": 80, "https": 443}[scheme], nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return 0, refuse(Port, "", "port %s: expected 1 to 65535", quote(port))
	}
	return uint16(n), nil
}

// normalisePath decodes what needs no encoding, writes the rest with capital digits, and resolves dot segments.
func normalisePath(escaped string) (path, why string) {
	if escaped == "" {
		return "/", ""
	}
	if escaped[0] != '/' {
		return "", "the path does not begin with a slash"
	}
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' && i+2 < len(escaped) {
			c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
			i += 2
			if c == 0 || c == '\\' {
				return "", "the path has an encoded NUL or backslash"
			}
			if !isUnreserved(c) {
				fmt.Fprintf(&b, "%%%02X", c)
				continue
			}
		}
		b.WriteByte(c)
	}
	path = removeDots(b.String())
	for decoded, depth := path, 0; depth < 4; depth++ {
		if climbs(decoded) {
			return "", "the path climbs when it is decoded"
		}
		next, err := url.PathUnescape(decoded)
		if err != nil || next == decoded {
			break
		}
		decoded = next
	}
	return path, ""
}

// removeDots resolves "." and ".." segments; the path begins with a slash.
func removeDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path[1:], "/")
	out := segments[:0:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s != "." && s != "..":
			out = append(out, s)
			continue
		case s == ".." && len(out) > 0:
			out = out[:len(out)-1]
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// climbs finds dot segments behind either slash, also with the path parameters ("..;") that some servers cut off.
func climbs(path string) bool {
	for s := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		s, _, _ = strings.Cut(s, ";")
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// HostPort is "host:port", with brackets where IPv6 needs them; it never shows more of the URL.
func (t Target) HostPort() string {
	return net.JoinHostPort(t.Host.String(), strconv.Itoa(int(t.Port)))
}

// Authority is the host as a URL and the Host header carry it: without the scheme's own port.
func (t Target) Authority() string {
	host := t.Host.String()
	if t.Host.Addr.Is6() {
		host = "[" + host + "]"
	}
	if t.Scheme == "http" && t.Port == 80 || t.Scheme == "https" && t.Port == 443 {
		return host
	}
	return host + ":" + strconv.Itoa(int(t.Port))
}

// String is the canonical URL.
func (t Target) String() string {
	s := t.Scheme + "://" + t.Authority() + t.Path
	if t.Query != "" {
		s += "?" + t.Query
	}
	return s
}

// SameOrigin says that both have the same scheme, host and port.
func (t Target) SameOrigin(o Target) bool {
	return t.Scheme == o.Scheme && t.Host == o.Host && t.Port == o.Port
}

func withoutQuery(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	return raw
}

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

// Rank orders effects from harmless to dangerous; an unknown one ranks -1.
func Rank(e abi.Effect) int {
	return slices.Index([]abi.Effect{abi.Pure, abi.Read, abi.Idempotent, abi.Keyed, abi.Unsafe}, e)
}
