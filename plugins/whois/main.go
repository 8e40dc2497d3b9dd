// Command whois is a plugin that tells who an address is registered to: by RDAP (RFC 9082, RFC 9083), and where that fails or knows
// nothing by WHOIS (RFC 3912).
package main

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/whois/registry"
)

type settings struct {
	RDAPURL     string `json:"rdap_url"`
	WhoisServer string `json:"whois_server"`
}

type params struct {
	IP string `json:"ip"`
}

// registration is the result.
type registration struct {
	IP string `json:"ip"`
	registry.Registration
	Source string `json:"source"`
	Server string `json:"server,omitempty"`
	Raw    string `json:"raw,omitempty"`
}

var _ = pdk.Learn(new(settings), new(network), new([][]json.RawMessage), new(string))

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
