package main

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/whois/registry"
)

// maxHops is how many redirects or referrals are followed.
const maxHops = 5

// network is the part of an IP network object (RFC 9083, section 5.4) that we read, with the extensions cidr0 and arin_originas0.
type network struct {
	StartAddress string `json:"startAddress"`
	EndAddress   string `json:"endAddress"`
	Name         string `json:"name"`
	Country      string `json:"country"`
	CIDRs        []struct {
		V4     string `json:"v4prefix"`
		V6     string `json:"v6prefix"`
		Length int    `json:"length"`
	} `json:"cidr0_cidrs"`
	Origins []int64 `json:"arin_originas0_originautnums"`
	Events  []struct {
		Action string `json:"eventAction"`
		Date   string `json:"eventDate"`
	} `json:"events"`
	Entities []entity `json:"entities"`
}

type entity struct {
	Roles    []string          `json:"roles"`
	Card     []json.RawMessage `json:"vcardArray"` // "vcard" and a list of properties (RFC 7095)
	Entities []entity          `json:"entities"`
}

// rdap asks the server, and those that it redirects to. It gives nil without an error for an address that no registry knows.
func rdap(c *pdk.Call, base string, addr netip.Addr) (*registration, error) {
	at := base + "/ip/" + addr.String()
	for range maxHops {
		capability := "registries"
		if strings.HasPrefix(at, base+"/") {
			capability = "rdap"
		}
		answer, err := c.HTTP(capability).Do(abi.HTTPRequest{Method: "GET", URL: at, Headers: map[string]string{"accept": "application/rdap+json, application/json"}})
		if err != nil {
			return nil, err
		}
		where, err := url.Parse(at)
		if err != nil {
			return nil, pdk.Fail(abi.Unavailable, "the RDAP server redirects to what is no URL", "")
		}
		switch {
		case answer.Status == 404:
			return nil, nil
		case answer.Status >= 300 && answer.Status < 400:
			next, err := where.Parse(answer.Header("location"))
			if err != nil {
				return nil, pdk.Fail(abi.Unavailable, "the RDAP server redirects to what is no URL", "")
			}
			at = next.String()
			continue
		}
		var n network
		if err := answer.Into(&n); err != nil {
			return nil, err
		}
		found := n.registration()
		if found.Network == "" && found.Name == "" {
			return nil, pdk.Fail(abi.Unavailable, "the RDAP server answered something else than a network", "check rdap_url in the connector's settings")
		}
		found.Server = where.Hostname()
		return found, nil
	}
	return nil, pdk.Fail(abi.Unavailable, "the RDAP server redirects more than "+strconv.Itoa(maxHops)+" times", "")
}

func (n *network) registration() *registration {
	r := &registration{Source: "rdap"}
	r.Name, r.Country, r.Network = n.Name, registry.CountryCode(n.Country), registry.Span(n.StartAddress, n.EndAddress)
	if len(n.CIDRs) == 1 {
		r.Network = n.CIDRs[0].V4 + n.CIDRs[0].V6 + "/" + strconv.Itoa(n.CIDRs[0].Length)
	}
	if len(n.Origins) > 0 {
		r.ASN = n.Origins[0]
	}
	for _, e := range n.Events {
		if e.Action == "registration" {
			r.Registered = registry.Date(e.Date)
		}
	}
	n.contacts(n.Entities, r, 4)
	return r
}

// contacts takes the holder and the abuse desk out of the entities; the abuse desk may lie inside the holder. Of several registrants an
// organisation counts more than a maintainer or a person.
func (n *network) contacts(all []entity, r *registration, depth int) {
	if depth == 0 {
		return
	}
	organisation := false
	for _, e := range all {
		name, kind, mail := e.card()
		if slices.Contains(e.Roles, "registrant") && name != "" && !organisation && (r.Org == "" || kind == "org") {
			r.Org, organisation = name, kind == "org"
		}
		if slices.Contains(e.Roles, "abuse") && r.AbuseMail == "" {
			r.AbuseMail = mail
		}
		n.contacts(e.Entities, r, depth-1)
	}
}

// card reads name, kind and mail address of a contact. A property is a list of name, parameters, type and value.
func (e *entity) card() (name, kind, mail string) {
	var properties [][]json.RawMessage
	if len(e.Card) < 2 || pdk.Unmarshal(e.Card[1], &properties) != nil {
		return "", "", ""
	}
	for _, p := range properties {
		var key, value string
		if len(p) < 4 || pdk.Unmarshal(p[0], &key) != nil || pdk.Unmarshal(p[3], &value) != nil {
			continue
		}
		switch {
		case key == "fn":
			name = value
		case key == "kind":
			kind = value
		case key == "email" && mail == "":
			mail = value
		}
	}
	return name, kind, mail
}
