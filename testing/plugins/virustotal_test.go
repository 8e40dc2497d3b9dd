package plugins_test

import (
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/virustotal"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

type reputation struct {
	IP, Domain, Hash                            string
	Malicious, Suspicious, Harmless, Undetected int
	Reputation                                  int
	Verdict, Link, Country, Registrar, Threat   string
	Network, Created, SHA256, Name              string
	ASOwner                                     string `json:"as_owner"`
	ASN, Size                                   int64
}

func startVirusTotal(t *testing.T) (*virustotal.Server, *connector) {
	t.Helper()
	s, err := virustotal.Start(world.Default(), virustotal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	return s, connect(t, "virustotal", map[string]any{"base_url": s.URL() + "/api/v3", "api_key": secretSetting(virustotal.DefaultKey)})
}

// emitted checks that the incident was told of exactly this artifact.
func emitted(t *testing.T, emissions []hostcall.Emission, kind, value, verdict string) {
	t.Helper()
	if len(emissions) != 1 || emissions[0].Type != "artifact" || emissions[0].Kind != kind || emissions[0].Value != value || emissions[0].Verdict != verdict {
		t.Errorf("emitted %+v, want %s %s %s", emissions, kind, value, verdict)
	}
}

func TestVirusTotalIP(t *testing.T) {
	_, c := startVirusTotal(t)
	for ip, verdict := range map[string]string{"203.0.113.66": "malicious", "198.51.100.77": "malicious", "192.0.2.44": "suspicious", "203.0.113.9": "benign",
		"10.20.30.40": "unknown", "192.0.2.200": "unknown"} {
		got := must[reputation](c, "ip-report", map[string]any{"ip": ip})
		if got.IP != ip || got.Verdict != verdict || got.Link == "" {
			t.Errorf("%s: %+v, want %s", ip, got, verdict)
		}
		emitted(t, c.run("ip-report", map[string]any{"ip": ip}).Emissions, "ip", ip, verdict)
	}
	got := must[reputation](c, "ip-report", map[string]any{"ip": "203.0.113.66"})
	want := reputation{IP: "203.0.113.66", Malicious: 21, Suspicious: 2, Harmless: 45, Undetected: 26, Reputation: -42, Verdict: "malicious", Country: "NL",
		ASOwner: "Example Virtual Servers B.V.", ASN: 64502, Network: "203.0.113.0/24", Link: "https://www.virustotal.com/gui/ip-address/203.0.113.66"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.settings["malicious_from"] = 22
	if got := must[reputation](c, "ip-report", map[string]any{"ip": "203.0.113.66"}); got.Verdict != "suspicious" {
		t.Errorf("with 22 engines asked for: %s", got.Verdict)
	}
}

func TestVirusTotalDomainAndFile(t *testing.T) {
	_, c := startVirusTotal(t)
	if got := must[reputation](c, "domain-report", map[string]any{"domain": "CDN-telemetry.example"}); got.Verdict != "malicious" || got.Registrar != "Example Registrar Ltd" || got.Created != "2026-01-09" {
		t.Errorf("got %+v", got)
	}
	if got := must[reputation](c, "domain-report", map[string]any{"domain": "nobody.example"}); got.Verdict != "unknown" {
		t.Errorf("got %+v", got)
	}
	for _, hash := range []string{"5F1D7A84DB00D2FCE00B31A7FC73224F", "9c1f4e2ab87d30651be2f0c4d97a83e6150fbb2c7de84a90316cf5d2e8b74a01"} {
		if got := must[reputation](c, "file-report", map[string]any{"hash": hash}); got.Verdict != "malicious" || got.Hash != hash || got.Threat != "trojan.beacon/agent" ||
			got.Size != 482_304 || got.Name != "invoice_4471.scr" {
			t.Errorf("got %+v", got)
		}
	}
	if got := must[reputation](c, "file-report", map[string]any{"hash": "00000000000000000000000000000000"}); got.Verdict != "unknown" {
		t.Errorf("got %+v", got)
	}
}

func TestVirusTotalFaults(t *testing.T) {
	s, c := startVirusTotal(t)
	httpFaults(t, s, "/api", func(timeout time.Duration) *abi.Fault {
		again := *c
		again.t, again.timeout = t, timeout
		return again.run("ip-report", map[string]any{"ip": "203.0.113.66"}).Fault
	})
	s.SetPerMinute(1)
	s.Reset()
	must[reputation](c, "ip-report", map[string]any{"ip": "203.0.113.66"})
	if f := fails(c, "ip-report", map[string]any{"ip": "203.0.113.66"}, abi.RateLimited); !f.Retryable {
		t.Errorf("got %+v", f)
	}
	s.SetPerMinute(0)
	c.settings["base_url"] = s.URL() + "/api"
	fails(c, "ip-report", map[string]any{"ip": "203.0.113.66"}, abi.NotFound)
	c.settings["base_url"], c.settings["api_key"] = s.URL()+"/api/v3", secretSetting("not-the-right-key")
	fails(c, "ip-report", map[string]any{"ip": "203.0.113.66"}, abi.Unauthorized)
	for _, p := range []map[string]any{{"ip": "203.0.113.66/24"}, {"ip": "../files/x"}, {"ip": "corp.test"}} {
		fails(c, "ip-report", p, abi.Invalid)
	}
}
