package hostcall

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/strict"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// usualRequests are read without encoding/json.
var usualRequests = []string{
	`{"capability":"api","method":"GET","url":"http://a.test/"}`,
	`{"capability":"","method":"","url":""}`,
	`{"capability":"api","method":"GET","url":"http://a.test/?a=<b>&c","headers":{"accept":"*/*","content-type":"x/y"},"timeout_ms":-100}`,
	`{"capability":"api","method":"PUT","url":"http://a.test/","body":{"text":"x"},"timeout_ms":5000}`,
	`{"capability":"api","method":"POST","url":"http://a.test/","headers":{"a":"b"},"body":{"text":"{\"a\": \"\\\\\\n\"}\b\f\n\r\t ö € 😀 � <>&` + "\x7f" + `"}}`,
}

// otherRequests are left to it, be they right or wrong.
var otherRequests = []string{
	``, `{`, `{}`, `null`, ` {"capability":"api","method":"GET","url":"u"}`, `{"capability":"api","method":"GET","url":"u"} `, `{"capability":"api","method":"GET","url":"u"}}`,
	`{"method":"GET","capability":"api","url":"u"}`, `{"Capability":"api","method":"GET","url":"u"}`, `{"capability":"api","method":"GET","url":"u","url":"v"}`,
	`{"capability":"\u0061pi","method":"GET","url":"u"}`, `{"capability":"api","method":"GET","url":"http:\/\/a.test"}`, `{"capability":"api","method":"GET","url":"ö"}`,
	`{"capability":"api","method":"GET","url":"u","headers":{}}`, `{"capability":"api","method":"GET","url":"u","headers":{"b":"","a":""}}`,
	`{"capability":"api","method":"GET","url":"u","headers":{"a":"1","a":"2"}}`, `{"capability":"api","method":"GET","url":"u","headers":{"a":1}}`,
	`{"capability":"api","method":"GET","url":"u","body":{}}`, `{"capability":"api","method":"GET","url":"u","body":null}`, `{"capability":"api","method":"GET","url":"u","body":{"text":""}}`,
	`{"capability":"api","method":"GET","url":"u","body":{"base64":"AAE="}}`, `{"capability":"api","method":"GET","url":"u","body":{"text":"a","base64":"AAE="}}`,
	`{"capability":"api","method":"GET","url":"u","body":{"text":"\u0041"}}`, `{"capability":"api","method":"GET","url":"u","body":{"text":"\/"}}`,
	`{"capability":"api","method":"GET","url":"u","body":{"text":"` + "\u2028" + `"}}`, "{\"capability\":\"api\",\"method\":\"GET\",\"url\":\"u\",\"body\":{\"text\":\"\xff\"}}",
	"{\"capability\":\"api\",\"method\":\"GET\",\"url\":\"u\",\"body\":{\"text\":\"\n\"}}", `{"capability":"api","method":"GET","url":"u","body":{"text":"\`,
	`{"capability":"api","method":"GET","url":"u","body":{"text":"a"},"timeout_ms":0}`, `{"capability":"api","method":"GET","url":"u","timeout_ms":1.0}`,
	`{"capability":"api","method":"GET","url":"u","timeout_ms":01}`, `{"capability":"api","method":"GET","url":"u","timeout_ms":9223372036854775808}`,
	`{"capability":"api","method":"GET","url":"u","body":{"text":"a"}}` + strings.Repeat(" ", 100), `{"capability":"api","method":"GET","url":"u`,
	`{"capability":"api","method":"GET","url":"` + strings.Repeat("u", maxRequestHeader) + `"}`, `{"capability":"api","method":"GET","url":"u","body":{"text":"a"},"headers":{"a":"b"}}`,
}

func TestUsualRequests(t *testing.T) {
	for _, request := range usualRequests {
		if !(&fetch{}).readUsual([]byte(request)) {
			t.Errorf("%s is left to encoding/json", request)
		}
	}
	for _, request := range otherRequests {
		if (&fetch{}).readUsual([]byte(request)) {
			t.Errorf("%s is not left to encoding/json", request)
		}
	}
}

// FuzzReadFetch: what is read without encoding/json is what it reads, and would write again to the byte.
func FuzzReadFetch(f *testing.F) {
	for _, request := range slices.Concat(usualRequests, otherRequests) {
		f.Add([]byte(request))
	}
	var requests strict.Reader
	f.Fuzz(func(t *testing.T, request []byte) {
		given := bytes.Clone(request)
		got := &fetch{}
		if !got.readUsual(request) {
			return
		}
		var want abi.HTTPRequest
		if err := requests.Read(request, &want); err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		if document, fault := marshal(want); fault != nil || !bytes.Equal(document, request) {
			t.Errorf("the document of\n%s is\n%s: %v", request, document, fault)
		}
		headers := map[string]string{}
		for _, h := range got.headers {
			headers[h.name] = h.value
		}
		body, unclear := content(want.Body)
		if got.id != want.Capability || got.method != want.Method || got.url != want.URL || got.timeout != want.Timeout || !bytes.Equal(got.body, body) || unclear != nil ||
			!maps.Equal(headers, want.Headers) || len(headers) != len(got.headers) || !slices.IsSortedFunc(got.headers, byName) {
			t.Errorf("%s is read as %+v", request, got)
		}
		clear(request)
		if again := (&fetch{}); !again.readUsual(given) || !reflect.DeepEqual(again, got) {
			t.Errorf("%s changed with the bytes that it was read from", given)
		}
	})
}

// FuzzReply: the reply is what encoding/json writes.
func FuzzReply(f *testing.F) {
	f.Add(200, "content-type", "application/json", "date", "", []byte(`{"ok":true, "text":"<ö\u2028\n>"}`))
	f.Add(-1, "a", "\xff\u2028\x00\x1f\x7f", "", "\"\\", []byte("\x00\xff\xfe"))
	f.Add(204, "", "", "", "", []byte{})
	f.Fuzz(func(t *testing.T, status int, name, value, second, other string, body []byte) {
		r := &response{status: status, body: body}
		want := abi.HTTPResponse{Status: status, Body: payload(body)}
		if name != second {
			r.headers, want.Headers = []field{{name, value}, {second, other}}, map[string]string{name: value, second: other}
			slices.SortFunc(r.headers, byName)
		}
		if got, expected := reply(r, nil), reply(want, nil); !bytes.Equal(got, expected) {
			t.Errorf("%s\nwant\n%s", got, expected)
		}
	})
}
