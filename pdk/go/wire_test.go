package pdk

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// replyOf reads a reply with an HTTP response.
func replyOf(raw []byte) (abi.HTTPResponse, error) {
	got, err := readReply("http.fetch", raw, readResponse)
	r := Response{Status: got.Status, Body: got.Body, headers: got.Headers}
	return abi.HTTPResponse{Status: r.Status, Headers: r.Headers(), Body: r.Body}, err
}

// callOf reads a call.
func callOf(raw []byte) (abi.Call, error) {
	var c Call
	var parameters json.RawMessage
	err := readCall(raw, &c, &parameters)
	return abi.Call{Action: c.Action, Parameters: parameters, Settings: c.settings, Context: abi.Context{Invocation: c.Context.Invocation,
		Incident: c.Context.Incident, Run: c.Context.Run, Step: c.Context.Step, Now: c.Now(), Deadline: c.Context.Deadline}}, err
}

func FuzzWire(f *testing.F) {
	for _, seed := range []string{
		`{"action":"a","parameters":{"x":[1]},"settings":{"s":"}"},"context":{"invocation":"i","incident":"n","run":"r","step":"s[\"x\"]","now":"2026-01-02T03:04:05.6Z","deadline_ms":5}}`,
		`{"action":1}`, `{"context":{"now":"never"}}`, `{"value":{"status":200,"headers":{"a":"b"},"body":{"text":"<\u00e9\u2028\ud83d\ude00\\\"/\b\f\n\r\t>"}}}`,
		`{"value":{"status":204,"body":{}}}`, `{"value":{"status":200,"body":{"base64":"/wA="}}}`, `{"fault":{"kind":"refused","message":"no"}}`, `{"value":null}`, `{}`, `[]`, `{"value":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var call abi.Call
		wantErr := json.Unmarshal(raw, &call)
		_, _ = callOf(raw) // nothing may be wrong enough to panic
		_, _ = replyOf(raw)
		if canonical, err := json.Marshal(call); wantErr == nil && err == nil {
			if got, err := callOf(canonical); err != nil || !sameCall(got, call) {
				t.Fatalf("%s was read as %+v, %v", canonical, got, err)
			}
		}
		var reply abi.Reply
		var response abi.HTTPResponse
		if json.Unmarshal(raw, &reply) != nil || reply.Fault != nil || json.Unmarshal(reply.Value, &response) != nil {
			return
		}
		canonical, err := json.Marshal(map[string]any{"value": response})
		if err != nil {
			t.Fatal(err)
		}
		var want abi.HTTPResponse
		if err := json.Unmarshal(canonical[len(`{"value":`):len(canonical)-1], &want); err != nil {
			t.Fatal(err)
		}
		if got, err := replyOf(canonical); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s was read as %+v, %v", canonical, got, err)
		}
	})
}

// sameCall compares calls as they are after they were written once more.
func sameCall(a, b abi.Call) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

func TestEnvelopesAreReadAsEncodingJSONReadsThem(t *testing.T) {
	long := strings.Repeat(`"quoted" \ <b> é 😀 `+"\x00\u2028\n", 100)
	for _, call := range []abi.Call{
		{},
		{Action: "block", Parameters: json.RawMessage(`{"a":[1,"}"]}`), Settings: json.RawMessage(`{"s":"\""}`), Context: abi.Context{Invocation: "i/1", Incident: "inc", Run: "r",
			Step: `a["b"]`, Now: time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)), Deadline: 30000}},
	} {
		raw, err := json.Marshal(call)
		if err != nil {
			t.Fatal(err)
		}
		var want abi.Call
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got, err := callOf(raw)
		if err != nil || !got.Context.Now.Equal(want.Context.Now) {
			t.Errorf("%v, now %v", err, got.Context.Now)
		}
		if got.Context.Now = want.Context.Now; !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngave %+v\nwant %+v", raw, got, want)
		}
	}
	for _, response := range []abi.HTTPResponse{
		{Status: 204},
		{Status: 200, Headers: map[string]string{"content-type": "text/html", "x": `"`}, Body: abi.Payload{Text: long}},
		{Status: 200, Body: abi.Payload{Base64: []byte{0xff, 0}}},
	} {
		value, err := json.Marshal(response)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(abi.Reply{Value: value})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := replyOf(raw); err != nil || !reflect.DeepEqual(got, response) {
			t.Errorf("%v\ngave %+v\nwant %+v", err, got, response)
		}
	}
	_, err := replyOf([]byte(`{"fault":{"kind":"refused","message":"no"}}`))
	if fault := abi.AsFault(err); fault == nil || fault.Kind != abi.Refused {
		t.Errorf("the reply was a refusal: %v", err)
	}
	for raw, where := range map[string]string{`{"value":1`: "", `{"value":1}`: "http.fetch", `{"value":{"status":"x"}}`: "http.fetch.status"} {
		if _, err := replyOf([]byte(raw)); err == nil || abi.AsFault(err).Where != where {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestResultsAreWrittenAsEncodingJSONReadsThem(t *testing.T) {
	fault := abi.NewFault(abi.Failed, "so", "")
	for _, want := range []abi.Result{{Output: json.RawMessage(`{"a":"}"}`)}, {Fault: fault}} {
		raw := writeResult(want.Output, want.Fault)
		var got abi.Result
		if err := json.Unmarshal(raw, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gave %+v, %v", raw, got, err)
		}
	}
	if raw := writeResult(func() {}, nil); !strings.HasPrefix(string(raw), `{"fault":{"kind":"failed","message":"the result cannot be written as JSON: `) {
		t.Errorf("a function was written as %s", raw)
	}
}

func FuzzWriteRequest(f *testing.F) {
	f.Add("api", "POST", "https://a.test/?q=<&>", "accept", "a \"b\" \\", "x-y", "\x00\x1f\b\f\n\r\t\x7f", "{\"k\":\"é\u2028\u2029\U0001f600\xff\xc3\"}", []byte{0, 255, 1}, int64(5))
	f.Add("", "", "", "", "", "", "", "", []byte(nil), int64(0))
	f.Fuzz(func(t *testing.T, capability, method, url, name, value, other, otherValue, body string, binary []byte, timeout int64) {
		for _, r := range []abi.HTTPRequest{
			{Capability: capability, Method: method, URL: url, Timeout: timeout},
			{Capability: capability, Method: method, URL: url, Headers: map[string]string{name: value}, Body: &abi.Payload{Text: body}},
			{Method: method, Headers: map[string]string{name: value, other: otherValue}, Body: &abi.Payload{Text: body, Base64: binary}},
			{URL: url, Headers: map[string]string{}, Body: &abi.Payload{Base64: binary}},
		} {
			want, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := writeRequest(r, headersOf(r.Headers)); string(got) != string(want) {
				t.Errorf("%+v was written as\n%s\nand not\n%s", r, got, want)
			}
		}
	})
}
