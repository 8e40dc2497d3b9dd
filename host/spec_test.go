package host_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// TestMalformedModulesAreRefused takes the modules of the official tests of WebAssembly that are malformed or invalid, and those of proposals
// that we do not take, through everything that a package goes through before it runs: bundle.Pack, bundle.Open, Install. Each must be refused by
// a fault that says what is wrong and where. Since most of them export nothing, an action is put into each as far as its sections can be told.
func TestMalformedModulesAreRefused(t *testing.T) {
	dir := specTests(t)
	h := newHost(t, host.Options{CacheDir: t.TempDir()})
	counts := map[string]int{}
	for _, suite := range []string{"v1", "v2", "exception-handling", "extended-const", "tail-call", "threads", "typed-function-references"} {
		for _, c := range badModules(t, filepath.Join(dir, suite, "testdata")) {
			bin, err := os.ReadFile(c)
			if err != nil {
				t.Fatal(err)
			}
			stage, err := load(t, h, bin)
			counts[stage]++
			name := suite + "/" + filepath.Base(c)
			if err == nil {
				if !slices.Contains(sound, name) {
					t.Errorf("%s was taken", name)
				}
			} else if why := unclear(err); why != "" {
				t.Errorf("%s at %s: %s: %v", name, stage, why, err)
			}
		}
	}
	t.Logf("refused by stage: %v", counts)
	if counts["Open"] < 100 || counts["Install"] < 2000 {
		t.Errorf("too few modules came that far: %v", counts)
	}
}

// sound are modules that are right after all: since version 2.0, or because what was added to them is what they lacked, or written as it should be.
var sound = []string{
	"v1/binary-leb128.29.wasm", "v1/func.20.wasm", "v1/func.21.wasm", "v1/imports.49.wasm", "v1/type.3.wasm", "v1/type.4.wasm", "v1/unreached-invalid.87.wasm",
	"v2/binary-leb128.29.wasm",
	"v1/call_indirect.33.wasm", "v1/exports.14.wasm", "v2/call_indirect.36.wasm", "v2/exports.15.wasm", "v2/exports.16.wasm",
	"tail-call/return_call_indirect.27.wasm", "typed-function-references/return_call_indirect.28.wasm",
}

// specTests is the folder of the official tests, which the engine carries.
func specTests(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skipf("NOT TESTED: the module cache has no official tests of WebAssembly: %v %v", err, statErr)
	}
	return dir
}

// badModules are the binary modules that a suite calls malformed or invalid.
func badModules(t *testing.T, dir string) (files []string) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%s: no tests: %v", dir, err)
	}
	for _, script := range scripts {
		raw, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Commands []struct{ Type, Filename string }
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		for _, c := range doc.Commands {
			if (c.Type == "assert_malformed" || c.Type == "assert_invalid") && strings.HasSuffix(c.Filename, ".wasm") {
				files = append(files, filepath.Join(dir, c.Filename))
			}
		}
	}
	return files
}

// load goes the way of a package, and says how far it came.
func load(t *testing.T, h *host.Host, bin []byte) (stage string, err error) {
	packed, err := bundle.Pack(withAction(bin), []byte(plainManifest))
	if err != nil {
		return "Pack", err
	}
	b, err := bundle.Open(packed)
	if err != nil {
		return "Open", err
	}
	return "Install", h.Install(t.Context(), b)
}

// unclear says what is missing in an error that refuses a module.
func unclear(err error) string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			if why := unclear(e); why != "" {
				return why
			}
		}
		return ""
	}
	var f *abi.Fault
	switch {
	case !errors.As(err, &f):
		return "this is no fault"
	case f.Kind != abi.Invalid && f.Kind != abi.Limit && f.Kind != abi.TooLarge:
		return "this is of kind " + string(f.Kind)
	case len(f.Message) < 10 || f.Where == "" && !strings.Contains(f.Message, "section") && !strings.Contains(f.Message, "function") && !strings.Contains(f.Message, "module"):
		return "this does not say where"
	}
	return ""
}

// withAction adds the function "act" to a module whose sections can be read, and gives any other as it is.
func withAction(bin []byte) []byte {
	if len(bin) < 8 {
		return bin
	}
	const typ, imports, function, export, code = 1, 2, 3, 7, 10
	type section struct {
		id   byte
		body []byte
	}
	var all []section
	for rest := bin[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return bin
		}
		all = append(all, section{rest[0], rest[1+n:][:size]})
		rest = rest[1+n+int(size):]
	}
	counts := map[byte]uint64{}
	for _, s := range all {
		if _, twice := counts[s.id]; twice && s.id != 0 {
			return bin
		}
		n, width := binary.Uvarint(s.body)
		if s.id != 0 && width <= 0 {
			return bin
		}
		counts[s.id] = n
	}
	if counts[imports] > 0 {
		return bin // the host offers nothing that they import
	}
	add := func(id, before byte, entry []byte) {
		at := slices.IndexFunc(all, func(s section) bool { return s.id == id })
		if at < 0 {
			if at = slices.IndexFunc(all, func(s section) bool { return s.id >= before && s.id != 12 || before == code && s.id == 11 }); at < 0 {
				at = len(all)
			}
			all = slices.Insert(all, at, section{id, []byte{0}})
		}
		_, width := binary.Uvarint(all[at].body)
		all[at].body = slices.Concat(uvar(int(counts[id]+1)), all[at].body[width:], entry)
	}
	add(typ, typ+1, []byte("\x60\x00\x01"+vI32))
	add(function, function+1, uvar(int(counts[typ])))
	add(export, export+1, slices.Concat(vec("act"), []byte{0}, uvar(int(counts[function]))))
	add(code, code+1, vec("\x00\x41\x00\x0b"))
	out := slices.Clone(bin[:8])
	for _, s := range all {
		out = slices.Concat(out, []byte{s.id}, vec(string(s.body)))
	}
	return out
}
