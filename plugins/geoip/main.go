// Command geoip is a plugin that tells the country of an address, offline: from a table that is part of it, and from the operator's own
// list of networks.
package main

import (
	"net/netip"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/geoip/countries"
)

type settings struct {
	Networks []network `json:"networks"`
}

// network is one of the operator's own.
type network struct {
	CIDR    string `json:"cidr"`
	Country string `json:"country"`
	City    string `json:"city"`
	Org     string `json:"org"`
	Site    string `json:"site"`
}

type params struct {
	IP string `json:"ip"`
}

type result struct {
	IP          string `json:"ip"`
	Country     string `json:"country"`
	CountryName string `json:"country_name"`
	Org         string `json:"org"`
	City        string `json:"city,omitempty"`
	Special     string `json:"special,omitempty"`
	Site        string `json:"site,omitempty"`
	Network     string `json:"network,omitempty"`
	Source      string `json:"source"`
}

var _ = pdk.Learn(new(settings))

//go:wasmexport lookup
func lookupExport() int32 { return pdk.Run(locate) }

func main() {}

func locate(c *pdk.Call, p params) (result, error) {
	var s settings
	if err := c.Settings(&s); err != nil {
		return result{}, err
	}
	addr, err := netip.ParseAddr(p.IP)
	if err != nil {
		f := abi.NewFault(abi.Invalid, "this is no IP address", "give one address, such as 203.0.113.9")
		f.Where = "$.parameters.ip"
		return result{}, f
	}
	addr = addr.Unmap().WithZone("")
	r := result{IP: p.IP, Special: special(addr), Source: "table"}
	if r.Special != "" {
		r.Source = "special"
	} else {
		r.Country = lookup(addr)
	}
	if own, ok := longest(s.Networks, addr); ok {
		r.Source, r.Network, r.City, r.Org, r.Site = "settings", own.CIDR, own.City, own.Org, own.Site
		if own.Country != "" {
			r.Country = own.Country
		}
	}
	r.CountryName = countries.Name(r.Country)
	return r, nil
}

// longest finds the network with the longest prefix that holds the address. A prefix that cannot be read holds none: the schema of the
// settings has refused it before.
func longest(networks []network, addr netip.Addr) (found network, ok bool) {
	bits := -1
	for _, n := range networks {
		p, err := netip.ParsePrefix(n.CIDR)
		if err == nil && p.Bits() > bits && p.Contains(addr) {
			found, ok, bits = n, true, p.Bits()
		}
	}
	return found, ok
}
