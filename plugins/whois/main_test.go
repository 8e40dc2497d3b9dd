package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
	"github.com/riposte-soar/riposte/plugins/whois/registry"
)

var connector = settings{RDAPURL: "https://rdap.corp.test/", WhoisServer: "whois.corp.test:43"}

// internet answers "capability URL" and "server query", and keeps what was asked.
func internet(t *testing.T, asked *[]string, data map[string]any) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		var key string
		switch fn {
		case "http.fetch":
			var r abi.HTTPRequest
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Error(err)
			}
			key = r.Capability + " " + r.URL
		case "tcp.exchange":
			var r abi.TCPRequest
			if err := json.Unmarshal(raw, &r); err != nil || r.Capability != "whois" {
				t.Error(string(raw), err)
			}
			key = r.Address + " " + strings.TrimSuffix(r.Send.Text, "\r\n")
		default:
			return pdk.Value(struct{}{})
		}
		*asked = append(*asked, key)
		switch v := data[key].(type) {
		case string:
			if fn == "tcp.exchange" {
				return pdk.Value(abi.TCPResponse{Received: *pdk.Body([]byte(v))})
			}
			return pdk.Value(abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: v}})
		case abi.HTTPResponse:
			return pdk.Value(v)
		case *abi.Fault:
			return abi.Reply{Fault: v}
		}
		return abi.Reply{Fault: abi.NewFault(abi.Unavailable, key+" cannot be reached", "")}
	}
}

const arinLike = `{"startAddress":"203.0.113.0","endAddress":"203.0.113.255","name":"BAD-NET","cidr0_cidrs":[{"v4prefix":"203.0.113.0","length":24}],
	"arin_originas0_originautnums":[64500],"country":"nl","events":[{"eventAction":"last changed","eventDate":"2024-05-06T00:00:00Z"},{"eventAction":"registration","eventDate":"2019-02-03T04:05:06Z"}],
	"entities":[{"roles":["registrant"],"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","MNT-X"],["kind",{},"text","individual"]]]},
	{"roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text","Bad Hosting BV"],["kind",{},"text","org"],["adr",{},"text",["","","","","","",""]]]],
	"entities":[{"roles":["abuse","noc"],"vcardArray":["vcard",[["fn",{},"text","Abuse"],["email",{},"text","abuse@bad.example"]]]}]}]}`

func TestRDAP(t *testing.T) {
	want := registration{"203.0.113.9", registry.Registration{Network: "203.0.113.0/24", Name: "BAD-NET", Org: "Bad Hosting BV", Country: "NL",
		AbuseMail: "abuse@bad.example", ASN: 64500, Registered: "2019-02-03"}, "rdap", "rdap.corp.test", ""}
	var asked []string
	got, fault := pdk.Try(lookup, connector, params{"203.0.113.9"}, internet(t, &asked, map[string]any{"rdap https://rdap.corp.test/ip/203.0.113.9": arinLike}))
	if fault != nil || got != want {
		t.Errorf("got %+v %v", got, fault)
	}
	// A redirect to a registry goes under another capability than one that stays on the server.
	asked = nil
	want.Server = "rdap.registry.example"
	got, fault = pdk.Try(lookup, connector, params{"203.0.113.9"}, internet(t, &asked, map[string]any{
		"rdap https://rdap.corp.test/ip/203.0.113.9":              abi.HTTPResponse{Status: 302, Headers: map[string]string{"location": "/v1/ip/203.0.113.9"}},
		"rdap https://rdap.corp.test/v1/ip/203.0.113.9":           abi.HTTPResponse{Status: 301, Headers: map[string]string{"location": "https://rdap.registry.example/ip/203.0.113.9"}},
		"registries https://rdap.registry.example/ip/203.0.113.9": arinLike,
	}))
	if fault != nil || got != want || len(asked) != 3 {
		t.Errorf("got %+v %v after %v", got, fault, asked)
	}
}

