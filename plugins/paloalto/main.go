// Command paloalto is a plugin that blocks addresses on a PAN-OS firewall by tags on registered addresses, which dynamic address groups
// match without a commit. It speaks the XML API (Palo Alto Networks, "PAN-OS and Panorama API Guide", type=user-id and type=op).
package main

import (
	"net/netip"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

const defaultTag = "riposte-blocked"

type settings struct {
	BaseURL string `json:"base_url"`
	Vsys    string `json:"vsys"`
}

type params struct {
	IP      string `json:"ip"`
	Tag     string `json:"tag"`
	Comment string `json:"comment"`
	Timeout int64  `json:"timeout_seconds"`
}

// change is the result of block-ip and unblock-ip.
type change struct {
	IP      string `json:"ip"`
	Tag     string `json:"tag"`
	Present bool   `json:"present"`
	Already bool   `json:"already"`
	Timeout int64  `json:"timeout_seconds,omitempty"`
}

type status struct {
	IP      string   `json:"ip"`
	Tag     string   `json:"tag"`
	Present bool     `json:"present"`
	Tags    []string `json:"tags"`
}

var _ = pdk.Learn(new(settings))

//go:wasmexport block-ip
func blockIP() int32 { return pdk.Run(block) }

//go:wasmexport unblock-ip
func unblockIP() int32 { return pdk.Run(unblock) }

//go:wasmexport is-blocked
func isBlocked() int32 { return pdk.Run(blocked) }

func main() {}

// open reads settings and parameters; the address comes back in its one canonical spelling.
func open(c *pdk.Call, p *params) (*firewall, error) {
	fw := &firewall{call: c}
	if err := c.Settings(&fw.settings); err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(p.IP)
	if err != nil || addr.Zone() != "" {
		f := abi.NewFault(abi.Invalid, "this is no IP address", "give one address, such as 203.0.113.9")
		f.Where = "$.parameters.ip"
		return nil, f
	}
	p.IP = addr.Unmap().String()
	if p.Tag == "" {
		p.Tag = defaultTag
	}
	return fw, nil
}

// block puts the tag on the address. The firewall leaves a tag that is there as it is, with whatever time it has left: it is taken off and
// put on again, so that the block lasts as long as is asked now.
func block(c *pdk.Call, p params) (change, error) {
	fw, err := open(c, &p)
	if err != nil {
		return change{}, err
	}
	if p.Comment != "" {
		c.Log("info", "block "+p.IP, map[string]any{"reason": p.Comment})
	}
	already, err := fw.tag("register", p)
	if err == nil && already {
		err = fw.renew(p)
	}
	return change{IP: p.IP, Tag: p.Tag, Present: true, Already: already, Timeout: p.Timeout}, err
}

func unblock(c *pdk.Call, p params) (change, error) {
	fw, err := open(c, &p)
	if err != nil {
		return change{}, err
	}
	already, err := fw.tag("unregister", p)
	return change{IP: p.IP, Tag: p.Tag, Already: already}, err
}

func blocked(c *pdk.Call, p params) (status, error) {
	fw, err := open(c, &p)
	if err != nil {
		return status{}, err
	}
	tags, err := fw.tags(p.IP)
	result := status{IP: p.IP, Tag: p.Tag, Tags: tags}
	for _, tag := range tags {
		result.Present = result.Present || tag == p.Tag
	}
	return result, err
}
