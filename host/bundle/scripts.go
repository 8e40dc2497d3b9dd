package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Blank is the module of a package of scripts: the preamble of the format and nothing else.
func Blank() []byte { return []byte("\x00asm\x01\x00\x00\x00") }

// Engine is the digest of the engine that the package's scripts run in; empty for a package that is a module itself.
func (b *Bundle) Engine() string { return b.engine }

// EngineNeeds checks the shape of an engine like that of a plugin, since anybody may have made it, and tells what it asks for at its start.
func EngineNeeds(engine []byte) (Needs, error) {
	all, err := split(engine)
	if err != nil {
		return Needs{}, err
	}
	m, err := parse(all)
	if err != nil {
		return Needs{}, invalid("", "the engine is damaged: "+err.Error(), "")
	}
	report := &problems{}
	checkShape(m, report)
	return m.needs(), report.err()
}

// IsDocument says whether an asset is for people, and not for the scripts of a package: README, LICENSE, CHANGELOG, and what lies in the folders
// docs, tests and scripts.
func IsDocument(name string) bool {
	first, _, inside := strings.Cut(name, "/")
	if inside {
		return slices.Contains([]string{"docs", "tests", "scripts"}, first)
	}
	base, _, _ := strings.Cut(name, ".")
	return slices.Contains([]string{"README", "LICENSE", "CHANGELOG"}, base)
}

// Scripts gives what the engine loads: the JSON of abi.Scripts.
func (b *Bundle) Scripts() ([]byte, error) {
	file, err := b.Module()
	if err != nil {
		return nil, err
	}
	all, err := split(file)
	if err != nil {
		return nil, err
	}
	scripts := abi.Scripts{Entry: b.Manifest.Entry, Files: map[string]abi.Payload{}}
	for _, s := range all {
		if s.id != sectionCustom || s.name != AssetsSection {
			continue
		}
		assets, err := ReadAssets(s.body)
		if err != nil {
			return nil, err
		}
		for _, a := range assets {
			switch {
			case IsDocument(a.Name):
			case utf8.Valid(a.Data):
				scripts.Files[a.Name] = abi.Payload{Text: string(a.Data)}
			default:
				scripts.Files[a.Name] = abi.Payload{Base64: a.Data}
			}
		}
	}
	return json.Marshal(scripts)
}

// checkScripts holds a package of scripts against what there must be in it, and gives the digest of its engine.
func checkScripts(all []section, m *abi.Manifest, report *problems) string {
	digest, found := "", false
	for _, s := range all {
		switch {
		case s.id != sectionCustom:
			report.add(s.title(), "a package of scripts has no code of its own, but its manifest says runtime: "+m.Runtime, "build it with riposte plugin build")
			return ""
		case s.name == abi.EngineSection:
			digest = string(s.body)
			if raw, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:")); err != nil || len(raw) != sha256.Size || len(digest) != len("sha256:")+2*sha256.Size {
				report.add(abi.EngineSection, fmt.Sprintf("%.80q is not the digest of an engine", digest), "build the plugin again")
			}
		case s.name == AssetsSection:
			assets, err := ReadAssets(s.body)
			found = err != nil /* is reported by checkParts */ || slices.ContainsFunc(assets, func(a Asset) bool { return a.Name == m.Entry && !IsDocument(a.Name) })
		}
	}
	if digest == "" {
		report.add(abi.EngineSection, "the package does not say which engine its scripts run in", "build it with riposte plugin build")
	}
	if !found {
		report.add("$.entry", "there is no file "+m.Entry+" in the package", "")
	}
	return digest
}
