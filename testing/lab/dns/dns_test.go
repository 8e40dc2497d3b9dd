package dnssim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	dnssim "github.com/riposte-soar/riposte/testing/lab/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, records ...dnssim.Record) *dnssim.Server {
	t.Helper()
	s, err := dnssim.Start(dnssim.Options{Records: records})
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

func ask(t *testing.T, s *dnssim.Server, network, name string, typ uint16) (*dns.Msg, error) {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	m, _, err := c.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(dns.Fqdn(name), typ), s.Addr())
	return m, err
}

func story() []dnssim.Record {
	return []dnssim.Record{
		dnssim.Reverse(netip.MustParseAddr("203.0.113.66"), "c2.bad.example"),
		{Name: "c2.bad.example", Type: "A", Value: "203.0.113.66", TTL: 60},
		{Name: "c2.bad.example", Type: "AAAA", Value: "2001:db8::66"},
		{Name: "www.bad.example", Type: "CNAME", Value: "c2.bad.example"},
		{Name: "bad.example", Type: "MX", Value: "10 mail.bad.example."},
		{Name: "bad.example", Type: "TXT", Value: `v=spf1 "-all" ` + strings.Repeat("x", 300)},
		{Name: "loop.bad.example", Type: "CNAME", Value: "loop.bad.example."},
	}
}

func TestRecordsOverBothProtocols(t *testing.T) {
	s := start(t, story()...)
	for _, c := range []struct {
		name   string
		typ    uint16
		rcode  int
		answer string
	}{
		{"66.113.0.203.in-addr.arpa", dns.TypePTR, 0, "66.113.0.203.in-addr.arpa.\t300\tIN\tPTR\tc2.bad.example."},
		{"C2.Bad.Example", dns.TypeA, 0, "c2.bad.example.\t60\tIN\tA\t203.0.113.66"},
		{"c2.bad.example", dns.TypeAAAA, 0, "c2.bad.example.\t300\tIN\tAAAA\t2001:db8::66"},
		{"bad.example", dns.TypeMX, 0, "bad.example.\t300\tIN\tMX\t10 mail.bad.example."},
		{"www.bad.example", dns.TypeA, 0, "www.bad.example.\t300\tIN\tCNAME\tc2.bad.example.|c2.bad.example.\t60\tIN\tA\t203.0.113.66"},
		{"bad.example", dns.TypeA, 0, ""},
		{"example", dns.TypeA, 0, ""},
		{"99.113.0.203.in-addr.arpa", dns.TypePTR, dns.RcodeNameError, ""},
		{"good.test", dns.TypeA, dns.RcodeNameError, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m, err := ask(t, s, network, c.name, c.typ)
			if err != nil {
				t.Fatalf("%s %s: %v", network, c.name, err)
			}
			var got []string
			for _, rr := range m.Answer {
				got = append(got, rr.String())
			}
			if m.Rcode != c.rcode || strings.Join(got, "|") != c.answer {
				t.Errorf("%s %s: %s %q, want %q", network, c.name, dns.RcodeToString[m.Rcode], got, c.answer)
			}
			if len(got) == 0 && len(m.Ns) != 1 {
				t.Errorf("%s %s: a negative answer without SOA", network, c.name)
			}
		}
	}
	m, err := ask(t, s, "tcp", "bad.example", dns.TypeTXT)
	if err != nil || len(m.Answer) != 1 {
		t.Fatalf("TXT: %v %v", m, err)
	}
	txt := m.Answer[0].(*dns.TXT).Txt
	if len(txt) != 2 || len(txt[0]) < 255 || !strings.HasSuffix(txt[1], "xxx") {
		t.Errorf("TXT %q", txt)
	}
	if m, err := ask(t, s, "udp", "loop.bad.example", dns.TypeA); err != nil || len(m.Answer) != 8 {
		t.Errorf("a loop of aliases: %v %v", m, err)
	}
}

func TestAnswersThatDoNotFitAreTruncated(t *testing.T) {
	var many []dnssim.Record
	for i := range 100 {
		many = append(many, dnssim.Record{Name: "many.bad.example", Type: "A", Value: fmt.Sprintf("198.51.100.%d", i+1)})
	}
	s := start(t, many...)
	m, err := ask(t, s, "udp", "many.bad.example", dns.TypeA)
	if err != nil || !m.Truncated || len(m.Answer) >= 100 {
		t.Fatalf("udp: truncated %v, %d answers, %v", m.Truncated, len(m.Answer), err)
	}
	m, err = ask(t, s, "tcp", "many.bad.example", dns.TypeA)
	if err != nil || m.Truncated || len(m.Answer) != 100 {
		t.Fatalf("tcp: %d answers, %v", len(m.Answer), err)
	}
	q := new(dns.Msg).SetQuestion("many.bad.example.", dns.TypeA).SetEdns0(4096, false)
	m, err = dns.Exchange(q, s.Addr())
	if err != nil || m.Truncated || len(m.Answer) != 100 || m.IsEdns0() == nil {
		t.Fatalf("udp with EDNS: truncated %v, %d answers, %v", m.Truncated, len(m.Answer), err)
	}
}

