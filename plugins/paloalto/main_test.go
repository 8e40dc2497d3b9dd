package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

var connector = settings{BaseURL: "https://fw.corp.test/"}

const (
	done   = `<response status="success"><result><uid-response><version>2.0</version><payload><register/></payload></uid-response></result></response>`
	exists = `<response status="error"><msg><line><uid-response><version>2.0</version><payload><register>` +
		`<entry ip="203.0.113.9" message="tag riposte-blocked already exists, ignore"/></register></payload></uid-response></line></msg></response>`
	missing = `<response status="error"><msg><line><uid-response><version>2.0</version><payload><unregister>` +
		`<entry ip="203.0.113.9" message="ip 203.0.113.9 does not exist, ignore unreg"/></unregister></payload></uid-response></line></msg></response>`
)

// firewallSays answers each request with the next text, and keeps the commands that were sent.
func firewallSays(t *testing.T, sent *[]string, answers ...abi.HTTPResponse) pdk.Stub {
	return func(fn string, raw []byte) abi.Reply {
		if fn != "http.fetch" {
			return pdk.Value(struct{}{})
		}
		var r abi.HTTPRequest
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Error(err)
		}
		text := strings.TrimPrefix(r.URL, "https://fw.corp.test/api/")
		if r.Body != nil {
			text = r.Body.Text
		}
		q, err := url.ParseQuery(strings.TrimPrefix(text, "?"))
		if err != nil {
			t.Error(err)
		}
		*sent = append(*sent, r.Capability+" "+r.Method+" "+q.Get("type")+" "+q.Get("cmd"))
		if len(answers) == 0 {
			t.Fatal("one request too many: " + text)
		}
		answer := answers[0]
		answers = answers[1:]
		return pdk.Value(answer)
	}
}

func ok(text string) abi.HTTPResponse {
	return abi.HTTPResponse{Status: 200, Body: abi.Payload{Text: text}}
}

func TestBlock(t *testing.T) {
	const register = `register POST user-id <uid-message><version>2.0</version><type>update</type><payload><register><entry ip="203.0.113.9">` +
		`<tag><member timeout="60">riposte-blocked</member></tag></entry></register></payload></uid-message>`
	unregister := strings.NewReplacer("<register", "<unregister", "</register", "</unregister", ` timeout="60"`, "").Replace(register)
	for _, test := range []struct {
		name    string
		answers []abi.HTTPResponse
		sent    []string
		already bool
	}{
		{"new", []abi.HTTPResponse{ok(done)}, []string{register}, false},
		{"there already", []abi.HTTPResponse{ok(exists), ok(done), ok(done)}, []string{register, unregister, register}, true},
		{"there already, and expired meanwhile", []abi.HTTPResponse{ok(exists), ok(missing), ok(done)}, []string{register, unregister, register}, true},
		{"renewed at the second try", []abi.HTTPResponse{ok(exists), ok(done), {Status: 503}, ok(done)}, []string{register, unregister, register, register}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sent []string
			got, fault := pdk.Try(block, connector, params{IP: "203.0.113.9", Timeout: 60, Comment: "alarm 7"}, firewallSays(t, &sent, test.answers...))
			if want := (change{"203.0.113.9", defaultTag, true, test.already, 60}); fault != nil || got != want {
				t.Errorf("got %+v %v, want %+v", got, fault, want)
			}
			if strings.Join(sent, "\n") != strings.Join(test.sent, "\n") {
				t.Errorf("sent\n%s\nwant\n%s", strings.Join(sent, "\n"), strings.Join(test.sent, "\n"))
			}
		})
	}
}

func TestUnblock(t *testing.T) {
	for answer, already := range map[string]bool{done: false, missing: true} {
		var sent []string
		got, fault := pdk.Try(unblock, connector, params{IP: "::ffff:203.0.113.9", Tag: "x"}, firewallSays(t, &sent, ok(answer)))
		if want := (change{IP: "203.0.113.9", Tag: "x", Already: already}); fault != nil || got != want {
			t.Errorf("got %+v %v, want %+v", got, fault, want)
		}
	}
}

