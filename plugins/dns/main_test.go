package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// zone answers "TYPE name" with records "type value …", or with an RCODE; what is not in it does not exist.
func zone(t *testing.T, data map[string]string) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		if fn != "dns.resolve" {
			return pdk.Value(struct{}{})
		}
		var q abi.DNSRequest
		if err := json.Unmarshal(raw, &q); err != nil || q.Capability != "resolver" {
			t.Errorf("%s %v", raw, err)
		}
		text, ok := data[q.Type+" "+q.Name]
		switch {
		case !ok:
			return pdk.Value(abi.DNSResponse{RCode: "NXDOMAIN"})
		case text == "TIMEOUT":
			return abi.Reply{Fault: abi.NewFault(abi.Timeout, "no answer", "")}
		case text != "" && !strings.Contains(text, " "):
			return pdk.Value(abi.DNSResponse{RCode: text})
		}
		r := abi.DNSResponse{RCode: "NOERROR"}
		words := strings.Fields(text)
		for i := 0; i+1 < len(words); i += 2 {
			r.Records = append(r.Records, abi.DNSRecord{Name: q.Name, Type: words[i], TTL: 60, Value: words[i+1]})
		}
		return pdk.Value(r)
	}
}

func TestReverse(t *testing.T) {
	stub := zone(t, map[string]string{
		"PTR 203.0.113.9":  "PTR a.example PTR b.example PTR b.example",
		"A b.example":      "CNAME c.example A 192.0.2.1 A 203.0.113.9",
		"PTR 203.0.113.10": "CNAME 10.x.example PTR bank.corp.test",
		"A bank.corp.test": "A 10.0.0.1",
		"PTR 203.0.113.11": "PTR slow.example",
		"A slow.example":   "TIMEOUT",
		"PTR 2001:db8::1":  "PTR six.example",
		"AAAA six.example": "AAAA 2001:0db8:0::1",
		"PTR 203.0.113.12": "",
		"PTR 203.0.113.13": "PTR 1.example PTR 2.example PTR 3.example PTR 4.example PTR 5.example",
		"A 5.example":      "A 203.0.113.13",
	})
	for ip, want := range map[string]struct {
		names     string
		confirmed bool
	}{
		"203.0.113.9":         {"a.example b.example", true},
		"::ffff:203.0.113.10": {"bank.corp.test", false},
		"203.0.113.11":        {"slow.example", false},
		"2001:DB8::1":         {"six.example", true},
		"203.0.113.12":        {"", false},
		"203.0.113.13":        {"1.example 2.example 3.example 4.example 5.example", false},
		"192.0.2.200":         {"", false},
	} {
		got, fault := pdk.Try(reverse, nil, reverseParams{ip}, stub)
		if fault != nil || got.IP != ip || got.Names == nil || strings.Join(got.Names, " ") != want.names || got.ForwardConfirmed != want.confirmed {
			t.Errorf("%s: got %+v %v, want %+v", ip, got, fault, want)
		}
	}
}

func TestForward(t *testing.T) {
	stub := zone(t, map[string]string{"A www.corp.test": "CNAME web.corp.test A 192.0.2.1", "MX corp.test": ""})
	got, fault := pdk.Try(forward, nil, forwardParams{Name: "www.corp.test."}, stub)
	if fault != nil || !got.Exists || got.Type != "A" || len(got.Records) != 2 || strings.Join(got.Addresses, " ") != "192.0.2.1" {
		t.Errorf("got %+v %v", got, fault)
	}
	got, fault = pdk.Try(forward, nil, forwardParams{"corp.test", "MX"}, stub)
	if fault != nil || !got.Exists || got.Records == nil || len(got.Records) != 0 || got.Addresses == nil {
		t.Errorf("got %+v %v", got, fault)
	}
	got, fault = pdk.Try(forward, nil, forwardParams{"nothing.corp.test", "A"}, stub)
	if fault != nil || got.Exists {
		t.Errorf("got %+v %v", got, fault)
	}
}

func TestFaults(t *testing.T) {
	stub := zone(t, map[string]string{"PTR 192.0.2.1": "SERVFAIL", "PTR 192.0.2.2": "TIMEOUT"})
	for ip, kind := range map[string]abi.Kind{"192.0.2.1": abi.Unavailable, "192.0.2.2": abi.Timeout, "corp.test": abi.Invalid, "fe80::1%eth0": abi.Invalid} {
		if _, fault := pdk.Try(reverse, nil, reverseParams{ip}, stub); fault == nil || fault.Kind != kind {
			t.Errorf("%s: got %v", ip, fault)
		}
	}
}
