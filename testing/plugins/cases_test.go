package plugins_test

import (
	"flag"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/testing/harness"
	"github.com/riposte-soar/riposte/testing/lab/sink"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
	"github.com/riposte-soar/riposte/testing/lab/whois"
)

// record makes the tapes of the cases anew: go test ./testing/plugins -run TestCases -record
var record = flag.Bool("record", false, "let the cases of the plugins go out to the lab, and keep their tapes")

// laboratory gives, for each plugin, the settings of a connector to a vendor of the lab.
var laboratory = map[string]func(t *testing.T) map[string]any{
	"dns":          func(t *testing.T) map[string]any { _, c := startDNS(t); return c.settings },
	"geoip":        func(*testing.T) map[string]any { return map[string]any{} },
	"hackertarget": func(t *testing.T) map[string]any { _, c := startHackerTarget(t); return c.settings },
	"logpoint":     func(t *testing.T) map[string]any { _, c := startLogPoint(t); return c.settings },
	"mail":         func(t *testing.T) map[string]any { _, c := startRelay(t, smtpsink.Options{}, nil); return c.settings },
	"mssql":        func(t *testing.T) map[string]any { _, c := startMSSQL(t, false); return c.settings },
	"paloalto":     func(t *testing.T) map[string]any { _, c := startPANOS(t); return c.settings },
	"virustotal":   func(t *testing.T) map[string]any { _, c := startVirusTotal(t); return c.settings },
	"whois":        func(t *testing.T) map[string]any { return startRegistries(t, whois.RIPE, false).c.settings },
	"webhook": func(t *testing.T) map[string]any {
		s, err := sink.Start(sink.Options{})
		if err != nil {
			t.Fatal(err)
		}
		closing(t, s)
		return map[string]any{"url": s.URL()}
	},
}

// TestCases runs the cases of each plugin that we ship, in every mode.
func TestCases(t *testing.T) {
	h, err := harness.Open(harness.Options{CacheDir: filepath.Join(shared.folder, "cache"), Live: *record, Secrets: vault{},
		Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, h)
	manifests, err := filepath.Glob("../../plugins/*/plugin.yaml")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no plugins: %v", err)
	}
	for _, manifest := range manifests {
		folder := filepath.Dir(manifest)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			b := shared.plugin(t, filepath.Base(folder))
			modes := everyMode()
			if *record {
				c := &connector{t: t}
				modes = []harness.Mode{{Record: true, Settings: c.json(laboratory[b.Manifest.Plugin](t))}}
			}
			passCases(t, h, folder, b, modes)
		})
	}
}

// everyMode runs cases as they are, with each fault and each crash at each call.
func everyMode() []harness.Mode {
	modes := []harness.Mode{{}, {Replay: tape.Lenient}, {Crash: &harness.Crash{When: tape.BeginKind}}, {Crash: &harness.Crash{When: tape.EndKind}}}
	for _, kind := range harness.Injections() {
		modes = append(modes, harness.Mode{Fault: &harness.Injection{Kind: kind}})
	}
	return modes
}

// passCases runs the cases of a plugin's folder. Every action has one.
func passCases(t *testing.T, h *harness.Harness, folder string, b *bundle.Bundle, modes []harness.Mode) {
	t.Helper()
	cases, err := harness.Load(filepath.Join(folder, harness.CasesFolder), "", b)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range modes {
		report, err := h.Run(t.Context(), b, cases, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && len(report.Untested) > 0 {
			t.Errorf("no case calls %v", report.Untested)
		}
		if !report.OK() {
			var said strings.Builder
			if err := harness.WriteTerminal(&said, report, harness.Style{}); err != nil {
				t.Error(err)
			}
			t.Error(said.String())
		}
	}
}
