package hackertarget

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/world"
)

var isName = regexp.MustCompile(`^(?:[a-zA-Z0-9_](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]$`)

// resolve takes an address, or a name that the world knows.
func (s *Server) resolve(q string) (ip netip.Addr, name string, valid bool) {
	if ip, err := netip.ParseAddr(q); err == nil {
		return ip, "", true
	}
	name = strings.ToLower(q)
	if !isName.MatchString(name) {
		return netip.Addr{}, "", false
	}
	if d, ok := s.world.Domain(name); ok && len(d.Addresses) > 0 {
		return d.Addresses[0], name, true
	}
	if i := slices.IndexFunc(s.world.Hosts, func(h world.Host) bool { return h.Reverse == name }); i >= 0 {
		return s.world.Hosts[i].IP, name, true
	}
	return netip.Addr{}, name, true
}

// reverseDNS answers "address name".
func (s *Server) reverseDNS(q string, _ bool) string {
	ip, _, valid := s.resolve(q)
	if !valid {
		return errSearch
	}
	if h, ok := s.world.Host(ip); ok && h.Reverse != "" {
		return ip.String() + " " + h.Reverse
	}
	return errNoPTR
}

// whois answers with the text of the registry; such text has no fixed form, this one is like ARIN's.
func (s *Server) whois(q string, _ bool) string {
	ip, name, valid := s.resolve(q)
	if !valid {
		return errWhois
	}
	if d, ok := s.world.Domain(name); ok {
		return fmt.Sprintf("   Domain Name: %s\n   Registrar: %s\n   Creation Date: %s\n   Domain Status: ok\n",
			strings.ToUpper(d.Name), d.Registrar, d.Created.Format(time.RFC3339))
	}
	n, ok := s.world.Network(ip)
	if !ok {
		return fmt.Sprintf("No match found for %s.\n", q)
	}
	var out strings.Builder
	line := func(key, value string) { fmt.Fprintf(&out, "%-16s%s\n", key+":", value) }
	fmt.Fprintf(&out, "\n#\n# Example registry WHOIS data\n#\n\n")
	line("NetRange", fmt.Sprintf("%s - %s", n.Prefix.Addr(), last(n.Prefix)))
	line("CIDR", n.Prefix.String())
	line("NetName", n.Name)
	line("NetHandle", n.Handle)
	line("OriginAS", fmt.Sprintf("AS%d", n.ASN))
	line("Organization", n.Org)
	line("RegDate", n.Created.Format(time.DateOnly))
	line("Updated", n.Changed.Format(time.DateOnly))
	line("Country", n.Country)
	line("OrgAbuseEmail", n.Abuse)
	line("source", n.Registry)
	return out.String()
}

// geoIP answers lines "Key: value", or with output=json an object.
func (s *Server) geoIP(q string, asJSON bool) string {
	ip, _, _ := s.resolve(q)
	if !ip.IsValid() {
		return errSearch
	}
	h, ok := s.world.Host(ip)
	if !ok { // the real service knows nothing of addresses like these either, and says so field by field
		h = world.Host{Country: "None", State: "None", City: "None"}
	}
	if asJSON {
		data, err := json.Marshal(map[string]any{"ip": ip.String(), "country": h.Country, "state": h.State, "city": h.City,
			"latitude": h.Latitude, "longitude": h.Longitude})
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	return fmt.Sprintf("IP Address: %s\nCountry: %s\nState: %s\nCity: %s\nLatitude: %g\nLongitude: %g", ip, h.Country, h.State, h.City,
		h.Latitude, h.Longitude)
}

// hostSearch answers lines "name,address" of all names in a domain.
func (s *Server) hostSearch(q string, _ bool) string {
	name := strings.ToLower(q)
	if !isName.MatchString(name) {
		return errSearch
	}
	var lines []string
	for _, d := range s.world.Domains {
		if within(d.Name, name) {
			for _, ip := range d.Addresses {
				lines = append(lines, d.Name+","+ip.String())
			}
		}
	}
	for _, h := range s.world.Hosts {
		if within(h.Reverse, name) {
			lines = append(lines, h.Reverse+","+h.IP.String())
		}
	}
	if len(lines) == 0 {
		return errNoA
	}
	return strings.Join(lines, "\n")
}

// reverseIP answers with the names that have an address, one a line.
func (s *Server) reverseIP(q string, _ bool) string {
	ip, _, valid := s.resolve(q)
	if !valid {
		return errSearch
	}
	var names []string
	for _, d := range s.world.Domains {
		if slices.Contains(d.Addresses, ip) {
			names = append(names, d.Name)
		}
	}
	if h, ok := s.world.Host(ip); ok && h.Reverse != "" {
		names = append(names, h.Reverse)
	}
	if len(names) == 0 {
		return errNoA
	}
	return strings.Join(names, "\n")
}

// asLookup answers "address","number","network","owner".
func (s *Server) asLookup(q string, _ bool) string {
	ip, err := netip.ParseAddr(q)
	if err != nil {
		return errSearch
	}
	n, ok := s.world.Network(ip)
	if !ok {
		return errNoPTR
	}
	return fmt.Sprintf(`"%s","%d","%s","%s, %s"`, ip, n.ASN, n.Prefix, n.Org, n.Country)
}

func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// last gives the last address of a network.
func last(p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(a)*8; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	ip, _ := netip.AddrFromSlice(a) // the length is that of an address
	return ip
}
