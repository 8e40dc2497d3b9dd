package world_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/world"
)

// talked lists who talked to whom within a window, seen from one end.
func talked(w *world.World, within time.Duration, pick func(world.Flow) (netip.Addr, bool)) []string {
	var out []string
	for _, f := range w.Flows {
		if ip, ok := pick(f); ok && f.Ago <= within && !slices.Contains(out, ip.String()) {
			out = append(out, ip.String())
		}
	}
	slices.Sort(out)
	return out
}

func TestStory(t *testing.T) {
	w := world.Default()
	from := func(f world.Flow) (netip.Addr, bool) {
		return f.Destination, f.Source == w.Alarm.Source && !w.Inside(f.Destination)
	}
	outside := []string{"192.0.2.10", "192.0.2.44", "198.51.100.23", "198.51.100.77", "203.0.113.66", "203.0.113.9"}
	if got := talked(w, 30*time.Minute, from); !slices.Equal(got, outside) {
		t.Errorf("in half an hour the workstation talked to %v, want %v", got, outside)
	}
	if got := talked(w, 4*time.Hour, from); !slices.Contains(got, "198.51.100.200") {
		t.Errorf("in four hours the workstation talked to %v, want 198.51.100.200 too", got)
	}
	if !slices.ContainsFunc(w.Flows, func(f world.Flow) bool { return w.Inside(f.Destination) }) {
		t.Error("there is no traffic inside to filter out")
	}
	to := func(f world.Flow) (netip.Addr, bool) {
		return f.Source, slices.Contains([]string{"198.51.100.23", "198.51.100.77"}, f.Destination.String())
	}
	hosts := []string{"10.20.30.40", "10.20.30.41", "10.20.31.7", "10.20.40.99"}
	if got := talked(w, 24*time.Hour, to); !slices.Equal(got, hosts) {
		t.Errorf("in a day %v talked to the malicious addresses, want %v", got, hosts)
	}
	if got := talked(w, 48*time.Hour, to); !slices.Contains(got, "10.20.50.5") {
		t.Errorf("in two days %v talked to them, want 10.20.50.5 too", got)
	}
}

func TestLookups(t *testing.T) {
	w := world.Default()
	for ip, malicious := range map[string]int{"203.0.113.66": 21, "198.51.100.23": 17, "198.51.100.77": 9, "192.0.2.10": 0, "192.0.2.44": 1,
		"203.0.113.9": 0} {
		h, ok := w.Host(netip.MustParseAddr(ip))
		if !ok || h.Verdict.Malicious != malicious {
			t.Errorf("%s: %+v, want %d detections", ip, h.Verdict, malicious)
		}
		if _, ok := w.Network(h.IP); !ok {
			t.Errorf("%s is in no network", ip)
		}
	}
	for ip, owner := range map[string]string{"10.20.30.40": "alice.jones@corp.test", "10.20.30.41": "bob.meyer@corp.test",
		"10.20.31.7": "carol.diaz@corp.test"} {
		if a, ok := w.Asset(netip.MustParseAddr(ip)); !ok || a.Owner != owner {
			t.Errorf("%s belongs to %q, want %q", ip, a.Owner, owner)
		}
	}
	if a, ok := w.Asset(netip.MustParseAddr("10.20.40.99")); ok {
		t.Errorf("10.20.40.99 is in the inventory: %+v", a)
	}
	for _, f := range w.Flows {
		if !w.Inside(f.Destination) {
			if _, ok := w.Host(f.Destination); !ok {
				t.Errorf("nothing is known of %s", f.Destination)
			}
		}
	}
	for _, f := range w.Files {
		if got, ok := w.File(f.SHA1); !ok || got.SHA256 != f.SHA256 || len(f.MD5) != 32 || len(f.SHA1) != 40 || len(f.SHA256) != 64 {
			t.Errorf("file %+v", f)
		}
	}
	if _, ok := w.Domain("nowhere.example"); ok {
		t.Error("an unknown domain is known")
	}
}

func TestDefaultIsNotShared(t *testing.T) {
	world.Default().Assets[0].Owner = "mallory@corp.test"
	if got := world.Default().Assets[0].Owner; got != "alice.jones@corp.test" {
		t.Errorf("one world changed another: %s", got)
	}
}

func TestSeedAlarm(t *testing.T) {
	now := time.Date(2026, 3, 4, 15, 6, 7, 89e6, time.UTC)
	line := world.SeedAlarm(now)
	header, extension, ok := strings.Cut(line, "|8|")
	if want := "<129>Mar  4 15:06:07 logpoint.corp.test logpoint: CEF:0|LogPoint|LogPoint|7.4.0|LP-MOC-1071|Malicious outbound connection"; !ok || header != want {
		t.Errorf("header %q, want %q", header, want)
	}
	for _, want := range []string{"rt=1772636767089 ", " src=10.20.30.40 ", " spt=49822 ", " dst=203.0.113.66 ", " dpt=443 ", " in=48211 ",
		" out=9120344 ", " shost=ws-0140.corp.test ", " suser=alice.jones ", " cs1Label=RuleName cs1=Malicious outbound connection ",
		` cs2=source_address\="10.20.30.40" `, `| risk\=high`} {
		if !strings.Contains(extension, want) {
			t.Errorf("no %q in %s", want, extension)
		}
	}
	if strings.ContainsAny(line, "\r\n") || len(line) > 1024 {
		t.Errorf("%d bytes, RFC 3164 allows one line of 1024: %s", len(line), line)
	}
}
