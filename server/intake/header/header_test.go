package header

import (
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func TestScan(t *testing.T) {
	tests := []struct {
		message                string
		priority               int
		time, host, app, procs string
		payload                string
	}{
		{"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", 34, "2026-10-11T22:14:15Z", "mymachine", "su", "", "'su root' failed"},
		{"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", 13, "2026-02-05T17:32:18Z", "10.0.0.99", "", "", "Use the BFG!"},
		{"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time", 165, "2003-08-24T12:14:15.000003Z", "192.0.2.1", "myproc", "8710", "%% It's time"},
		{"<34>1 - - - - - - CEF:0|", 34, "", "", "", "", "CEF:0|"},
		{"<34>1 - - - - - -", 34, "", "", "", "", ""},
		{"<189>Nov 21 2026 10:00:00.123 UTC: %ASA-6-302013: Built", 189, "2026-11-21T10:00:00.123Z", "", "ASA-6-302013", "", "Built"},
		{"<13>Nov 21 10:00:00 CEST host x[1]: y", 13, "2026-11-21T08:00:00Z", "host", "x", "1", "y"},
		{"<13>2026-11-21 09:00:00 host LEEF:1.0|", 13, "2026-11-21T09:00:00Z", "host", "", "", "LEEF:1.0|"},
		{"<13>2026-11-21T09:00:00Z {\"a\":1}", 13, "2026-11-21T09:00:00Z", "", "", "", "{\"a\":1}"},
		{"<13>Nov 21 10:00:00 2001:db8::1 CEF:0|", 13, "2026-11-21T10:00:00Z", "2001:db8::1", "", "", "CEF:0|"},
		{"<13>Nov 21 10:00:00 host CEF CEF:0|", 13, "2026-11-21T10:00:00Z", "host", "CEF", "", "CEF:0|"},
		{"<13>Nov 31 10:00:00 host text", 13, "", "", "", "", "Nov 31 10:00:00 host text"},
		{"<abc>text", -1, "", "", "", "", "<abc>text"},
		{"<>text", -1, "", "", "", "", "<>text"},
		{"<1234>text", -1, "", "", "", "", "<1234>text"},
		{"text CEF:0|", -1, "", "text", "", "", "CEF:0|"},
		{"two words CEF:0|", -1, "", "", "", "", "two words CEF:0|"},
		{"", -1, "", "", "", "", ""},
	}
	for _, test := range tests {
		h, payload := Scan(test.message, now)
		at := ""
		if !h.Time.IsZero() {
			at = h.Time.Format(time.RFC3339Nano)
		}
		if h.Priority != test.priority || at != test.time || h.Host != test.host || h.App != test.app || h.ProcID != test.procs || payload != test.payload {
			t.Errorf("%q: %+v, payload %q", test.message, h, payload)
		}
	}
}

// FuzzScan: the payload is the end of the message, and the parts are bounded.
func FuzzScan(f *testing.F) {
	f.Add("<13>Nov 21 10:00:00 relay <134>1 2026-11-21T09:58:00Z h a p m [x@1 a=\"b\\\"\"][y] CEF:0|")
	f.Add("<13>\ufeff@cee: {}")
	f.Fuzz(func(t *testing.T, message string) {
		h, payload := Scan(message, now)
		if !strings.HasSuffix(message, payload) {
			t.Fatalf("%q is not the end of %q", payload, message)
		}
		if h.Priority > 191 || len(h.Data) > maxParams || len(h.Host) > 512 || len(h.App) > 512 {
			t.Fatalf("%+v", h)
		}
	})
}
