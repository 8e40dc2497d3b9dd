// Command whois is a plugin that tells who an address is registered to: by RDAP (RFC 9082, RFC 9083), and where that fails or knows
// nothing by WHOIS (RFC 3912).
package main

import (
	"math/bits"
	"net/netip"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type settings struct {
	RDAPURL     string `json:"rdap_url"`
	WhoisServer string `json:"whois_server"`
}

type params struct {
	IP string `json:"ip"`
}

// registration is the result. What a registry does not tell is empty.
type registration struct {
	IP         string `json:"ip"`
	Network    string `json:"network"`
	Name       string `json:"name"`
	Org        string `json:"org"`
	Country    string `json:"country"`
	AbuseMail  string `json:"abuse_mail"`
	ASN        int64  `json:"asn,omitempty"`
	Registered string `json:"registered"`
	Source     string `json:"source"`
	Server     string `json:"server,omitempty"`
	Raw        string `json:"raw,omitempty"`
}

//go:wasmexport lookup
func lookupExport() int32 { return pdk.Run(lookup) }

func main() {}

// lookup asks RDAP, then WHOIS. An address that neither knows has an empty registration; where WHOIS fails as well, the first fault counts.
func lookup(c *pdk.Call, p params) (registration, error) {
	s := settings{RDAPURL: "https://rdap.org", WhoisServer: "whois.iana.org:43"}
	if err := c.Settings(&s); err != nil {
		return registration{}, err
	}
	addr, err := netip.ParseAddr(p.IP)
	if err != nil || addr.Zone() != "" {
		f := abi.NewFault(abi.Invalid, "this is no IP address", "give one address, such as 203.0.113.9")
		f.Where = "$.parameters.ip"
		return registration{}, f
	}
	addr = addr.Unmap()
	found, rdapErr := rdap(c, strings.TrimRight(s.RDAPURL, "/"), addr)
	if found == nil {
		if rdapErr != nil {
			c.Warn("RDAP failed, asking WHOIS: " + rdapErr.Error())
		}
		var whoisErr error
		if found, whoisErr = whois(c, s.WhoisServer, addr); whoisErr != nil {
			if rdapErr != nil {
				return registration{}, rdapErr
			}
			return registration{}, whoisErr
		}
	}
	found.IP = p.IP
	return *found, nil
}

// span writes the range from first to last: as CIDR where it is one.
func span(first, last string) string {
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

// countryCode gives a code in capital letters, and nothing for anything else that registries write there.
func countryCode(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	if len(word) != 2 || strings.ContainsFunc(word, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }) {
		return ""
	}
	return strings.ToUpper(word)
}

// date gives the day of a time, YYYY-MM-DD; some registries write it without dashes.
func date(s string) string {
	if len(s) >= 8 && strings.Trim(s[:8], "0123456789") == "" {
		return s[:4] + "-" + s[4:6] + "-" + s[6:8]
	}
	if len(s) >= 10 && s[4] == '-' && s[7] == '-' {
		return s[:10]
	}
	return ""
}
