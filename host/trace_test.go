package host_test

import (
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

// TestCrashesTellWhere lets programs in several languages crash, and expects to be told the function, file and line.
func TestCrashesTellWhere(t *testing.T) {
	h := newHost(t, host.Options{})
	act := map[string]abi.Action{"act": {Kind: abi.Enrich, Title: "Crash", Effect: abi.Pure}}
	for language, want := range map[string][]string{
		"tinygo": {"runtime.abort (/Users/mathetake/Downloads/tinygo/src/runtime/runtime_tinygowasm.go:70:6)",
			"runtime._panic (/Users/mathetake/Downloads/tinygo/src/runtime/panic.go:52:7)",
			"main.c (/Users/mathetake/Downloads/tinygo/tmo/main.go:16:7)", "main.b (/Users/mathetake/Downloads/tinygo/tmo/main.go:12:3)"},
		"zig": {"builtin.default_panic (/opt/homebrew/Cellar/zig/0.13.0/lib/zig/std/builtin.zig:792:17)",
			"inlined_b (main.zig:10:5)", "inlined_a (main.zig:6:5)", "main.main (main.zig:2:5)"},
		"zig-cc": {"a (internal/testing/dwarftestdata/testdata/zig-cc/main.c:7:18)",
			"__original_main (internal/testing/dwarftestdata/testdata/zig-cc/main.c:11:3)", "_start", "_start.command_export"},
		"rust": {"b (main.rs:12:5)", "a (main.rs:7:5)", "main::main (main.rs:2:5)", "core::ops::function::FnOnce::call_once (/Users/anuraag/" +
			".rustup/toolchains/stable-aarch64-apple-darwin/lib/rustlib/src/rust/library/core/src/ops/function.rs:250:5)"},
	} {
		t.Run(language, func(t *testing.T) {
			b := install(t, h, pack(t, trapping(t, language), abi.Manifest{Plugin: language, Version: "1.0.0", Title: language, Actions: act}))
			out := fault(t, h, host.Invocation{Bundle: b, Action: "act"}, abi.Trap, "unreachable")
			got := out.Stack[:min(len(want), len(out.Stack))]
			if !slices.Equal(got, want) || out.Fault.Where != want[0] {
				t.Errorf("at %s, got\n%s\nwant\n%s", out.Fault.Where, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestGoCrashesTellWhere does the same for Go, whose modules carry names only, and whose runtime tells the lines.
func TestGoCrashesTellWhere(t *testing.T) {
	h := newHost(t, host.Options{})
	for _, b := range []*bundle.Bundle{install(t, h, built["trial"]), installCommand(t, h)} {
		out := fault(t, h, host.Invocation{Bundle: b, Action: "crash"}, abi.Trap, "panic: ")
		if len(out.Stack) < 2 || !strings.HasPrefix(out.Stack[0], "main.") || !strings.Contains(out.Stack[0], "/main.go:") || out.Fault.Where != out.Stack[0] {
			t.Errorf("at %s, stack %q", out.Fault.Where, out.Stack)
		}
	}
	out := fault(t, h, host.Invocation{Bundle: install(t, h, built["trial"]), Action: "recurse"}, abi.Limit, "")
	if len(out.Stack) == 0 || out.Stack[0] != "main.deeper" {
		t.Errorf("stack %q", out.Stack)
	}
}

// trapping reads a program, with DWARF, of the engine's own tests.
func trapping(t *testing.T, language string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(dir)), "internal/testing/dwarftestdata/testdata", language, "main.wasm")
	module, err := os.ReadFile(file)
	if err == nil {
		return module
	}
	if module, err = exec.Command("xz", "-dc", file+".xz").Output(); err != nil {
		t.Skip("NOT TESTED: lines of a crash in ", language, ": the module cache has no such program, or there is no xz: ", err)
	}
	return module
}
