package virustotal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/world"
)

// object is what VirusTotal answers with: {"data": {id, type, links, attributes}}.
type object struct {
	ID         string            `json:"id"`
	Type       string            `json:"type"`
	Links      map[string]string `json:"links"`
	Attributes map[string]any    `json:"attributes"`
	collection string            // path segment of its own link
}

var (
	isDigest = regexp.MustCompile(`^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$`)
	isDomain = regexp.MustCompile(`^(?:[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)
)

func (s *Server) address(id string) (*object, *apiError) {
	ip, err := netip.ParseAddr(id)
	if err != nil || ip.Zone() != "" {
		return nil, &apiError{http.StatusBadRequest, "InvalidArgumentError", fmt.Sprintf("%q is not a valid IP address", id)}
	}
	report := &object{ID: ip.String(), Type: "ip_address", collection: "ip_addresses"}
	if ip.IsPrivate() {
		report.Attributes = s.analysis(world.Verdict{Undetected: 94})
		report.Attributes["tags"] = []string{"private"}
		return report, nil
	}
	host, ok := s.world.Host(ip)
	if !ok {
		return nil, &apiError{http.StatusNotFound, "NotFoundError", fmt.Sprintf("IP address %q not found", id)}
	}
	a := s.analysis(host.Verdict)
	a["tags"] = []string{}
	a["country"] = host.CountryCode
	a["continent"] = map[string]string{"US": "NA"}[host.CountryCode]
	if a["continent"] == "" {
		a["continent"] = "EU"
	}
	a["jarm"] = digest(report.ID)[:62]
	if n, ok := s.world.Network(ip); ok {
		a["network"] = n.Prefix.String()
		a["asn"] = n.ASN
		a["as_owner"] = n.Org
		a["regional_internet_registry"] = n.Registry
		a["whois"] = fmt.Sprintf("NetRange: %s\nNetName: %s\nOrganization: %s\nCountry: %s\nOrgAbuseEmail: %s\n",
			n.Prefix, n.Name, n.Org, n.Country, n.Abuse)
		a["whois_date"] = n.Changed.Unix()
	}
	report.Attributes = a
	return report, nil
}

func (s *Server) domain(id string) (*object, *apiError) {
	name := strings.ToLower(id)
	if !isDomain.MatchString(name) {
		return nil, &apiError{http.StatusBadRequest, "InvalidArgumentError", fmt.Sprintf("%q is not a valid domain pattern", id)}
	}
	d, ok := s.world.Domain(name)
	if !ok {
		return nil, &apiError{http.StatusNotFound, "NotFoundError", fmt.Sprintf("Domain %q not found", id)}
	}
	a := s.analysis(d.Verdict)
	a["tags"] = []string{}
	a["registrar"] = d.Registrar
	a["creation_date"] = d.Created.Unix()
	a["tld"] = d.Name[strings.LastIndexByte(d.Name, '.')+1:]
	a["categories"] = map[string]string{}
	records := []map[string]any{}
	for _, ip := range d.Addresses {
		records = append(records, map[string]any{"type": "A", "ttl": 300, "value": ip})
	}
	a["last_dns_records"] = records
	a["last_dns_records_date"] = s.analysed().Unix()
	return &object{ID: d.Name, Type: "domain", Attributes: a, collection: "domains"}, nil
}

func (s *Server) file(id string) (*object, *apiError) {
	sum := strings.ToLower(id)
	f, ok := s.world.File(sum)
	if !ok || !isDigest.MatchString(sum) {
		return nil, &apiError{http.StatusNotFound, "NotFoundError", fmt.Sprintf("File %q not found", id)}
	}
	a := s.analysis(f.Verdict)
	a["tags"] = []string{}
	a["md5"], a["sha1"], a["sha256"] = f.MD5, f.SHA1, f.SHA256
	a["size"], a["type_description"] = f.Size, f.Type
	a["meaningful_name"], a["names"] = f.Name, []string{f.Name}
	a["times_submitted"], a["unique_sources"] = 3, 2
	a["first_submission_date"] = s.analysed().Add(-30 * 24 * time.Hour).Unix()
	a["last_submission_date"] = s.analysed().Unix()
	if f.Label != "" {
		a["popular_threat_classification"] = map[string]any{"suggested_threat_label": f.Label}
	}
	stats := a["last_analysis_stats"].(map[string]int)
	stats["type-unsupported"], stats["confirmed-timeout"], stats["failure"] = 0, 0, 0
	return &object{ID: f.SHA256, Type: "file", Attributes: a, collection: "files"}, nil
}

// analysed is the time of the last analysis: this morning.
func (s *Server) analysed() time.Time { return s.opts.Now().UTC().Truncate(24 * time.Hour) }

// analysis gives the attributes that every kind of object has. Each engine of last_analysis_results has one of the verdicts that
// last_analysis_stats counts. The reputation and the votes of the community follow the engines.
func (s *Server) analysis(v world.Verdict) map[string]any {
	results := map[string]any{}
	engine := 0
	add := func(n int, category, result string) {
		for range n {
			engine++
			name := fmt.Sprintf("Example Engine %02d", engine)
			results[name] = map[string]string{"method": "blacklist", "engine_name": name, "category": category, "result": result}
		}
	}
	add(v.Malicious, "malicious", "malware")
	add(v.Suspicious, "suspicious", "suspicious")
	add(v.Harmless, "harmless", "clean")
	add(v.Undetected, "undetected", "unrated")
	return map[string]any{
		"last_analysis_stats": map[string]int{"malicious": v.Malicious, "suspicious": v.Suspicious, "harmless": v.Harmless,
			"undetected": v.Undetected, "timeout": 0},
		"last_analysis_results":  results,
		"last_analysis_date":     s.analysed().Unix(),
		"last_modification_date": s.analysed().Add(time.Hour).Unix(),
		"reputation":             -2 * v.Malicious,
		"total_votes":            map[string]int{"harmless": v.Harmless / 30, "malicious": v.Malicious / 3},
	}
}

// digest makes a stable string of 64 hexadecimal digits.
func digest(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:])
}
