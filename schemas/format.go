package schemas

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// format is a form of text that has a name in schemas and in the inputs of runbooks.
type format struct {
	describe string
	ok       func(string) bool
}

// known gives the formats by name; a name that is not here is not checked, as JSON Schema has it.
var known = sync.OnceValue(func() map[string]format {
	addr := func(accept func(netip.Addr) bool) func(string) bool {
		return func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Zone() == "" && accept(a) }
	}
	hash := func(n int) func(string) bool {
		return func(s string) bool { _, err := hex.DecodeString(s); return err == nil && len(s) == n }
	}
	return map[string]format{
		"ip":        {"an IP address", addr(func(netip.Addr) bool { return true })},
		"ipv4":      {"an IPv4 address", addr(netip.Addr.Is4)},
		"ipv6":      {"an IPv6 address", addr(netip.Addr.Is6)},
		"cidr":      {"a network in CIDR notation, such as 192.0.2.0/24", func(s string) bool { _, err := netip.ParsePrefix(s); return err == nil }},
		"mac":       {"a MAC address", func(s string) bool { _, err := net.ParseMAC(s); return err == nil }},
		"duration":  {"a duration, such as 90s, 15m, 24h or 7d", func(s string) bool { _, err := ParseDuration(s); return err == nil }},
		"date-time": {"a time as in RFC 3339", func(s string) bool { _, err := time.Parse(time.RFC3339, s); return err == nil }},
		"uri":       {"a URL", func(s string) bool { u, err := url.Parse(s); return err == nil && u.IsAbs() }},
		"email":     {"a mail address", func(s string) bool { a, err := mail.ParseAddress(s); return err == nil && a.Address == s }},
		"hostname":  {"a host name", isHostname},
		"domain":    {"a domain name", isHostname},
		"md5":       {"an MD5 hash in hex", hash(32)},
		"sha1":      {"a SHA-1 hash in hex", hash(40)},
		"sha256":    {"a SHA-256 hash in hex", hash(64)},
	}
})

// CheckFormat says whether text has a format: ip, ipv4, ipv6, cidr, mac, duration, date-time, uri, email, hostname, domain, md5, sha1 or sha256.
// Formats that are not known are not checked.
func CheckFormat(name, text string) bool {
	f, ok := known()[name]
	return !ok || f.ok(text)
}

// KnownFormat says whether CheckFormat knows the format.
func KnownFormat(name string) bool {
	_, ok := known()[name]
	return ok
}

// DescribeFormat names a format in words: "an IPv4 address".
func DescribeFormat(name string) string {
	if f, ok := known()[name]; ok {
		return f.describe
	}
	return "of format " + name
}

// formats are the library's form of known. Values that are not strings pass: a format speaks of strings only.
func formats() map[string]func(any) bool {
	out := map[string]func(any) bool{"regex": func(any) bool { return true }}
	for name, f := range known() {
		out[name] = func(v any) bool {
			s, ok := v.(string)
			return !ok || f.ok(s)
		}
	}
	return out
}

// isHostname follows RFC 1123: labels of letters, digits and inner dashes; underscores pass, since real names have them.
func isHostname(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c < 0x80 {
				return false
			}
		}
	}
	return true
}

// ParseDuration reads a duration as all documents write them: Go's form ("1h30m", "250ms") and, beyond it, days ("7d"). It must not be negative.
func ParseDuration(s string) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a duration such as 90s, 15m, 24h or 7d", s)
	}
	rest := s
	var days time.Duration
	if n, after, ok := strings.Cut(s, "d"); ok {
		count, err := strconv.ParseUint(n, 10, 16)
		if err != nil || count > 36500 {
			return bad()
		}
		days, rest = time.Duration(count)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || days+d < days {
		return bad()
	}
	return days + d, nil
}
