package whois

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// pair writes "key:   value" with the value in the given column, and nothing for an empty value.
func pair(b *bytes.Buffer, column int, key, value string) {
	if value != "" {
		fmt.Fprintf(b, "%-*s%s\n", column, key+":", value)
	}
}

func (st Style) network(b *bytes.Buffer, n Network) {
	if n.Handle == "" {
		n.Handle = "NET-" + strings.Map(dashed, n.Prefix.Masked().Addr().String()) + "-1"
	}
	if n.OrgID == "" {
		n.OrgID = initials(n.Org)
	}
	if st == ARIN {
		n.arin(b)
		return
	}
	n.ripe(b)
}

// arin follows the answer of whois.arin.net to a query with "+".
func (n Network) arin(b *bytes.Buffer) {
	const col = 16
	first, last := bounds(n.Prefix)
	b.WriteString("\n#\n# Lab WHOIS. The data is fictional.\n#\n\n")
	pair(b, col, "NetRange", first+" - "+last)
	pair(b, col, "CIDR", n.Prefix.Masked().String())
	pair(b, col, "NetName", n.Name)
	pair(b, col, "NetHandle", n.Handle)
	pair(b, col, "NetType", "Direct Allocation")
	pair(b, col, "OriginAS", n.origin())
	pair(b, col, "Organization", n.Org+" ("+n.OrgID+")")
	pair(b, col, "RegDate", day(n.Created))
	pair(b, col, "Updated", day(n.Updated))
	b.WriteString("\n")
	pair(b, col, "OrgName", n.Org)
	pair(b, col, "OrgId", n.OrgID)
	pair(b, col, "City", n.City)
	pair(b, col, "Country", n.Country)
	pair(b, col, "RegDate", day(n.Created))
	b.WriteString("\n")
	pair(b, col, "OrgAbuseHandle", "ABUSE-"+n.OrgID)
	pair(b, col, "OrgAbuseName", "Abuse desk")
	pair(b, col, "OrgAbusePhone", n.Phone)
	pair(b, col, "OrgAbuseEmail", n.AbuseMail)
	b.WriteString("\n")
}

// ripe follows the answer of whois.ripe.net.
func (n Network) ripe(b *bytes.Buffer) {
	const col = 16
	first, last := bounds(n.Prefix)
	span, class := first+" - "+last, "inetnum"
	if n.Prefix.Addr().Is6() {
		span, class = n.Prefix.Masked().String(), "inet6num"
	}
	fmt.Fprintf(b, "%% Lab WHOIS. The objects are in RPSL format and fictional.\n\n%% Information related to '%s'\n\n", span)
	if n.AbuseMail != "" {
		fmt.Fprintf(b, "%% Abuse contact for '%s' is '%s'\n\n", span, n.AbuseMail)
	}
	pair(b, col, class, span)
	pair(b, col, "netname", n.Name)
	pair(b, col, "descr", n.Org)
	pair(b, col, "country", n.Country)
	pair(b, col, "org", "ORG-"+n.OrgID+"-LAB")
	pair(b, col, "abuse-c", "ABUSE-"+n.OrgID)
	pair(b, col, "status", "ASSIGNED PA")
	n.stamp(b, col)
	pair(b, col, "organisation", "ORG-"+n.OrgID+"-LAB")
	pair(b, col, "org-name", n.Org)
	pair(b, col, "address", n.City)
	pair(b, col, "country", n.Country)
	pair(b, col, "phone", n.Phone)
	n.stamp(b, col)
	pair(b, col, "role", "Abuse desk")
	pair(b, col, "nic-hdl", "ABUSE-"+n.OrgID)
	pair(b, col, "abuse-mailbox", n.AbuseMail)
	n.stamp(b, col)
	if n.ASN != 0 {
		pair(b, col, "route", n.Prefix.Masked().String())
		pair(b, col, "origin", n.origin())
		n.stamp(b, col)
	}
}

// stamp ends an RPSL object.
func (n Network) stamp(b *bytes.Buffer, col int) {
	if !n.Created.IsZero() {
		pair(b, col, "created", n.Created.UTC().Format(time.RFC3339))
	}
	if !n.Updated.IsZero() {
		pair(b, col, "last-modified", n.Updated.UTC().Format(time.RFC3339))
	}
	pair(b, col, "source", "LAB")
	b.WriteString("\n")
}

func (n Network) origin() string {
	if n.ASN == 0 {
		return ""
	}
	return fmt.Sprintf("AS%d", n.ASN)
}

// referral follows whois.iana.org ("refer:") or whois.arin.net ("ReferralServer:").
func (st Style) referral(b *bytes.Buffer, r Referral) {
	first, last := bounds(r.Prefix)
	switch st {
	case IANA:
		b.WriteString("% Lab WHOIS root\n% This query returned 1 object\n\n")
		pair(b, 14, "refer", r.Server)
		b.WriteString("\n")
		pair(b, 14, "inetnum", first+" - "+last)
		pair(b, 14, "organisation", "Lab registry")
		pair(b, 14, "status", "ALLOCATED")
		b.WriteString("\n")
		pair(b, 14, "whois", r.Server)
		pair(b, 14, "source", "IANA")
	case ARIN:
		pair(b, 16, "NetRange", first+" - "+last)
		pair(b, 16, "CIDR", r.Prefix.Masked().String())
		pair(b, 16, "NetType", "Allocated to another registry")
		pair(b, 16, "ReferralServer", "whois://"+r.Server)
	case RIPE:
		fmt.Fprintf(b, "%% %s - %s is registered elsewhere, see whois://%s\n", first, last, r.Server)
		pair(b, 16, "remarks", "whois://"+r.Server)
	}
	b.WriteString("\n")
}

func (st Style) noMatch(b *bytes.Buffer, target string) {
	switch st {
	case IANA:
		b.WriteString("% Lab WHOIS root\n% This query returned 0 objects.\n")
	case RIPE:
		b.WriteString("% Lab WHOIS. The objects are in RPSL format and fictional.\n\n%ERROR:101: no entries found\n%\n% No entries found in source LAB.\n\n")
	default:
		fmt.Fprintf(b, "\n#\n# Lab WHOIS. The data is fictional.\n#\n\nNo match found for %s.\n\n", target)
	}
}

// limited is what the registry says to a client that asks too often.
func (st Style) limited() string {
	if st == RIPE {
		return "%ERROR:201: access denied\n%\n% Queries from your address have passed the daily limit.\n% Try again later.\n"
	}
	return "#\n# Query rate limit exceeded. Reduced information is shown; try again later.\n#\n"
}

// bounds gives the first and last address of p.
func bounds(p netip.Prefix) (first, last string) {
	p = p.Masked()
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(b)
	return p.Addr().String(), end.String()
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func dashed(r rune) rune {
	if r == '.' || r == ':' {
		return '-'
	}
	return r
}

// initials makes a short handle of an organisation's name.
func initials(name string) string {
	out := ""
	for _, w := range strings.Fields(name) {
		if c := strings.ToUpper(w[:1]); c >= "A" && c <= "Z" {
			out += c
		}
	}
	if out == "" {
		out = "ORG"
	}
	return out + "1"
}
