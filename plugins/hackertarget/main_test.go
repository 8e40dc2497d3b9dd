package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

var connector = settings{BaseURL: "https://ht.corp.test/"}

// service answers every look-up with the same response, and keeps what was asked.
func service(t *testing.T, asked *string, answer abi.HTTPResponse) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		var r abi.HTTPRequest
		if err := json.Unmarshal(raw, &r); err != nil || fn != "http.fetch" || r.Method != "GET" {
			t.Errorf("%s %s %v", fn, raw, err)
		}
		*asked = r.Capability + " " + strings.TrimPrefix(r.URL, "https://ht.corp.test/")
		return pdk.Value(answer)
	}
}

func text(s string) abi.HTTPResponse {
	return abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: s}}
}

func TestReverseDNS(t *testing.T) {
	var asked string
	got, fault := pdk.Try(reverseDNS, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("203.0.113.9 A.Example. b.example\n")))
	if fault != nil || strings.Join(got.Names, " ") != "a.example b.example" || asked != "free reversedns/?q=203.0.113.9" {
		t.Errorf("got %+v %v, asked %s", got, fault, asked)
	}
	got, fault = pdk.Try(reverseDNS, settings{BaseURL: "https://ht.corp.test", Member: true}, ipParams{"2001:DB8::1"}, service(t, &asked, text("no records found")))
	if fault != nil || got.Names == nil || len(got.Names) != 0 || asked != "member reversedns/?q=2001%3Adb8%3A%3A1" {
		t.Errorf("got %+v %v, asked %s", got, fault, asked)
	}
}

func TestWhois(t *testing.T) {
	var asked string
	const answer = "#\n# ARIN\n#\nNetRange:       203.0.113.0 - 203.0.113.255\nCIDR:           203.0.113.0/24\nNetName:        BAD\nOrganization:   Bad Hosting (BAD-1)\nCountry:        NL\n"
	got, fault := pdk.Try(whois, connector, ipParams{"203.0.113.9"}, service(t, &asked, text(answer)))
	if fault != nil || got.Network != "203.0.113.0/24" || got.Org != "Bad Hosting" || got.Country != "NL" || got.Source != "whois" || got.Raw != strings.TrimSpace(answer) {
		t.Errorf("got %+v %v", got, fault)
	}
	got, fault = pdk.Try(whois, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("No match found for 203.0.113.9.\n")))
	if fault != nil || got.Network != "" || got.Raw != "" {
		t.Errorf("got %+v %v", got, fault)
	}
}

func TestGeoIP(t *testing.T) {
	var asked string
	got, fault := pdk.Try(geoIP, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("IP Address: 203.0.113.9\nCountry: Netherlands\nState: North Holland\nCity: Amsterdam\nLatitude: 52.37\nLongitude: -0")))
	if fault != nil || got.Country != "NL" || got.CountryName != "Netherlands" || got.City != "Amsterdam" || got.Region != "North Holland" ||
		got.Latitude == nil || *got.Latitude != 52.37 || got.Longitude == nil || *got.Longitude != 0 {
		t.Errorf("got %+v %v", got, fault)
	}
	got, fault = pdk.Try(geoIP, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("Country: nl\nCity: N/A\nLatitude: NaN")))
	if fault != nil || got.Country != "NL" || got.CountryName != "Netherlands" || got.City != "" || got.Latitude != nil {
		t.Errorf("got %+v %v", got, fault)
	}
	got, fault = pdk.Try(geoIP, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("Country: None\nState: None\nCity: None\nLatitude: 0\nLongitude: 0")))
	if fault != nil || got.Country != "" || got.CountryName != "" || got.Latitude != nil {
		t.Errorf("got %+v %v", got, fault)
	}
}

func TestHostSearchAndReverseIP(t *testing.T) {
	var asked string
	got, fault := pdk.Try(hostSearch, connector, domainParams{"Bad.Example."}, service(t, &asked, text("www.bad.example,203.0.113.9\n\nMAIL.bad.example,203.0.113.10\nodd")))
	if fault != nil || len(got.Hosts) != 2 || got.Hosts[1] != (host{"mail.bad.example", "203.0.113.10"}) || asked != "free hostsearch/?q=bad.example" {
		t.Errorf("got %+v %v, asked %s", got, fault, asked)
	}
	n, fault := pdk.Try(reverseIP, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("a.example\nb.example\n")))
	if fault != nil || strings.Join(n.Names, " ") != "a.example b.example" || asked != "free reverseiplookup/?q=203.0.113.9" {
		t.Errorf("got %+v %v, asked %s", n, fault, asked)
	}
	if n, fault = pdk.Try(reverseIP, connector, ipParams{"203.0.113.9"}, service(t, &asked, text("No DNS A records found"))); fault != nil || n.Names == nil || len(n.Names) > 0 {
		t.Errorf("got %+v %v", n, fault)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		answer abi.HTTPResponse
		kind   abi.Kind
	}{
		{text("API count exceeded - Increase Quota with Membership"), abi.RateLimited},
		{abi.HTTPResponse{Status: 429, Body: abi.Payload{Text: "error too many requests per second"}}, abi.RateLimited},
		{text("error invalid key"), abi.Unauthorized},
		{text("error check your search parameter"), abi.Invalid},
		{text("<!DOCTYPE html><html>"), abi.Unavailable},
		{abi.HTTPResponse{Status: 502}, abi.Unavailable},
	} {
		var asked string
		if _, fault := pdk.Try(reverseDNS, connector, ipParams{"203.0.113.9"}, service(t, &asked, test.answer)); fault == nil || fault.Kind != test.kind {
			t.Errorf("%q: got %v", test.answer.Body.Text, fault)
		}
	}
	if _, fault := pdk.Try(geoIP, connector, ipParams{"corp.test"}, nil); fault == nil || fault.Where != "$.parameters.ip" {
		t.Errorf("got %v", fault)
	}
}
