package registry_test

import (
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/plugins/whois/registry"
)

func TestTexts(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want registry.Registration
	}{
		"RIPE": {"% Information\n% Abuse contact for '198.51.100.0 - 198.51.100.255' is 'abuse@r.example'\n\ninetnum:        198.51.100.0 - 198.51.100.127\nnetname:        R-NET\ndescr:          Descr\n" +
			"country:        EU # many countries\norg:            ORG-R1\ncreated:        2015-06-07T08:09:10Z\nsource:         RIPE\n\norganisation:   ORG-R1\norg-name:       R\xe9seau SARL\n\nroute: 198.51.100.0/24\norigin: AS64502\n",
			registry.Registration{Network: "198.51.100.0/25", Name: "R-NET", Org: "Réseau SARL", Country: "EU", AbuseMail: "abuse@r.example", ASN: 64502, Registered: "2015-06-07"}},
		"LACNIC": {"inetnum:     198.51.100.0/24\naut-num:     AS64503\nowner:       Exemplo Ltda\ncountry:     br\ncreated:     20140102\n",
			registry.Registration{Network: "198.51.100.0/24", Org: "Exemplo Ltda", Country: "BR", ASN: 64503, Registered: "2014-01-02"}},
		"odd range": {"inetnum: 198.51.100.4 - 198.51.100.6\ndescr: Three\n", registry.Registration{Network: "198.51.100.4-198.51.100.6", Org: "Three"}},
		"IPv6":      {"inet6num: 2001:db8::/32\nnetname: SIX\norganisation: ORG-X\ncountry: Germany\n", registry.Registration{Network: "2001:db8::/32", Name: "SIX"}},
		"nothing":   {"No match found for 198.51.100.1.\n", registry.Registration{}},
	} {
		if got := registry.Parse(registry.Readable([]byte(test.text))).Registration(); got != test.want {
			t.Errorf("%s: got %+v\nwant %+v", name, got, test.want)
		}
	}
}

func TestReferral(t *testing.T) {
	for text, want := range map[string]string{
		"refer:  whois.arin.net\ninetnum: 10.0.0.0 - 10.255.255.255\n":                          "whois.arin.net:43",
		"NetRange: 10.0.0.0 - 10.255.255.255\nReferralServer:  whois://whois.corp.test:4343/\n": "whois.corp.test:4343",
		"ReferralServer: rwhois://rwhois.corp.test:4321\n":                                      "",
		"refer: a b\n": "",
		"inetnum: x\n": "",
	} {
		if got := registry.Parse(text).Referral(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if !registry.Parse("% nothing\n\n").Empty() || registry.Parse("a: b").Empty() {
		t.Error("Empty is wrong")
	}
}

func TestSpan(t *testing.T) {
	for _, test := range [][3]string{
		{"10.0.0.0", "10.255.255.255", "10.0.0.0/8"}, {"10.0.0.0", "10.0.0.0", "10.0.0.0/32"}, {"10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"}, {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32"},
		{"10.0.0.0", "::1", ""}, {"", "", ""},
	} {
		if got := registry.Span(test[0], test[1]); got != test[2] {
			t.Errorf("%s to %s: got %q, want %q", test[0], test[1], got, test[2])
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("NetRange: 10.0.0.0 - 10.255.255.255\nReferralServer: whois://x:43\n")
	f.Add("% c\nrefer: a b\ninetnum: 1-2\ncidr: 10.0.0.0/8, 11.0.0.0/8\ncreated: 2020\ncountry: é")
	f.Add("Abuse contact for '")
	f.Fuzz(func(t *testing.T, text string) {
		r := registry.Parse(registry.Readable([]byte(text)))
		out := r.Registration()
		if s := r.Referral(); s != "" && !strings.Contains(s, ":") {
			t.Errorf("referral %q", s)
		}
		if len(out.Country) != 0 && len(out.Country) != 2 {
			t.Errorf("country %q", out.Country)
		}
	})
}
