package plugins_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	dnssim "github.com/riposte-soar/riposte/testing/lab/dns"
)

func startDNS(t *testing.T) (*dnssim.Server, *connector) {
	t.Helper()
	s, err := dnssim.Start(dnssim.Options{Records: []dnssim.Record{
		dnssim.Reverse(netip.MustParseAddr("203.0.113.66"), "static-66.vps.example.com"),
		{Name: "static-66.vps.example.com", Type: "A", Value: "203.0.113.66"},
		dnssim.Reverse(netip.MustParseAddr("198.51.100.77"), "www.bank.example"),
		{Name: "www.bank.example", Type: "A", Value: "192.0.2.1"},
		dnssim.Reverse(netip.MustParseAddr("2001:db8::66"), "six.example.com"),
		{Name: "six.example.com", Type: "AAAA", Value: "2001:db8::66"},
		{Name: "alias.example.com", Type: "CNAME", Value: "static-66.vps.example.com"},
		{Name: "corp.test", Type: "MX", Value: "10 mail.corp.test"},
		{Name: "corp.test", Type: "TXT", Value: `v=spf1 -all "quoted"`},
	}})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	return s, connect(t, "dns", map[string]any{"server": s.Addr()})
}

func TestDNSReverse(t *testing.T) {
	_, c := startDNS(t)
	for _, want := range []rdnsResult{
		{"203.0.113.66", []string{"static-66.vps.example.com"}, true},
		{"198.51.100.77", []string{"www.bank.example"}, false},
		{"2001:db8::66", []string{"six.example.com"}, true},
		{"192.0.2.200", []string{}, false},
	} {
		got := must[rdnsResult](c, "reverse", map[string]any{"ip": want.IP})
		if got.IP != want.IP || !slices.Equal(got.Names, want.Names) || got.Names == nil || got.Confirmed != want.Confirmed {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

type forwarded struct {
	Exists    bool
	Records   []struct{ Name, Type, Value string }
	Addresses []string
}

func TestDNSForward(t *testing.T) {
	_, c := startDNS(t)
	if got := must[forwarded](c, "forward", map[string]any{"name": "alias.example.com"}); !got.Exists || len(got.Records) != 2 || !slices.Equal(got.Addresses, []string{"203.0.113.66"}) {
		t.Errorf("got %+v", got)
	}
	if got := must[forwarded](c, "forward", map[string]any{"name": "corp.test.", "type": "MX"}); len(got.Records) != 1 || got.Records[0].Value != "10 mail.corp.test" || len(got.Addresses) != 0 {
		t.Errorf("got %+v", got)
	}
	if got := must[forwarded](c, "forward", map[string]any{"name": "corp.test", "type": "TXT"}); len(got.Records) != 1 || got.Records[0].Value != `v=spf1 -all "quoted"` {
		t.Errorf("got %+v", got)
	}
	if got := must[forwarded](c, "forward", map[string]any{"name": "corp.test", "type": "AAAA"}); !got.Exists || len(got.Records) != 0 {
		t.Errorf("got %+v", got)
	}
	if got := must[forwarded](c, "forward", map[string]any{"name": "nothing.corp.test"}); got.Exists {
		t.Errorf("got %+v", got)
	}
}

func TestDNSFaults(t *testing.T) {
	s, c := startDNS(t)
	ip := map[string]any{"ip": "203.0.113.66"}
	for _, test := range []struct {
		kind dnssim.FaultKind
		want abi.Kind // empty: it works all the same
	}{{dnssim.ServFail, abi.Unavailable}, {dnssim.Refused, abi.Unavailable}, {dnssim.Truncate, ""}, {dnssim.Timeout, abi.Timeout}, {dnssim.WrongID, abi.Timeout}} {
		t.Run(string(test.kind), func(t *testing.T) {
			if err := s.Fail(dnssim.Fault{Kind: test.kind}); err != nil {
				t.Fatal(err)
			}
			defer s.Clear()
			again := *c
			again.t = t
			if test.want == "" {
				if got := must[rdnsResult](&again, "reverse", ip); !got.Confirmed {
					t.Errorf("got %+v", got)
				}
				return
			}
			if test.want == abi.Timeout {
				again.timeout = 500 * time.Millisecond
			}
			fails(&again, "reverse", ip, test.want)
		})
	}
	for _, p := range []map[string]any{{"ip": "corp.test"}, {"ip": ""}, {}} {
		fails(c, "reverse", p, abi.Invalid)
	}
	fails(c, "forward", map[string]any{"name": "corp.test", "type": "ANY"}, abi.Invalid)
	if f := c.run("forward", map[string]any{"name": "a b"}).Fault; f == nil || f.Kind != abi.Refused && f.Kind != abi.Invalid {
		t.Errorf("got %v", f)
	}
}
