package plugins_test

import (
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/rdap"
	"github.com/riposte-soar/riposte/testing/lab/whois"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// registries are a bootstrap RDAP server that redirects to its own registry, and WHOIS servers: a root that refers to a registry.
type registries struct {
	rdap           *rdap.Server
	root, registry *whois.Server
	c              *connector
}

func startRegistries(t *testing.T, style whois.Style, nestAbuse bool) *registries {
	t.Helper()
	var networks []whois.Network
	var objects []rdap.Network
	var redirects []rdap.Redirect
	var referrals []whois.Referral
	for _, n := range world.Default().Networks {
		networks = append(networks, whois.Network{Prefix: n.Prefix, Name: n.Name, Handle: n.Handle, Org: n.Org, Country: n.Country, AbuseMail: n.Abuse, ASN: n.ASN, Created: n.Created, Updated: n.Changed})
		objects = append(objects, rdap.Network{Prefix: n.Prefix, Name: n.Name, Handle: n.Handle, Org: n.Org, Country: n.Country, AbuseMail: n.Abuse, ASN: n.ASN, Created: n.Created, Updated: n.Changed})
	}
	r := &registries{}
	var err error
	if r.registry, err = whois.Start(whois.Options{Style: style, Networks: networks}); err != nil {
		t.Fatal(err)
	}
	closing(t, r.registry)
	for _, n := range networks {
		referrals = append(referrals, whois.Referral{Prefix: n.Prefix, Server: r.registry.Addr()})
		redirects = append(redirects, rdap.Redirect{Prefix: n.Prefix, Base: rdap.RegistryPath})
	}
	if r.root, err = whois.Start(whois.Options{Style: whois.IANA, Referrals: referrals}); err != nil {
		t.Fatal(err)
	}
	closing(t, r.root)
	if r.rdap, err = rdap.Start(rdap.Options{Networks: objects, Redirects: redirects, NestAbuse: nestAbuse}); err != nil {
		t.Fatal(err)
	}
	closing(t, r.rdap)
	r.c = connect(t, "whois", map[string]any{"rdap_url": r.rdap.URL(), "whois_server": r.root.Addr()})
	return r
}

func expected(ip, source string) whoisResult {
	return whoisResult{IP: ip, Network: "203.0.113.0/24", Name: "EXAMPLE-VPS", Org: "Example Virtual Servers B.V.", Country: "NL", Registered: "2017-09-05",
		Source: source, AbuseMail: "abuse@vps.example.com", ASN: 64502}
}

func TestRDAP(t *testing.T) {
	for _, nested := range []bool{false, true} {
		r := startRegistries(t, whois.RIPE, nested)
		got := must[whoisResult](r.c, "lookup", map[string]any{"ip": "203.0.113.66"})
		got.Server = ""
		if got != expected("203.0.113.66", "rdap") {
			t.Errorf("got %+v", got)
		}
		if calls := r.rdap.Calls(); len(calls) != 2 || calls[1].Path != "/registry/ip/203.0.113.66" {
			t.Errorf("calls %+v", calls)
		}
		if len(r.root.Queries()) != 0 {
			t.Error("WHOIS was asked as well")
		}
	}
}

func TestWhoisByReferral(t *testing.T) {
	for _, style := range []whois.Style{whois.ARIN, whois.RIPE} {
		r := startRegistries(t, style, false)
		if err := r.rdap.Fail(httpsim.Fault{Status: 500}); err != nil {
			t.Fatal(err)
		}
		r.c.settings["whois_server"] = r.registry.Addr()
		got := must[whoisResult](r.c, "lookup", map[string]any{"ip": "203.0.113.66"})
		if got.Raw == "" || got.Server != r.registry.Addr() {
			t.Errorf("got %+v", got)
		}
		got.Raw, got.Server = "", ""
		if got != expected("203.0.113.66", "whois") {
			t.Errorf("%s: got %+v", style, got)
		}
		r.c.settings["whois_server"] = r.root.Addr()
		got = must[whoisResult](r.c, "lookup", map[string]any{"ip": "203.0.113.66"})
		if got.Server != r.root.Addr() || got.Network != "203.0.113.0/24" || got.Org != "Lab registry" {
			t.Errorf("a referral that is not granted: got %+v", got)
		}
		r.c.settings["referrals"] = []string{r.registry.Addr()}
		got = must[whoisResult](r.c, "lookup", map[string]any{"ip": "203.0.113.66"})
		if got.Raw, got.Server = "", ""; got != expected("203.0.113.66", "whois") {
			t.Errorf("by referral: got %+v", got)
		}
	}
}

func TestWhoisUnknownAddress(t *testing.T) {
	r := startRegistries(t, whois.ARIN, false)
	for _, server := range []string{r.root.Addr(), r.registry.Addr()} {
		r.c.settings["whois_server"] = server
		if got := must[whoisResult](r.c, "lookup", map[string]any{"ip": "2001:db8::1"}); got.Network != "" || got.Org != "" || got.Source != "whois" {
			t.Errorf("got %+v", got)
		}
	}
}

func TestRDAPFaults(t *testing.T) {
	r := startRegistries(t, whois.ARIN, false)
	delete(r.c.grant, "whois") // so that nothing makes up for it
	httpFaults(t, r.rdap, "/", func(timeout time.Duration) *abi.Fault {
		again := *r.c
		again.t, again.timeout = t, timeout
		return again.run("lookup", map[string]any{"ip": "203.0.113.66"}).Fault
	})
}

func TestWhoisFaults(t *testing.T) {
	r := startRegistries(t, whois.RIPE, false)
	r.c.settings["whois_server"] = r.registry.Addr()
	delete(r.c.grant, "rdap")
	ip := map[string]any{"ip": "203.0.113.66"}
	if got := must[whoisResult](r.c, "lookup", ip); got.Source != "whois" {
		t.Errorf("without RDAP: %+v", got)
	}
	r.rdap.SetRedirects()
	r.c.grant["rdap"] = r.c.grant["registries"]
	unknown := map[string]any{"ip": "100.0.0.1"} // RDAP answers 404, so that WHOIS has the word
	for _, test := range []struct {
		fault whois.Fault
		kind  abi.Kind
	}{
		{whois.Fault{Kind: whois.RateLimit}, abi.RateLimited},
		{whois.Fault{Kind: whois.Close}, abi.Unavailable},
		{whois.Fault{Kind: whois.Abort}, abi.Unavailable},
		{whois.Fault{Kind: whois.Silent}, abi.Timeout},
	} {
		t.Run(string(test.fault.Kind), func(t *testing.T) {
			if err := r.registry.Fail(test.fault); err != nil {
				t.Fatal(err)
			}
			defer r.registry.Clear()
			again := *r.c
			again.t = t
			if test.kind == abi.Timeout {
				again.timeout = 500 * time.Millisecond
			}
			fails(&again, "lookup", unknown, test.kind)
		})
	}
	// Too much text, or half of it, is read as far as it goes.
	delete(r.c.grant, "rdap")
	for _, fault := range []whois.Fault{{Kind: whois.Huge}, {Kind: whois.Cut}, {Kind: whois.Text, Text: "\xff\xfe garbage: \x00\n"}} {
		if err := r.registry.Fail(fault); err != nil {
			t.Fatal(err)
		}
		if got := must[whoisResult](r.c, "lookup", ip); got.Source != "whois" || len(got.Raw) > 17_000 {
			t.Errorf("%s: got %d bytes of raw text, %s", fault.Kind, len(got.Raw), got.Network)
		}
		r.registry.Clear()
	}
}
