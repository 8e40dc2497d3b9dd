// Package registry reads what the registries of addresses write, above all the texts of their WHOIS servers, which have no common form.
package registry

import (
	"cmp"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Registration is what a registry says of a network. What it does not tell is empty.
type Registration struct {
	Network    string `json:"network"` // CIDR, or first and last address with a dash between
	Name       string `json:"name"`
	Org        string `json:"org"`
	Country    string `json:"country"` // ISO 3166-1 alpha-2
	AbuseMail  string `json:"abuse_mail"`
	ASN        int64  `json:"asn,omitempty"`
	Registered string `json:"registered"` // YYYY-MM-DD
}

// Readable gives a text that is not UTF-8 as what it most likely is, ISO 8859-1.
func Readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// Text is what a registry's text says of the most specific network in it, which is the last: the first value of each key, in lower case.
type Text struct {
	values map[string]string
	abuse  string // from RIPE's comment
}

// Parse reads lines "key: value"; comments begin with % or #.
func Parse(text string) Text {
	t := Text{values: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "%") || strings.HasPrefix(line, "#") {
			if _, rest, ok := strings.Cut(line, "Abuse contact for '"); ok {
				_, rest, _ = strings.Cut(rest, "' is '")
				t.abuse = strings.TrimSuffix(rest, "'")
			}
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if !ok || value == "" {
			continue
		}
		if key == "netrange" || key == "inetnum" || key == "inet6num" {
			referral := t.values["refer"]
			clear(t.values)
			if referral != "" {
				t.values["refer"] = referral
			}
		}
		if _, there := t.values[key]; !there {
			t.values[key] = value
		}
	}
	return t
}

// Empty says that the text has no line "key: value".
func (t Text) Empty() bool { return len(t.values) == 0 }

// Referral is the server that the text refers to, as host:port; empty for none.
func (t Text) Referral() string {
	server := t.values["refer"] // IANA
	if rest, ok := strings.CutPrefix(t.values["referralserver"], "whois://"); ok {
		server = rest // ARIN
	}
	server = strings.TrimRight(server, "/")
	if server == "" || strings.ContainsAny(server, "/ ") {
		return ""
	}
	if !strings.Contains(server, ":") {
		server += ":43"
	}
	return server
}

// Registration puts together what the text says.
func (t Text) Registration() Registration {
	v := t.values
	out := Registration{Name: v["netname"], Country: CountryCode(v["country"]), Network: t.network()}
	out.Registered = Date(cmp.Or(v["regdate"], v["created"]))
	out.AbuseMail = cmp.Or(v["orgabuseemail"], v["abuse-mailbox"], t.abuse)
	out.Org = cmp.Or(v["orgname"], v["org-name"], v["owner"])
	if name, handle, ok := strings.Cut(v["organization"], " ("); out.Org == "" && ok && strings.HasSuffix(handle, ")") {
		out.Org = name
	}
	if out.Org == "" && !strings.HasPrefix(v["organisation"], "ORG-") {
		out.Org = v["organisation"]
	}
	out.Org = cmp.Or(out.Org, v["organization"], v["descr"])
	origin, _, _ := strings.Cut(cmp.Or(v["originas"], v["origin"], v["aut-num"]), ",")
	if n, err := strconv.ParseInt(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(origin)), "AS"), 10, 64); err == nil && n > 0 {
		out.ASN = n
	}
	return out
}

// network is the CIDR, if the text has one, or made of the range.
func (t Text) network() string {
	text := cmp.Or(t.values["cidr"], t.values["inetnum"], t.values["inet6num"], t.values["netrange"])
	if strings.Contains(text, ",") { // several networks
		text = cmp.Or(t.values["netrange"], text)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().String()
	}
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return ""
	}
	return Span(first, last)
}

// Span writes the range from first to last: as CIDR where it is one.
func Span(first, last string) string {
	a, errA := netip.ParseAddr(strings.TrimSpace(first))
	b, errB := netip.ParseAddr(strings.TrimSpace(last))
	if errA != nil || errB != nil || a.BitLen() != b.BitLen() {
		return ""
	}
	x, y := a.AsSlice(), b.AsSlice()
	length := 0
	for i := range x {
		if different := x[i] ^ y[i]; different != 0 {
			length += bits.LeadingZeros8(different)
			break
		}
		length += 8
	}
	p := netip.PrefixFrom(a, length)
	if p.Masked().Addr() == a && end(p) == b {
		return p.String()
	}
	return a.String() + "-" + b.String()
}

// end is the last address of a prefix.
func end(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // its length is that of an address
	return a
}

// CountryCode gives a code in capital letters, and nothing for anything else that registries write there.
func CountryCode(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	if len(word) != 2 || strings.ContainsFunc(word, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }) {
		return ""
	}
	return strings.ToUpper(word)
}

// Date gives the day of a time, YYYY-MM-DD; some registries write it without dashes.
func Date(s string) string {
	if len(s) >= 8 && strings.Trim(s[:8], "0123456789") == "" {
		return s[:4] + "-" + s[4:6] + "-" + s[6:8]
	}
	if len(s) >= 10 && s[4] == '-' && s[7] == '-' {
		return s[:10]
	}
	return ""
}
