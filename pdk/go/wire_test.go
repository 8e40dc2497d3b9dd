package pdk

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// tree reads a document by the readers of this package, but for lists and numbers.
func tree(t *testing.T, document []byte) any {
	switch document[0] {
	case '"':
		s, ok := text(document)
		if !ok {
			t.Fatalf("%q was not read", document)
		}
		return s
	case '{':
		object := map[string]any{}
		if !members(document, func(name string, value []byte) bool { object[name] = tree(t, value); return true }) {
			t.Fatalf("%q was not read", document)
		}
		return object
	}
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatalf("%q: %v", document, err)
	}
	return v
}

func FuzzWire(f *testing.F) {
	for _, seed := range []string{
		`{"a":"b","c":{"d":[1,{"e":"}"},"]"],"f":null},"g":1.5e3,"h":true,"\"":""}`, `{"text":"<\u00e9\u2028\ud83d\ude00\\\"/\b\f\n\r\t>","x":"\\"}`,
		`{}`, `[]`, `{"a":}`, `{"a"`, `{"a":"b`, `"\`, `{"a":1,}`, `{"a":1}}`, `{"a":{]}`, `{"value":{"status":200},"fault":null}`, `"\ud83d"`, `{"":"\u12"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = readCall(raw) // nothing may be wrong enough to panic
		_, _ = readReply(raw)
		_, _ = readResponse(raw)
		var want any
		if json.Unmarshal(raw, &want) != nil {
			return
		}
		canonical, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree(t, canonical); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q gave %#v, want %#v", canonical, got, want)
		}
	})
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
		got, err := readCall(raw)
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
		reply, err := readReply(raw)
		if err != nil || string(reply.Value) != string(value) {
			t.Fatalf("%s, %v", reply.Value, err)
		}
		if got, err := readResponse(reply.Value); err != nil || !reflect.DeepEqual(got, response) {
			t.Errorf("%v\ngave %+v\nwant %+v", err, got, response)
		}
	}
	if reply, err := readReply([]byte(`{"fault":{"kind":"refused","message":"no"}}`)); err != nil || reply.Value != nil || reply.Fault == nil || reply.Fault.Kind != abi.Refused {
		t.Errorf("%+v, %v", reply, err)
	}
	if _, err := readReply([]byte(`{"value":1`)); err == nil {
		t.Error("half a reply was read")
	}
}

func TestResultsAreWrittenAsEncodingJSONReadsThem(t *testing.T) {
	for _, result := range []abi.Result{{Output: json.RawMessage(`{"a":"}"}`)}, {Fault: abi.NewFault(abi.Failed, "so", "")}} {
		raw, err := writeResult(result)
		if err != nil {
			t.Fatal(err)
		}
		var got abi.Result
		if err := json.Unmarshal(raw, &got); err != nil || !reflect.DeepEqual(got, result) {
			t.Errorf("%s gave %+v, %v", raw, got, err)
		}
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
			if got := writeRequest(r); string(got) != string(want) {
				t.Errorf("%+v was written as\n%s\nand not\n%s", r, got, want)
			}
		}
	})
}
