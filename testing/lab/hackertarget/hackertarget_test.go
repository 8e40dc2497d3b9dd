package hackertarget_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/hackertarget"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

func start(t *testing.T, opts hackertarget.Options) *hackertarget.Server {
	t.Helper()
	s, err := hackertarget.Start(world.Default(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func get(t *testing.T, s *hackertarget.Server, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestTools(t *testing.T) {
	s := start(t, hackertarget.Options{})
	for path, want := range map[string]string{
		"/reversedns/?q=203.0.113.66":          "203.0.113.66 static-66.vps.example.com",
		"/reversedns/?q=198.51.100.23":         "no records found",
		"/reversedns/?q=cdn-telemetry.example": "203.0.113.66 static-66.vps.example.com",
		"/reversedns/?q=no+name":               "error check your search parameter",
		"/geoip/?q=203.0.113.66":               "IP Address: 203.0.113.66\nCountry: Netherlands\nState: North Holland\nCity: Amsterdam\nLatitude: 52.374\nLongitude: 4.8897",
		"/geoip/?q=nonsense":                   "error check your search parameter",
		"/geoip/?q=nowhere.example":            "error check your search parameter",
		"/geoip/":                              "error check your api query",
		"/whois/?q=%3Bls":                      "error input invalid - enter IP or Hostname",
		"/whois/?q=10.0.0.1":                   "No match found for 10.0.0.1.\n",
		"/hostsearch/?q=vps.example.com":       "static-66.vps.example.com,203.0.113.66\nmirror-9.vps.example.com,203.0.113.9",
		"/hostsearch/?q=nowhere.example":       "No DNS A records found",
		"/hostsearch/?q=192.0.2.10":            "error check your search parameter",
		"/reverseiplookup/?q=203.0.113.66":     "cdn-telemetry.example\nstatic-66.vps.example.com",
		"/reverseiplookup/?q=203.0.113.200":    "No DNS A records found",
		"/reverseiplookup/?q=x":                "error check your search parameter",
		"/aslookup/?q=198.51.100.23":           `"198.51.100.23","64501","198.51.100.0/24","Example Bulletproof Hosting Ltd., RU"`,
		"/aslookup/?q=10.0.0.1":                "no records found",
		"/aslookup/?q=x":                       "error check your search parameter",
		"/geoip/?q=203.0.113.66&apikey=wrong":  "error invalid key",
	} {
		resp, body := get(t, s, path)
		if resp.StatusCode != 200 || body != want || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %d %q, want %q", path, resp.StatusCode, body, want)
		}
	}
	if resp, _ := get(t, s, "/nonsense/?q=1"); resp.StatusCode != 404 {
		t.Errorf("unknown tool: %d", resp.StatusCode)
	}
}

func TestWhois(t *testing.T) {
	s := start(t, hackertarget.Options{})
	_, body := get(t, s, "/whois/?q=198.51.100.23")
	for _, want := range []string{"NetRange:       198.51.100.0 - 198.51.100.255\n", "CIDR:           198.51.100.0/24\n", "NetName:        BULLETPROOF-HOSTING\n",
		"Organization:   Example Bulletproof Hosting Ltd.\n", "Country:        RU\n", "OrgAbuseEmail:  abuse@hosting.example.net\n", "RegDate:        2021-02-14\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	if _, body := get(t, s, "/whois/?q=cdn-telemetry.example"); !strings.Contains(body, "Creation Date: 2026-01-09T00:00:00Z") {
		t.Errorf("domain: %s", body)
	}
}

func TestJSONAndForm(t *testing.T) {
	s := start(t, hackertarget.Options{})
	resp, err := http.PostForm(s.URL()+"/geoip/", url.Values{"q": {"192.0.2.10"}, "output": {"json"}}) //nolint:noctx // one plain call
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		IP, Country, City string
		Latitude          float64
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.IP != "192.0.2.10" || got.City != "Chicago" || got.Latitude != 41.85 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestQuota(t *testing.T) {
	var now atomic.Int64
	now.Store(1_800_000_000)
	s := start(t, hackertarget.Options{PerDay: hackertarget.FreePerDay, Key: "member", Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	for i := range hackertarget.FreePerDay {
		if _, body := get(t, s, "/geoip/?q=192.0.2.10"); !strings.HasPrefix(body, "IP Address") {
			t.Fatalf("call %d: %s", i+1, body)
		}
	}
	const over = "API count exceeded - Increase Quota with Membership"
	resp, body := get(t, s, "/geoip/?q=192.0.2.10")
	if resp.StatusCode != 200 || body != over || resp.Header.Get("X-API-Quota") != "50" || resp.Header.Get("X-API-Count") != "50" {
		t.Errorf("beyond the quota: %d %s %v", resp.StatusCode, body, resp.Header)
	}
	if _, body := get(t, s, "/geoip/?q=192.0.2.10&apikey=member"); body == over {
		t.Error("the quota holds for members too")
	}
	now.Add(86400)
	if _, body := get(t, s, "/geoip/?q=192.0.2.10"); body == over {
		t.Error("the quota outlives the day")
	}
	if st := s.State().(hackertarget.State); st.Refused != 1 || st.Today != 1 || st.Lookups["geoip 192.0.2.10"] != 52 {
		t.Errorf("state %+v", st)
	}
	for _, c := range s.Calls() {
		if strings.Contains(c.Query.Encode(), "member") {
			t.Errorf("a key in %+v", c)
		}
	}
	s.SetPerDay(1)
	if _, body := get(t, s, "/geoip/?q=192.0.2.10"); body != over {
		t.Errorf("with a quota of 1: %s", body)
	}
}

func TestRate(t *testing.T) {
	var now atomic.Int64
	s := start(t, hackertarget.Options{PerSecond: 2, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	for i, want := range []int{200, 200, 429, 200} {
		if i == 3 {
			now.Add(1)
		}
		if resp, _ := get(t, s, "/geoip/?q=192.0.2.10"); resp.StatusCode != want {
			t.Errorf("call %d: %d, want %d", i+1, resp.StatusCode, want)
		}
	}
}

func TestFault(t *testing.T) {
	s := start(t, hackertarget.Options{})
	if err := s.Fail(httpsim.Fault{Match: "/whois/", Status: 502, Body: "<html>Bad Gateway</html>", Times: 1}); err != nil {
		t.Fatal(err)
	}
	if resp, body := get(t, s, "/whois/?q=192.0.2.10"); resp.StatusCode != 502 || body != "<html>Bad Gateway</html>" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := get(t, s, "/whois/?q=192.0.2.10"); resp.StatusCode != 200 {
		t.Errorf("after the fault: %d", resp.StatusCode)
	}
}
