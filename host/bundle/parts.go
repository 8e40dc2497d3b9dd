package bundle

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Custom sections beside that of the manifest (abi.ManifestSection); a module may lack both.
const (
	AssetsSection = "riposte.assets" // an archive, see PackAssets
	SBOMSection   = "riposte.sbom"   // a bill of materials, JSON: CycloneDX or SPDX
)

// MaxSBOM bounds the bill of materials, in bytes.
const MaxSBOM = 1 << 20

// Parts are what a package carries beside its code. One that is nil is left as it is in the module.
type Parts struct {
	Manifest []byte // JSON
	Assets   []byte // of PackAssets
	SBOM     []byte // JSON
	Engine   string // of scripts: the digest of abi.EngineSection
}

// Pack puts the parts into a module, each in place of one that is there, behind everything else. The same input gives the same bytes. Nothing
// is checked but the form of the module: Open does that.
func (p Parts) Pack(module []byte) ([]byte, error) {
	all, err := split(module)
	if err != nil {
		return nil, err
	}
	size := len(module) + len(p.Manifest) + len(p.Assets) + len(p.SBOM) + len(p.Engine)
	packed := append(make([]byte, 0, size+128), module[:8]...)
	for _, s := range all {
		if s.id != sectionCustom || p.of(s.name) == nil {
			packed = append(packed, module[s.start:s.end]...)
		}
	}
	for _, name := range []string{abi.EngineSection, SBOMSection, AssetsSection, abi.ManifestSection} {
		if body := p.of(name); body != nil {
			packed = append(packed, custom(name, body)...)
		}
	}
	return packed, nil
}

func (p Parts) of(section string) []byte {
	switch section {
	case abi.ManifestSection:
		return p.Manifest
	case AssetsSection:
		return p.Assets
	case SBOMSection:
		return p.SBOM
	case abi.EngineSection:
		if p.Engine != "" {
			return []byte(p.Engine)
		}
	}
	return nil
}

// Section is one section of a module.
type Section struct {
	Name string `json:"name"` // of the binary format's table, or of a custom section
	Size int    `json:"size"` // bytes, with its header
}

// Contents is what a module carries, for people; nothing of it was judged. Open does that.
type Contents struct {
	Digest   string          `json:"digest"`
	Size     int             `json:"size"`
	Imports  []string        `json:"imports"` // module.name, sorted
	Exports  []string        `json:"exports"` // functions that can be actions, sorted, and _start of a command
	Sections []Section       `json:"sections"`
	Assets   []Asset         `json:"assets,omitempty"`
	Engine   string          `json:"engine,omitempty"` // digest of what the scripts run in
	SBOM     json.RawMessage `json:"sbom,omitempty"`
}

// Inspect lists what a module carries, be it a plugin that Open would take or not.
func Inspect(file []byte) (*Contents, error) {
	all, err := split(file)
	if err != nil {
		return nil, err
	}
	m, err := parse(all)
	if err != nil {
		return nil, invalid("", "the module is damaged: "+err.Error(), "build it again")
	}
	c := &Contents{Digest: digest(file), Size: len(file), Exports: exported(m), Imports: []string{}, Sections: make([]Section, 0, len(all))}
	for _, e := range m.imports {
		c.Imports = append(c.Imports, e.module+"."+e.name)
	}
	slices.Sort(c.Imports)
	if m.command(nil) {
		c.Exports = append(c.Exports, startExport)
	}
	for _, s := range all {
		c.Sections = append(c.Sections, Section{s.title(), s.end - s.start})
		switch {
		case s.id != sectionCustom:
		case s.name == AssetsSection:
			if c.Assets, err = ReadAssets(s.body); err != nil {
				return nil, err
			}
		case s.name == abi.EngineSection:
			c.Engine = string(s.body)
		case s.name == SBOMSection:
			if !json.Valid(s.body) {
				return nil, invalid(SBOMSection, "the bill of materials is not valid JSON", "")
			}
			c.SBOM = s.body
		}
	}
	return c, nil
}

func (s *section) title() string {
	names := []string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count", "tag"}
	switch {
	case s.id == sectionCustom:
		return s.name
	case int(s.id) < len(names):
		return names[s.id]
	}
	return fmt.Sprintf("section %d", s.id)
}

// checkParts refuses assets and bills that could not be read later.
func checkParts(all []section, report *problems) {
	seen := map[string]bool{}
	for _, s := range all {
		if s.id != sectionCustom || s.name != AssetsSection && s.name != SBOMSection && s.name != abi.EngineSection {
			continue
		}
		if seen[s.name] {
			report.add(s.name, "the section occurs twice", "pack the plugin again")
		}
		seen[s.name] = true
		if s.name == abi.EngineSection { // checkScripts
			continue
		}
		if s.name == AssetsSection {
			if _, err := ReadAssets(s.body); err != nil {
				report.list = append(report.list, err)
			}
			continue
		}
		if len(s.body) > MaxSBOM {
			report.add(SBOMSection, "the bill of materials is larger than 1 MiB", "")
		} else if !json.Valid(s.body) {
			report.add(SBOMSection, "the bill of materials is not valid JSON", "")
		}
	}
}
