package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Go's linker puts the modules that a program is made of between two marks; debug/buildinfo reads them in files of operating systems, but not
// in WebAssembly. The marks are infoStart and infoEnd of cmd/go/internal/modload/build.go.
const (
	goInfoStart = "0w\xaf\x0c\x92t\x08\x02A\xe1\xc1\x07\xe6\xd6\x18\xe6"
	goInfoEnd   = "\xf92C1\x86\x18 r\x00\x82B\x10A\x16\xd8\xf2"
	maxGoInfo   = 256 << 10
)

// GoInfo reads which modules a Go guest was built of; false for other languages.
func GoInfo(module []byte) (*debug.BuildInfo, bool) {
	_, rest, found := bytes.Cut(module, []byte(goInfoStart))
	text, _, ended := bytes.Cut(rest[:min(len(rest), maxGoInfo)], []byte(goInfoEnd))
	if !found || !ended {
		return nil, false
	}
	info, err := debug.ParseBuildInfo(string(text))
	return info, err == nil && info.Path != ""
}

// cycloneDX is as much of https://cyclonedx.org/docs/1.6/json/ as a plugin needs.
type cycloneDX struct {
	Schema     string      `json:"$schema"`
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   cycloneMeta `json:"metadata"`
	Components []Component `json:"components"`
}

type cycloneMeta struct {
	Component Component `json:"component"`
}

// Component is a part that a plugin is made of, as CycloneDX 1.6 says it.
type Component struct {
	Type       string     `json:"type"` // library; file for a source; platform for what a script runs in; application for a compiler
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Scope      string     `json:"scope,omitempty"` // Excluded, or empty for what is in the plugin
	Hashes     []Hash     `json:"hashes,omitempty"`
	Licenses   []License  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"` // https://github.com/package-url/purl-spec
	Properties []Property `json:"properties,omitempty"`
}

// Excluded is the scope of what helped to make a plugin and is not in it, such as a compiler.
const Excluded = "excluded"

// Hash is a digest of a component's bytes, in hexadecimal digits.
type Hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// License is an expression of SPDX.
type License struct {
	Expression string `json:"expression"`
}

// Property is something that the format has no word for.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Bill makes the bill of materials of a plugin, as CycloneDX 1.6: no time, no serial number, so that the same parts give the same bytes.
func Bill(m *abi.Manifest, parts []Component) ([]byte, error) {
	bill := cycloneDX{Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1, Components: parts}
	bill.Metadata.Component = Component{Type: "application", Name: m.Plugin, Version: m.Version}
	if m.License != "" {
		bill.Metadata.Component.Licenses = []License{{m.License}}
	}
	return json.Marshal(bill)
}

// SBOM makes the bill of materials of a Go guest. It is nil for a module that does not say what it was built of.
func SBOM(module []byte, m *abi.Manifest) ([]byte, error) {
	info, ok := GoInfo(module)
	if !ok {
		return nil, nil
	}
	parts := []Component{}
	for _, d := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if d.Replace != nil && d.Replace.Version != "" && d.Replace.Version != "(devel)" { // a folder on the author's machine says nothing to others
			d = d.Replace
		}
		if d.Path == "" {
			continue
		}
		parts = append(parts, goComponent(d))
	}
	return Bill(m, parts)
}

// FileComponent is a file that goes into a plugin as it is.
func FileComponent(name string, content []byte) Component {
	return Component{Type: "library", Name: name, Hashes: []Hash{sha256Hash(content)}}
}

// EngineComponent is the engine that scripts run in. What it was made of says a custom section of its own, SBOMSection: one component.
func EngineComponent(runtime string, engine []byte) (Component, error) {
	c := Component{Type: "platform", Name: runtime}
	all, err := sections(engine)
	if err != nil {
		return c, err
	}
	for _, s := range all {
		if s.id == sectionCustom && s.name == SBOMSection {
			if err := json.Unmarshal(s.body, &c); err != nil {
				return c, fmt.Errorf("the engine %s does not say what it is made of: %w", runtime, err)
			}
		}
	}
	c.Hashes = []Hash{sha256Hash(engine)}
	return c, nil
}

func sha256Hash(content []byte) Hash {
	return Hash{"SHA-256", strings.TrimPrefix(digest(content), "sha256:")}
}

// goComponent names a module; its purl is that of https://github.com/package-url/purl-spec, type golang.
func goComponent(d *debug.Module) Component {
	c := Component{Type: "library", Name: d.Path, PURL: "pkg:golang/" + strings.ToLower(d.Path)}
	if d.Version != "" && d.Version != "(devel)" {
		c.Version = d.Version
		c.PURL += "@" + url.QueryEscape(d.Version)
	}
	if d.Sum != "" {
		c.Properties = []Property{{"golang:sum", d.Sum}}
	}
	return c
}
