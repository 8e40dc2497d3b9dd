package virustotal_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/virustotal"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

func start(t *testing.T, opts virustotal.Options) *virustotal.Server {
	t.Helper()
	s, err := virustotal.Start(world.Default(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// report is what a client reads of an answer.
type report struct {
	Data struct {
		ID, Type   string
		Links      map[string]string
		Attributes struct {
			Stats     map[string]int `json:"last_analysis_stats"`
			Results   map[string]map[string]string
			Engines   map[string]struct{ Category string } `json:"last_analysis_results"`
			Country   string
			Continent string
			ASN       int
			Owner     string `json:"as_owner"`
			Network   string
			Analysed  int64 `json:"last_analysis_date"`
			Votes     map[string]int
			Tags      []string
			SHA256    string
			Names     []string
			Records   []map[string]any `json:"last_dns_records"`
		}
	}
	Error struct{ Code, Message string }
}

func get(t *testing.T, s *virustotal.Server, path, key string) (int, report) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("x-apikey", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var r report
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, r
}

func TestAddresses(t *testing.T) {
	s := start(t, virustotal.Options{})
	for ip, malicious := range map[string]int{"203.0.113.66": 21, "198.51.100.23": 17, "198.51.100.77": 9, "192.0.2.10": 0, "192.0.2.44": 1,
		"10.20.30.40": 0} {
		status, r := get(t, s, "/api/v3/ip_addresses/"+ip, virustotal.DefaultKey)
		a := r.Data.Attributes
		if status != 200 || r.Data.ID != ip || r.Data.Type != "ip_address" || r.Data.Links["self"] != s.URL()+"/api/v3/ip_addresses/"+ip {
			t.Errorf("%s: %d %+v", ip, status, r)
		}
		counted := map[string]int{}
		for _, e := range a.Engines {
			counted[e.Category]++
		}
		for category, n := range a.Stats {
			if counted[category] != n {
				t.Errorf("%s: %d engines say %s, the stats say %d", ip, counted[category], category, n)
			}
		}
		if a.Stats["malicious"] != malicious || len(a.Engines) != 94 || a.Analysed == 0 {
			t.Errorf("%s: %v of %d engines, want %d malicious", ip, a.Stats, len(a.Engines), malicious)
		}
	}
	_, r := get(t, s, "/api/v3/ip_addresses/198.51.100.23", virustotal.DefaultKey)
	if a := r.Data.Attributes; a.Country != "RU" || a.Continent != "EU" || a.ASN != 64501 || a.Owner == "" || a.Network != "198.51.100.0/24" {
		t.Errorf("attributes %+v", a)
	}
	if s.Lookups("198.51.100.23") != 2 {
		t.Errorf("counted %d lookups", s.Lookups("198.51.100.23"))
	}
	s.Reset()
	if s.Lookups("198.51.100.23") != 0 {
		t.Error("Reset left a count")
	}
}

func TestDomainsAndFiles(t *testing.T) {
	s := start(t, virustotal.Options{})
	status, r := get(t, s, "/api/v3/domains/CDN-telemetry.example", virustotal.DefaultKey)
	if status != 200 || r.Data.Type != "domain" || r.Data.ID != "cdn-telemetry.example" || r.Data.Attributes.Stats["malicious"] != 17 ||
		len(r.Data.Attributes.Records) != 1 {
		t.Errorf("domain: %d %+v", status, r)
	}
	f := world.Default().Files[0]
	for _, digest := range []string{f.MD5, f.SHA1, f.SHA256} {
		status, r := get(t, s, "/api/v3/files/"+digest, virustotal.DefaultKey)
		if status != 200 || r.Data.Type != "file" || r.Data.ID != f.SHA256 || r.Data.Attributes.SHA256 != f.SHA256 || r.Data.Attributes.Stats["malicious"] != 52 {
			t.Errorf("file: %d %+v", status, r)
		}
	}
}

func TestErrors(t *testing.T) {
	s := start(t, virustotal.Options{})
	for _, tt := range []struct {
		path, key string
		status    int
		code      string
	}{
		{"ip_addresses/203.0.113.66", "", 401, "AuthenticationRequiredError"},
		{"ip_addresses/203.0.113.66", "wrong", 401, "WrongCredentialsError"},
		{"ip_addresses/203.0.113.1", virustotal.DefaultKey, 404, "NotFoundError"},
		{"ip_addresses/nonsense", virustotal.DefaultKey, 400, "InvalidArgumentError"},
		{"domains/nowhere.example", virustotal.DefaultKey, 404, "NotFoundError"},
		{"domains/no_dot", virustotal.DefaultKey, 400, "InvalidArgumentError"},
		{"files/0123", virustotal.DefaultKey, 404, "NotFoundError"},
		{"nonsense/x", virustotal.DefaultKey, 404, "NotFoundError"},
	} {
		if status, r := get(t, s, "/api/v3/"+tt.path, tt.key); status != tt.status || r.Error.Code != tt.code || r.Error.Message == "" {
			t.Errorf("%s: %d %+v, want %d %s", tt.path, status, r.Error, tt.status, tt.code)
		}
	}
}

func TestQuota(t *testing.T) {
	var now atomic.Int64
	now.Store(1_800_000_000)
	s := start(t, virustotal.Options{PerMinute: virustotal.PublicPerMinute, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	var got []int
	for i := range 12 {
		if i == 6 {
			now.Add(60)
		}
		status, r := get(t, s, "/api/v3/ip_addresses/192.0.2.10", virustotal.DefaultKey)
		if status == 429 && r.Error.Code != "QuotaExceededError" {
			t.Errorf("error %+v", r.Error)
		}
		got = append(got, status)
	}
	if want := "[200 200 200 200 429 429 200 200 200 200 429 429]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if st := s.State().(virustotal.State); st.Refused != 4 || st.Lookups["192.0.2.10"] != 8 {
		t.Errorf("state %+v", st)
	}
	s.SetPerMinute(0)
	if status, _ := get(t, s, "/api/v3/ip_addresses/192.0.2.10", virustotal.DefaultKey); status != 200 {
		t.Errorf("without a quota: %d", status)
	}
}

func TestFault(t *testing.T) {
	s := start(t, virustotal.Options{})
	if err := s.Fail(httpsim.Fault{Match: "/api/v3/ip_addresses/192.0.2.44", Status: 503, Times: 1,
		Body: `{"error":{"code":"TransientError","message":"Transient server error. Retry might work."}}`}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{503, 200} {
		if status, _ := get(t, s, "/api/v3/ip_addresses/192.0.2.44", virustotal.DefaultKey); status != want {
			t.Errorf("got %d, want %d", status, want)
		}
	}
}