func TestFaults(t *testing.T) {
	s := start(t, story()...)
	for _, c := range []struct {
		kind  dnssim.FaultKind
		check func(*dns.Msg, error) bool
	}{
		{dnssim.ServFail, func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == dns.RcodeServerFailure }},
		{dnssim.Refused, func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == dns.RcodeRefused }},
		{dnssim.NXDomain, func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == dns.RcodeNameError }},
		{dnssim.Empty, func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == 0 && len(m.Answer) == 0 }},
		{dnssim.Truncate, func(m *dns.Msg, err error) bool { return err == nil && m.Truncated && len(m.Answer) == 0 }},
		{dnssim.Delay, func(m *dns.Msg, err error) bool { return err == nil && len(m.Answer) == 1 }},
	} {
		f := dnssim.Fault{Kind: c.kind, Name: "bad.example", Type: "A", Net: "udp", Times: 1, DelayMS: 1}
		if err := s.Fail(f); err != nil {
			t.Fatal(err)
		}
		if m, err := ask(t, s, "udp", "66.113.0.203.in-addr.arpa", dns.TypePTR); err != nil || len(m.Answer) != 1 {
			t.Errorf("%s befell another query", c.kind)
		}
		if m, err := ask(t, s, "udp", "c2.bad.example", dns.TypeA); !c.check(m, err) {
			t.Errorf("%s: %v %v", c.kind, m, err)
		}
		if m, err := ask(t, s, "udp", "c2.bad.example", dns.TypeA); err != nil || len(m.Answer) != 1 {
			t.Errorf("after %s: %v %v", c.kind, m, err)
		}
	}
	for _, f := range []dnssim.Fault{{Kind: "sulk"}, {Kind: dnssim.Delay, Type: "ZZ"}, {Kind: dnssim.Delay, Net: "sctp"}} {
		if err := s.Fail(f); err == nil {
			t.Errorf("%+v was armed", f)
		}
	}
}

func TestClientsThatGetNoAnswerGiveUp(t *testing.T) {
	s := start(t, story()...)
	for _, k := range []dnssim.FaultKind{dnssim.Timeout, dnssim.WrongID} {
		s.Reset()
		if err := s.Fail(dnssim.Fault{Kind: k}); err != nil {
			t.Fatal(err)
		}
		c := dns.Client{Timeout: 50 * time.Millisecond}
		if m, _, err := c.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion("c2.bad.example.", dns.TypeA), s.Addr()); err == nil {
			t.Errorf("%s: answered %v", k, m)
		}
		if err := s.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if q := s.Queries(); q[0].Fault != k || q[0].Name != "c2.bad.example" || q[0].Type != "A" || q[0].Net != "udp" {
			t.Errorf("%s: seen %+v", k, q)
		}
	}
}

func TestCloseEndsADelayedAnswer(t *testing.T) {
	s := start(t, story()...)
	if err := s.Fail(dnssim.Fault{Kind: dnssim.Delay, DelayMS: 3_600_000}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ask(t, s, "tcp", "c2.bad.example", dns.TypeA)
		done <- err
	}()
	if err := s.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("answered after Close")
	}
}

func TestStartNamesABadRecord(t *testing.T) {
	for _, r := range []dnssim.Record{
		{Name: "x.test", Type: "QQ", Value: "1"}, {Name: "x.test", Type: "A", Value: "not an address"}, {Name: "x.test", Type: "A"},
	} {
		if _, err := dnssim.Start(dnssim.Options{Records: []dnssim.Record{r}}); err == nil || !strings.Contains(err.Error(), "record 0 (x.test") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestControlPage(t *testing.T) {
	s := start(t, story()...)
	h := s.Control()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/faults", strings.NewReader(`{"kind":"servfail","times":1}`)))
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if _, err := ask(t, s, "udp", "c2.bad.example", dns.TypeA); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/state", nil))
	var st dnssim.State
	if err := json.NewDecoder(w.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	if st.Total != 1 || st.Queries[0].Rcode != "SERVFAIL" || st.Faults[0].Hits != 1 {
		t.Errorf("%+v", st)
	}
}
