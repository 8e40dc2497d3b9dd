package alarm_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC)

func field(t *testing.T, path string) *alarm.Field {
	t.Helper()
	f, ok := alarm.Lookup(path)
	if !ok {
		t.Fatalf("no field %s", path)
	}
	return f
}

func TestUIDsSortByTimeAndDiffer(t *testing.T) {
	var uids []string
	for i := range 2000 {
		uids = append(uids, alarm.NewUID(now.Add(time.Duration(i)*997*time.Nanosecond)))
	}
	if !slices.IsSorted(uids) {
		t.Error("UIDs are not in the order of their times")
	}
	for _, uid := range uids {
		if len(uid) != 29 || !strings.HasPrefix(uid, "al-01") {
			t.Fatalf("%q", uid)
		}
	}
	if a, b := alarm.NewUID(now), alarm.NewUID(now); a == b {
		t.Error("two UIDs of one time are equal")
	}
}

func TestSeverityBands(t *testing.T) {
	for score, want := range map[int]string{-5: "informational", 0: "informational", 10: "low", 39: "low", 40: "medium", 70: "high", 89: "high",
		90: "critical", 500: "critical"} {
		if got := alarm.SeverityOfScore(score); got.Name != want || got.Score < 0 || got.Score > 100 {
			t.Errorf("%d: %+v, expected %s", score, got, want)
		}
	}
	for word, want := range map[string]string{"MAJOR": "high", "Very-High": "critical", " low ": "low", "fatal": "fatal", "Medium": "medium"} {
		if got, ok := alarm.SeverityOfWord(word); !ok || got.Name != want {
			t.Errorf("%q: %+v, expected %s", word, got, want)
		}
	}
	if got, ok := alarm.SeverityOfWord("https"); ok || got.Name != alarm.Unknown {
		t.Errorf("https: %+v", got)
	}
}

func TestParseTime(t *testing.T) {
	tests := []struct{ text, want, odd string }{
		{"1795255200123", "2026-11-21T10:00:00.123Z", ""},
		{"1795255200", "2026-11-21T10:00:00Z", ""},
		{"1795255200.5", "2026-11-21T10:00:00.5Z", ""},
		{"Nov 21 09:00:00", "2026-11-21T09:00:00Z", ""},
		{"Nov  3 09:00:00.250", "2026-11-03T09:00:00.25Z", ""},
		{"Nov 21 09:00:00.250 CET", "2026-11-21T08:00:00.25Z", ""},
		{"Nov 21 09:00:00 GMT+02:00", "2026-11-21T07:00:00Z", ""},
		{"Nov 21 2019 09:00:00", "2019-11-21T09:00:00Z", ""},
		{"Nov 21 2019 09:00:00.001", "2019-11-21T09:00:00.001Z", ""},
		{"Nov 21 2019 09:00:00 EST", "2019-11-21T14:00:00Z", ""},
		{"Nov 21 2019 09:00:00.001 -0330", "2019-11-21T12:30:00.001Z", ""},
		{"Dec 31 23:59:59", "2025-12-31T23:59:59Z", ""},
		{"Nov 22 09:00:00", "2026-11-22T09:00:00Z", ""}, // the sender's clock is ahead
		{"Feb 29 12:00:00", "2024-02-29T12:00:00Z", ""},
		{"November 3 09:00:00", "2026-11-03T09:00:00Z", ""},
		{"2026-11-21T10:00:00.5+01:00", "2026-11-21T09:00:00.5Z", ""},
		{"2026-11-21 10:00:00", "2026-11-21T10:00:00Z", ""},
		{"2026-11-21T10:00:00+0100", "2026-11-21T09:00:00Z", ""},
		{"Nov 21 2026 09:00:00 XYZ", "2026-11-21T09:00:00Z", `time zone "XYZ" is not known: taken as UTC`},
	}
	for _, test := range tests {
		got, odd, ok := alarm.ParseTime(test.text, now)
		if !ok || got.Format(time.RFC3339Nano) != test.want || odd != test.odd {
			t.Errorf("%q: %v %q %v, expected %s %q", test.text, got, odd, ok, test.want, test.odd)
		}
	}
	for _, text := range []string{"", "yesterday", "Nov 31 10:00:00", "Foo 21 10:00:00", "Nov 21 25:00:00", "12", "Nov 21 10:00", "Nov 21 2026 10:00:00 UTC x",
		"99999999999999999999", strings.Repeat("1", 100)} {
		if got, _, ok := alarm.ParseTime(text, now); ok {
			t.Errorf("%q was taken as %v", text, got)
		}
	}
}

