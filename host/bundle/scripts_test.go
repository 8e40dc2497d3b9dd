package bundle

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
)

const scriptManifest = `{"plugin": "trial", "version": "1.0.0", "title": "Trial", "languages": ["python"], "runtime": "python@3.11", "entry": "plugin.py",
	"actions": {"look-up": {"kind": "enrich", "title": "Look up", "effect": "pure", "parameters": {"type": "object"}, "result": {"type": "object"}}}}`

func TestScriptsOfAPackage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	files := map[string][]byte{"plugin.py": []byte("import riposte\n"), "lib/a.py": []byte("x = 'ü'\n"), "data/table.bin": {0xff, 0},
		"README.md": []byte("for people"), "tests/case.yaml": []byte("case: x")}
	parts := Parts{Manifest: []byte(scriptManifest), Assets: assets(t, files), Engine: digest}
	file, err := parts.Pack(Blank())
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.Engine() != digest || b.Extism() {
		t.Errorf("the engine is %q, Extism %v", b.Engine(), b.Extism())
	}
	raw, err := b.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	var got abi.Scripts
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := abi.Scripts{Entry: "plugin.py", Files: map[string]abi.Payload{"plugin.py": {Text: "import riposte\n"}, "lib/a.py": {Text: "x = 'ü'\n"}, "data/table.bin": {Base64: []byte{0xff, 0}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the scripts are %+v", got)
	}
	if c, err := Inspect(file); err != nil || c.Engine != digest {
		t.Errorf("inspected: %+v, %v", c, err)
	}

	again := Parts{Engine: "sha256:" + strings.Repeat("cd", 32)}
	other, err := again.Pack(file)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := Open(other); err != nil || o.Digest == b.Digest {
		t.Errorf("the same scripts for another engine are the same package: %v", err)
	}
}

func TestScriptsThatDoNotFit(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	entry := map[string][]byte{"plugin.py": []byte("import riposte\n")}
	for name, test := range map[string]struct {
		module   []byte
		engine   string
		manifest string
		files    map[string][]byte
		want     string
	}{
		"no engine":              {Blank(), "", scriptManifest, entry, "which engine"},
		"a digest of nothing":    {Blank(), "python", scriptManifest, entry, `"python" is not the digest`},
		"code of its own":        {small, digest, scriptManifest, entry, "no code of its own"},
		"no entry":               {Blank(), digest, scriptManifest, map[string][]byte{"other.py": nil}, "$.entry: invalid: there is no file plugin.py"},
		"entry is a document":    {Blank(), digest, strings.Replace(scriptManifest, "plugin.py", "docs/a.py", 1), map[string][]byte{"docs/a.py": nil}, "there is no file docs/a.py"},
		"entry without runtime":  {Blank(), digest, strings.Replace(scriptManifest, `"runtime": "python@3.11",`, "", 1), entry, "runtime"},
		"a runtime that is none": {Blank(), digest, strings.Replace(scriptManifest, "python@3.11", "../x", 1), entry, "$.runtime"},
	} {
		file, err := Parts{Manifest: []byte(test.manifest), Assets: assets(t, test.files), Engine: test.engine}.Pack(test.module)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// TestEngineNeeds: an engine may be anybody's, so it is checked for what it begins with as a plugin is.
func TestEngineNeeds(t *testing.T) {
	if got, err := EngineNeeds(small); err != nil || got.Pages == 0 {
		t.Errorf("a sound module needs %+v, %v", got, err)
	}
	for name, test := range map[string]struct {
		engine []byte
		want   string
	}{
		"no module":      {[]byte("an engine"), "not a WebAssembly module"},
		"a component":    {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
		"a large memory": {append(Blank(), 5, 5, 1, 0, 0x80, 0x80, 0x02), "begins with 32768 pages"},
		"a shared one":   {append(Blank(), 5, 4, 1, 3, 1, 1), "shared memory"},
		"a large table":  {append(Blank(), 4, 7, 1, 0x70, 0, 0x80, 0x80, 0x80, 0x01), "elements"},
	} {
		if got, err := EngineNeeds(test.engine); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: needs %+v, %v; want %q", name, got, err, test.want)
		}
	}
}
