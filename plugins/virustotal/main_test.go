package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// answering stubs the API, and keeps the URL that was asked and the artifact that was given.
func answering(t *testing.T, answer abi.HTTPResponse, url *string, artifact *abi.Emission) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		switch fn {
		case "http.fetch":
			var r abi.HTTPRequest
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Error(err)
			}
			*url = r.Method + " " + r.Capability + " " + r.URL
			return pdk.Value(answer)
		case "emit.artifact":
			if err := json.Unmarshal(raw, artifact); err != nil {
				t.Error(err)
			}
		}
		return pdk.Value(struct{}{})
	}
}

func report(attributes string) abi.HTTPResponse {
	return abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: `{"data":{"id":"x","type":"x","attributes":` + attributes + `}}`}}
}

var connector = map[string]any{"base_url": "https://vt.corp.test/api/v3/", "malicious_from": 3}

func TestIP(t *testing.T) {
	var url string
	var artifact abi.Emission
	got, fault := pdk.Try(ip, connector, ipParams{"203.0.113.9"}, answering(t, report(`{"last_analysis_stats":{"malicious":4,"suspicious":1,"harmless":60,"undetected":9,"timeout":0},
		"reputation":-12,"country":"NL","as_owner":"Example BV","asn":64500,"network":"203.0.113.0/24"}`), &url, &artifact))
	want := ipReport{"203.0.113.9", numbers{4, 1, 60, 9, -12, "malicious", "https://www.virustotal.com/gui/ip-address/203.0.113.9"}, "NL", "Example BV", 64500, "203.0.113.0/24"}
	if fault != nil || got != want {
		t.Errorf("got %+v %v", got, fault)
	}
	if url != "GET api https://vt.corp.test/api/v3/ip_addresses/203.0.113.9" {
		t.Errorf("asked %s", url)
	}
	if artifact.Kind != "ip" || artifact.Value != "203.0.113.9" || artifact.Verdict != "malicious" ||
		artifact.Note != "VirusTotal: 4 of 74 engines call it malicious, 1 suspicious" {
		t.Errorf("artifact %+v", artifact)
	}
}

func TestDomainAndFile(t *testing.T) {
	var url string
	var artifact abi.Emission
	d, fault := pdk.Try(domain, connector, domainParams{"Bad.Example."}, answering(t, report(`{"last_analysis_stats":{"suspicious":1},"registrar":"R","creation_date":86400}`), &url, &artifact))
	if fault != nil || d.Verdict != "suspicious" || d.Registrar != "R" || d.Created != "1970-01-02" || d.Domain != "Bad.Example." {
		t.Errorf("got %+v %v", d, fault)
	}
	if url != "GET api https://vt.corp.test/api/v3/domains/bad.example" || artifact.Kind != "domain" || artifact.Value != "bad.example" {
		t.Errorf("%s %+v", url, artifact)
	}
	f, fault := pdk.Try(file, connector, fileParams{"ABCD"}, answering(t, report(`{"last_analysis_stats":{"malicious":50},"sha256":"ff","size":7,"type_description":"PE",
		"meaningful_name":"a.exe","popular_threat_classification":{"suggested_threat_label":"trojan.x"}}`), &url, &artifact))
	if fault != nil || f.Verdict != "malicious" || f.SHA256 != "ff" || f.Size != 7 || f.FileType != "PE" || f.Name != "a.exe" || f.Threat != "trojan.x" {
		t.Errorf("got %+v %v", f, fault)
	}
	if url != "GET api https://vt.corp.test/api/v3/files/abcd" || artifact.Kind != "hash" {
		t.Errorf("%s %+v", url, artifact)
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		n    numbers
		from int
		want string
	}{
		{numbers{Malicious: 3}, 3, "malicious"}, {numbers{Malicious: 2}, 3, "suspicious"}, {numbers{Suspicious: 1}, 3, "suspicious"},
		{numbers{Harmless: 1, Undetected: 5}, 3, "benign"}, {numbers{Undetected: 90}, 3, "unknown"}, {numbers{Harmless: 9}, 0, "benign"},
	} {
		if got := verdict(test.n, test.from); got != test.want {
			t.Errorf("%+v: got %s, want %s", test.n, got, test.want)
		}
	}
}

func TestUnknownIsAnAnswer(t *testing.T) {
	var url string
	var artifact abi.Emission
	got, fault := pdk.Try(ip, connector, ipParams{"192.0.2.1"}, answering(t, abi.HTTPResponse{Status: 404, Body: abi.Payload{Text: `{"error":{"code":"NotFoundError","message":"IP address \"192.0.2.1\" not found"}}`}}, &url, &artifact))
	if fault != nil || got.Verdict != "unknown" || artifact.Verdict != "unknown" {
		t.Errorf("got %+v %v %+v", got, fault, artifact)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer abi.HTTPResponse
		kind   abi.Kind
		after  int64
	}{
		{"wrong address of the API", abi.HTTPResponse{Status: 404, Body: abi.Payload{Text: `{"error":{"code":"NotFoundError","message":"Resource not found."}}`}}, abi.NotFound, 0},
		{"wrong address", abi.HTTPResponse{Status: 404, Body: abi.Payload{Text: "<html>nginx"}}, abi.NotFound, 0},
		{"key", abi.HTTPResponse{Status: 401}, abi.Unauthorized, 0},
		{"quota", abi.HTTPResponse{Status: 429, Headers: map[string]string{"retry-after": "60"}}, abi.RateLimited, 60_000},
		{"quota without a word", abi.HTTPResponse{Status: 429}, abi.RateLimited, 0},
		{"down", abi.HTTPResponse{Status: 503}, abi.Unavailable, 0},
		{"garbage", abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: "hello"}}, abi.Unavailable, 0},
	} {
		var url string
		var artifact abi.Emission
		_, fault := pdk.Try(ip, connector, ipParams{"192.0.2.1"}, answering(t, test.answer, &url, &artifact))
		if fault == nil || fault.Kind != test.kind || fault.RetryAfter != test.after || artifact.Kind != "" {
			t.Errorf("%s: got %+v %+v", test.name, fault, artifact)
		}
	}
	if _, fault := pdk.Try(ip, connector, ipParams{"x/../y"}, nil); fault == nil || fault.Kind != abi.Invalid || !strings.Contains(fault.Message, "IP address") {
		t.Errorf("got %v", fault)
	}
}
