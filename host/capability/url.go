package capability

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
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
	switch {
	case port == "" && strings.HasSuffix(authority, ":"):
		return 0, refuse(Port, "", "the port is empty")
	case port == "" && scheme == "http":
		return 80, nil
	case port == "" && scheme == "https":
		return 443, nil
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
