package cef

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func parse(text string) (*alarm.Alarm, error) {
	b := alarm.NewBuilder(now, alarm.Intake{}, text)
	err := Parse(text, b)
	return b.Build(alarm.CEF), err
}

// TestDictionary sends every key and finds its value where the table says, typed.
func TestDictionary(t *testing.T) {
	for line := range strings.Lines(table) {
		for _, key := range strings.Fields(strings.Split(line, ":")[0]) {
			if dictionary[key] == nil {
				t.Errorf("%s means no known field: %s", key, line)
			}
		}
	}
	samples := map[alarm.Kind]string{alarm.Text: "Text", alarm.Lower: "text", alarm.Integer: "12", alarm.Port: "443", alarm.Number: "1.5",
		alarm.IP: "192.0.2.1", alarm.MAC: "00-00-5E-00-53-01", alarm.Time: "2026-11-21T09:00:00Z"}
	for key, f := range dictionary {
		sample, ok := samples[f.Kind]
		if !ok {
			t.Errorf("%s: a key cannot be of kind %d", key, f.Kind)
		}
		a, err := parse("CEF:0|V|P|1|id|n|5|" + key + "=" + sample)
		if got, found := a.Get(f.Path); err != nil || !found || fmt.Sprint(got) != sample || !a.Parse.Clean {
			t.Errorf("%s: %s is %v, %v, %+v", key, f.Path, got, err, a.Parse)
		}
	}
}

func TestHeaderErrors(t *testing.T) {
	names := []string{"version", "vendor", "product", "device version", "event class", "name"}
	for n, name := range names {
		_, err := parse("CEF:" + strings.Repeat("x|", n) + `x\|`)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("part %d of 7 (%s)", n+1, name)) {
			t.Errorf("%d bars: %v", n, err)
		}
	}
	if _, err := parse("LEEF:1.0|"); err == nil {
		t.Error("LEEF was read as CEF")
	}
}

// FuzzParse: the first value of a key stands; an escaped "=" never begins a key.
func FuzzParse(f *testing.F) {
	f.Add("src=10.0.0.5 dst=203.0.113.9 msg=a b", "x dst=10.0.0.1")
	f.Add(`cs1Label=a cs1=b msg=\`, `\= k=v`)
	f.Fuzz(func(t *testing.T, extension, value string) {
		first, err := parse("CEF:0|V|P|1|id|n|5|dst=203.0.113.9 k=" + extension)
		if err != nil {
			t.Fatal(err)
		}
		if ip, _ := first.Get("destination.ip"); ip != "203.0.113.9" {
			t.Fatalf("%q took the place of the first: %v", extension, ip)
		}
		escaped := strings.NewReplacer(`\`, `\\`, "=", `\=`, "\n", `\n`, "\r", `\r`).Replace(value)
		a, err := parse("CEF:0|V|P|1|id|n|5|suser=" + escaped + " dst=203.0.113.9")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := a.Get("source.user.name")
		want := strings.Trim(value, " \t")
		if text, _ := got.(string); text != want && !strings.ContainsAny(value, "\r\n") {
			t.Fatalf("%q became %q", value, text)
		}
		if ip, _ := a.Get("destination.ip"); ip != "203.0.113.9" || !a.Parse.Clean {
			t.Fatalf("a sender that escapes was broken by %q: %v, %+v", value, ip, a.Parse)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	const text = `CEF:0|LogPoint|LogPoint|7.4|4711|Malicious outbound|8|src=10.0.0.5 spt=49822 dst=203.0.113.9 dpt=443 in=1200 out=98304 rt=1795255080000 proto=tcp act=allowed cs1Label=Rule cs1=outbound suser=jdoe msg=talks to an unknown address`
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(text, alarm.NewBuilder(now, alarm.Intake{}, text)); err != nil {
			b.Fatal(err)
		}
	}
}
