// Package bundle is the plugin package: one WebAssembly module that carries its manifest in the custom section riposte.manifest, and may carry
// assets and a bill of materials in others. A package is known by the SHA-256 of its bytes, and everything about it that can be checked without
// running it is checked when it is opened. Whether it may run here at all is the matter of package trust.
package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

// Limits of a package.
const (
	MaxBytes    = 64 << 20  // of the whole file
	MaxManifest = 256 << 10 // of the manifest, in JSON or YAML
	MaxPages    = 16_384    // of 64 KiB of linear memory to begin with: 1 GiB; the host's own limit is lower
	maxTable    = 1 << 18   // elements of tables to begin with
)

// Bundle is a package that passed every check. It is immutable.
type Bundle struct {
	Digest   string // "sha256:" and 64 hexadecimal digits
	Manifest abi.Manifest
	Size     int

	load    func() ([]byte, error)
	schemas *compiled
	asks    Needs
	extism  bool
	command bool
	engine  string
	warm    []string
}

// Warm lists exports to call, in this order, before the state is taken that invocations begin with; see abi.WarmExport. Mostly it is empty.
func (b *Bundle) Warm() []string { return b.warm }

// Extism says that the module was written for Extism and knows nothing of us: it imports none of our host modules. Its input is then the
// parameters and not a call, its output the result itself. So a kit for another language imports at least riposte:mem/v1.
func (b *Bundle) Extism() bool { return b.extism }

// Command says that the module is a WASI command: it exports _start, and none of its actions. It runs once for each invocation, and talks to the
// host by the file /dev/riposte.
func (b *Bundle) Command() bool { return b.command }

// Needs is what a module declares to need before it runs.
type Needs struct {
	Pages uint64 // linear memory to begin with, in pages of 64 KiB
	Table uint64 // elements of tables to begin with
}

// Needs tells what the module asks for at its start.
func (b *Bundle) Needs() Needs { return b.asks }

// Name is plugin@version.
func (b *Bundle) Name() string { return b.Manifest.Plugin + "@" + b.Manifest.Version }

// Open checks a package. The error joins one *abi.Fault for each thing that is wrong.
func Open(file []byte) (*Bundle, error) {
	return OpenFunc(func() ([]byte, error) { return file, nil })
}

// OpenFile opens a package on disk. Its bytes are not kept: they are read again, and checked against the digest, when they are needed.
func OpenFile(path string) (*Bundle, error) {
	return OpenFunc(func() ([]byte, error) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.Size() > MaxBytes {
			return nil, tooLarge(path, info.Size())
		}
		return os.ReadFile(path)
	})
}

// OpenFunc opens a package that load can give at any time.
func OpenFunc(load func() ([]byte, error)) (*Bundle, error) {
	file, err := load()
	if err != nil {
		return nil, err
	}
	if len(file) > MaxBytes {
		return nil, tooLarge("$", int64(len(file)))
	}
	all, err := split(file)
	if err != nil {
		return nil, err
	}
	raw, err := manifestOf(all)
	if err != nil {
		return nil, err
	}
	manifest, checks, err := parseManifest(raw)
	if err != nil {
		return nil, err
	}
	m, err := parse(all)
	if err != nil {
		return nil, invalid("", "the module is damaged: "+err.Error(), "build it again")
	}
	report := &problems{}
	b := &Bundle{Digest: digest(file), Manifest: *manifest, Size: len(file), load: load, schemas: checks}
	if manifest.Runtime != "" {
		b.engine = checkScripts(all, manifest, report)
	} else {
		checkImports(m, manifest.Requires, report)
		b.command = m.command(manifest.Actions)
		b.extism = m.extism() && !b.command
		if !b.command {
			checkActions(m, manifest.Actions, report)
		}
		checkShape(m, report)
	}
	checkParts(all, report)
	if err := report.err(); err != nil {
		return nil, err
	}
	if e, ok := m.exports[abi.WarmExport]; ok && e.kind == kindFunction && e.typ == (signature{}) {
		b.warm = append([]string{abi.WarmExport}, slices.Sorted(maps.Keys(manifest.Actions))...)
		b.warm = append(b.warm, abi.WarmExport)
	}
	b.asks = m.needs()
	return b, nil
}

func (m *module) needs() (n Needs) {
	for _, l := range m.memories {
		n.Pages += l.min
	}
	for _, l := range m.tables {
		n.Table += l.min
	}
	return n
}

// Module gives the bytes of the package; an error says that they are gone or not the same any more.
func (b *Bundle) Module() ([]byte, error) {
	file, err := b.load()
	if err != nil {
		return nil, err
	}
	if found := digest(file); found != b.Digest {
		return nil, abi.NewFault(abi.Conflict, b.Name()+" is not the package that was opened: its digest is now "+found, "install it again")
	}
	return file, nil
}