func TestTypedFields(t *testing.T) {
	tests := []struct {
		path, text string
		want       any // nil: refused
	}{
		{"source.port", "443", int64(443)}, {"source.port", "65536", nil}, {"source.port", "abc", nil}, {"source.port", "0x1F", nil},
		{"source.bytes", "12345678901", int64(12345678901)}, {"source.bytes", "-1", nil}, {"source.bytes", "1e3", nil},
		{"source.ip", "10.0.0.1", "10.0.0.1"}, {"source.ip", "010.0.0.1", nil}, {"source.ip", "10.0.0.1:80", nil},
		{"source.ip", "2001:DB8:0:0::1", "2001:db8::1"}, {"source.ip", "::ffff:10.0.0.1", "10.0.0.1"}, {"source.ip", "fe80::1%eth0", "fe80::1"},
		{"source.mac", "00:00:5e:00:53:af", "00-00-5E-00-53-AF"}, {"source.mac", "0000.5e00.53af", "00-00-5E-00-53-AF"}, {"source.mac", "5e", nil},
		{"tls.established", "TRUE", true}, {"tls.established", "0", false}, {"tls.established", "maybe", nil},
		{"source.geo.location.lat", "48.2", 48.2}, {"source.geo.location.lat", "NaN", nil},
		{"tags", "one", []any{"one"}},
		{"event.start", "Nov 21 2026 09:00:00", "2026-11-21T09:00:00Z"}, {"event.start", "soon", nil},
	}
	for _, test := range tests {
		b := alarm.NewBuilder(now, alarm.Intake{}, "")
		b.Text(field(t, test.path), "key", test.text)
		a := b.Build(alarm.CEF)
		got, ok := a.Get(test.path)
		kept, _ := a.Get("ext.key")
		if test.want == nil && (ok || kept != test.text || a.Parse.Clean) {
			t.Errorf("%s %q: %v, ext.key %v, %+v", test.path, test.text, got, kept, a.Parse)
		}
		if test.want != nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %q: %#v, expected %#v", test.path, test.text, got, test.want)
		}
	}
}

func TestFirstWins(t *testing.T) {
	ip := field(t, "destination.ip")
	for _, first := range []string{"192.0.2.1", "", "broken"} {
		b := alarm.NewBuilder(now, alarm.Intake{}, "")
		b.Text(ip, "dst", first)
		b.Text(ip, "dst", "203.0.113.66")
		a := b.Build(alarm.CEF)
		if v, ok := a.Get("destination.ip"); ok && v != first || a.Parse.Clean {
			t.Errorf("after %q: %v, %+v", first, v, a.Parse)
		}
	}
	b := alarm.NewBuilder(now, alarm.Intake{}, "")
	b.Custom("cs1", "")
	b.Custom("cs1", "late")
	b.Custom("cs2", "a")
	b.Custom("cs2Label", "labels")
	b.Custom("labels", "b")
	b.Custom("cs3Label", "alone")
	a := b.Build(alarm.CEF)
	want := map[string]any{"labels": map[string]any{"labels": "b"}, "cs2": "a", "cs3Label": "alone"}
	if !reflect.DeepEqual(a.Fields()["ext"], want) || a.Parse.Clean {
		t.Errorf("%v, %q", a.Fields()["ext"], a.Parse.Warnings)
	}
}

func TestBounds(t *testing.T) {
	b := alarm.NewBuilder(now, alarm.Intake{}, "")
	for i := range 5000 {
		b.Ext("key"+strings.Repeat("x", i%300)+string(rune('a'+i%26))+strings.Repeat("y", i/26), "v")
		b.Ext("blank"+strings.Repeat("z", i), "")
		b.Label(strings.Repeat("l", i), "v")
		b.Warn("%d", i)
	}
	a := b.Build(alarm.CEF)
	ext := a.Fields()["ext"].(map[string]any)
	if len(ext) > alarm.MaxExt+1 || len(ext["labels"].(map[string]any)) > alarm.MaxExt {
		t.Errorf("%d keys", len(ext))
	}
	if len(a.Parse.Warnings) != alarm.MaxWarnings || !strings.HasPrefix(a.Parse.Warnings[alarm.MaxWarnings-1], "and ") {
		t.Errorf("%d warnings, the last is %q", len(a.Parse.Warnings), a.Parse.Warnings[len(a.Parse.Warnings)-1])
	}
	raw, notes := alarm.Sanitize([]byte(strings.Repeat("\xff", 2<<20)))
	if len(raw) > alarm.MaxRaw || len(notes) != 2 {
		t.Errorf("%d bytes, %q", len(raw), notes)
	}
}

