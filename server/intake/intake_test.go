package intake_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/intake"
)

func get(t *testing.T, a *alarm.Alarm, path string, want any) {
	t.Helper()
	if got, _ := a.Get(path); !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %#v, expected %#v", path, got, want)
	}
}

func TestBody(t *testing.T) {
	const cef = "CEF:0|V|P|1|id|name|5|src=10.0.0.5\n"
	tests := []struct {
		name, contentType, body string
		formats                 []alarm.Format
	}{
		{"one", "application/json", `{"source.ip":"10.0.0.5"}`, []alarm.Format{alarm.JSON}},
		{"array", "application/json; charset=utf-8", ` [{"source":{"ip":"10.0.0.5"}}, {"source.ip":"10.0.0.5"}] `, []alarm.Format{alarm.JSON, alarm.JSON}},
		{"NDJSON", "application/x-ndjson", "{\"source.ip\":\"10.0.0.5\"}\n\n{\"source.ip\":\n\"10.0.0.5\"}\n", []alarm.Format{alarm.JSON, alarm.JSON}},
		{"JSON without a type", "", "\ufeff {\"source.ip\":\"10.0.0.5\"}", []alarm.Format{alarm.JSON}},
		{"as curl sends it", "application/x-www-form-urlencoded", `{"source.ip":"10.0.0.5"}`, []alarm.Format{alarm.JSON}},
		{"CEF lines", "text/plain", cef + "\r\n" + cef + "not CEF", []alarm.Format{alarm.CEF, alarm.CEF, alarm.Unparsed}},
		{"CEF without a type", "", cef, []alarm.Format{alarm.CEF}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alarms, fault := intake.DecodeBody(now, from, test.contentType, []byte(test.body))
			if fault != nil {
				t.Fatal(fault)
			}
			var formats []alarm.Format
			for i, a := range alarms {
				formats = append(formats, a.Parse.Format)
				if a.Parse.Format != alarm.Unparsed {
					get(t, a, "source.ip", "10.0.0.5")
				}
				if i > 0 && a.UID <= alarms[i-1].UID {
					t.Errorf("%s does not sort behind %s", a.UID, alarms[i-1].UID)
				}
			}
			if !reflect.DeepEqual(formats, test.formats) {
				t.Errorf("got %v", formats)
			}
		})
	}
}

