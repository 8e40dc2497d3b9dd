package plugins_test

import (
	"slices"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/hackertarget"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

const memberKey = "0123456789abcdef0123456789abcdef"

func startHackerTarget(t *testing.T) (*hackertarget.Server, *connector) {
	t.Helper()
	s, err := hackertarget.Start(world.Default(), hackertarget.Options{Key: memberKey})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	return s, connect(t, "hackertarget", map[string]any{"base_url": s.URL()})
}

type whoisResult struct {
	IP, Network, Name, Org, Country, Registered, Source, Server, Raw string
	AbuseMail                                                        string `json:"abuse_mail"`
	ASN                                                              int64
}

type geoResult struct {
	IP, Country, Org, City, Special, Site, Source string
	CountryName                                   string `json:"country_name"`
}

type rdnsResult struct {
	IP        string
	Names     []string
	Confirmed bool `json:"forward_confirmed"`
}

func TestHackerTarget(t *testing.T) {
	_, c := startHackerTarget(t)
	ip := map[string]any{"ip": "203.0.113.66"}
	if got := must[rdnsResult](c, "reverse-dns", ip); !slices.Equal(got.Names, []string{"static-66.vps.example.com"}) || got.Confirmed {
		t.Errorf("reverse-dns %+v", got)
	}
	if got := must[rdnsResult](c, "reverse-dns", map[string]any{"ip": "198.51.100.23"}); got.Names == nil || len(got.Names) != 0 {
		t.Errorf("reverse-dns %+v", got)
	}
	got := must[whoisResult](c, "whois", ip)
	got.Raw = ""
	if want := (whoisResult{IP: "203.0.113.66", Network: "203.0.113.0/24", Name: "EXAMPLE-VPS", Org: "Example Virtual Servers B.V.", Country: "NL", Registered: "2017-09-05",
		Source: "whois", AbuseMail: "abuse@vps.example.com", ASN: 64502}); got != want {
		t.Errorf("whois %+v, want %+v", got, want)
	}
	if got := must[whoisResult](c, "whois", map[string]any{"ip": "10.0.0.1"}); got.Network != "" || got.Org != "" {
		t.Errorf("whois %+v", got)
	}
	if got := must[geoResult](c, "geoip", ip); got != (geoResult{IP: "203.0.113.66", Country: "NL", CountryName: "Netherlands", City: "Amsterdam", Source: "hackertarget"}) {
		t.Errorf("geoip %+v", got)
	}
	if got := must[geoResult](c, "geoip", map[string]any{"ip": "10.0.0.1"}); got != (geoResult{IP: "10.0.0.1", Source: "hackertarget"}) {
		t.Errorf("geoip %+v", got)
	}
	hosts := must[struct{ Hosts []struct{ Name, IP string } }](c, "hostsearch", map[string]any{"domain": "vps.example.com"}).Hosts
	if len(hosts) != 2 || hosts[0].Name != "static-66.vps.example.com" || hosts[0].IP != "203.0.113.66" {
		t.Errorf("hostsearch %+v", hosts)
	}
	if names := must[struct{ Names []string }](c, "reverse-ip", ip).Names; !slices.Equal(names, []string{"cdn-telemetry.example", "static-66.vps.example.com"}) {
		t.Errorf("reverse-ip %v", names)
	}
}

func TestHackerTargetKeyAndQuota(t *testing.T) {
	s, c := startHackerTarget(t)
	ip := map[string]any{"ip": "203.0.113.66"}
	s.SetPerDay(1)
	must[geoResult](c, "geoip", ip)
	if f := fails(c, "geoip", ip, abi.RateLimited); !f.Retryable || f.Hint == "" {
		t.Errorf("got %+v", f)
	}
	c.settings["member"] = true
	fails(c, "geoip", ip, abi.Refused) // no key is set
	c.settings["apikey"] = secretSetting("not-the-right-key")
	fails(c, "geoip", ip, abi.Unauthorized)
	c.settings["apikey"] = secretSetting(memberKey)
	if got := must[geoResult](c, "geoip", ip); got.Country != "NL" {
		t.Errorf("got %+v", got)
	}
}

func TestHackerTargetFaults(t *testing.T) {
	s, c := startHackerTarget(t)
	httpFaults(t, s, "/", func(timeout time.Duration) *abi.Fault {
		again := *c
		again.t, again.timeout = t, timeout
		return again.run("reverse-dns", map[string]any{"ip": "203.0.113.66"}).Fault
	})
	fails(c, "hostsearch", map[string]any{"domain": "x y"}, abi.Invalid)
	fails(c, "hostsearch", map[string]any{"domain": "localhost"}, abi.Invalid)
}