func TestWhoisFollowsReferrals(t *testing.T) {
	var asked []string
	data := map[string]any{
		"rdap https://rdap.corp.test/ip/203.0.113.9": abi.HTTPResponse{Status: 404},
		"whois.corp.test:43 203.0.113.9":             "% root\n\nrefer:        whois.arin.net\n\ninetnum:      203.0.113.0 - 203.0.113.255\norganisation: Registry\nwhois: whois.arin.net\n",
		"whois.arin.net:43 n + 203.0.113.9": "#\n# terms\n#\n\n# start\n\nNetRange:       203.0.0.0 - 203.255.255.255\nCIDR:           203.0.0.0/8\nNetName:        BIG\n\n# end\n\n# start\n\n" +
			"NetRange:       203.0.113.0 - 203.0.113.255\nCIDR:           203.0.113.0/24\nNetName:        BAD-NET\nOriginAS:       AS64500, AS64501\nOrganization:   Bad Hosting (BAD-1)\nRegDate:        2019-02-03\n" +
			"\nOrgName:        Bad Hosting\nCountry:        US\nRegDate:        2001-01-01\nOrgAbuseEmail:  abuse@bad.example\n# end\n",
	}
	got, fault := pdk.Try(lookup, connector, params{"203.0.113.9"}, internet(t, &asked, data))
	got.Raw = ""
	want := registration{"203.0.113.9", registry.Registration{Network: "203.0.113.0/24", Name: "BAD-NET", Org: "Bad Hosting", Country: "US",
		AbuseMail: "abuse@bad.example", ASN: 64500, Registered: "2019-02-03"}, "whois", "whois.arin.net:43", ""}
	if fault != nil || got != want {
		t.Errorf("got %+v %v\nwant %+v", got, fault, want)
	}
	// A referral that was not granted leaves what the first server knows; one that fails is a fault.
	data["whois.arin.net:43 n + 203.0.113.9"] = abi.NewFault(abi.Refused, "not granted", "")
	got, fault = pdk.Try(lookup, connector, params{"203.0.113.9"}, internet(t, &asked, data))
	if fault != nil || got.Org != "Registry" || got.Server != "whois.corp.test:43" || got.Network != "203.0.113.0/24" {
		t.Errorf("got %+v %v", got, fault)
	}
	data["whois.arin.net:43 n + 203.0.113.9"] = abi.NewFault(abi.Timeout, "no answer", "")
	if _, fault = pdk.Try(lookup, connector, params{"203.0.113.9"}, internet(t, &asked, data)); fault == nil || fault.Kind != abi.Timeout {
		t.Errorf("got %v", fault)
	}
}

func TestWhoisWhenRDAPFails(t *testing.T) {
	var asked []string
	text := "inetnum: 198.51.100.0/24\ndescr: R\xe9seau" + strings.Repeat("x", 2*maxRaw) + "\n"
	got, fault := pdk.Try(lookup, connector, params{"198.51.100.1"}, internet(t, &asked, map[string]any{
		"rdap https://rdap.corp.test/ip/198.51.100.1": abi.HTTPResponse{Status: 503}, "whois.corp.test:43 198.51.100.1": text}))
	if fault != nil || got.Source != "whois" || got.Network != "198.51.100.0/24" || !strings.HasPrefix(got.Org, "Réseaux") || len(got.Raw) != maxRaw {
		t.Errorf("got %+v %v", got, fault)
	}
	got, fault = pdk.Try(lookup, connector, params{"198.51.100.1"}, internet(t, &asked, map[string]any{
		"rdap https://rdap.corp.test/ip/198.51.100.1": abi.HTTPResponse{Status: 404}, "whois.corp.test:43 198.51.100.1": "No match found for 198.51.100.1.\n"}))
	if fault != nil || got.Registration != (registry.Registration{}) {
		t.Errorf("got %+v %v", got, fault)
	}
}

func TestFaults(t *testing.T) {
	const rdapAt, whoisAt = "rdap https://rdap.corp.test/ip/198.51.100.1", "whois.corp.test:43 198.51.100.1"
	for _, test := range []struct {
		name        string
		rdap, whois any
		kind        abi.Kind
	}{
		{"both down: the first counts", abi.HTTPResponse{Status: 429}, nil, abi.RateLimited},
		{"unknown to RDAP, WHOIS down", abi.HTTPResponse{Status: 404}, nil, abi.Unavailable},
		{"unknown to RDAP, too many queries", abi.HTTPResponse{Status: 404}, "%ERROR:201: access denied for you\n", abi.RateLimited},
		{"unknown to RDAP, hung up", abi.HTTPResponse{Status: 404}, "\r\n", abi.Unavailable},
		{"garbage", "<html>", nil, abi.Unavailable},
		{"no network", `{"objectClassName":"domain"}`, nil, abi.Unavailable},
		{"redirects for ever", abi.HTTPResponse{Status: 302, Headers: map[string]string{"location": "/ip/198.51.100.1"}}, nil, abi.Unavailable},
		{"redirects to nonsense", abi.HTTPResponse{Status: 302, Headers: map[string]string{"location": "https://%%"}}, nil, abi.Unavailable},
	} {
		var asked []string
		_, fault := pdk.Try(lookup, connector, params{"198.51.100.1"}, internet(t, &asked, map[string]any{rdapAt: test.rdap, whoisAt: test.whois}))
		if fault == nil || fault.Kind != test.kind {
			t.Errorf("%s: got %v", test.name, fault)
		}
	}
	if _, fault := pdk.Try(lookup, connector, params{"corp.test"}, nil); fault == nil || fault.Where != "$.parameters.ip" {
		t.Errorf("got %v", fault)
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add([]byte(arinLike))
	f.Add([]byte(`{"entities":[{"vcardArray":["vcard",[["fn"],[1,2,3,4],["email",{},"text",["x"]]]]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var n network
		if json.Unmarshal(text, &n) == nil && n.registration().Source != "rdap" {
			t.Error("no registration")
		}
	})
}