func TestIsBlocked(t *testing.T) {
	const shown = `<response status="success"><result><entry ip="203.0.113.9" from_agent="0" persistent="1"><tag><member>a</member><member>riposte-blocked</member></tag></entry>` +
		`<entry ip="203.0.113.90"><tag><member>b</member></tag></entry><count>2</count></result></response>`
	var sent []string
	got, fault := pdk.Try(blocked, connector, params{IP: "203.0.113.9"}, firewallSays(t, &sent, ok(shown)))
	if fault != nil || !got.Present || strings.Join(got.Tags, ",") != "a,riposte-blocked" {
		t.Errorf("got %+v %v", got, fault)
	}
	if want := "show GET op <show><object><registered-ip><ip>203.0.113.9</ip></registered-ip></object></show>"; sent[0] != want {
		t.Errorf("sent %s", sent[0])
	}
	got, fault = pdk.Try(blocked, connector, params{IP: "2001:DB8::1"}, firewallSays(t, &sent, ok(`<response status="success"><result><count>0</count></result></response>`)))
	if fault != nil || got.Present || got.Tags == nil || got.IP != "2001:db8::1" {
		t.Errorf("got %+v %v", got, fault)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer abi.HTTPResponse
		kind   abi.Kind
		says   string
	}{
		{"key", abi.HTTPResponse{Status: 403, Body: abi.Payload{Text: `<response status = 'error' code = '403'><result><msg>Invalid Credential</msg></result></response>`}}, abi.Unauthorized, "Invalid Credential"},
		{"key, no XML", abi.HTTPResponse{Status: 401, Body: abi.Payload{Text: `denied`}}, abi.Unauthorized, "denied"},
		{"malformed", ok(`<response status="error" code="18"><msg><line>cmd is malformed</line></msg></response>`), abi.Invalid, "cmd is malformed"},
		{"remark", ok(strings.Replace(exists, "tag riposte-blocked already exists, ignore", "ip 203.0.113.9 has 32 tags already", 1)), abi.Failed, "32 tags"},
		{"no remark", ok(`<response status="error"><msg><line>something</line></msg></response>`), abi.Failed, "something"},
		{"busy", abi.HTTPResponse{Status: 429, Headers: map[string]string{"retry-after": "9"}}, abi.RateLimited, "429"},
		{"down", abi.HTTPResponse{Status: 503, Body: abi.Payload{Text: "<html>"}}, abi.Unavailable, "503"},
		{"garbage", ok("hello"), abi.Unavailable, "XML API"},
		{"half", ok(done[:60]), abi.Unavailable, "XML API"},
	} {
		var sent []string
		_, fault := pdk.Try(block, connector, params{IP: "203.0.113.9"}, firewallSays(t, &sent, test.answer))
		if fault == nil || fault.Kind != test.kind || !strings.Contains(fault.Message, test.says) {
			t.Errorf("%s: got %v", test.name, fault)
		}
	}
	for _, ip := range []string{"", "203.0.113", `1.2.3.4"/>`, "fe80::1%eth0", "10.0.0.0/8"} {
		_, fault := pdk.Try(block, connector, params{IP: ip}, nil)
		if fault == nil || fault.Kind != abi.Invalid || fault.Where != "$.parameters.ip" {
			t.Errorf("%q: got %v", ip, fault)
		}
	}
}

func TestMarkupInTagsStaysText(t *testing.T) {
	var sent []string
	_, fault := pdk.Try(block, connector, params{IP: "203.0.113.9", Tag: `</member><x a="1">&`}, firewallSays(t, &sent, ok(done)))
	if fault != nil || strings.Contains(sent[0], "<x") || !strings.Contains(sent[0], "&lt;/member&gt;&lt;x a=&#34;1&#34;&gt;&amp;") {
		t.Errorf("%v %v", sent, fault)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{done, exists, missing, "", "<response", `<response status="success"><result><entry/></result></response>`} {
		f.Add(seed, 200)
	}
	f.Fuzz(func(t *testing.T, body string, status int) {
		r, err := read(&pdk.Response{Status: status, Body: abi.Payload{Text: body}})
		if err == nil && r.Status != "success" && r.Status != "error" {
			t.Errorf("%+v %v", r, err)
		}
	})
}
