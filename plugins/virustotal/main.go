// Command virustotal is a plugin that looks up addresses, domains and files in VirusTotal's API v3 (docs.virustotal.com/reference).
package main

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

const defaultBase = "https://www.virustotal.com/api/v3"

type settings struct {
	BaseURL       string `json:"base_url"`
	MaliciousFrom int    `json:"malicious_from"`
}

// numbers are what every report has.
type numbers struct {
	Malicious  int    `json:"malicious"`
	Suspicious int    `json:"suspicious"`
	Harmless   int    `json:"harmless"`
	Undetected int    `json:"undetected"`
	Reputation int    `json:"reputation"`
	Verdict    string `json:"verdict"`
	Link       string `json:"link"`
}

type ipReport struct {
	IP string `json:"ip"`
	numbers
	Country string `json:"country,omitempty"`
	ASOwner string `json:"as_owner,omitempty"`
	ASN     int64  `json:"asn,omitempty"`
	Network string `json:"network,omitempty"`
}

type domainReport struct {
	Domain string `json:"domain"`
	numbers
	Registrar string `json:"registrar,omitempty"`
	Created   string `json:"created,omitempty"`
}

type fileReport struct {
	Hash string `json:"hash"`
	numbers
	SHA256   string `json:"sha256,omitempty"`
	Name     string `json:"name,omitempty"`
	FileType string `json:"file_type,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Threat   string `json:"threat,omitempty"`
}

type ipParams struct {
	IP string `json:"ip"`
}

type domainParams struct {
	Domain string `json:"domain"`
}

type fileParams struct {
	Hash string `json:"hash"`
}

var _ = pdk.Learn(new(settings), new(object))

//go:wasmexport ip-report
func ipReportExport() int32 { return pdk.Run(ip) }

//go:wasmexport domain-report
func domainReportExport() int32 { return pdk.Run(domain) }

//go:wasmexport file-report
func fileReportExport() int32 { return pdk.Run(file) }

func main() {}

func ip(c *pdk.Call, p ipParams) (ipReport, error) {
	addr, err := netip.ParseAddr(p.IP)
	if err != nil || addr.Zone() != "" {
		return ipReport{}, pdk.Fail(abi.Invalid, "this is no IP address", "give one address, such as 203.0.113.9")
	}
	o, n, err := look(c, subject{kind: "ip", value: addr.Unmap().String(), path: "ip_addresses", page: "ip-address"})
	a := o.Data.Attributes
	return ipReport{p.IP, n, a.Country, a.ASOwner, a.ASN, a.Network}, err
}

func domain(c *pdk.Call, p domainParams) (domainReport, error) {
	name := strings.ToLower(strings.TrimSuffix(p.Domain, "."))
	o, n, err := look(c, subject{kind: "domain", value: name, path: "domains", page: "domain"})
	a := o.Data.Attributes
	return domainReport{p.Domain, n, a.Registrar, day(a.Created)}, err
}

func file(c *pdk.Call, p fileParams) (fileReport, error) {
	o, n, err := look(c, subject{kind: "hash", value: strings.ToLower(p.Hash), path: "files", page: "file"})
	a := o.Data.Attributes
	return fileReport{p.Hash, n, a.SHA256, a.Name, a.FileType, a.Size, a.Threat.Label}, err
}

// object is the answer of the API, with the attributes of all kinds that we read.
type object struct {
	Data struct {
		Attributes struct {
			Stats struct {
				Malicious  int `json:"malicious"`
				Suspicious int `json:"suspicious"`
				Harmless   int `json:"harmless"`
				Undetected int `json:"undetected"`
			} `json:"last_analysis_stats"`
			Reputation int    `json:"reputation"`
			Country    string `json:"country"`
			ASOwner    string `json:"as_owner"`
			ASN        int64  `json:"asn"`
			Network    string `json:"network"`
			Registrar  string `json:"registrar"`
			Created    int64  `json:"creation_date"` // seconds since 1970
			SHA256     string `json:"sha256"`
			Name       string `json:"meaningful_name"`
			FileType   string `json:"type_description"`
			Size       int64  `json:"size"`
			Threat     struct {
				Label string `json:"suggested_threat_label"`
			} `json:"popular_threat_classification"`
		} `json:"attributes"`
	} `json:"data"`
}

// subject is what is looked up: kind and value of the artifact, and where it lies in the API and on the web.
type subject struct{ kind, value, path, page string }

// look fetches the report and tells the incident of the verdict. What VirusTotal does not know has the verdict unknown.
func look(c *pdk.Call, s subject) (object, numbers, error) {
	set := settings{BaseURL: defaultBase, MaliciousFrom: 3}
	if err := c.Settings(&set); err != nil {
		return object{}, numbers{}, err
	}
	var o object
	n := numbers{Verdict: "unknown", Link: "https://www.virustotal.com/gui/" + s.page + "/" + url.PathEscape(s.value)}
	answer, err := c.HTTP("api").Get(strings.TrimRight(set.BaseURL, "/") + "/" + s.path + "/" + url.PathEscape(s.value))
	if err != nil {
		return o, n, err
	}
	if answer.Status == 404 && isNotFound(answer, s) {
		return o, n, c.Artifact(s.kind, s.value, n.Verdict, "VirusTotal does not know it")
	}
	if err := answer.Into(&o); err != nil {
		return o, n, err
	}
	a := o.Data.Attributes
	n.Malicious, n.Suspicious, n.Harmless, n.Undetected = a.Stats.Malicious, a.Stats.Suspicious, a.Stats.Harmless, a.Stats.Undetected
	n.Reputation, n.Verdict = a.Reputation, verdict(n, set.MaliciousFrom)
	return o, n, c.Artifact(s.kind, s.value, n.Verdict, note(n))
}

// isNotFound tells that VirusTotal does not know the subject from all else that has this status, such as a wrong address of the API.
func isNotFound(answer *pdk.Response, s subject) bool {
	var e struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	return pdk.Unmarshal(answer.Bytes(), &e) == nil && e.Error.Code == "NotFoundError" && strings.Contains(strings.ToLower(e.Error.Message), s.value)
}

// verdict is a word for the numbers.
func verdict(n numbers, maliciousFrom int) string {
	switch {
	case n.Malicious >= max(maliciousFrom, 1):
		return "malicious"
	case n.Malicious+n.Suspicious > 0:
		return "suspicious"
	case n.Harmless > 0:
		return "benign"
	}
	return "unknown"
}

// note is the numbers for people.
func note(n numbers) string {
	all := n.Malicious + n.Suspicious + n.Harmless + n.Undetected
	return "VirusTotal: " + strconv.Itoa(n.Malicious) + " of " + strconv.Itoa(all) + " engines call it malicious, " +
		strconv.Itoa(n.Suspicious) + " suspicious"
}

// day is a date of the API, seconds since 1970, as YYYY-MM-DD; empty for none.
func day(seconds int64) string {
	if seconds <= 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly)
}
