// Package plugins_test holds the plugins that we ship against what they promise: their manifests, and what they do to the simulated
// vendors of the lab when they run in the sandbox.
package plugins_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas/sorts"
)

func manifestsOfFolders(t *testing.T) map[string]*abi.Manifest {
	t.Helper()
	files, err := filepath.Glob("../../plugins/*/plugin.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d manifests: %v", len(files), err)
	}
	all := map[string]*abi.Manifest{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := bundle.ManifestFromYAML(text, file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		m, err := bundle.ParseManifest(raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		all[m.Plugin] = m
	}
	return all
}

// Whoever writes a runbook sees titles and descriptions in the console, and CEL sees types: nothing may be without.
func TestManifestsAreComplete(t *testing.T) {
	for name, m := range manifestsOfFolders(t) {
		if m.Description == "" || m.License == "" || len(m.Languages) == 0 {
			t.Errorf("%s: description, license and languages are needed", name)
		}
		for id, a := range m.Actions {
			where := name + "/" + id
			if a.Description == "" || a.Limits.Timeout == "" || a.Limits.Memory == "" {
				t.Errorf("%s: description, limits.timeout and limits.memory are needed", where)
			}
			if (a.Effect == abi.Pure) != (len(a.Uses) == 0) {
				t.Errorf("%s: an action of effect %s uses %v", where, a.Effect, a.Uses)
			}
			if a.Inverse != nil {
				for parameter, from := range a.Inverse.With {
					// What is in doubt has no result, and must be undone all the same.
					if strings.Contains(from, "{result.") {
						t.Errorf("%s: inverse.with.%s takes a result", where, parameter)
					}
				}
			}
			complete(t, where+" parameters", a.Parameters)
			complete(t, where+" result", a.Result)
			if a.Sort != "" {
				if err := sorts.Check(a.Sort, a.Result); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
		}
	}
}

func complete(t *testing.T, where string, schema json.RawMessage) {
	t.Helper()
	var head struct {
		Properties map[string]struct {
			Type        any    `json:"type"`
			Enum        []any  `json:"enum"`
			Title       string `json:"title"`
			Description string `json:"description"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(schema, &head); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	for name, p := range head.Properties {
		if p.Description == "" && p.Title == "" {
			t.Errorf("%s.%s has no description", where, name)
		}
		if p.Type == nil && p.Enum == nil && p.Description == "" {
			t.Errorf("%s.%s has no type", where, name)
		}
	}
}
