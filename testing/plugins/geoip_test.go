package plugins_test

import (
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
)

func TestGeoIP(t *testing.T) {
	c := connect(t, "geoip", map[string]any{"networks": []map[string]string{
		{"cidr": "10.0.0.0/8", "country": "DE", "org": "Example AG"}, {"cidr": "10.20.0.0/16", "country": "DE", "city": "Berlin", "org": "Example AG", "site": "HQ"}}})
	for _, want := range []geoResult{
		{IP: "193.0.6.139", Country: "NL", CountryName: "Netherlands", Source: "table"},
		{IP: "2001:67c:2e8:22::1", Country: "NL", CountryName: "Netherlands", Source: "table"},
		{IP: "10.20.30.40", Country: "DE", CountryName: "Germany", City: "Berlin", Org: "Example AG", Site: "HQ", Special: "private", Source: "settings"},
		{IP: "203.0.113.66", Special: "documentation", Source: "special"},
	} {
		if got := must[geoResult](c, "lookup", map[string]any{"ip": want.IP}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if out := c.run("lookup", map[string]any{"ip": "193.0.6.139"}); out.Stats.HostCalls != 0 {
		t.Errorf("it made %d host calls", out.Stats.HostCalls)
	}
	fails(c, "lookup", map[string]any{"ip": "corp.test"}, abi.Invalid)
	c.settings["networks"] = []map[string]string{{"cidr": "10.0.0.0/33"}}
	if c.bundle.CheckSettings(c.json(c.settings)) == nil {
		t.Error("a prefix of 33 bits was taken")
	}
}
