// Command hackertarget is a plugin that looks up addresses and domains with the tools of api.hackertarget.com (hackertarget.com/ip-tools).
// The tools answer in plain text, errors too, mostly with status 200.
package main

import (
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/geoip/countries"
	"github.com/riposte-soar/riposte/plugins/whois/registry"
)

type settings struct {
	BaseURL string `json:"base_url"`
	Member  bool   `json:"member"`
}

type ipParams struct {
	IP string `json:"ip"`
}

type domainParams struct {
	Domain string `json:"domain"`
}

type rdns struct {
	IP               string   `json:"ip"`
	Names            []string `json:"names"`
	ForwardConfirmed bool     `json:"forward_confirmed"`
}

type registration struct {
	IP string `json:"ip"`
	registry.Registration
	Source string `json:"source"`
	Raw    string `json:"raw,omitempty"`
}

type geo struct {
	IP          string   `json:"ip"`
	Country     string   `json:"country"`
	CountryName string   `json:"country_name"`
	Org         string   `json:"org"`
	City        string   `json:"city,omitempty"`
	Region      string   `json:"region,omitempty"`
	Latitude    *float64 `json:"latitude,omitempty"`
	Longitude   *float64 `json:"longitude,omitempty"`
	Source      string   `json:"source"`
}

type hosts struct {
	Domain string `json:"domain"`
	Hosts  []host `json:"hosts"`
}

type host struct {
	Name string `json:"name"`
	IP   string `json:"ip"`
}

type neighbours struct {
	IP    string   `json:"ip"`
	Names []string `json:"names"`
}

var _ = pdk.Learn(new(settings))

//go:wasmexport reverse-dns
func reverseDNSExport() int32 { return pdk.Run(reverseDNS) }

//go:wasmexport whois
func whoisExport() int32 { return pdk.Run(whois) }

//go:wasmexport geoip
func geoIPExport() int32 { return pdk.Run(geoIP) }

//go:wasmexport hostsearch
func hostSearchExport() int32 { return pdk.Run(hostSearch) }

//go:wasmexport reverse-ip
func reverseIPExport() int32 { return pdk.Run(reverseIP) }

func main() {}

// look asks one tool. It gives an empty text where the tool says that it knows nothing.
func look(c *pdk.Call, tool, q string) (string, error) {
	s := settings{BaseURL: "https://api.hackertarget.com"}
	if err := c.Settings(&s); err != nil {
		return "", err
	}
	capability := "free"
	if s.Member {
		capability = "member"
	}
	answer, err := c.HTTP(capability).Get(strings.TrimRight(s.BaseURL, "/") + "/" + tool + "/?" + url.Values{"q": {q}}.Encode())
	if err != nil {
		return "", err
	}
	if err := answer.Expect(); err != nil {
		return "", err
	}
	text := strings.TrimSpace(registry.Readable(answer.Bytes()))
	excerpt := strings.ToValidUTF8(text[:min(len(text), 200)], "")
	line := strings.ToLower(excerpt)
	switch {
	case strings.HasPrefix(line, "<"):
		return "", pdk.Fail(abi.Unavailable, "the service answered with a web page", "check base_url in the connector's settings")
	case strings.HasPrefix(line, "api count exceeded"), strings.Contains(line, "too many requests"):
		return "", pdk.Fail(abi.RateLimited, "Hacker Target: "+excerpt, "wait until tomorrow, or use a member's key")
	case strings.HasPrefix(line, "error invalid key"):
		return "", pdk.Fail(abi.Unauthorized, "Hacker Target: "+excerpt, "check apikey in the connector's settings")
	case strings.HasPrefix(line, "error"):
		return "", pdk.Fail(abi.Invalid, "Hacker Target: "+excerpt, "")
	case line == "no records found", strings.HasPrefix(line, "no dns a records found"), strings.HasPrefix(line, "no match found"):
		return "", nil
	}
	return text, nil
}

// lookIP asks a tool about an address.
func lookIP(c *pdk.Call, tool, ip string) (string, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		f := abi.NewFault(abi.Invalid, "this is no IP address", "give one address, such as 203.0.113.9")
		f.Where = "$.parameters.ip"
		return "", f
	}
	return look(c, tool, addr.Unmap().String())
}

func reverseDNS(c *pdk.Call, p ipParams) (rdns, error) {
	text, err := lookIP(c, "reversedns", p.IP)
	r := rdns{IP: p.IP, Names: []string{}}
	for line := range strings.Lines(text) {
		for i, word := range strings.Fields(line) {
			if i > 0 { // the first is the address
				r.Names = append(r.Names, name(word))
			}
		}
	}
	return r, err
}

func whois(c *pdk.Call, p ipParams) (registration, error) {
	text, err := lookIP(c, "whois", p.IP)
	return registration{p.IP, registry.Parse(text).Registration(), "whois", strings.ToValidUTF8(text[:min(len(text), 16<<10)], "")}, err
}

func geoIP(c *pdk.Call, p ipParams) (geo, error) {
	text, err := lookIP(c, "geoip", p.IP)
	v := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); value != "None" && value != "N/A" {
			v[strings.ToLower(strings.TrimSpace(key))] = value
		}
	}
	r := geo{IP: p.IP, CountryName: v["country"], City: v["city"], Region: v["state"], Source: "hackertarget"}
	r.Country = countries.Code(r.CountryName)
	if name := countries.Name(strings.ToUpper(r.CountryName)); name != "" { // it was a code
		r.Country, r.CountryName = strings.ToUpper(r.CountryName), name
	}
	if _, located := v["country"]; located {
		r.Latitude, r.Longitude = degrees(v["latitude"]), degrees(v["longitude"])
	}
	return r, err
}

// degrees reads a coordinate; nil where there is none.
func degrees(s string) *float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func hostSearch(c *pdk.Call, p domainParams) (hosts, error) {
	text, err := look(c, "hostsearch", strings.ToLower(strings.TrimSuffix(p.Domain, ".")))
	r := hosts{Domain: p.Domain, Hosts: []host{}}
	for line := range strings.Lines(text) {
		if left, right, ok := strings.Cut(strings.TrimSpace(line), ","); ok {
			r.Hosts = append(r.Hosts, host{name(left), strings.TrimSpace(right)})
		}
	}
	return r, err
}

func reverseIP(c *pdk.Call, p ipParams) (neighbours, error) {
	text, err := lookIP(c, "reverseiplookup", p.IP)
	r := neighbours{IP: p.IP, Names: []string{}}
	for _, word := range strings.Fields(text) {
		r.Names = append(r.Names, name(word))
	}
	return r, err
}

// name is a domain name in its usual spelling.
func name(s string) string { return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), ".")) }
