package bundle

import (
	"bytes"
	"encoding/json"
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
	Components []component `json:"components"`
}

type cycloneMeta struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type license struct {
	Expression string `json:"expression"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SBOM makes the bill of materials of a Go guest, as CycloneDX 1.6: no time, no serial number, so that the same module gives the same bytes.
// It is nil for a module that does not say what it was built of.
func SBOM(module []byte, m *abi.Manifest) ([]byte, error) {
	info, ok := GoInfo(module)
	if !ok {
		return nil, nil
	}
	bill := cycloneDX{Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1, Components: []component{}}
	bill.Metadata.Component = component{Type: "application", Name: m.Plugin, Version: m.Version}
	if m.License != "" {
		bill.Metadata.Component.Licenses = []license{{m.License}}
	}
	for _, d := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if d.Replace != nil && d.Replace.Version != "" && d.Replace.Version != "(devel)" { // a folder on the author's machine says nothing to others
			d = d.Replace
		}
		if d.Path == "" {
			continue
		}
		bill.Components = append(bill.Components, goComponent(d))
	}
	return json.Marshal(bill)
}

// goComponent names a module; its purl is that of https://github.com/package-url/purl-spec, type golang.
func goComponent(d *debug.Module) component {
	c := component{Type: "library", Name: d.Path, PURL: "pkg:golang/" + strings.ToLower(d.Path)}
	if d.Version != "" && d.Version != "(devel)" {
		c.Version = d.Version
		c.PURL += "@" + url.QueryEscape(d.Version)
	}
	if d.Sum != "" {
		c.Properties = []property{{"golang:sum", d.Sum}}
	}
	return c
}
