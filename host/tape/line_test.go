package tape

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// expected is what encoding/json writes.
func expected(t *testing.T, e *Entry) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		t.Skip(err) // years beyond 9999
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// FuzzEncode: a line is what encoding/json makes of an entry, whatever is in it; mask says which members are there.
func FuzzEncode(f *testing.F) {
	f.Add("plain", `{"a":1}`, int64(0), uint64(0), uint32(0))
	f.Add("a <b> & \"c\" \\ \u2028 \x00 \xff \x7f ö", `{"a": [1, 2.50, "<\u2028>"], "a": null}`, int64(1_700_000_000_123_456_789), uint64(1<<63), ^uint32(0))
	f.Add("", `[]`, int64(-1), uint64(7), uint32(0x5555_5555))
	f.Add("x", "{\n  \"a\": \"b\",\r\n \"c\": [ ]\n}", int64(1), uint64(1), uint32(0xaaaa_aaaa))
	f.Fuzz(func(t *testing.T, text, document string, n int64, seed uint64, mask uint32) {
		if !json.Valid([]byte(document)) {
			t.Skip()
		}
		has := func() bool { mask = mask>>1 | mask<<31; return mask&1 == 1 }
		some := func() string {
			if has() {
				return text
			}
			return ""
		}
		e := &Entry{Prev: some(), Kind: Kind(some())}
		body := func() *Body {
			switch {
			case has():
				return nil
			case has():
				return &Body{Blob: some(), Size: int(n)}
			}
			return e.NewBody([]byte(document))
		}
		if has() {
			zone := time.UTC
			if has() {
				zone = time.FixedZone("", int(n%50_000))
			}
			e.Header = &Header{Invocation: some(), Key: some(), Plugin: some(), Action: some(), Module: some(), Meter: some(), Manifest: some(), Grant: some(), Settings: some(),
				Input: some(), Document: body(), Seed: seed, Start: time.Unix(n, int64(seed%1e9)).In(zone)}
			if has() {
				e.Header.Secrets = map[string]string{text: some(), "": text}
			}
		}
		if has() {
			e.Seq, e.Duration = int(n), time.Duration(n)
		}
		if has() {
			e.Call = &Call{Function: some(), Capability: some(), Effect: abi.Effect(some()), Digest: some(), Key: some(), Summary: some(), Request: body()}
		}
		e.Reply = body()
		if has() {
			e.Outcome = &Outcome{Output: some(), Logs: some(), Emissions: some(), Fuel: n, Cut: has()}
			if has() {
				e.Outcome.Fault = abi.NewFault(abi.Kind(some()), some(), some())
			}
		}
		want := expected(t, e)
		got, err := appendEntry(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		var spaces bytes.Buffer // what is inline keeps those that are in the line
		if err := json.Compact(&spaces, got); err != nil || bytes.ContainsAny(got, "\r\n") {
			t.Fatalf("%s: %v", got, err)
		}
		if spaces.String() != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}
