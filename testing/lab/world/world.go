// Package world is the story that the lab tells: one company, corp.test, one infected workstation, the addresses it talked to,
// and what the vendors know about them. All simulators answer from the same World, so that their answers fit together.
//
// Every name and address is fictional: corp.test, RFC 1918 inside, the three TEST-NETs of RFC 5737 outside.
package world

import (
	"net/netip"
	"slices"
	"time"
)

// World is the whole data set. It is not changed by the simulators; give each test its own by Default and alter that before the
// simulators start.
type World struct {
	MailDomain string         `json:"mail_domain"` // corp.test
	Managers   string         `json:"managers"`    // mail address of the security managers
	HomeNet    []netip.Prefix `json:"home_net"`    // what LogPoint's list HOMENET holds
	Alarm      Alarm          `json:"alarm"`
	Assets     []Asset        `json:"assets"`
	Flows      []Flow         `json:"flows"`
	Networks   []Network      `json:"networks"`
	Hosts      []Host         `json:"hosts"`
	Domains    []Domain       `json:"domains"`
	Files      []File         `json:"files"`
}

// Alarm is the connection that starts the story.
type Alarm struct {
	Source          netip.Addr `json:"source"`
	SourcePort      uint16     `json:"source_port"`
	Destination     netip.Addr `json:"destination"`
	DestinationPort uint16     `json:"destination_port"`
	BytesIn         int64      `json:"bytes_in"`
	BytesOut        int64      `json:"bytes_out"`
}

// Asset is a row of the company's inventory.
type Asset struct {
	IP          netip.Addr `json:"ip"`
	Hostname    string     `json:"hostname"` // fully qualified
	Owner       string     `json:"owner"`    // mail address
	Department  string     `json:"department"`
	Criticality string     `json:"criticality"` // low, medium, high, critical
	OS          string     `json:"os"`
	Location    string     `json:"location"`
}

// Flow is one connection that the company's firewall logged, Ago before whenever somebody looks.
type Flow struct {
	Source          netip.Addr    `json:"source"`
	SourcePort      uint16        `json:"source_port"`
	Destination     netip.Addr    `json:"destination"`
	DestinationPort uint16        `json:"destination_port"`
	Protocol        string        `json:"protocol"`  // tcp or udp
	BytesIn         int64         `json:"bytes_in"`  // to the source
	BytesOut        int64         `json:"bytes_out"` // from the source
	Ago             time.Duration `json:"ago"`       // nanoseconds
}

// Network is a registration as WHOIS and RDAP tell it.
type Network struct {
	Prefix   netip.Prefix `json:"prefix"`
	Handle   string       `json:"handle"`
	Name     string       `json:"name"`
	Org      string       `json:"org"`
	Country  string       `json:"country"` // ISO 3166-1 alpha-2
	Abuse    string       `json:"abuse"`   // mail address
	Registry string       `json:"registry"`
	ASN      uint32       `json:"asn"`
	Created  time.Time    `json:"created"`
	Changed  time.Time    `json:"changed"`
}

// Host is an external address: its name, its place, and what VirusTotal's engines say.
type Host struct {
	IP          netip.Addr `json:"ip"`
	Reverse     string     `json:"reverse,omitempty"` // name of the PTR record; "" if there is none
	Country     string     `json:"country"`           // name in English
	CountryCode string     `json:"country_code"`      // ISO 3166-1 alpha-2
	State       string     `json:"state"`
	City        string     `json:"city"`
	Latitude    float64    `json:"latitude"`
	Longitude   float64    `json:"longitude"`
	Verdict     Verdict    `json:"verdict"`
}

// Verdict counts the engines by what they say.
type Verdict struct {
	Malicious  int `json:"malicious"`
	Suspicious int `json:"suspicious"`
	Harmless   int `json:"harmless"`
	Undetected int `json:"undetected"`
}

// Domain is a name that VirusTotal knows.
type Domain struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Registrar string       `json:"registrar"`
	Created   time.Time    `json:"created"`
	Verdict   Verdict      `json:"verdict"`
}

// File is a file that VirusTotal knows. The digests of the malicious one are made up.
type File struct {
	MD5     string  `json:"md5"`
	SHA1    string  `json:"sha1"`
	SHA256  string  `json:"sha256"`
	Name    string  `json:"name"`
	Type    string  `json:"type"`
	Size    int64   `json:"size"`
	Label   string  `json:"label"` // suggested threat label; "" for a harmless file
	Verdict Verdict `json:"verdict"`
}

// Asset finds the inventory's row of an address.
func (w *World) Asset(ip netip.Addr) (Asset, bool) {
	return find(w.Assets, func(a Asset) bool { return a.IP == ip })
}

// Host finds an external address.
func (w *World) Host(ip netip.Addr) (Host, bool) {
	return find(w.Hosts, func(h Host) bool { return h.IP == ip })
}

// Network finds the registration that holds an address.
func (w *World) Network(ip netip.Addr) (Network, bool) {
	return find(w.Networks, func(n Network) bool { return n.Prefix.Contains(ip) })
}

// Domain finds a name.
func (w *World) Domain(name string) (Domain, bool) {
	return find(w.Domains, func(d Domain) bool { return d.Name == name })
}

// File finds a file by any of its digests, in lower case.
func (w *World) File(digest string) (File, bool) {
	return find(w.Files, func(f File) bool { return digest == f.MD5 || digest == f.SHA1 || digest == f.SHA256 })
}

// Inside says whether an address belongs to the company.
func (w *World) Inside(ip netip.Addr) bool {
	return slices.ContainsFunc(w.HomeNet, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func find[T any](all []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	var none T
	return none, false
}
