package whois_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/whois"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func badHosting() whois.Network {
	return whois.Network{
		Prefix: netip.MustParsePrefix("203.0.113.0/24"), Name: "BAD-HOSTING", Org: "Bad Hosting Ltd", Country: "NL", City: "Rotterdam",
		AbuseMail: "abuse@badhosting.example", Phone: "+31-10-5550100", ASN: 64500,
		Created: time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC), Updated: time.Date(2024, 11, 18, 0, 0, 0, 0, time.UTC),
	}
}

func start(t *testing.T, o whois.Options) *whois.Server {
	t.Helper()
	s, err := whois.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends line as RFC 3912 says and reads until the server closes.
func ask(t *testing.T, addr, line string) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func wants(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("no %q in\n%s", p, got)
		}
	}
}

func TestARINAnswersAnAddressWithItsNetwork(t *testing.T) {
	s := start(t, whois.Options{Networks: []whois.Network{
		{Prefix: netip.MustParsePrefix("203.0.0.0/16"), Name: "WIDE", Org: "Wide"}, badHosting(),
	}})
	for _, line := range []string{"203.0.113.66", "n + 203.0.113.66", "203.0.113.64/26", "::ffff:203.0.113.66"} {
		got, err := ask(t, s.Addr(), line)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, got, "NetRange:       203.0.113.0 - 203.0.113.255\r\n", "CIDR:           203.0.113.0/24\r\n", "OriginAS:       AS64500\r\n",
			"OrgName:        Bad Hosting Ltd\r\n", "Country:        NL\r\n", "OrgAbuseEmail:  abuse@badhosting.example\r\n", "RegDate:        2019-03-01\r\n")
	}
	got, err := ask(t, s.Addr(), "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	wants(t, got, "No match found for 192.0.2.1.")
	q := s.Queries()
	if len(q) != 5 || q[1].Query.Target != "203.0.113.66" || q[4].Answer != "nomatch" {
		t.Errorf("queries %+v", q)
	}
}

func TestRIPEAnswersInRPSL(t *testing.T) {
	n := badHosting()
	six := n
	six.Prefix, six.Name = netip.MustParsePrefix("2001:db8::/32"), "SIX"
	s := start(t, whois.Options{Style: whois.RIPE, Networks: []whois.Network{n, six}, Texts: map[string]string{"c2.bad.example": "domain: c2.bad.example"}})
	got, _ := ask(t, s.Addr(), "-B -T inetnum 203.0.113.66")
	wants(t, got, "% Abuse contact for '203.0.113.0 - 203.0.113.255' is 'abuse@badhosting.example'", "inetnum:        203.0.113.0 - 203.0.113.255\r\n",
		"abuse-mailbox:  abuse@badhosting.example\r\n", "org-name:       Bad Hosting Ltd\r\n", "origin:         AS64500\r\n", "created:        2019-03-01T00:00:00Z\r\n")
	got, _ = ask(t, s.Addr(), "2001:db8::7")
	wants(t, got, "inet6num:       2001:db8::/32\r\n")
	got, _ = ask(t, s.Addr(), "192.0.2.1")
	wants(t, got, "%ERROR:101: no entries found")
	got, _ = ask(t, s.Addr(), "C2.bad.example")
	if got != "domain: c2.bad.example\r\n" {
		t.Errorf("domain: %q", got)
	}
}

func TestRootRefersToTheRegistry(t *testing.T) {
	registry := start(t, whois.Options{Style: whois.RIPE, Networks: []whois.Network{badHosting()}})
	ref := []whois.Referral{{Prefix: netip.MustParsePrefix("203.0.0.0/8"), Server: registry.Addr()}}
	root := start(t, whois.Options{Style: whois.IANA, Referrals: ref})
	got, _ := ask(t, root.Addr(), "203.0.113.66")
	wants(t, got, "refer:        "+registry.Addr()+"\r\n")
	_, after, _ := strings.Cut(got, "refer:")
	next, _, _ := strings.Cut(after, "\r\n")
	got, _ = ask(t, strings.TrimSpace(next), "203.0.113.66")
	wants(t, got, "inetnum:")
	got, _ = ask(t, root.Addr(), "198.51.100.1")
	wants(t, got, "returned 0 objects")

	arin := start(t, whois.Options{Referrals: ref})
	got, _ = ask(t, arin.Addr(), "203.0.113.66")
	wants(t, got, "ReferralServer: whois://"+registry.Addr())
}

