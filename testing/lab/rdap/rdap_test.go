package rdap_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	client "github.com/openrdap/rdap"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/rdap"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() rdap.Options {
	return rdap.Options{
		Networks: []rdap.Network{{
			Prefix: netip.MustParsePrefix("203.0.113.0/24"), Handle: "NET-203-0-113-0-1", Name: "BAD-HOSTING", Org: "Bad Hosting Ltd", Country: "NL",
			AbuseMail: "abuse@badhosting.example", Phone: "+31105550100", ASN: 64500,
			Created: time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC), Updated: time.Date(2024, 11, 18, 9, 0, 0, 0, time.UTC),
		}, {Prefix: netip.MustParsePrefix("2001:db8::/32"), Handle: "NET6", Name: "SIX", Org: "Six Ltd"}},
		Domains: []rdap.Domain{{Name: "bad.example", Handle: "D1", Registrar: "Cheap Names Inc", AbuseMail: "abuse@cheapnames.example",
			Nameservers: []string{"ns1.bad.example"}, Created: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)}},
	}
}

func start(t *testing.T, o rdap.Options) (*rdap.Server, *http.Client) {
	t.Helper()
	s, err := rdap.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

// get gives status, header and the JSON of an answer.
func get(t *testing.T, c *http.Client, u string) (*http.Response, map[string]any) {
	t.Helper()
	resp, err := c.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatalf("%s: %v in %s", u, err, b)
	}
	return resp, o
}

// ask uses the openrdap client, which follows redirects and decodes jCards.
func ask(t *testing.T, s *rdap.Server, c *http.Client, typ client.RequestType, query string) (*client.Response, error) {
	t.Helper()
	base, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	return (&client.Client{HTTP: c}).Do((&client.Request{Type: typ, Query: query, Server: base}).WithContext(t.Context()))
}

func TestNetworks(t *testing.T) {
	s, c := start(t, options())
	resp, err := ask(t, s, c, client.IPRequest, "203.0.113.66")
	if err != nil {
		t.Fatal(err)
	}
	n := resp.Object.(*client.IPNetwork)
	if n.StartAddress != "203.0.113.0" || n.EndAddress != "203.0.113.255" || n.Name != "BAD-HOSTING" || n.Country != "NL" || n.IPVersion != "v4" || n.Handle != "NET-203-0-113-0-1" {
		t.Errorf("network %+v", n)
	}
	if len(n.Entities) != 2 || n.Entities[0].VCard.Name() != "Bad Hosting Ltd" || n.Entities[0].Roles[0] != "registrant" {
		t.Fatalf("entities %+v", n.Entities)
	}
	if a := n.Entities[1]; a.Roles[0] != "abuse" || a.VCard.Email() != "abuse@badhosting.example" || !strings.HasSuffix(a.VCard.Tel(), "+31105550100") {
		t.Errorf("abuse contact %+v", a.VCard)
	}
	if len(n.Events) != 2 || n.Events[0].Action != "registration" || n.Events[0].Date != "2019-03-01T00:00:00Z" {
		t.Errorf("events %+v", n.Events)
	}
	h, o := get(t, c, s.URL()+"/ip/203.0.113.64/26")
	if h.StatusCode != 200 || h.Header.Get("Content-Type") != "application/rdap+json" || h.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", h.StatusCode, h.Header)
	}
	cidr := o["cidr0_cidrs"].([]any)[0].(map[string]any)
	if cidr["v4prefix"] != "203.0.113.0" || cidr["length"] != 24.0 || o["arin_originas0_originautnums"].([]any)[0] != 64500.0 {
		t.Errorf("%v", o)
	}
	if link := o["links"].([]any)[0].(map[string]any); link["href"] != s.URL()+"/ip/203.0.113.64/26" {
		t.Errorf("self link %v", link)
	}
	if _, o := get(t, c, s.URL()+"/ip/2001:db8::7"); o["ipVersion"] != "v6" || o["endAddress"] != "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" {
		t.Errorf("%v", o)
	}
}

func TestAbuseContactInsideTheRegistrant(t *testing.T) {
	o := options()
	o.NestAbuse = true
	s, c := start(t, o)
	resp, err := ask(t, s, c, client.IPRequest, "203.0.113.66")
	if err != nil {
		t.Fatal(err)
	}
	n := resp.Object.(*client.IPNetwork)
	if len(n.Entities) != 1 || len(n.Entities[0].Entities) != 1 || n.Entities[0].Entities[0].VCard.Email() != "abuse@badhosting.example" {
		t.Errorf("entities %+v", n.Entities)
	}
}

