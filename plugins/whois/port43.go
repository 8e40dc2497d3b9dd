package main

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// maxRaw is how much of a registry's text goes into the result.
const maxRaw = 16 << 10

// whois asks the server and follows its referrals, as far as they are granted.
func whois(c *pdk.Call, server string, addr netip.Addr) (*registration, error) {
	var found *registration
	asked := map[string]bool{}
	for range maxHops {
		asked[server] = true
		answer, err := ask(c, server, addr)
		if err != nil {
			if f := abi.AsFault(err); f.Kind == abi.Refused && found != nil {
				c.Warn("a referral is not followed: " + f.Error())
				return found, nil
			}
			return nil, err
		}
		record := parse(answer)
		found = record.registration()
		found.Server, found.Raw = server, answer
		if len(found.Raw) > maxRaw {
			found.Raw = strings.ToValidUTF8(found.Raw[:maxRaw], "")
		}
		server = record.referral()
		if server == "" || asked[server] {
			return found, nil
		}
	}
	return found, nil
}

// ask makes one query. Where nothing but a complaint about too many queries comes back, it is a fault.
func ask(c *pdk.Call, server string, addr netip.Addr) (string, error) {
	query := addr.String()
	if strings.HasPrefix(server, "whois.arin.net:") {
		query = "n + " + query // networks only, with all details
	}
	received, _, err := c.TCP("whois").Exchange(server, []byte(query+"\r\n"))
	if err != nil {
		return "", err
	}
	text := readable(received)
	words := strings.ToLower(text)
	switch {
	case strings.TrimSpace(text) == "":
		return "", pdk.Fail(abi.Unavailable, server+" hung up without an answer", "")
	case len(parse(text).values) > 0:
	case strings.Contains(words, "limit exceeded"), strings.Contains(words, "access denied"), strings.Contains(words, "quota exceeded"),
		strings.Contains(words, "too many"):
		return "", pdk.Fail(abi.RateLimited, server+" answers no more queries from this address for now", "")
	}
	return text, nil
}

// readable gives a text that is not UTF-8 as what it most likely is, ISO 8859-1.
func readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// record is what a registry's text says of the most specific network in it, which is the last: the first value of each key, in lower case.
type record struct {
	values map[string]string
	abuse  string // from RIPE's comment
}

// parse reads lines "key: value"; comments begin with % or #.
func parse(text string) record {
	r := record{values: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "%") || strings.HasPrefix(line, "#") {
			if _, rest, ok := strings.Cut(line, "Abuse contact for '"); ok {
				_, rest, _ = strings.Cut(rest, "' is '")
				r.abuse = strings.TrimSuffix(rest, "'")
			}
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if !ok || value == "" {
			continue
		}
		if key == "netrange" || key == "inetnum" || key == "inet6num" {
			referral := r.values["refer"]
			clear(r.values)
			if referral != "" {
				r.values["refer"] = referral
			}
		}
		if _, there := r.values[key]; !there {
			r.values[key] = value
		}
	}
	return r
}

// referral is the server that the text refers to, as host:port; empty for none.
func (r record) referral() string {
	server := r.values["refer"] // IANA
	if rest, ok := strings.CutPrefix(r.values["referralserver"], "whois://"); ok {
		server = rest // ARIN
	}
	server = strings.TrimRight(server, "/")
	if server == "" || strings.ContainsAny(server, "/ ") {
		return ""
	}
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "43")
	}
	return server
}

func (r record) registration() *registration {
	v := r.values
	out := &registration{Source: "whois", Name: v["netname"], Country: countryCode(v["country"]), Network: r.network()}
	out.Registered = date(cmp.Or(v["regdate"], v["created"]))
	out.AbuseMail = cmp.Or(v["orgabuseemail"], v["abuse-mailbox"], r.abuse)
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
func (r record) network() string {
	text := cmp.Or(r.values["cidr"], r.values["inetnum"], r.values["inet6num"], r.values["netrange"])
	if strings.Contains(text, ",") { // several networks
		text = cmp.Or(r.values["netrange"], text)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().String()
	}
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return ""
	}
	return span(first, last)
}
