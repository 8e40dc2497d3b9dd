package rdap

import (
	"net/netip"
	"strings"
	"time"
)

// object is a JSON object of RFC 9083.
type object map[string]any

// conformance names the specifications that an answer keeps: RFC 9083, and the extensions for CIDR and for origin AS numbers.
func conformance() []string { return []string{"rdap_level_0", "cidr0", "arin_originas0"} }

// object is an answer by RFC 9083, section 5.4.
func (n Network) object(self string, nestAbuse bool) object {
	p := n.Prefix.Masked()
	version, key := "v4", "v4prefix"
	if p.Addr().Is6() {
		version, key = "v6", "v6prefix"
	}
	registrant := entity(n.Handle+"-ORG", []string{"registrant"}, jcard("org", n.Org, n.Country, "", ""))
	entities := []object{registrant}
	if n.AbuseMail != "" {
		abuse := entity(n.Handle+"-ABUSE", []string{"abuse"}, jcard("group", "Abuse desk", "", n.AbuseMail, n.Phone))
		if nestAbuse {
			registrant["entities"] = []object{abuse}
		} else {
			entities = append(entities, abuse)
		}
	}
	o := object{
		"rdapConformance": conformance(),
		"objectClassName": "ip network",
		"handle":          n.Handle,
		"startAddress":    p.Addr().String(),
		"endAddress":      last(p).String(),
		"ipVersion":       version,
		"name":            n.Name,
		"type":            "ALLOCATED",
		"country":         n.Country,
		"status":          []string{"active"},
		"entities":        entities,
		"events":          events(event{"registration", n.Created}, event{"last changed", n.Updated}),
		"links":           links(self),
		"cidr0_cidrs":     []object{{key: p.Addr().String(), "length": p.Bits()}},
	}
	if n.ASN != 0 {
		o["arin_originas0_originautnums"] = []uint32{n.ASN}
	}
	return o
}

// object is an answer by RFC 9083, section 5.3.
func (d Domain) object(self string) object {
	status := d.Status
	if len(status) == 0 {
		status = []string{"active"}
	}
	registrar := entity(d.Handle+"-REGISTRAR", []string{"registrar"}, jcard("org", d.Registrar, "", "", ""))
	if d.AbuseMail != "" {
		registrar["entities"] = []object{entity(d.Handle+"-ABUSE", []string{"abuse"}, jcard("group", "Abuse desk", "", d.AbuseMail, ""))}
	}
	servers := []object{}
	for _, ns := range d.Nameservers {
		servers = append(servers, object{"objectClassName": "nameserver", "ldhName": ns})
	}
	return object{
		"rdapConformance": conformance(),
		"objectClassName": "domain",
		"handle":          d.Handle,
		"ldhName":         strings.ToLower(d.Name),
		"status":          status,
		"nameservers":     servers,
		"secureDNS":       object{"delegationSigned": false},
		"entities":        []object{registrar},
		"events":          events(event{"registration", d.Created}, event{"last changed", d.Updated}, event{"expiration", d.Expires}),
		"links":           links(self),
	}
}

func entity(handle string, roles []string, card []any) object {
	return object{"objectClassName": "entity", "handle": handle, "roles": roles, "vcardArray": card}
}

// jcard is a contact by RFC 7095; what is empty is left out.
func jcard(kind, name, country, mail, phone string) []any {
	none := object{}
	props := [][]any{{"version", none, "text", "4.0"}, {"fn", none, "text", name}, {"kind", none, "text", kind}}
	if country != "" {
		props = append(props, []any{"adr", none, "text", []string{"", "", "", "", "", "", country}})
	}
	if mail != "" {
		props = append(props, []any{"email", none, "text", mail})
	}
	if phone != "" {
		props = append(props, []any{"tel", object{"type": []string{"work", "voice"}}, "uri", "tel:" + phone})
	}
	return []any{"vcard", props}
}

type event struct {
	action string
	at     time.Time
}

// events leaves out those that never happened.
func events(all ...event) []object {
	out := []object{}
	for _, e := range all {
		if !e.at.IsZero() {
			out = append(out, object{"eventAction": e.action, "eventDate": e.at.UTC().Format(time.RFC3339)})
		}
	}
	return out
}

func links(self string) []object {
	return []object{{"value": self, "rel": "self", "href": self, "type": "application/rdap+json"}}
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // the slice of an address is one
	return a
}