func TestDomains(t *testing.T) {
	s, c := start(t, options())
	resp, err := ask(t, s, c, client.DomainRequest, "BAD.example")
	if err != nil {
		t.Fatal(err)
	}
	d := resp.Object.(*client.Domain)
	if d.LDHName != "bad.example" || d.Nameservers[0].LDHName != "ns1.bad.example" || d.Entities[0].VCard.Name() != "Cheap Names Inc" || d.Status[0] != "active" {
		t.Errorf("domain %+v", d)
	}
}

func TestErrors(t *testing.T) {
	s, c := start(t, options())
	for path, status := range map[string]int{
		"/ip/192.0.2.1": 404, "/domain/good.test": 404, "/ip/203.0.113.0/23": 404, "/ip/nonsense": 400, "/ip/203.0.113.0/99": 400,
		"/ip/fe80::1%25eth0": 400, "/domain/a%20b": 400, "/entity/X": 501, "/": 501,
	} {
		h, o := get(t, c, s.URL()+path)
		if h.StatusCode != status || o["errorCode"] != float64(status) || o["title"] == "" || h.Header.Get("Content-Type") != "application/rdap+json" {
			t.Errorf("%s: %d %v", path, h.StatusCode, o)
		}
	}
	if h, o := get(t, c, s.URL()+"/help"); h.StatusCode != 200 || o["notices"] == nil {
		t.Errorf("help: %d %v", h.StatusCode, o)
	}
	if st := s.State().(rdap.State); st.NotFound != 3 {
		t.Errorf("state %+v", st)
	}
}

func TestRedirects(t *testing.T) {
	registry, c := start(t, options())
	boot, _ := start(t, rdap.Options{Networks: options().Networks, Redirects: []rdap.Redirect{
		{Prefix: netip.MustParsePrefix("203.0.0.0/8"), Base: registry.URL()},
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Base: rdap.RegistryPath},
	}})
	for query, path := range map[string]string{"203.0.113.66": registry.URL() + "/ip/203.0.113.66", "2001:db8::7": boot.URL() + "/registry/ip/2001:db8::7"} {
		h, o := get(t, c, boot.URL()+"/ip/"+query)
		if h.StatusCode != 200 || h.Request.URL.String() != path || o["objectClassName"] != "ip network" {
			t.Errorf("%s: ended at %s with %d", query, h.Request.URL, h.StatusCode)
		}
	}
	if st := boot.State().(rdap.State); st.Redirected != 2 || st.Answered != 1 {
		t.Errorf("state %+v", st)
	}
	boot.SetRedirects()
	if h, _ := get(t, c, boot.URL()+"/ip/203.0.113.66"); h.Request.URL.Host != boot.Addr() {
		t.Errorf("redirected to %s", h.Request.URL)
	}
}

func TestRateLimit(t *testing.T) {
	now := time.Date(2031, 1, 1, 0, 0, 48, 0, time.UTC)
	o := options()
	o.PerMinute, o.Now = 2, func() time.Time { return now }
	s, c := start(t, o)
	for i, want := range []int{200, 200, 429} {
		h, body := get(t, c, s.URL()+"/ip/203.0.113.66")
		if h.StatusCode != want {
			t.Errorf("query %d: %d, want %d", i, h.StatusCode, want)
		}
		if want == 429 && (h.Header.Get("Retry-After") != "12" || body["errorCode"] != 429.0) {
			t.Errorf("%v %v", h.Header, body)
		}
	}
	now = now.Add(12 * time.Second)
	if h, _ := get(t, c, s.URL()+"/ip/203.0.113.66"); h.StatusCode != 200 {
		t.Errorf("in the next minute: %d", h.StatusCode)
	}
	s.SetPerMinute(1)
	s.Reset()
	if st := s.State().(rdap.State); st != (rdap.State{}) {
		t.Errorf("after reset %+v", st)
	}
}

func TestFaultsAreThoseOfHTTP(t *testing.T) {
	s, c := start(t, options())
	if err := s.Fail(httpsim.Fault{Match: "/ip/", Truncate: true, Times: 1}); err != nil {
		t.Fatal(err)
	}
	resp, err := c.Get(s.URL() + "/ip/203.0.113.66")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil || strings.Contains(string(b), "cidr0_cidrs") && strings.HasSuffix(string(b), "}\n") {
		t.Errorf("a whole answer: %s", b)
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0].Fault != "truncate" {
		t.Errorf("calls %+v", calls)
	}
}