func sample(t *testing.T) *alarm.Alarm {
	b := alarm.NewBuilder(now, alarm.Intake{Source: alarm.HTTP, Peer: "192.0.2.1"}, "räw\x00\n\u2028")
	b.Warn("a \"quoted\" <word>")
	b.Severity(alarm.SeverityOfScore(80))
	for path, value := range map[string]any{"source.ip": "10.0.0.1", "source.port": int64(49822), "source.geo.location.lat": float64(48),
		"destination.ip": "203.0.113.9", "tls.established": true, "tags": []any{"a", "b"}} {
		b.Set(field(t, path), value)
	}
	b.Ext("a.b", "dotted")
	b.Label("Rule.Name", "x")
	return b.Build(alarm.JSON)
}

func TestFieldsAreNested(t *testing.T) {
	want := map[string]any{
		"source":      map[string]any{"ip": "10.0.0.1", "port": int64(49822), "geo": map[string]any{"location": map[string]any{"lat": float64(48)}}},
		"destination": map[string]any{"ip": "203.0.113.9"},
		"tls":         map[string]any{"established": true},
		"tags":        []any{"a", "b"},
		"ext":         map[string]any{"a.b": "dotted", "labels": map[string]any{"Rule.Name": "x"}},
	}
	if got := sample(t).Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	b := alarm.NewBuilder(now, alarm.Intake{}, "")
	for path, value := range map[string]any{"source.ip": int64(1), "source.port": "1", "source.geo.location.lat": int64(1), "tls.established": "true",
		"tags": []any{1}} {
		b.Set(field(t, path), value)
	}
	if got := b.Build(alarm.JSON).Fields(); len(got) != 0 {
		t.Errorf("values of other types were put: %v", got)
	}
}

// Many keys are found by another way than few.
func TestManyKeys(t *testing.T) {
	b := alarm.NewBuilder(now, alarm.Intake{}, "")
	for i := range 100 {
		b.Ext("key"+strconv.Itoa(i), strconv.Itoa(i))
	}
	b.Ext("key7", "again")
	b.Ext("key93", "93")
	a := b.Build(alarm.JSON)
	if ext := a.Fields()["ext"].(map[string]any); len(ext) != 100 || ext["key7"] != "7" || ext["key93"] != "93" || len(a.Parse.Warnings) != 1 {
		t.Errorf("%d keys, %q", len(ext), a.Parse.Warnings)
	}
}

func TestRoundTrip(t *testing.T) {
	a := sample(t)
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var b alarm.Alarm
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.Doc(), b.Doc()) || a.Received != b.Received {
		t.Errorf("\n%v\n%v", a.Doc(), b.Doc())
	}
	for _, broken := range []string{`{`, `[]`, `{"source":{"port":1.5}}`, `{"received":"soon"}`, `{"source":{"bytes":1e99}}`} {
		if err := json.Unmarshal([]byte(broken), &b); err == nil {
			t.Errorf("%s was read", broken)
		}
	}
}

func TestGet(t *testing.T) {
	a := sample(t)
	for path, want := range map[string]any{"source.ip": "10.0.0.1", "severity.score": int64(80), "intake.peer": "192.0.2.1", "ext.a.b": "dotted",
		"ext.labels.Rule.Name": "x", "uid": a.UID, "parse.clean": false} {
		if got, ok := a.Get(path); !ok || got != want {
			t.Errorf("%s: %v %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "source.mac", "source.ip.x", "ext.c", "uid.x", "."} {
		if got, ok := a.Get(path); ok {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func TestFingerprint(t *testing.T) {
	a, b := sample(t), sample(t)
	by := []string{"source.ip", "destination.ip", "source.port"}
	if f := a.Fingerprint(by); len(f) != 32 || f != b.Fingerprint([]string{"source.port", "destination.ip", "source.ip", "source.ip"}) {
		t.Errorf("equal alarms differ: %s", f)
	}
	other := alarm.NewBuilder(now, alarm.Intake{}, "")
	for path, value := range map[string]any{"source.ip": "10.0.0.1", "destination.ip": "203.0.113.9", "source.port": int64(1)} {
		other.Set(field(t, path), value)
	}
	b = other.Build(alarm.JSON)
	if a.Fingerprint(by) == b.Fingerprint(by) {
		t.Error("different alarms are equal")
	}
	if a.Fingerprint([]string{"user.name", "source.ip"}) == a.Fingerprint([]string{"source.ip"}) {
		t.Error("the paths are not part of the fingerprint")
	}
	if f := a.Fingerprint([]string{"user.name"}); f != "" {
		t.Errorf("an alarm without any of the values has the key %s", f)
	}
}