// Assets gives the files that the package carries beside its code.
func (b *Bundle) Assets() ([]Asset, error) {
	file, err := b.Module()
	if err != nil {
		return nil, err
	}
	all, err := sections(file)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.id == sectionCustom && s.name == AssetsSection {
			return ReadAssets(bytes.Clone(s.body)) // so that the rest of the package need not stay
		}
	}
	return nil, nil
}

// CheckParameters holds the parameters of an action against its schema.
func (b *Bundle) CheckParameters(action string, parameters json.RawMessage) *abi.Fault {
	return b.check(b.schemas.parameters, action, parameters, "$.parameters")
}

// CheckResult holds what an action gave back against its schema.
func (b *Bundle) CheckResult(action string, result json.RawMessage) *abi.Fault {
	return b.check(b.schemas.results, action, result, "$.result")
}

func (b *Bundle) check(by map[string]*schemas.Schema, action string, document json.RawMessage, root string) *abi.Fault {
	s, ok := by[action]
	if !ok {
		return abi.NewFault(abi.NotFound, b.Name()+" has no action "+strconv.Quote(action), nearest(action, keysOf(b.Manifest.Actions)))
	}
	return checkDocument(s, document, root)
}

// CheckSettings holds the settings of a connector against the schema; a secret may stand there as a reference: {"secret": "env:NAME"}.
func (b *Bundle) CheckSettings(settings json.RawMessage) *abi.Fault {
	value, err := decodeValue(settings)
	if err != nil {
		return invalid("$.settings", err.Error(), "")
	}
	if where := hideReferences(value, headOf(b.Manifest.Settings), "$.settings"); where != "" {
		return invalid(where, "a secret does not stand here itself", `write {secret: "store:NAME"}, {secret: "file:/PATH"} or {secret: "env:NAME"}`)
	}
	plain, err := json.Marshal(value)
	if err != nil {
		return invalid("$.settings", err.Error(), "")
	}
	return checkDocument(b.schemas.settings, plain, "$.settings")
}

// hideReferences puts strings in the place of references to secrets, where the schema says that there is a secret. It gives the path of one that
// stands there itself, or "".
func hideReferences(value any, shape schemaHead, path string) (itself string) {
	object, ok := value.(map[string]any)
	if !ok {
		return ""
	}
	for name, property := range shape.Properties {
		at := path + "." + name
		if property.Format != "secret" {
			itself = cmp.Or(hideReferences(object[name], property, at), itself)
			continue
		}
		switch v := object[name].(type) {
		case string:
			itself = at
		case map[string]any:
			if _, named := v["secret"].(string); named && len(v) == 1 {
				object[name] = "a reference to a secret"
			}
		}
	}
	return itself
}

// Pack puts a manifest (JSON) into a module; see Parts.Pack.
func Pack(module, manifest []byte) ([]byte, error) {
	return Parts{Manifest: manifest}.Pack(module)
}

func split(file []byte) ([]section, error) {
	if len(file) >= 8 && string(file[:4]) == "\x00asm" && string(file[6:8]) == "\x01\x00" { // the layer, behind the version
		return nil, invalid("", "this is a WebAssembly component; plugins are core modules", "build for wasm32-wasip1")
	}
	all, err := sections(file)
	if err != nil {
		return nil, invalid("", err.Error(), "a plugin is one .wasm file; build it with riposte plugin build")
	}
	return all, nil
}

func manifestOf(all []section) ([]byte, error) {
	var found [][]byte
	for _, s := range all {
		if s.id == sectionCustom && s.name == abi.ManifestSection {
			found = append(found, s.body)
		}
	}
	if len(found) != 1 {
		return nil, invalid("", fmt.Sprintf("the module carries %d manifests, expected one in the custom section %s", len(found), abi.ManifestSection),
			"pack plugin.yaml into it with riposte plugin build")
	}
	return found[0], nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func tooLarge(where string, size int64) error {
	f := abi.NewFault(abi.TooLarge, fmt.Sprintf("the package has %d MiB, at most %d are possible", size>>20, MaxBytes>>20), "")
	f.Where = where
	return f
}

// ParseSize reads a size such as "32MiB"; units are B, KiB, MiB and GiB.
func ParseSize(s string) (int64, error) {
	for _, unit := range []struct {
		suffix string
		shift  int
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}} {
		digits, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64>>unit.shift {
			break
		}
		return n << unit.shift, nil
	}
	return 0, errors.New("expected a size in B, KiB, MiB or GiB")
}