func TestBodyFaults(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	tests := []struct {
		body, where, message string
		kind                 abi.Kind
	}{
		{"", "", "the body is empty", abi.Invalid},
		{"[]", "", "the body holds no alarm", abi.Invalid},
		{`{"source.ip":"10.0.0.300"}`, "$.source.ip", `"10.0.0.300" is no IP address (line 1, column 26)`, abi.Invalid},
		{`{"source":{"port":"abc"}}`, "$.source.port", `"abc" is no port from 0 to 65535 (line 1, column 24)`, abi.Invalid},
		{`{"source":{"port":[1,2]}}`, "$.source.port", "expected one value, not a list (line 1, column 24)", abi.Invalid},
		{`{"source.ip":"10.0.0.1","source":{"ip":"10.0.0.1"}}`, "$.source.ip", "the field source.ip is given twice (line 1, column 50)", abi.Invalid},
		{"{\"a\":1,\n \"a\":2}", "$.a", `the name "a" is given twice (line 2, column 5)`, abi.Invalid},
		{`{"a":[{"b":1,"b":2}]}`, "$.a[0]", `the name "b" is given twice (line 1, column 17)`, abi.Invalid},
		{`{"a":{"x":[[[{"b":1,"b":2}]]]}}`, "$.a.x[0]", `the name "b" is given twice (line 1, column 24)`, abi.Invalid},
		{deep, "$" + strings.Repeat(".a", 64), "nested more than 64 deep (line 1, column 322)", abi.Invalid},
		{`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "$.a[0]", "nested more than 64 deep (line 1, column 70)", abi.Invalid},
		{"{\"a\":1}\n{\"source.ip\":1}\n", "line 2 $.source.ip", `"1" is no IP address (line 1, column 15)`, abi.Invalid},
		{`[{"a":1},{"source.ip":1}]`, "$[1] $.source.ip", `"1" is no IP address (line 1, column 15)`, abi.Invalid},
		{"{\"a\":1}\n{\"a\":", "line 2", "broken JSON: the JSON ends too early", abi.Invalid},
		{`[{"a":1},`, "$[1]", "broken JSON: the JSON ends too early", abi.Invalid},
		{`[{"a":1}] {}`, "$", "broken JSON: text after the end of the array", abi.Invalid},
		{`{"a":1}]`, "line 1", `broken JSON: unexpected "]"`, abi.Invalid},
		{"[1]", "$", "an alarm is a JSON object, this is a number (line 1, column 2)", abi.Invalid},
		{`{"a":` + strings.Repeat(" ", 1<<20) + `1}`, "line 1", "the alarm has 1048583 bytes, at most 1048576 are taken", abi.TooLarge},
		{strings.Repeat("{}\n", 10_001), "line 10001", "more than 10000 alarms in one body", abi.TooLarge},
		{strings.Repeat(" ", 17<<20), "", "the body has 17825792 bytes, at most 16777216 are taken", abi.TooLarge},
	}
	for _, test := range tests {
		alarms, fault := intake.DecodeBody(now, from, "application/json", []byte(test.body))
		if alarms != nil || fault == nil || fault.Kind != test.kind || fault.Where != test.where || fault.Message != test.message {
			t.Errorf("%.60s: %d alarms, %#v", test.body, len(alarms), fault)
		}
	}
	for body, where := range map[string]string{strings.Repeat("x\n", 10_001): "line 10001", "x\n" + strings.Repeat("x", 2<<20): "line 2"} {
		if _, fault := intake.DecodeBody(now, from, "text/plain", []byte(body)); fault == nil || fault.Kind != abi.TooLarge || fault.Where != where {
			t.Errorf("%.10s: %v", body, fault)
		}
	}
}

func TestStrictBodyKeepsWhatItTakes(t *testing.T) {
	alarms, fault := intake.DecodeBody(now, from, "application/json", []byte(`{"uid":"theirs","event":{"id":"own"},"severity":{"name":"fatal","score":99},
		"source":{"ip":"::FFFF:10.0.0.5","port":"443","geo":{"location":{"lat":1}}},"tls.established":true,"related":{"ip":[]},
		"tags":["a"],"user":{"name":["jdoe"]},"file.size":null,"`+strings.Repeat("k", 300)+`":{"x":{"y":1}}}`))
	if fault != nil {
		t.Fatal(fault)
	}
	a := alarms[0]
	get(t, a, "source.ip", "10.0.0.5")
	get(t, a, "source.port", int64(443))
	get(t, a, "source.geo.location.lat", float64(1))
	get(t, a, "tls.established", true)
	get(t, a, "tags", []any{"a"})
	get(t, a, "user.name", "jdoe")
	get(t, a, "event.id", "own")
	get(t, a, "severity.name", "fatal")
	get(t, a, "severity.score", int64(99))
	get(t, a, "file.size", nil)
	if len(a.Parse.Warnings) != 1 { // the long name
		t.Errorf("%q", a.Parse.Warnings)
	}
}

func TestLongMessages(t *testing.T) {
	const head = "CEF:0|V|P|1|id|name|5|src=10.0.0.5 msg="
	a := intake.Decode(now, from, []byte(head+strings.Repeat("x", 1<<20-len(head))))
	get(t, a, "source.ip", "10.0.0.5")
	if msg, _ := a.Get("message"); len(msg.(string)) != 1<<20-len(head) || !a.Parse.Clean {
		t.Errorf("a message of 1 MiB: %+v", a.Parse)
	}
	a = intake.Decode(now, from, []byte(head+strings.Repeat("x", 2<<20)))
	if len(a.Raw) != alarm.MaxRaw || a.Parse.Clean || a.Parse.Warnings[0] != fmt.Sprintf("cut at 1048576 of %d bytes", len(head)+2<<20) {
		t.Errorf("a message of 2 MiB: %d bytes, %q", len(a.Raw), a.Parse.Warnings)
	}
	// What tempts a parser to work in squares: none of these may take long.
	for _, piece := range []string{"a=", " k=v", `\`, "|", " =", "<1>", "[", `"`, "{", `{"a":`, "\t=\t", "x=1\tx=2\t", " csLabel=a", "\x00", "\xff", "1 "} {
		for _, start := range []string{"", "CEF:0|V|P|1|id|n|5|", "LEEF:1.0|V|P|1|id|", "<1>1 - - - - - [x ", `{"a":`} {
			a := intake.Decode(now, from, []byte(start+strings.Repeat(piece, 1<<20/len(piece))))
			if len(a.Raw) > alarm.MaxRaw || len(a.Parse.Warnings) > alarm.MaxWarnings {
				t.Errorf("%q %q: not bounded", start, piece)
			}
		}
	}
}

func TestRedecodeStaysUnclean(t *testing.T) {
	a := intake.Decode(now, from, []byte("CEF:0|caf\xe9|P"), "the octet count 99 is wrong")
	if a.Parse.Format != alarm.Unparsed || len(a.Parse.Warnings) != 2 {
		t.Fatalf("%+v", a.Parse)
	}
	a.Raw += "|1|id|n|5|src=10.0.0.5" // as if a mended decoder could read it
	again := intake.Redecode(now.Add(time.Hour), a)
	get(t, again, "source.ip", "10.0.0.5")
	if again.Parse.Clean || len(again.Parse.Warnings) != 2 || again.Intake != from {
		t.Errorf("%+v", again.Parse)
	}
}

func TestExplain(t *testing.T) {
	explained := intake.Explain(now, []byte("CEF:0|V|P|1|id|n|5|src=1\n\nhello\n{\"source.ip\":\"10.0.0.5\"}\n"))
	var got []string
	for _, e := range explained {
		got = append(got, fmt.Sprintf("%d %s", e.Line, e.Alarm.Parse.Format))
	}
	if want := []string{"1 cef", "3 unparsed", "4 json"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	explained = intake.Explain(now, []byte("[\n {\"a\":1},\n\n {\"a\":1}]"))
	if len(explained) != 2 || explained[0].Line != 2 || explained[1].Line != 4 || explained[1].Alarm.Parse.Format != alarm.JSON {
		t.Errorf("%+v", explained)
	}
}

// TestFirstWins writes a key before and after a value that an attacker chose: whatever the value, the first one is kept.
func TestFirstWins(t *testing.T) {
	property := func(attack string) bool {
		a := intake.Decode(now, from, []byte("CEF:0|V|P|1|id|n|5|dst=203.0.113.9 suser="+attack+" dst=10.0.0.1 end"))
		ip, _ := a.Get("destination.ip")
		return ip == "203.0.113.9" && !a.Parse.Clean
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
	for _, attack := range []string{`x\`, `x\\`, "x dst=10.9.9.9", "x\ndst=10.9.9.9", `x\=`, "=", "x destinationAddress=10.9.9.9", "x dst=", "dst"} {
		if !property(attack) {
			t.Errorf("%q gets through", attack)
		}
	}
}

// FuzzDecode holds Decode to its promises: it never fails, what it makes is bounded, can be stored, and is the same when decoded again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`<134>Nov 21 09:58:00 siem CEF:0|V|P|1|id|n|8|src=10.0.0.5 cs1Label=a cs1=b msg=x\=y\n dst=::1 rt=1795255080000`,
		"<134>1 2026-11-21T09:58:00Z h a p m [x@1 a=\"b\"] LEEF:2.0|V|P|1|id|x7C|src=10.0.0.5|devTime=21/11/2026|devTimeFormat=dd/MM/yyyy",
		`{"source":{"ip":"10.0.0.5"},"tags":["a",{"b":1}],"severity":80,"ext":{"labels":{"a":"b"}},"uid":"x"}`,
		"Nov 21 09:58:00 host su[1]: text", "<999>x", "CEF:0|a", "\x00\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		a := intake.Decode(now, from, message)
		if len(a.Raw) > alarm.MaxRaw || len(a.Parse.Warnings) > alarm.MaxWarnings {
			t.Fatalf("not bounded: %d bytes, %d warnings", len(a.Raw), len(a.Parse.Warnings))
		}
		if (a.Parse.Format == alarm.Unparsed) != (a.Parse.Error != "") || a.Parse.Clean && len(a.Parse.Warnings) > 0 {
			t.Fatalf("%+v", a.Parse)
		}
		text, err := a.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var stored alarm.Alarm
		if err := stored.UnmarshalJSON(text); err != nil {
			t.Fatal(err)
		}
		if again, _ := stored.MarshalJSON(); string(again) != string(text) {
			t.Fatalf("stored and read again:\n%s\n%s", text, again)
		}
		again := intake.Redecode(now, a)
		if again.Parse.Format != a.Parse.Format || !reflect.DeepEqual(again.Fields(), a.Fields()) {
			t.Fatalf("decoded again:\n%v\n%v", a.Fields(), again.Fields())
		}
	})
}

// FuzzBody: a body is taken whole or refused with a fault, and its alarms are bounded.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"source.ip":"10.0.0.5","a":[1,{"b":null}]}`))
	f.Add([]byte("[{},{\"a\":{\"b\":1}}]"))
	f.Add([]byte("{}\n{\"a\":1}\nx"))
	f.Fuzz(func(t *testing.T, body []byte) {
		alarms, fault := intake.DecodeBody(now, from, "application/json", body)
		if (fault == nil) != (len(alarms) > 0) {
			t.Fatalf("%d alarms and %v", len(alarms), fault)
		}
		for _, a := range alarms {
			if text, err := a.MarshalJSON(); err != nil || len(text) > 64*len(body)+4096 {
				t.Fatalf("%d bytes of %d, %v", len(text), len(body), err)
			}
		}
	})
}

const benchLine = `<134>Nov 21 09:58:00 siem.corp.test CEF:0|LogPoint|LogPoint|7.4|4711|Malicious outbound|8|src=10.0.0.5 spt=49822 dst=203.0.113.9 dpt=443 in=1200 out=98304 rt=1795255080000 proto=tcp act=allowed cs1Label=Rule cs1=outbound suser=jdoe msg=talks to an unknown addres`

// BenchmarkCEF decodes the mission's alarm, header and all, with its typed fields.
func BenchmarkCEF(b *testing.B) {
	message := []byte(benchLine)
	if len(message) != 262 {
		b.Fatalf("the message has %d bytes", len(message))
	}
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		intake.Decode(now, from, message)
	}
}

// BenchmarkMarshal writes it as it is stored.
func BenchmarkMarshal(b *testing.B) {
	a := intake.Decode(now, from, []byte(benchLine))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
	}
}
