package plugins_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/testing/harness"
)

// suites are the tests of the plugins that are there in other languages too.
var suites = map[string]map[string]func(*testing.T){
	"dns":        {"reverse": TestDNSReverse, "forward": TestDNSForward, "faults": TestDNSFaults},
	"mssql":      {"query": TestMSSQL, "refusals": TestMSSQLRefusals, "faults": TestMSSQLFaults},
	"virustotal": {"address": TestVirusTotalIP, "domain and file": TestVirusTotalDomainAndFile, "faults": TestVirusTotalFaults},
}

const otherLanguages = "TestOtherLanguages"

// TestOtherLanguages holds the plugins in plugins/LANGUAGE/NAME to the tests and the cases of plugins/NAME: their folder tests is a link to that one.
func TestOtherLanguages(t *testing.T) {
	found, err := filepath.Glob("../../plugins/*/*/" + author.ManifestFile)
	if err != nil || len(found) == 0 {
		t.Fatalf("there are none: %v", err)
	}
	h, err := harness.Open(harness.Options{CacheDir: filepath.Join(shared.folder, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, h)
	for _, file := range found {
		folder := filepath.Dir(file)
		language, name := filepath.Base(filepath.Dir(folder)), filepath.Base(folder)
		t.Run(language+"/"+name, func(t *testing.T) {
			sameManifest(t, file, filepath.Join("../../plugins", name, author.ManifestFile))
			if suites[name] == nil {
				t.Errorf("there are no tests for %s: name them in suites", name)
			}
			for about, test := range suites[name] {
				t.Run(about, test)
			}
			t.Run("cases", func(t *testing.T) { passCases(t, h, folder, inOtherLanguage(t, name), everyMode()) })
		})
	}
}

// sameManifest holds two manifests against each other, but for the language.
func sameManifest(t *testing.T, file, original string) {
	t.Helper()
	read := func(file string) map[string]any {
		raw, _, err := author.ReadManifest(file)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(all, func(key string, _ any) bool { return slices.Contains([]string{"languages", "runtime", "entry"}, key) })
		return all
	}
	if !reflect.DeepEqual(read(file), read(original)) {
		t.Errorf("%s differs from %s in more than the language", file, original)
	}
}

// languageOf is the language that a test is about; empty is that of the plugins that we ship.
func languageOf(t *testing.T) string {
	if parts := strings.Split(t.Name(), "/"); parts[0] == otherLanguages && len(parts) > 1 {
		return parts[1]
	}
	return ""
}

// inOtherLanguage builds the plugin of this name in the language that the test is about; nil for those that we ship.
func inOtherLanguage(t *testing.T, name string) *bundle.Bundle {
	t.Helper()
	language := languageOf(t)
	if language == "" {
		return nil
	}
	l, err := author.Find(language)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Missing(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	p, err := author.Build(t.Context(), filepath.Join("../../plugins", language, name), author.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	return p.Bundle
}
