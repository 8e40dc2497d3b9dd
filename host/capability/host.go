package capability

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Host is the host of a destination in its one canonical spelling: an address, or an ASCII name in lower case without a final dot.
type Host struct {
	Name string     // empty for an address
	Addr netip.Addr // invalid for a name; never an IPv4 address mapped into IPv6, never with a zone
}

// String is the host as it stands in "host:port" without brackets.
func (h Host) String() string {
	if h.Addr.IsValid() {
		return h.Addr.String()
	}
	return h.Name
}

// ParseHost reads a host. Other spellings of addresses (decimal, octal, hexadecimal, shortened, digits of other scripts) are refused, since
// a resolver further down may read them as addresses; so are zones, and names that DNS cannot carry.
func ParseHost(s string) (Host, *Refusal) {
	bad := func(why string) (Host, *Refusal) {
		return Host{}, refuse(Malformed, "give a host name or an IP address in its usual spelling", "host %s: %s", quote(s), why)
	}
	if s == "" {
		return bad("is empty")
	}
	if len(s) > 1024 {
		return bad("is too long")
	}
	name, ascii := s, isASCII(s)
	if !ascii {
		mapped, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return bad("is no internationalised domain name")
		}
		name = mapped
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		switch {
		case !ascii:
			return bad("spells an address in foreign digits")
		case addr.Zone() != "":
			return bad("has a zone")
		}
		return Host{Addr: addr.Unmap()}, nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if why := checkName(name); why != "" {
		return bad(why)
	}
	return Host{Name: name}, nil
}

// checkName says what is wrong with a DNS name in lower case; underscores are allowed, since device names have them.
func checkName(name string) string {
	if name == "" || len(name) > 253 {
		return "is no domain name"
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "has an empty label or one over 63 characters"
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "has the character " + strconv.QuoteRuneToASCII(rune(c))
			}
		}
		last = label
	}
	if isNumber(last) {
		return "ends in a number, so it may be read as an address"
	}
	return ""
}

// isNumber follows the rule of the WHATWG URL standard, section 3.5: such a last label makes the whole host an IPv4 address.
func isNumber(label string) bool {
	digits, ok := strings.CutPrefix(label, "0x")
	for i := range len(digits) {
		c := digits[i]
		if (c < '0' || c > '9') && (!ok || c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// hostPattern matches hosts: "*" any, "*.suffix" every name below the suffix, a name, an address, or a CIDR prefix. A prefix matches only
// addresses that stand literally in the destination: a name is never looked up in order to decide a right.
type hostPattern struct {
	any    bool
	suffix string // with its leading dot
	name   string
	prefix netip.Prefix
}

func parseHostPattern(s string) (hostPattern, error) {
	if s == "*" {
		return hostPattern{any: true}, nil
	}
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		h, r := ParseHost(rest)
		if r != nil || h.Name == "" {
			return hostPattern{}, fmt.Errorf("host pattern %s: expected a domain name after \"*.\"", quote(s))
		}
		return hostPattern{suffix: "." + h.Name}, nil
	}
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() {
			return hostPattern{}, fmt.Errorf("host pattern %s: expected a prefix such as 10.20.0.0/16", quote(s))
		}
		return hostPattern{prefix: p.Masked()}, nil
	}
	h, r := ParseHost(s)
	if r != nil {
		return hostPattern{}, fmt.Errorf("host pattern: %w", r)
	}
	if h.Addr.IsValid() {
		return hostPattern{prefix: netip.PrefixFrom(h.Addr, h.Addr.BitLen())}, nil
	}
	return hostPattern{name: h.Name}, nil
}

func parseHostPatterns(list []string) ([]hostPattern, error) {
	patterns := make([]hostPattern, 0, len(list))
	for _, s := range list {
		p, err := parseHostPattern(s)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// match says whether the pattern covers the host.
func (p hostPattern) match(h Host) bool {
	switch {
	case p.any:
		return true
	case p.suffix != "":
		return len(h.Name) > len(p.suffix) && strings.HasSuffix(h.Name, p.suffix)
	case p.prefix.IsValid():
		return h.Addr.IsValid() && p.prefix.Contains(h.Addr)
	}
	return h.Name != "" && h.Name == p.name
}

// named says that somebody wrote down this very host or its network; only then may it have a private address.
func (p hostPattern) named() bool { return !p.any && p.suffix == "" }

// matchAny gives whether one of the patterns covers the host, and whether one that does names it.
func matchAny(patterns []hostPattern, h Host) (ok, named bool) {
	for _, p := range patterns {
		if p.match(h) {
			ok, named = true, named || p.named()
		}
	}
	return ok, named
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// quote shows what a guest gave, shortened and without control characters.
func quote(s string) string {
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return strconv.Quote(s)
}