func TestFaults(t *testing.T) {
	s := start(t, whois.Options{Networks: []whois.Network{badHosting()}})
	whole, err := ask(t, s.Addr(), "203.0.113.66")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fault whois.Fault
		check func(got string, err error) bool
	}{
		{whois.Fault{Kind: whois.Delay, DelayMS: 1}, func(got string, err error) bool { return got == whole && err == nil }},
		{whois.Fault{Kind: whois.Drip, Bytes: 100, DelayMS: 1}, func(got string, err error) bool { return got == whole && err == nil }},
		{whois.Fault{Kind: whois.Huge, Bytes: 1 << 20}, func(got string, err error) bool { return len(got) == 1<<20 && strings.HasPrefix(got, whole) }},
		{whois.Fault{Kind: whois.Huge, Bytes: 9}, func(got string, err error) bool { return got == whole[:9] }},
		{whois.Fault{Kind: whois.Cut}, func(got string, err error) bool { return got == whole[:len(whole)/2] && err == nil }},
		{whois.Fault{Kind: whois.Abort, Bytes: 10}, func(got string, err error) bool { return err != nil }},
		{whois.Fault{Kind: whois.Close}, func(got string, err error) bool { return got == "" }},
		{whois.Fault{Kind: whois.RateLimit}, func(got string, err error) bool { return strings.Contains(got, "rate limit exceeded") }},
		{whois.Fault{Kind: whois.Text, Text: "\xff\xfe"}, func(got string, err error) bool { return got == "\xff\xfe" }},
	} {
		c.fault.Times, c.fault.Match = 1, "203.0.113"
		if err := s.Fail(c.fault); err != nil {
			t.Fatal(err)
		}
		if got, err := ask(t, s.Addr(), "192.0.2.1"); !strings.Contains(got, "No match") {
			t.Errorf("%s befell another query: %q %v", c.fault.Kind, got, err)
		}
		if got, err := ask(t, s.Addr(), "203.0.113.66"); !c.check(got, err) {
			t.Errorf("%s: %.80q… (%d bytes) %v", c.fault.Kind, got, len(got), err)
		}
		if got, err := ask(t, s.Addr(), "203.0.113.66"); got != whole {
			t.Errorf("after %s: %q %v", c.fault.Kind, got, err)
		}
	}
}

func TestCloseEndsASilentConversation(t *testing.T) {
	s := start(t, whois.Options{})
	if err := s.Fail(whois.Fault{Kind: whois.Silent}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = ask(t, s.Addr(), "192.0.2.1")
	}()
	if err := s.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestControlPage(t *testing.T) {
	s := start(t, whois.Options{})
	h := s.Control()
	post := func(path, body string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		return w.Code
	}
	if c := post("/faults", `{"kind":"sulk"}`); c != http.StatusBadRequest {
		t.Errorf("unknown kind: %d", c)
	}
	if c := post("/faults", `{"kind":"rate_limit","times":1}`); c != http.StatusCreated {
		t.Errorf("rate_limit: %d", c)
	}
	got, _ := ask(t, s.Addr(), "192.0.2.1")
	wants(t, got, "rate limit exceeded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/state", nil))
	var st whois.State
	if err := json.Unmarshal(w.Body.Bytes(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Total != 1 || st.Queries[0].Fault != whois.RateLimit || st.Faults[0].Hits != 1 {
		t.Errorf("state %+v", st)
	}
	if c := post("/reset", ""); c != http.StatusNoContent || len(s.Queries()) != 0 {
		t.Errorf("reset: %d, %d queries left", c, len(s.Queries()))
	}
}

func TestStartNamesAnUnknownStyle(t *testing.T) {
	if _, err := whois.Start(whois.Options{Style: "apnic"}); err == nil || !strings.Contains(err.Error(), "expected arin, ripe or iana") {
		t.Errorf("error %v", err)
	}
}

func TestParseQuery(t *testing.T) {
	for line, want := range map[string]string{
		"1.2.3.4":                "1.2.3.4|",
		"n + 1.2.3.4\r\n":        "1.2.3.4|n,+",
		"n +1.2.3.4":             "1.2.3.4|n,+",
		"N ! NET-203-0-113-0-1":  "NET-203-0-113-0-1|N,!",
		"-B -T inetnum 1.2.3.4":  "1.2.3.4|-B,-T inetnum",
		"--no-filtering -r AS1":  "AS1|--no-filtering,-r",
		"-V Md5.2 bad.example":   "bad.example|-V Md5.2",
		"domain =bad.example":    "domain =bad.example|",
		"Bad  Hosting Ltd":       "Bad Hosting Ltd|",
		"a":                      "a|",
		strings.Repeat("x", 512): strings.Repeat("x", 512) + "|",
		"":                       "error",
		"-B":                     "error",
		"a\x00b":                 "error",
		strings.Repeat("x", 513): "error",
	} {
		q, err := whois.ParseQuery(line)
		got := q.Target + "|" + strings.Join(q.Flags, ",")
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%.40q: %.60q, want %.60q (%v)", line, got, want, err)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"n + 192.0.2.1\r\n", "-B -T inetnum 192.0.2.1", "=!+x", "-T", "\x00", "- -"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		q, err := whois.ParseQuery(line)
		if err != nil {
			return
		}
		if q.Target == "" || len(q.Target) > whois.MaxQuery || strings.ContainsAny(q.Target, "\r\n\x00") {
			t.Errorf("target %q", q.Target)
		}
	})
}
