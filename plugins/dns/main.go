// Command dns is a plugin that turns addresses into names and names into addresses.
package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// confirm is how many names of an address are checked forwards.
const confirm = 4

type reverseParams struct {
	IP string `json:"ip"`
}

type reverseResult struct {
	IP               string   `json:"ip"`
	Names            []string `json:"names"`
	ForwardConfirmed bool     `json:"forward_confirmed"`
}

type forwardParams struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type forwardResult struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Exists    bool            `json:"exists"`
	Records   []abi.DNSRecord `json:"records"`
	Addresses []string        `json:"addresses"`
}

//go:wasmexport reverse
func reverseExport() int32 { return pdk.Run(reverse) }

//go:wasmexport forward
func forwardExport() int32 { return pdk.Run(forward) }

func main() {}

// resolve asks, and takes a name that does not exist for an answer.
func resolve(c *pdk.Call, name, recordType string) (abi.DNSResponse, error) {
	answer, err := c.DNS("resolver").Resolve(name, recordType)
	if err == nil && answer.RCode != "NOERROR" && answer.RCode != "NXDOMAIN" {
		err = pdk.Fail(abi.Unavailable, "the name server answered "+answer.RCode+" for "+recordType+" "+name, "check the connector's server")
	}
	return answer, err
}

// values are the data of the records of one type; other records of the answer are aliases on the way.
func values(answer abi.DNSResponse, recordType string) []string {
	out := []string{}
	for _, r := range answer.Records {
		if r.Type == recordType && !slices.Contains(out, r.Value) {
			out = append(out, r.Value)
		}
	}
	return out
}

func reverse(c *pdk.Call, p reverseParams) (reverseResult, error) {
	r := reverseResult{IP: p.IP}
	addr, err := netip.ParseAddr(p.IP)
	if err != nil || addr.Zone() != "" {
		f := abi.NewFault(abi.Invalid, "this is no IP address", "give one address, such as 203.0.113.9")
		f.Where = "$.parameters.ip"
		return r, f
	}
	addr = addr.Unmap()
	answer, err := resolve(c, addr.String(), "PTR")
	if err != nil {
		return r, err
	}
	r.Names = values(answer, "PTR")
	for _, name := range r.Names[:min(len(r.Names), confirm)] {
		if r.ForwardConfirmed = leadsBack(c, name, addr); r.ForwardConfirmed {
			break
		}
	}
	return r, nil
}

// leadsBack says whether a name has the address. The name is the address owner's claim: what goes wrong with it only means that it is not
// confirmed.
func leadsBack(c *pdk.Call, name string, addr netip.Addr) bool {
	recordType := "A"
	if addr.Is6() {
		recordType = "AAAA"
	}
	answer, err := resolve(c, name, recordType)
	if err != nil {
		c.Warn("the name " + name + " cannot be checked: " + err.Error())
		return false
	}
	return slices.ContainsFunc(values(answer, recordType), func(v string) bool {
		found, err := netip.ParseAddr(v)
		return err == nil && found == addr
	})
}

func forward(c *pdk.Call, p forwardParams) (forwardResult, error) {
	if p.Type == "" {
		p.Type = "A"
	}
	r := forwardResult{Name: p.Name, Type: p.Type, Records: []abi.DNSRecord{}}
	answer, err := resolve(c, strings.TrimSuffix(p.Name, "."), p.Type)
	if err != nil {
		return r, err
	}
	r.Exists = answer.RCode == "NOERROR"
	r.Records = append(r.Records, answer.Records...)
	r.Addresses = append(values(answer, "A"), values(answer, "AAAA")...)
	return r, nil
}
