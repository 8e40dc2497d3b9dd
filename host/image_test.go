package host_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// files reads what a cache keeps of modules, by name.
func files(t *testing.T, cache, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(cache, host.EngineVersion(), pattern))
	if err != nil || len(paths) == 0 {
		t.Fatal("no files: ", err)
	}
	all := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(content)
	}
	return all
}

func TestImageIsAFunctionOfTheModule(t *testing.T) {
	var first map[string]string
	for range 2 {
		cache := t.TempDir()
		install(t, newHost(t, host.Options{CacheDir: cache}), built["plain"])
		now := files(t, cache, "*")
		if first == nil {
			first = now
			continue
		}
		if len(now) != 2 {
			t.Errorf("%d files, code and image are expected", len(now))
		}
		for name, content := range now {
			if first[name] != content {
				t.Errorf("%s differs when it is made again", name)
			}
		}
	}
}

// says is a module that gives its data as its result.
func says(text string) assembly {
	return assembly{imports: []hostImport{{abi.ModuleMem, "write", vI32 + vI32, vI64}, {abi.ModuleExtism, "output_set", vI64 + vI64, ""}},
		data: text, actions: []action{{"act", join(i32const(0), i32const(int64(len(text))), call(0), i64const(int64(len(text))), call(1), i32const(0))}}}
}

func TestModulesShareTheirCode(t *testing.T) {
	cache := t.TempDir()
	h := newHost(t, host.Options{CacheDir: cache})
	for _, text := range []string{`{"output":"one"}`, `{"output":"two"}`} {
		out := mustRun(t, h, host.Invocation{Bundle: install(t, h, says(text).pack(t)), Action: "act"})
		if got := `{"output":` + string(out.Output) + `}`; got != text {
			t.Errorf("%s instead of %s, %v", got, text, out.Fault)
		}
	}
	if images, codes := files(t, cache, "*.riposte-image"), files(t, cache, "*.wasm"); len(images) != 2 || len(codes) != 1 || h.Loaded() != 2 {
		t.Errorf("%d images, %d codes", len(images), len(codes))
	}
}

func TestDamagedImageIsNotUsed(t *testing.T) {
	cache := t.TempDir()
	file := says(`{"output":"one"}`).pack(t)
	for _, pattern := range []string{"*.riposte-image", "*.wasm"} {
		h := newHost(t, host.Options{CacheDir: cache})
		b := install(t, h, file)
		for name, content := range files(t, cache, pattern) {
			damaged := []byte(content)
			damaged[len(damaged)/2] ^= 4
			if err := os.WriteFile(filepath.Join(cache, host.EngineVersion(), name), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.Run(context.Background(), host.Invocation{ID: "i", Key: "k", Bundle: b, Action: "act"}); err == nil || !strings.Contains(err.Error(), "installed again") {
			t.Errorf("%s: %v", pattern, err)
		}
		if out := mustRun(t, h, host.Invocation{Bundle: install(t, h, file), Action: "act"}); string(out.Output) != `"one"` {
			t.Errorf("%s, installed again: %s %v", pattern, out.Output, out.Fault)
		}
	}
}

// A module that asks the host for something while it is initialised is initialised in each invocation.
func TestLateInitialisation(t *testing.T) {
	const entry, result = `{"level":"info","message":"here"}`, `{"output":7}`
	a := assembly{imports: []hostImport{{abi.ModuleMem, "write", vI32 + vI32, vI64}, {abi.ModuleExtism, "output_set", vI64 + vI64, ""},
		{abi.ModuleLog, "write", vI64, vI64}}, data: entry + result}
	write := func(from, n int) []byte { return join(i32const(int64(from)), i32const(int64(n)), call(0)) }
	a.actions = []action{
		{"act", join(write(len(entry), len(result)), i64const(int64(len(result))), call(1), i32const(0))},
		{"_initialize", join(write(0, len(entry)), call(2), []byte{opDrop}, i32const(0))},
	}
	h := newHost(t, host.Options{})
	b := install(t, h, pack(t, a.module(), abi.Manifest{Plugin: "late", Version: "1.0.0", Title: "Late",
		Actions: map[string]abi.Action{"act": {Kind: abi.Enrich, Title: "act", Effect: abi.Read}}}))
	for range 2 {
		out := mustRun(t, h, host.Invocation{Bundle: b, Action: "act", Parameters: json.RawMessage(`{}`)})
		if string(out.Output) != "7" || len(out.Logs) != 1 || out.Logs[0].Message != "here" {
			t.Errorf("%s %v, logs %v", out.Output, out.Fault, out.Logs)
		}
	}
}
