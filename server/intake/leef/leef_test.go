package leef

import (
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func parse(text string) (*alarm.Alarm, error) {
	b := alarm.NewBuilder(now, alarm.Intake{}, text)
	err := Parse(text, b)
	return b.Build(alarm.LEEF), err
}

func TestAttributesNameKnownFields(t *testing.T) {
	for _, key := range []string{"cat", "proto", "src", "dst", "srcPort", "dstPort", "srcPostNAT", "dstPostNAT", "srcPostNATPort", "dstPostNATPort", "usrName",
		"domain", "groupID", "srcMAC", "dstMAC", "srcBytes", "dstBytes", "srcPackets", "dstPackets", "totalPackets", "identSrc", "identHostName",
		"identMAC", "url", "policy", "msg"} {
		if _, ok := alarm.Lookup(path(key)); !ok {
			t.Errorf("%s means no known field: %q", key, path(key))
		}
	}
}

func TestDelimiters(t *testing.T) {
	for name, text := range map[string]string{
		"tab":             "LEEF:1.0|V|P|1|id|src=10.0.0.5\tdst=203.0.113.9",
		"character":       "LEEF:2.0|V|P|1|id|^|src=10.0.0.5^dst=203.0.113.9",
		"hexadecimal":     "LEEF:2.0|V|P|1|id|0x5E|src=10.0.0.5^dst=203.0.113.9",
		"short":           "LEEF:2.0|V|P|1|id|x5e|src=10.0.0.5^dst=203.0.113.9",
		"written":         `LEEF:2.0|V|P|1|id|\t|src=10.0.0.5` + "\tdst=203.0.113.9",
		"none":            "LEEF:2.0|V|P|1|id||src=10.0.0.5\tdst=203.0.113.9",
		"several bytes":   "LEEF:2.0|V|P|1|id|;;|src=10.0.0.5;;dst=203.0.113.9",
		"wrong, then tab": "LEEF:2.0|V|P|1|id|xZZ|src=10.0.0.5\tdst=203.0.113.9",
	} {
		a, err := parse(text)
		ip, _ := a.Get("destination.ip")
		if err != nil || ip != "203.0.113.9" || a.Parse.Clean != (name != "wrong, then tab") {
			t.Errorf("%s: %v, %v, %+v", name, err, ip, a.Parse)
		}
	}
}

func TestDeviceTime(t *testing.T) {
	for pattern, text := range map[string]string{
		"":                              "1795255200000",
		"MMM dd yyyy HH:mm:ss":          "Nov 21 2026 10:00:00",
		"MMM dd yyyy HH:mm:ss z":        "Nov 21 2026 11:00:00 CET",
		"yyyy-MM-dd'T'HH:mm:ss.SSSZ":    "2026-11-21T11:00:00.000+0100",
		"yyyy-MM-dd'T'HH:mm:ssXXX":      "2026-11-21T10:00:00Z",
		"dd/MM/yy hh:mm a":              "21/11/26 10:00 AM",
		"yyyyMMddHHmmss":                "20261121100000",
		"EEE, d MMMM yyyy H:m:s":        "Sat, 21 November 2026 10:0:0",
		"a pattern that nobody can use": "2026-11-21T10:00:00Z",
		"'open":                         "2026-11-21 10:00:00",
	} {
		a, err := parse("LEEF:1.0|V|P|1|id|devTimeFormat=" + pattern + "\tdevTime=" + text)
		if got, _ := a.Get("event.created"); err != nil || got != "2026-11-21T10:00:00Z" || !a.Parse.Clean {
			t.Errorf("%q %q: %v, %v, %+v", pattern, text, got, err, a.Parse)
		}
	}
}

// FuzzParse: no message breaks the parser, and the first value of a key stands.
func FuzzParse(f *testing.F) {
	f.Add("2.0|V|P|1|id|0x5E|", "dst=10.0.0.1^devTime=1^devTimeFormat=yyyy^sev=3")
	f.Add("1.0|V|P|1|id|", "dst=10.0.0.1\tdst=\tx")
	f.Fuzz(func(t *testing.T, head, rest string) {
		a, err := parse("LEEF:" + head + rest)
		if err == nil && len(a.Parse.Warnings) > alarm.MaxWarnings {
			t.Fatal("not bounded")
		}
		a, err = parse("LEEF:1.0|V|P|1|id|dst=203.0.113.9\t" + rest)
		if ip, _ := a.Get("destination.ip"); err != nil || ip != "203.0.113.9" {
			t.Fatalf("%q took the place of the first: %v, %v", rest, ip, err)
		}
	})
}
