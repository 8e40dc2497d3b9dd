package author_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/testing/harness"
)

// partsOf is what is in the bill of materials of a new plugin.
var partsOf = map[string]string{
	"go":     `"purl":"pkg:golang/corp.test|"name":"acme-list"`,
	"rust":   `"name":"riposte-pdk","version":"0.1.0"}.*"name":"serde","version":"1[0-9.]+","purl":"pkg:cargo/serde@1`,
	"python": `"type":"platform","name":"CPython","version":"3\.11\.2-6\+deb12u[0-9]+","hashes":.*"name":"riposte.py","hashes":\[{"alg":"SHA-256"`,
	"lua":    `"type":"platform","name":"Lua","version":"5\.4\.[0-9]+[^"]*","hashes":.*"name":"riposte.lua","hashes":\[{"alg":"SHA-256"`,
	"c":      `"type":"file","name":"main.c","hashes":\[{"alg":"SHA-256",.*"name":"riposte-pdk","version":"0.1.0"}.*"name":"riposte-pdk/c/json.c".*"name":"libc.a","hashes":.*"name":"clang","version":"[0-9.]+[^"]*","scope":"excluded"`,
	"ts":     `"type":"file","name":"assembly/index.ts","hashes":.*"name":"riposte-pdk","version":"0.1.0"}.*"name":"riposte-pdk/assemblyscript/json.ts".*"name":"assemblyscript","version":"0.28.20","hashes":\[{"alg":"SHA-512","content":"[0-9a-f]{128}"}\],"purl":"pkg:npm/assemblyscript@0.28.20".*"name":"binaryen","version":"[^"]*","scope":"excluded","hashes":`,
	"js":     `"type":"platform","name":"QuickJS","version":"2025-04-26","hashes":.*"name":"riposte.js","hashes":\[{"alg":"SHA-256"`,
}

// TestNewPluginBuilds makes a plugin in each language outside of the repository, builds it in two folders to the same bytes, and runs the
// cases that come with it.
func TestNewPluginBuilds(t *testing.T) {
	shareCrates(t)
	h, err := harness.Open(harness.Options{CacheDir: filepath.Join(t.TempDir(), "cache")})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, l := range author.Languages() {
		t.Run(l.Name, func(t *testing.T) {
			if err := l.Missing(); err != nil {
				t.Skip("NOT TESTED: ", err)
			}
			dir := filepath.Join(t.TempDir(), "acme-list")
			files, err := author.New(dir, "acme-list", l)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := author.New(dir, "acme-list", l); err == nil || abi.AsFault(err).Kind != abi.Conflict {
				t.Errorf("a second plugin in the same folder gave %v", err)
			}
			for _, name := range files {
				text, err := fs.ReadFile(os.DirFS(dir), name)
				if err != nil || strings.HasSuffix(name, ".tmpl") || !strings.HasPrefix(name, author.KitFolder) && bytes.Contains(text, []byte("{{.")) {
					t.Errorf("%s: %v\n%s", name, err, text)
				}
			}
			copied := filepath.Join(t.TempDir(), "elsewhere")
			if _, err := author.New(copied, "acme-list", l); err != nil {
				t.Fatal(err)
			}
			var first []byte
			for _, dir := range []string{dir, copied} {
				p, err := author.Build(t.Context(), dir, author.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if first != nil && !bytes.Equal(first, p.File) {
					t.Error("two builds differ")
				}
				if first = p.File; p.Name() != "acme-list@0.1.0" {
					t.Errorf("made %s", p.Name())
				}
			}
			if want := partsOf[l.Name]; want != "" {
				contents, err := bundle.Inspect(first)
				if err != nil || !regexp.MustCompile(want).Match(contents.SBOM) {
					t.Errorf("the bill of materials is %s, %v; want %s", contents.SBOM, err, want)
				}
			}
			passCases(t, h, dir, first)
		})
	}
}

// passCases runs the three cases of a new plugin: as they are, with each fault, and with a crash.
func passCases(t *testing.T, h *harness.Harness, dir string, file []byte) {
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := harness.Load(filepath.Join(dir, harness.CasesFolder), "", b)
	if err != nil || len(cases) != 3 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	modes := []harness.Mode{{}, {Crash: &harness.Crash{When: tape.BeginKind}}}
	for _, kind := range harness.Injections() {
		modes = append(modes, harness.Mode{Fault: &harness.Injection{Kind: kind}})
	}
	for _, m := range modes {
		report, err := h.Run(t.Context(), b, cases, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !report.OK() || len(report.Results) != 3 {
			var said strings.Builder
			t.Error(harness.WriteTerminal(&said, report, harness.Style{}), said.String())
		}
	}
}

func TestUnitTestsOfTheGoTemplate(t *testing.T) {
	l, err := author.Find("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "x")
	if _, err := author.New(dir, "x", l); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "test", "./...")
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off")
	if said, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	l, err := author.Find("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "Acme", "a b", "-a", "a-", "../a", strings.Repeat("a", 65)} {
		if _, err := author.New(t.TempDir(), name, l); err == nil || abi.AsFault(err).Kind != abi.Invalid {
			t.Errorf("the name %q gave %v", name, err)
		}
	}
	if _, err := author.Build(t.Context(), t.TempDir(), author.Options{}); err == nil || abi.AsFault(err).Kind != abi.NotFound || !strings.Contains(err.Error(), "riposte plugin new") {
		t.Errorf("a folder without a plugin gave %v", err)
	}
	if _, err := author.Find("cobol"); err == nil || !strings.Contains(err.Error(), "go") {
		t.Errorf("an unknown language gave %v", err)
	}
	l.Tools = []author.Tool{{Name: "no-such-compiler", Get: "install it"}}
	if err := l.Missing(); err == nil || !strings.Contains(err.Error(), "no-such-compiler") || abi.AsFault(err).Hint != "install it" {
		t.Errorf("a missing compiler gave %v", err)
	}
}

func TestErrorsOfABuildNameTheLine(t *testing.T) {
	l, err := author.Find("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "x")
	if _, err := author.New(dir, "x", l); err != nil {
		t.Fatal(err)
	}
	replace := func(file, old, with string) (undo func()) {
		file = filepath.Join(dir, file)
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), old) {
			t.Fatalf("%v: %s does not hold %q", err, file, old)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, with, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct{ file, old, with, want string }{
		{"main.go", "p.IP)", "p.IPP)", "main.go:30:68: p.IPP undefined"},
		{"main.go", "//go:wasmexport look-up", "//go:wasmexport lookup", "look-up"},
		{"plugin.yaml", "kind: enrich", "kind: enrcih", "plugin.yaml:27:11"},
		{"plugin.yaml", "languages: [go]", "languages: [cobol]", `no kit for the language "cobol"`},
		{"plugin.yaml", "languages: [go]", "", "plugin.yaml: invalid: languages is missing"},
		{"plugin.yaml", "kind: http", "kind: dns", "plugin.yaml:"},
	} {
		undo := replace(test.file, test.old, test.with)
		if _, err := author.Build(t.Context(), dir, author.Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %q: got %v, want %q", test.file, test.with, err, test.want)
		}
		undo()
	}
}
